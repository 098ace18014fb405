"""Extended attributes of ext2, ext3 and ext4: behind the inode's fields, and in blocks of their own.

Format: kernel documentation of ext4, "Extended Attributes".
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.ext_inodes import BASE_INODE_BYTES, InodeTable

ATTRIBUTE_MAGIC = b"\x00\x00\x02\xea"
BLOCK_HEAD_BYTES = 32
SECURITY = 6
SYSTEM = 7
_ENTRY = struct.Struct("<BBHIII")
_ENTRIES_MOST = 4096


class Attribute(NamedTuple):
    """One attribute. `value_start` counts in the buffer it was read from; the value lies in `value_inode` when that is not 0."""

    namespace: int
    name: bytes
    value_start: int
    value_bytes: int
    value_inode: int


def attributes(buffer: bytes, first: int, end: int, value_base: int) -> list[Attribute]:
    """The entries from `first` on, up to four zero bytes. Entries whose name or value leave the buffer's part are left out."""
    found: list[Attribute] = []
    at = first
    while at + _ENTRY.size <= end and len(found) < _ENTRIES_MOST:
        if buffer[at : at + 4] == b"\0\0\0\0":
            break
        name_length, namespace, value_offset, value_inode, value_bytes, _ = _ENTRY.unpack_from(buffer, at)
        name_end = at + _ENTRY.size + name_length
        value_start = value_base + value_offset
        if name_end > end:
            break
        if value_inode or value_start + value_bytes <= end:
            found.append(Attribute(namespace, buffer[at + _ENTRY.size : name_end], value_start, value_bytes, value_inode))
        at = name_end + 3 & ~3 if first % 4 == 0 else name_end + (first - name_end) % 4
    return found


def in_inode(table: InodeTable, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of `rows` hold attributes behind their fields, and where in the table's bytes the four bytes of magic begin."""
    inode_bytes = table.inodes.dtype.itemsize
    if inode_bytes <= BASE_INODE_BYTES:
        return rows[:0], rows[:0]
    extra = table.inodes["extra"][rows].astype(np.int64)
    fits = (extra % 4 == 0) & (BASE_INODE_BYTES + extra + 4 + _ENTRY.size <= inode_bytes)
    rows, extra = rows[fits], extra[fits]
    places = rows * inode_bytes + BASE_INODE_BYTES + extra
    words = np.frombuffer(table.raw, dtype="<u4")
    has = words[places // 4] == int.from_bytes(ATTRIBUTE_MAGIC, "little")
    return rows[has], places[has]


def only_security_label(table: InodeTable, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which places hold one attribute alone and that one of the security namespace (an SELinux label, on every file where it is used)."""
    raw = np.frombuffer(table.raw, dtype=np.uint8)
    words = np.frombuffer(table.raw, dtype="<u4")
    inode_bytes = table.inodes.dtype.itemsize
    name_bytes = raw[places + 4].astype(np.int64)
    following = places + 4 + _ENTRY.size + (name_bytes + 3 & ~3)
    inside = following + 4 <= (places // inode_bytes + 1) * inode_bytes
    last = words[np.where(inside, following, 0) // 4] == 0
    result: NDArray[np.bool_] = inside & last & (raw[places + 5] == SECURITY)
    return result
