"""Directory blocks of ext2, ext3 and ext4 as (inode, name) pairs.

Every block of a directory is read for itself. That serves linear and hashed directories alike: the index blocks of a hashed one look like
blocks of empty entries (kernel documentation of ext4, "Hash Tree Directories").
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator

import numpy as np

from snapscan.maps.ext_extents import Runs
from snapscan.maps.ext_source import ExtSource

_WINDOW_BYTES = 4 << 20
_JUMP_BLOCKS = 16
_ENTRY = struct.Struct("<IHB")
_HEAD_BYTES = 8

Entry = tuple[int, bytes]


def directory_windows(source: ExtSource, runs: Runs) -> Iterator[tuple[bytes, list[tuple[int, int, int]]]]:
    """The blocks of directories in the order of the volume, many per read.

    Yields a buffer and, for each directory block in it, (position in the buffer, `which` of its run, block number).
    """
    size = source.block_bytes
    blocks = np.repeat(runs.physical - np.concatenate(([0], np.cumsum(runs.length)[:-1])), runs.length) + np.arange(int(runs.length.sum()))
    which = np.repeat(runs.which, runs.length)
    order = np.argsort(blocks, kind="stable")
    blocks, which = blocks[order], which[order]
    at = 0
    while at < len(blocks):
        source.check_time(0.9)
        first = int(blocks[at])
        window = blocks[at : at + _WINDOW_BYTES // size]
        breaks = np.flatnonzero((np.diff(window) > _JUMP_BLOCKS) | (window[1:] - first >= _WINDOW_BYTES // size))
        length = int(breaks[0]) + 1 if len(breaks) else len(window)
        last = int(window[length - 1])
        buffer = source.read_bulk(first * size, (last + 1 - first) * size, "directory blocks")
        numbers = window[:length].tolist()
        yield buffer, [((block - first) * size, owner, block) for block, owner in zip(numbers, which[at : at + length].tolist(), strict=True)]
        at += length


def entries(buffer: bytes, start: int, end: int, found: list[Entry], slack: Callable[[int, int], None] | None = None) -> bool:
    """Append the live entries between `start` and `end` to `found`, without `.` and `..`. False where the chain of records breaks.

    `slack(start, end)` is called for room behind an entry that could hold another one and is not empty: deleted entries stay there.
    """
    at = start
    unpack = _ENTRY.unpack_from
    wide = end - start >= 65536
    while at + _HEAD_BYTES <= end:
        inode, length, name_length = unpack(buffer, at)
        if wide:
            # ext4_rec_len_from_disk: lengths of 64 KiB and more keep their high bits in the two lowest
            length = end - start if length in (0, 65535) else length & 65532 | (length & 3) << 16
        name_end = at + _HEAD_BYTES + name_length
        if length < _HEAD_BYTES or at + length > end or name_end > at + length:
            return False
        if inode and name_length:
            name = buffer[at + _HEAD_BYTES : name_end]
            if name != b"." and name != b"..":
                found.append((inode, name))
        if slack is not None and name_length:
            behind = at + (name_length + 11 & ~3)
            if at + length - behind >= 12 and buffer[behind : behind + 4] != b"\0\0\0\0":
                slack(behind, at + length)
        at += length
    return True


def shown_name(name: bytes, encrypted: bool) -> bytes:
    """The name as it goes into the map. Ciphertext is written in base64url, as the kernel does without a key (its prefix of a hash is left
    out). A slash, which no intact directory holds, becomes `?`: a name is one part of a path."""
    if encrypted:
        return base64.urlsafe_b64encode(name).rstrip(b"=")
    return name.replace(b"/", b"?") if b"/" in name else name
