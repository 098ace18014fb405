"""Records of a zip file (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5): local headers, the central directory and where it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from snapscan.views.cursor import Cursor

LOCAL = b"PK\x03\x04"
CENTRAL = b"PK\x01\x02"
END = b"PK\x05\x06"
END64 = b"PK\x06\x06"
END64_LOCATOR = b"PK\x06\x07"
DESCRIPTOR = b"PK\x07\x08"

ENCRYPTED, LZMA_END_MARK, SIZES_FOLLOW = 0x0001, 0x0002, 0x0008
"""Bits of `flags`. With SIZES_FOLLOW checksum and sizes stand behind the data, in a descriptor."""

METHODS = frozenset((*range(0, 21), *range(92, 100)))
"""Method numbers that were ever given out."""

_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_RECORD = struct.Struct("<4sHHHHIIH")
_END64_RECORD = struct.Struct("<4sQHHIIQQQQ")
_END64_LOCATOR_BYTES = 20
_LONGEST_COMMENT = 0xFFFF
_NEWEST_VERSION = 63
_ZIP64_EXTRA = 0x0001


class Entry(NamedTuple):
    """One member. `offset` is that of its local header in the reader; `data` that of its content, zero when it comes from the directory."""

    name: bytes
    method: int
    flags: int
    checksum: int
    stored_bytes: int
    decoded_bytes: int
    offset: int
    data: int = 0


class Directory(NamedTuple):
    """Where the central directory is. `base` is added to every offset in it: not zero when bytes were put before or cut off the archive."""

    start: int
    end: int
    members: int
    base: int


def local_header(cursor: Cursor, offset: int) -> Entry | None:
    """The member whose local header is at `offset`; None when there is no whole, sane one. The cursor is left at the content."""
    cursor.position = offset
    fixed = cursor.read(_LOCAL_HEADER.size)
    if not sane(fixed):
        return None
    _, _, flags, method, _, _, checksum, stored, decoded, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(fixed)
    rest = cursor.read(name_bytes + extra_bytes)
    if len(rest) < name_bytes + extra_bytes:
        return None
    decoded, stored, _ = _wide(rest[name_bytes:], decoded, stored, 0)
    return Entry(rest[:name_bytes], method, flags, checksum, stored, decoded, offset, cursor.position)


def sane(head: bytes) -> bool:
    """Whether `head` begins with a local header that a zip program could have written."""
    if len(head) < _LOCAL_HEADER.size or not head.startswith(LOCAL):
        return False
    version, _, method = struct.unpack_from("<HHH", head, 4)
    (name_bytes,) = struct.unpack_from("<H", head, 26)
    return (version & 0xFF) <= _NEWEST_VERSION and method in METHODS and name_bytes > 0


def find_directory(cursor: Cursor) -> Directory | None:
    """The central directory, by the end record in the last 64 KiB; None when there is none, or it is not where the record says."""
    start = max(0, cursor.size_bytes - _LONGEST_COMMENT - _END_RECORD.size - _END64_RECORD.size - _END64_LOCATOR_BYTES)
    cursor.position = start
    tail = cursor.read(cursor.size_bytes - start)
    place = tail.rfind(END)
    while place >= 0:
        if place + _END_RECORD.size <= len(tail):
            *_, count, size, offset, comment_bytes = _END_RECORD.unpack_from(tail, place)
            if place + _END_RECORD.size + comment_bytes <= len(tail):
                return _directory(cursor, start, tail, place, count, size, offset)
        place = tail.rfind(END, 0, place)
    return None


def _directory(cursor: Cursor, tail_start: int, tail: bytes, place: int, count: int, size: int, offset: int) -> Directory | None:
    record64 = place - _END64_LOCATOR_BYTES - _END64_RECORD.size
    if tail.startswith(END64_LOCATOR, max(place - _END64_LOCATOR_BYTES, 0)) and record64 >= 0 and tail.startswith(END64, record64):
        *_, count, size, offset = _END64_RECORD.unpack_from(tail, record64)
        place = record64
    end = tail_start + place
    for directory in (Directory(end - size, end, count, end - size - offset), Directory(offset, offset + size, count, 0)):
        if 0 <= directory.start <= directory.end <= cursor.size_bytes:
            cursor.position = directory.start
            if cursor.peek(4) == CENTRAL or count == 0:
                return directory
    return None


def central_entries(cursor: Cursor, directory: Directory) -> Iterator[Entry]:
    """The directory's entries in its order, up to its end or the first record that is not whole. The caller counts them."""
    position = directory.start
    while position < directory.end:
        cursor.position = position
        fixed = cursor.read(_CENTRAL_HEADER.size)
        if len(fixed) < _CENTRAL_HEADER.size or not fixed.startswith(CENTRAL):
            return
        _, _, _, flags, method, _, _, checksum, stored, decoded, name_bytes, extra_bytes, comment_bytes, _, _, _, offset = _CENTRAL_HEADER.unpack(
            fixed
        )
        rest = cursor.read(name_bytes + extra_bytes)
        if len(rest) < name_bytes + extra_bytes:
            return
        decoded, stored, offset = _wide(rest[name_bytes:], decoded, stored, offset)
        yield Entry(rest[:name_bytes], method, flags, checksum, stored, decoded, offset + directory.base)
        position += _CENTRAL_HEADER.size + name_bytes + extra_bytes + comment_bytes


def skip_directory(cursor: Cursor) -> bool:
    """Step over the record of a central directory or its end that the cursor stands at; False, without moving, when it is none of these."""
    head = cursor.peek(_CENTRAL_HEADER.size)
    length = 0
    if head.startswith(CENTRAL) and len(head) == _CENTRAL_HEADER.size:
        length = _CENTRAL_HEADER.size + sum(struct.unpack_from("<HHH", head, 28))
    elif head.startswith(END64) and len(head) >= 12:
        length = 12 + int(struct.unpack_from("<Q", head, 4)[0])
    elif head.startswith(END64_LOCATOR):
        length = _END64_LOCATOR_BYTES
    elif head.startswith(END) and len(head) >= _END_RECORD.size:
        length = _END_RECORD.size + int(struct.unpack_from("<H", head, 20)[0])
    cursor.position = min(cursor.position + length, cursor.end)
    return length > 0


def _wide(extra: bytes, decoded: int, stored: int, offset: int) -> tuple[int, int, int]:
    """The three values, those that are all ones replaced from the zip64 extra field, where they stand in this order (4.5.3)."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == _ZIP64_EXTRA:
            field = extra[position + 4 : position + 4 + length]
            values = iter(int.from_bytes(field[i : i + 8], "little") for i in range(0, len(field) - 7, 8))
            decoded = next(values, decoded) if decoded == 0xFFFFFFFF else decoded
            stored = next(values, stored) if stored == 0xFFFFFFFF else stored
            offset = next(values, offset) if offset == 0xFFFFFFFF else offset
            break
        position += 4 + length
    return decoded, stored, offset
