"""Block groups of ext2, ext3 and ext4: where each group's bitmaps and inode table lie, and which blocks are the filesystem's own.

Layout after ext2fs_super_and_bgd_loc2 and ext2fs_descriptor_block_loc2 of e2fsprogs (lib/ext2fs/alloc.c, openfs.c).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.ext_source import ExtSource
from snapscan.maps.ext_superblock import Incompat, Superblock
from snapscan.model.errors import ReadFault

INODE_UNINIT = 1
BLOCK_UNINIT = 2
_READ_BYTES = 4 << 20


class Groups(NamedTuple):
    """One entry per group that lies in the volume; places are filesystem blocks."""

    block_bitmap: NDArray[np.int64]
    inode_bitmap: NDArray[np.int64]
    inode_table: NDArray[np.int64]
    flags: NDArray[np.int64]
    inodes_unused: NDArray[np.int64]

    @property
    def total(self) -> int:
        return len(self.flags)


def read_groups(source: ExtSource, sb: Superblock) -> Groups:
    """The descriptors of all groups that begin inside the volume. A damaged descriptor is replaced by a backup's, with a note."""
    volume_blocks = min(sb.blocks, source.size_bytes // sb.block_bytes + 1)
    count = min(sb.groups, -(-(volume_blocks - sb.first_data_block) // sb.blocks_per_group))
    groups = _parsed(_table(source, sb, count, backup=0), sb, count)
    wrong = _implausible(groups, sb)
    if wrong.any():
        groups = _repaired(source, sb, groups, wrong)
        wrong = _implausible(groups, sb)
        for group in np.flatnonzero(wrong).tolist():
            start = sb.group_start(group) * sb.block_bytes
            detail = "the group's descriptor is damaged, and so are its copies"
            source.trouble.gap("unmapped", f"group {group}", detail, start, start + sb.blocks_per_group * sb.block_bytes)
    return groups


def _repaired(source: ExtSource, sb: Superblock, groups: Groups, wrong: NDArray[np.bool_]) -> Groups:
    """Places from the first backup that is plausible; its flags and counts date from mkfs and are not believed."""
    copies = [g for g in (1, 3, 5, 7, 9, *sb.backup_groups) if 0 < g < groups.total and sb.has_superblock(g)]
    for copy in dict.fromkeys(copies):
        spare = _parsed(_table(source, sb, groups.total, backup=copy), sb, groups.total)
        better = wrong & ~_implausible(spare, sb)
        if better.any():
            source.trouble.note("group descriptors are damaged: taken from a backup", int(better.sum()))
            keep = [np.where(better, new, old) for new, old in zip(spare[:3], groups[:3], strict=True)]
            zero = [np.where(better, 0, old) for old in groups[3:]]
            return Groups(*keep, *zero)
    return groups


def _table(source: ExtSource, sb: Superblock, count: int, *, backup: int) -> bytes:
    """The raw descriptors, zeros where they cannot be read."""
    out = []
    blocks = -(-count // sb.descriptors_per_block)
    at = 0
    while at < blocks:
        run = 1
        place = descriptor_block(sb, at, backup)
        while at + run < blocks and run * sb.block_bytes < _READ_BYTES and descriptor_block(sb, at + run, backup) == place + run:
            run += 1
        if backup:
            try:
                out.append(source.read(place * sb.block_bytes, run * sb.block_bytes))
            except ReadFault:
                out.append(bytes(run * sb.block_bytes))
        else:
            out.append(source.read_bulk(place * sb.block_bytes, run * sb.block_bytes, "group descriptors"))
        at += run
    return b"".join(out)


def descriptor_block(sb: Superblock, index: int, backup: int = 0) -> int:
    """The block that holds descriptor block `index`: of the primary table, or of the copy in group `backup`."""
    shift = 1 if index == 0 and sb.block_bytes == 1024 and sb.blocks_per_cluster > 1 else 0
    if not sb.incompat & Incompat.META_BG or index < sb.first_meta_group:
        return sb.group_start(backup) + index + 1 + shift
    group = index * sb.descriptors_per_block
    if backup and sb.group_start(group + 1) < sb.blocks:
        group += 1
    return sb.group_start(group) + int(sb.has_superblock(group)) + shift


def _parsed(raw: bytes, sb: Superblock, count: int) -> Groups:
    names = ["bb", "ib", "it", "flags", "unused"]
    formats: list[str] = ["<u4", "<u4", "<u4", "<u2", "<u2"]
    offsets = [0, 4, 8, 0x12, 0x1C]
    wide = sb.descriptor_bytes >= 64
    if wide:
        names += ["bb_high", "ib_high", "it_high", "unused_high"]
        formats += ["<u4", "<u4", "<u4", "<u2"]
        offsets += [0x20, 0x24, 0x28, 0x32]
    layout: np.dtype[Any] = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": sb.descriptor_bytes})
    table = np.frombuffer(raw, dtype=layout, count=count)

    def field(name: str, high_bits: int) -> NDArray[np.int64]:
        low = table[name].astype(np.int64)
        return low | (table[name + "_high"].astype(np.int64) & 0x7FFFFFFF) << high_bits if wide else low

    flags = table["flags"].astype(np.int64) if sb.has_uninit else np.zeros(count, dtype=np.int64)
    unused = field("unused", 16) if sb.has_uninit else np.zeros(count, dtype=np.int64)
    return Groups(field("bb", 32), field("ib", 32), field("it", 32), flags, np.where(unused > sb.inodes_per_group, 0, unused))


def _implausible(groups: Groups, sb: Superblock) -> NDArray[np.bool_]:
    table_blocks = inode_table_blocks(sb)
    low = sb.first_data_block + 1
    wrong = np.zeros(groups.total, dtype=bool)
    for place, length in ((groups.block_bitmap, 1), (groups.inode_bitmap, 1), (groups.inode_table, table_blocks)):
        wrong |= (place < low) | (place + length > sb.blocks)
    return wrong


def inode_table_blocks(sb: Superblock) -> int:
    return -(-sb.inodes_per_group * sb.inode_bytes // sb.block_bytes)


def own_blocks(sb: Superblock, groups: Groups) -> NDArray[np.int64]:
    """Runs (start, end) of blocks that are the filesystem's own, rising and disjoint: superblocks, descriptors (with those kept for
    growth), bitmaps, inode tables, the boot block."""
    fixed = np.array(list(_fixed(sb, groups.total)), dtype=np.int64).reshape(-1, 2)
    places = [(groups.block_bitmap, 1), (groups.inode_bitmap, 1), (groups.inode_table, inode_table_blocks(sb))]
    good = ~_implausible(groups, sb)
    ratio = sb.blocks_per_cluster  # what is left of a cluster that holds a part of these is nobody else's
    runs = [np.stack([place[good], place[good] + length], axis=1) for place, length in places]
    both = np.concatenate([fixed, *runs])
    return united(np.stack([both[:, 0] // ratio * ratio, -(-both[:, 1] // ratio) * ratio], axis=1))


def _fixed(sb: Superblock, count: int) -> Iterator[tuple[int, int]]:
    yield 0, max(1, sb.first_data_block)
    meta = bool(sb.incompat & Incompat.META_BG)
    all_blocks = -(-sb.groups // sb.descriptors_per_block)
    old = min(sb.first_meta_group, all_blocks) if meta else all_blocks + sb.reserved_descriptor_blocks
    for group in range(count):
        start = sb.group_start(group)
        if start == 0 and sb.block_bytes == 1024:
            start = 1
        copy = int(sb.has_superblock(group))
        index, within = divmod(group, sb.descriptors_per_block)
        length = copy
        if not meta or index < sb.first_meta_group:
            length += old if copy else 0
        elif within in (0, 1, sb.descriptors_per_block - 1):
            length += 1
        if length:
            yield start, start + length
    if sb.mmp_block:
        yield sb.mmp_block, sb.mmp_block + 1


def united(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs (start, end) in any order as rising, disjoint ones that do not touch."""
    runs = runs[runs[:, 0] < runs[:, 1]]
    if not len(runs):
        return runs
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reach = np.maximum.accumulate(runs[:, 1])
    first = np.concatenate(([True], runs[1:, 0] > reach[:-1]))
    starts = runs[first, 0]
    ends = reach[np.concatenate((first[1:], [True]))]
    return np.stack([starts, ends], axis=1)
