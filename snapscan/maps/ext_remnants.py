"""What the journal still knows of inodes and directories as they were: every copy of an inode table's or a directory's block in it.

A deleted file's inode in the table is empty (ext4 clears its extents); the journal keeps older copies until its ring overwrites them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps import ext_inodes as inode
from snapscan.maps.ext_checksum import crc32c, crc32c_rows
from snapscan.maps.ext_extents import BlockWalker, Runs, direct_blocks, joined_runs, no_runs, root_extents
from snapscan.maps.ext_groups import Groups, inode_table_blocks
from snapscan.maps.ext_journal import JOURNAL_MAGIC, BlockType, Journal, JournalFeature
from snapscan.maps.ext_replay import Copy
from snapscan.maps.ext_source import ESCAPED_BYTES, ExtSource
from snapscan.maps.ext_superblock import Superblock
from snapscan.model.errors import ReadFault

Int64 = NDArray[np.int64]
_BATCH = 1024
_COPIES_MOST = 1 << 18
_TREES_MOST = 1000


class OldInodes(NamedTuple):
    """Copies of inodes that were in use, one per row: inode number, journal sequence (-1: from the table itself),
    generation, mode's format, size.
    `runs.which` counts the rows. `inline` are directories that lie in their inodes: (row, bytes of entries)."""

    number: Int64
    sequence: Int64
    generation: Int64
    form: Int64
    size: NDArray[np.uint64]
    runs: Runs
    inline: list[tuple[int, bytes]]


def journal_copies(source: ExtSource, journal: Journal) -> list[Copy]:
    """Every copy that a descriptor block anywhere in the ring speaks of, in the order of their sequence; overwritten ones are among them."""
    found: list[Copy] = []
    for index in range(journal.first, journal.last, _BATCH):
        source.check_time(0.95)
        most = min(_BATCH, journal.last - index)
        for at in _descriptors(source, journal, index, most):
            try:
                block = journal.read(source, at)
            except ReadFault:
                continue
            if not journal.intact(block, BlockType.DESCRIPTOR):
                continue
            sequence = int.from_bytes(block[8:12], "big")
            found += [Copy(journal.following(at, k + 1), sequence, tag) for k, tag in enumerate(journal.tags(block))]
            if len(found) > _COPIES_MOST:
                source.trouble.note("the journal speaks of more blocks than are looked at for former names")
                break
    return sorted(found, key=lambda copy: copy.sequence)


def _descriptors(source: ExtSource, journal: Journal, index: int, count: int) -> list[int]:
    """Which of the journal's blocks `index .. index + count` are descriptors; read in runs that lie together on the volume."""
    places = journal.places[index : index + count]
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    found: list[int] = []
    for low, high in zip([0, *breaks.tolist()], [*breaks.tolist(), len(places)], strict=True):
        try:
            raw = source.read(int(places[low]) * source.block_bytes, (high - low) * source.block_bytes)
        except ReadFault:
            continue
        words = np.frombuffer(raw, dtype=">u4").reshape(high - low, -1)
        is_descriptor = (words[:, 0] == JOURNAL_MAGIC) & (words[:, 1] == BlockType.DESCRIPTOR)
        found += (np.flatnonzero(is_descriptor) + low + index).tolist()
    return found


def copy_batches(
    source: ExtSource, journal: Journal, copies: list[Copy], wanted: Callable[[Copy, bytes], bool] | None = None
) -> Iterator[tuple[list[Copy], NDArray[np.uint8]]]:
    """The copies with their bytes, a block in each row; those overwritten since are left out, as far as that shows.

    `wanted` is asked before checksums are made, which cost more than reading.
    """
    for at in range(0, len(copies), _BATCH):
        source.check_time(0.95)
        batch: list[Copy] = []
        raw: list[NDArray[np.uint8]] = []
        for copy in copies[at : at + _BATCH]:
            try:
                data = journal.read(source, copy.place)
            except ReadFault:
                continue
            # where the magic is, a block of the log itself lies now
            if data[:4] != ESCAPED_BYTES and (wanted is None or wanted(copy, data)):
                batch.append(copy)
                raw.append(np.frombuffer(data, dtype=np.uint8))
        if not batch:
            continue
        rows = np.array(raw)
        if journal.checked:
            seeds = [crc32c(copy.sequence.to_bytes(4, "big"), journal.seed) for copy in batch]
            mask = np.uint32(0xFFFFFFFF if journal.features & JournalFeature.CSUM_V3 else 0xFFFF)
            given = np.array([copy.tag.checksum for copy in batch], dtype=np.uint32)
            right = crc32c_rows(rows, np.array(seeds, dtype=np.uint32)) & mask == given
            batch, rows = [copy for copy, keep in zip(batch, right.tolist(), strict=True) if keep], rows[right]
        if batch:
            yield batch, rows


