"""One MFT record, from its bytes to what it says. Source: the Linux driver's fs/ntfs3/ntfs.h, checked against images of ntfs-3g.

All numbers are little-endian. The last two bytes of each 512-byte sector of a record are kept elsewhere (the update sequence) and replaced
by a counter: `fixed` puts them back.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SECTOR = 512
IN_USE = 1
IS_DIRECTORY = 2
STANDARD, ATTRIBUTE_LIST, FILE_NAME, DATA, INDEX_ALLOCATION, REPARSE = 0x10, 0x20, 0x30, 0x80, 0xA0, 0xC0
END = 0xFFFFFFFF
COMPRESSED, ENCRYPTED = 0x0001, 0x4000
SYMLINK_TAG = 0xA000000C
DOS_NAME = 2
RUNS_MOST = 4096
"""Of one attribute in one record; a record of 4 KiB cannot hold more."""

_EPOCH = 11_644_473_600
"""Seconds from 1601 to 1970."""


class Run(NamedTuple):
    """Clusters `cluster .. cluster + clusters` are the stream's from its cluster `first` on; -1 is a hole."""

    first: int
    cluster: int
    clusters: int


class Name(NamedTuple):
    parent: int
    parent_sequence: int
    name: bytes
    is_dos: bool


class Stream(NamedTuple):
    """A piece of an attribute. Resident: `length` bytes at `at` in the record. Else runs; sizes are known in the first piece (`first` 0)."""

    kind: int
    name: bytes
    resident: bool
    at: int
    length: int
    first: int
    runs: tuple[Run, ...]
    size: int
    valid: int
    flags: int


class Record(NamedTuple):
    in_use: bool
    is_directory: bool
    sequence: int
    base: int
    names: list[Name]
    streams: list[Stream]
    mtime: int
    has_list: bool
    is_symlink: bool


def fixed(raw: bytes) -> bytes | None:
    """The record with its sectors' last bytes put back; None if it is no record or a torn one."""
    if raw[:4] != b"FILE":
        return None
    at, count = struct.unpack_from("<HH", raw, 4)
    if count < 2 or at + 2 * count > len(raw) or (count - 1) * SECTOR > len(raw):
        return None
    content = bytearray(raw)
    mark = raw[at : at + 2]
    for k in range(1, count):
        place = k * SECTOR - 2
        if content[place : place + 2] != mark:
            return None
        content[place : place + 2] = raw[at + 2 * k : at + 2 * k + 2]
    return bytes(content)


def parse_record(content: bytes) -> Record:
    """What a `fixed` record says. Attributes that do not fit end the reading; what came before is kept."""
    sequence, _, first, flags = struct.unpack_from("<HHHH", content, 16)
    used = min(struct.unpack_from("<I", content, 24)[0], len(content))
    base = int.from_bytes(content[32:38], "little")
    names: list[Name] = []
    streams: list[Stream] = []
    mtime, has_list, is_symlink = 0, False, False
    at = first
    while at + 16 <= used:
        kind, length = struct.unpack_from("<II", content, at)
        if kind == END or length < 16 or at + length > used:
            break
        if kind == ATTRIBUTE_LIST:
            has_list = True
        stream = _attribute(content, at, kind, length)
        if stream is not None and stream.resident:
            value = content[stream.at : stream.at + stream.length]
            if kind == STANDARD and len(value) >= 16:
                ticks = struct.unpack_from("<q", value, 8)[0]
                mtime = ticks // 10_000_000 - _EPOCH if ticks > 0 else 0
            elif kind == FILE_NAME and (name := _file_name(value)) is not None:
                names.append(name)
            elif kind == REPARSE and len(value) >= 4:
                is_symlink = int.from_bytes(value[:4], "little") == SYMLINK_TAG
        if stream is not None and (kind in (DATA, ATTRIBUTE_LIST) or not stream.resident):
            streams.append(stream)
        at += length
    return Record(bool(flags & IN_USE), bool(flags & IS_DIRECTORY), sequence, base, names, streams, mtime, has_list, is_symlink)


def _attribute(content: bytes, at: int, kind: int, length: int) -> Stream | None:
    """The attribute of `length` bytes at `at`; None if its parts do not lie inside it."""
    non_resident, name_length, name_at, flags = content[at + 8], content[at + 9], *struct.unpack_from("<HH", content, at + 10)
    if name_at + 2 * name_length > length:
        return None
    name = from_utf16(content[at + name_at : at + name_at + 2 * name_length])
    if not non_resident:
        if length < 24:
            return None
        value_length, value_at = struct.unpack_from("<IH", content, at + 16)
        if value_at + value_length > length:
            return None
        return Stream(kind, name, True, at + value_at, value_length, 0, (), value_length, value_length, flags)
    if length < 64:
        return None
    first, _, runs_at = struct.unpack_from("<QQH", content, at + 16)
    size, valid = struct.unpack_from("<QQ", content, at + 48)
    runs = tuple(_runs(content[at + runs_at : at + length], first)) if runs_at < length else ()
    return Stream(kind, name, False, 0, 0, first, runs, size, valid, flags)


def _runs(raw: bytes, first: int) -> list[Run]:
    """The mapping pairs: lengths and steps in as few bytes as they need, until a zero byte."""
    runs: list[Run] = []
    at, cluster = 0, 0
    while at < len(raw) and raw[at] and len(runs) < RUNS_MOST:
        count_bytes, step_bytes = raw[at] & 15, raw[at] >> 4
        at += 1
        if not 0 < count_bytes <= 8 or step_bytes > 8 or at + count_bytes + step_bytes > len(raw):
            break
        count = int.from_bytes(raw[at : at + count_bytes], "little", signed=True)
        at += count_bytes
        if count <= 0:
            break
        if step_bytes:
            cluster += int.from_bytes(raw[at : at + step_bytes], "little", signed=True)
            at += step_bytes
        runs.append(Run(first, cluster if step_bytes else -1, count))
        first += count
    return runs


def _file_name(value: bytes) -> Name | None:
    if len(value) < 66:
        return None
    length, space = value[64], value[65]
    parent, parent_sequence = int.from_bytes(value[:6], "little"), int.from_bytes(value[6:8], "little")
    return Name(parent, parent_sequence, from_utf16(value[66 : 66 + 2 * length]), space == DOS_NAME)


def listed_records(content: bytes, kind: int) -> list[int]:
    """The numbers of the records in which an attribute list places unnamed attributes of `kind`, in the order of the list."""
    found = []
    at = 0
    while at + 26 <= len(content):
        entry_kind, length, name_length = struct.unpack_from("<IHB", content, at)
        if length < 26:
            break
        if entry_kind == kind and not name_length:
            found.append(int.from_bytes(content[at + 16 : at + 22], "little"))
        at += length
    return found


def from_utf16(raw: bytes) -> bytes:
    """UTF-8 of little-endian UTF-16; halves of surrogate pairs, which Windows allows in names, are kept as three bytes."""
    return raw.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass") if len(raw) % 2 == 0 else b""
