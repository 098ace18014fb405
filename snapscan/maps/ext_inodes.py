"""Inode tables of ext2, ext3 and ext4, read a group at a time and parsed as columns.

Field places: kernel documentation of ext4, "Index Nodes".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.ext_groups import INODE_UNINIT, Groups
from snapscan.maps.ext_source import ExtSource, MapStopped
from snapscan.maps.ext_superblock import Superblock

ENCRYPT = 0x800
EXTENTS = 0x80000
EA_INODE = 0x200000
INLINE_DATA = 0x10000000

FORMAT = 0xF000
DIRECTORY = 0x4000
REGULAR = 0x8000
SYMLINK = 0xA000

I_BLOCK_OFFSET = 40
I_BLOCK_BYTES = 60
BASE_INODE_BYTES = 128

ROOT_INODE = 2
BAD_BLOCKS_INODE = 1
RESIZE_INODE = 7


def inode_layout(inode_bytes: int) -> np.dtype[Any]:
    """The columns of an inode of this size; those behind byte 128 are there only where the inode is longer."""
    fields: list[tuple[str, Any, int]] = [
        ("mode", "<u2", 0), ("uid", "<u2", 2), ("size", "<u4", 4), ("mtime", "<i4", 16), ("dtime", "<u4", 20), ("links", "<u2", 26),
        ("flags", "<u4", 32), ("block", (np.uint8, (60,)), I_BLOCK_OFFSET), ("generation", "<u4", 100),
        ("attributes", "<u4", 104), ("size_high", "<u4", 108),
        ("attributes_high", "<u2", 118), ("uid_high", "<u2", 120),
    ]  # fmt: skip
    if inode_bytes > BASE_INODE_BYTES:
        fields += [("extra", "<u2", 128), ("mtime_extra", "<u4", 136)]
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": list(names), "formats": list(formats), "offsets": list(offsets), "itemsize": inode_bytes})


class InodeTable(NamedTuple):
    """The inodes `first_inode ..` of one group. `offset` is where the table lies in the volume; `allocated` is the inode bitmap's word."""

    first_inode: int
    offset: int
    raw: bytes
    inodes: NDArray[Any]
    allocated: NDArray[np.bool_]

    def size_bytes(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """i_size of the rows; the upper half counts for regular files and directories only."""
        inodes = self.inodes[rows]
        form = inodes["mode"] & FORMAT
        high = np.where((form == REGULAR) | (form == DIRECTORY), inodes["size_high"], 0).astype(np.uint64)
        size: NDArray[np.uint64] = (high << np.uint64(32)) | inodes["size"]
        return size

    def mtime(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Seconds since 1970; the epoch bits of i_mtime_extra count where the inode says that it has the field."""
        inodes = self.inodes[rows]
        seconds: NDArray[np.int64] = inodes["mtime"].astype(np.int64)
        if "extra" in (inodes.dtype.names or ()):
            seconds += np.where(inodes["extra"] >= 12, (inodes["mtime_extra"] & 3).astype(np.int64) << 32, 0)
        return seconds

    def uid(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        inodes = self.inodes[rows]
        uid: NDArray[np.uint32] = inodes["uid"].astype(np.uint32) | inodes["uid_high"].astype(np.uint32) << np.uint32(16)
        return uid


def inode_tables(source: ExtSource, sb: Superblock, groups: Groups, limit: int) -> Iterator[InodeTable]:
    """The used part of each group's table, in order of groups. Raises MapStopped beyond `limit` inodes in all or when time is up."""
    layout = inode_layout(sb.inode_bytes)
    seen = 0
    for group in range(groups.total):
        if groups.flags[group] & INODE_UNINIT:
            continue
        count = sb.inodes_per_group - int(groups.inodes_unused[group])
        offset = int(groups.inode_table[group]) * sb.block_bytes
        count = min(count, max(0, source.size_bytes - offset) // sb.inode_bytes)
        if offset < sb.block_bytes or count <= 0:
            continue
        seen += count
        if seen > limit:
            raise MapStopped(f"the limit of {limit} inodes was reached")
        source.check_time(0.6)
        raw = source.read_bulk(offset, count * sb.inode_bytes, f"inode table of group {group}")
        inodes = np.frombuffer(raw, dtype=layout)
        if not inodes["mode"].any() and group:
            continue
        yield InodeTable(group * sb.inodes_per_group + 1, offset, raw, inodes, _bitmap(source, sb, groups, group, count))


def _bitmap(source: ExtSource, sb: Superblock, groups: Groups, group: int, count: int) -> NDArray[np.bool_]:
    offset = int(groups.inode_bitmap[group]) * sb.block_bytes
    length = -(-count // 8)
    if not sb.block_bytes <= offset <= source.size_bytes - length:
        return np.zeros(count, dtype=bool)
    raw = source.read_bulk(offset, length, f"inode bitmap of group {group}")
    return np.unpackbits(np.frombuffer(raw, dtype=np.uint8), count=count, bitorder="little").astype(bool)