def old_inodes(source: ExtSource, sb: Superblock, groups: Groups, journal: Journal, copies: list[Copy]) -> list[OldInodes]:
    """The files and directories in the journal's copies of inode-table blocks."""
    order = np.argsort(groups.inode_table, kind="stable")
    starts = groups.inode_table[order]
    blocks = np.array([copy.tag.block for copy in copies], dtype=np.int64)
    at = np.maximum(np.searchsorted(starts, blocks, side="right") - 1, 0)
    inside = blocks - starts[at]
    chosen = np.flatnonzero((inside >= 0) & (inside < inode_table_blocks(sb)))
    per_block = sb.block_bytes // sb.inode_bytes
    number_of = dict(zip(blocks[chosen].tolist(), (order[at[chosen]] * sb.inodes_per_group + inside[chosen] * per_block + 1).tolist(), strict=True))
    layout = inode.inode_layout(sb.inode_bytes)
    walker = BlockWalker(source, sb.blocks)
    found = []
    for batch, rows in copy_batches(source, journal, [copies[k] for k in chosen.tolist()]):
        table = np.ascontiguousarray(rows).view(layout).reshape(-1)
        first = np.array([number_of[copy.tag.block] for copy in batch], dtype=np.int64)
        number = (first[:, None] + np.arange(per_block)).reshape(-1)
        sequence = np.repeat(np.array([copy.sequence for copy in batch], dtype=np.int64), per_block)
        form = table["mode"] & inode.FORMAT
        keep = np.flatnonzero((table["links"] > 0) & ((form == inode.REGULAR) | (form == inode.DIRECTORY)))
        found.append(inodes_with_runs(table[keep], number[keep], sequence[keep], walker))
    return found


def inodes_with_runs(table: NDArray[np.void], number: Int64, sequence: Int64, walker: BlockWalker) -> OldInodes:
    """The runs that these inodes name; `walker` is one that no live inode's tree has used."""
    flags = table["flags"]
    inline = flags & inode.INLINE_DATA != 0
    by_tree = np.flatnonzero(~inline & (flags & inode.EXTENTS != 0))
    by_map = np.flatnonzero(~inline & (flags & inode.EXTENTS == 0))
    parts = [no_runs()]
    if len(by_tree):
        roots = table["block"][by_tree]
        runs, deep, _ = root_extents(roots)
        parts.append(runs._replace(which=by_tree[runs.which]))
        parts += [walker.tree(roots[k].tobytes(), int(by_tree[k])) for k in np.flatnonzero(deep).tolist()[:_TREES_MOST]]
    if len(by_map):
        maps = np.ascontiguousarray(table["block"][by_map]).view("<u4").astype(np.int64)
        runs = direct_blocks(maps[:, :12])
        parts.append(runs._replace(which=by_map[runs.which]))
        far = np.flatnonzero(maps[:, 12:].any(axis=1)).tolist()[:_TREES_MOST]
        parts += [walker.indirect(maps[k, 12:], int(by_map[k])) for k in far]
    inline_directories = np.flatnonzero(inline & (table["mode"] & inode.FORMAT == inode.DIRECTORY))
    # entries in the inode's attributes are left out: a directory that needs them has 57 bytes of names here already
    entries = [(row, table["block"][row].tobytes()[4:]) for row in inline_directories.tolist()]
    size = table["size_high"].astype(np.uint64) << np.uint64(32) | table["size"]
    return OldInodes(
        number, sequence, table["generation"].astype(np.int64), (table["mode"] & inode.FORMAT).astype(np.int64), size, joined_runs(parts), entries
    )
