"""The journal (jbd2) of ext3 and ext4 as it lies on the volume: its superblock, descriptors, revocations, commits.

Format: kernel documentation of ext4, "Journal (jbd2)"; all numbers are big-endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from snapscan.maps.ext_checksum import crc32c
from snapscan.maps.ext_extents import BlockWalker, Runs, direct_blocks, joined_runs, root_extents
from snapscan.maps.ext_groups import Groups
from snapscan.maps.ext_inodes import EXTENTS, I_BLOCK_BYTES, I_BLOCK_OFFSET
from snapscan.maps.ext_source import ESCAPED_BYTES, ExtSource
from snapscan.maps.ext_superblock import Superblock
from snapscan.model.errors import ReadFault

JOURNAL_MAGIC = int.from_bytes(ESCAPED_BYTES, "big")
_FAST_COMMIT_BLOCKS = 256  # JBD2_DEFAULT_FAST_COMMIT_BLOCKS, where the superblock says 0
_KNOWN_FEATURES = 0x3F
_BLOCKS_MOST = 10_240_000  # mke2fs makes no longer journal
_HEAD = struct.Struct(">III")
_HEAD_BYTES = 12


class BlockType(IntEnum):
    DESCRIPTOR = 1
    COMMIT = 2
    SUPERBLOCK_1 = 3
    SUPERBLOCK_2 = 4
    REVOKE = 5


class JournalFeature(IntFlag):
    REVOKE = 0x1
    BITS_64 = 0x2
    ASYNC_COMMIT = 0x4
    CSUM_V2 = 0x8
    CSUM_V3 = 0x10
    FAST_COMMIT = 0x20


class Tag(NamedTuple):
    """One block of a transaction: its place in the filesystem, and what its copy in the journal needs to be read."""

    block: int
    escaped: bool
    deleted: bool
    checksum: int


class Journal(msgspec.Struct, frozen=True):
    """A journal that was found. `places[i]` is the filesystem block of journal block i, 0 where it has none."""

    places: NDArray[np.int64]
    first: int
    last: int
    """One behind the last block of the ring; fast commits lie behind it."""
    sequence: int
    start: int
    features: int
    seed: int

    @property
    def checked(self) -> bool:
        return bool(self.features & (JournalFeature.CSUM_V2 | JournalFeature.CSUM_V3))

    def following(self, index: int, steps: int = 1) -> int:
        """The ring's block `steps` behind `index`."""
        return self.first + (index - self.first + steps) % (self.last - self.first)

    def read(self, source: ExtSource, index: int) -> bytes:
        """Journal block `index`. Raises ReadFault."""
        return source.read_block(int(self.places[index]))

    def intact(self, block: bytes, kind: BlockType) -> bool:
        """Whether the block's own checksum is right; true where the journal has none."""
        if not self.checked:
            return True
        at = 16 if kind == BlockType.COMMIT else len(block) - 4
        blank = block[:at] + b"\0\0\0\0" + block[at + 4 :]
        return crc32c(blank, self.seed) == int.from_bytes(block[at : at + 4], "big")

    def tags(self, block: bytes) -> list[Tag]:
        """The tags of a descriptor block, up to the one marked last."""
        found: list[Tag] = []
        wide = bool(self.features & JournalFeature.BITS_64)
        third = bool(self.features & JournalFeature.CSUM_V3)
        size = 16 if third else 8 + (4 if wide else 0) + (2 if self.features & JournalFeature.CSUM_V2 else 0)
        end = len(block) - (4 if self.checked else 0)
        at = _HEAD_BYTES
        while at + size <= end:
            if third:
                low, flags, high, checksum = struct.unpack_from(">IIII", block, at)
            else:
                low, checksum, flags = struct.unpack_from(">IHH", block, at)
                high = int.from_bytes(block[at + 8 : at + 12], "big") if wide else 0
            found.append(Tag(low | (high << 32 if wide else 0), bool(flags & 1), bool(flags & 4), checksum))
            if flags & 8:
                break
            at += size + (0 if flags & 2 else 16)
        return found

    def revoked(self, block: bytes) -> list[int]:
        """The filesystem blocks that a revoke block names."""
        used = min(int.from_bytes(block[12:16], "big"), len(block) - (4 if self.checked else 0))
        size = 8 if self.features & JournalFeature.BITS_64 else 4
        count = max(0, used - 16) // size
        return [int(n) for n in np.frombuffer(block, dtype=f">u{size}", count=count, offset=16)]


