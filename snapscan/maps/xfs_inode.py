"""XFS inodes and extents, from bytes. Source: the Linux kernel's fs/xfs/libxfs/xfs_format.h; all numbers are big-endian."""

from __future__ import annotations

import struct
from typing import NamedTuple

LOCAL, EXTENTS, BTREE = 1, 2, 3
REALTIME_FLAG = 1
_BIG_TIME = 1 << 3
_BIG_COUNTS = 1 << 4
EXTENTS_MOST = 4_000_000
"""Of one file; the kernel's own limit for data forks is 2^48, which no honest snapshot nears."""


class Extent(NamedTuple):
    """File blocks `first .. first + blocks` are the filesystem blocks from `block` (an absolute number: group and block in it)."""

    first: int
    block: int
    blocks: int
    unwritten: bool


class Inode(NamedTuple):
    mode: int
    uid: int
    links: int
    mtime: int
    size: int
    format: int
    attribute_format: int
    realtime: bool
    data_fork: bytes
    data_at: int
    attribute_fork: bytes
    data_extents: int
    attribute_extents: int


def parse_inode(raw: bytes) -> Inode | None:
    """An inode in use; None for bytes that are none. `data_at` is where its data fork begins in it."""
    if raw[:2] != b"IN" or len(raw) < 256:
        return None
    mode, version, data_format = struct.unpack_from(">HBB", raw, 2)
    uid, _, links = struct.unpack_from(">III", raw, 8)
    (size,) = struct.unpack_from(">q", raw, 56)
    fork_offset, attribute_format = raw[82], raw[83]
    (flags,) = struct.unpack_from(">H", raw, 90)
    flags2 = struct.unpack_from(">Q", raw, 120)[0] if version == 3 else 0
    if version == 1:
        links = struct.unpack_from(">H", raw, 6)[0]
    if flags2 & _BIG_COUNTS:
        data_extents, attribute_extents = struct.unpack_from(">Q", raw, 24)[0], struct.unpack_from(">I", raw, 76)[0]
    else:
        data_extents, attribute_extents = struct.unpack_from(">IH", raw, 76)
    (nanoseconds,), (seconds,) = struct.unpack_from(">Q", raw, 40), struct.unpack_from(">i", raw, 40)
    mtime = nanoseconds // 1_000_000_000 - (1 << 31) if flags2 & _BIG_TIME else seconds
    at = 176 if version == 3 else 100
    end = at + 8 * fork_offset if fork_offset else len(raw)
    return Inode(
        mode, uid, links, mtime, max(size, 0), data_format, attribute_format, bool(flags & REALTIME_FLAG),
        raw[at:end], at, raw[end:], data_extents, attribute_extents,
    )  # fmt: skip


def parse_extents(raw: bytes, most: int) -> list[Extent]:
    """Packed extent records: one bit unwritten, 54 bits file block, 52 bits block, 21 bits count."""
    found: list[Extent] = []
    for high, low in struct.iter_unpack(">QQ", raw[: len(raw) // 16 * 16]):
        if len(found) >= most:
            break
        count = low & 0x1FFFFF
        if count:
            found.append(Extent((high & (1 << 63) - 1) >> 9, (high & 0x1FF) << 43 | low >> 21, count, bool(high >> 63)))
    return found


class Entry(NamedTuple):
    name: bytes
    inode: int


def short_entries(fork: bytes, *, has_type: bool) -> list[Entry]:
    """A directory inside its inode."""
    if len(fork) < 6:
        return []
    wide = 8 if fork[1] else 4
    at = 2 + wide
    found = []
    for _ in range(fork[0]):
        if at + 3 > len(fork):
            break
        length = fork[at]
        name = fork[at + 3 : at + 3 + length]
        place = at + 3 + length + has_type
        if not length or place + wide > len(fork):
            break
        found.append(Entry(name, int.from_bytes(fork[place : place + wide], "big")))
        at = place + wide
    return found


_HEADERS = {b"XDB3": 64, b"XDD3": 64, b"XD2B": 16, b"XD2D": 16}


def block_entries(block: bytes, *, has_type: bool) -> list[Entry]:
    """The entries of one directory data block, `.` and `..` left out. Empty for a block of another kind."""
    at = _HEADERS.get(block[:4], 0)
    if not at:
        return []
    end = len(block)
    if block[:4] in (b"XDB3", b"XD2B"):  # a directory of one block keeps its hash index behind the entries
        end -= 8 + 8 * int.from_bytes(block[-8:-4], "big")
    found = []
    while at + 12 <= end:
        if block[at : at + 2] == b"\xff\xff":
            length = int.from_bytes(block[at + 2 : at + 4], "big")
            if length < 8 or length % 8:
                break
            at += length
            continue
        inode, name_length = struct.unpack_from(">QB", block, at)
        name = block[at + 9 : at + 9 + name_length]
        if not name_length or at + 9 + name_length > end:
            break
        if name not in (b".", b".."):
            found.append(Entry(name, inode))
        at += (9 + name_length + has_type + 2 + 7) // 8 * 8
    return found