def block_head(block: bytes) -> tuple[int, int] | None:
    """(block type, sequence) of a block with the journal's magic."""
    magic, kind, sequence = _HEAD.unpack_from(block)
    return (kind, sequence) if magic == JOURNAL_MAGIC else None


def open_journal(source: ExtSource, sb: Superblock, groups: Groups) -> Journal | None:
    """The journal in the filesystem's own journal inode; None where there is none that can be read."""
    runs = _journal_runs(source, sb, groups)
    if runs is None or not len(runs.which):
        return None
    volume_blocks = source.size_bytes // sb.block_bytes
    good = (runs.physical > 0) & (runs.physical + runs.length <= volume_blocks) & (runs.logical + runs.length <= volume_blocks)
    good &= runs.logical + runs.length <= _BLOCKS_MOST
    total = int(np.max((runs.logical + runs.length)[good], initial=0))
    places = np.zeros(total, dtype=np.int64)
    for logical, physical, length in zip(*(column[good].tolist() for column in runs[1:4]), strict=True):
        places[logical : logical + length] = np.arange(physical, physical + length)
    if not total or not places[0]:
        return None
    try:
        raw = source.read_block(int(places[0]))
    except ReadFault:
        return None
    return _parsed(raw, places, sb)


def _parsed(raw: bytes, places: NDArray[np.int64], sb: Superblock) -> Journal | None:
    head = block_head(raw)
    block_bytes, most, first, sequence, start = struct.unpack_from(">IIIII", raw, 12)
    if head is None or head[0] not in (BlockType.SUPERBLOCK_1, BlockType.SUPERBLOCK_2) or block_bytes != sb.block_bytes:
        return None
    features = int.from_bytes(raw[40:44], "big") if head[0] == BlockType.SUPERBLOCK_2 else 0
    if features & ~_KNOWN_FEATURES:
        return None
    last = min(most, len(places))
    if features & JournalFeature.FAST_COMMIT:
        last -= int.from_bytes(raw[84:88], "big") or _FAST_COMMIT_BLOCKS
    if not 1 <= first < last or not (start == 0 or first <= start < last):
        return None
    return Journal(places, first, last, sequence, start, features, crc32c(raw[48:64]))


def _journal_runs(source: ExtSource, sb: Superblock, groups: Groups) -> Runs | None:
    group, index = divmod(sb.journal_inode - 1, sb.inodes_per_group)
    if sb.journal_inode <= 0 or group >= groups.total:
        return None
    try:
        raw = source.read(int(groups.inode_table[group]) * sb.block_bytes + index * sb.inode_bytes, sb.inode_bytes)
    except ReadFault:
        return None
    root = raw[I_BLOCK_OFFSET : I_BLOCK_OFFSET + I_BLOCK_BYTES]
    walker = BlockWalker(source, sb.blocks)
    if int.from_bytes(raw[32:36], "little") & EXTENTS:
        runs, deep, _ = root_extents(np.frombuffer(root, dtype=np.uint8).reshape(1, -1))
        return walker.tree(root, 0) if deep[0] else runs
    pointers = np.frombuffer(root, dtype="<u4").astype(np.int64).reshape(1, -1)
    return joined_runs([direct_blocks(pointers[:, :12]), walker.indirect(pointers[0, 12:], 0)])
