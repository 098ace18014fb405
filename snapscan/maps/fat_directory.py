"""Entries of FAT directories, with their long names, deleted ones too. Source: Microsoft's FAT specification (fatgen103)."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from typing import NamedTuple

ENTRY = 32
LABEL, DIRECTORY, LONG_NAME = 0x08, 0x10, 0x0F
DELETED = 0xE5


class FatEntry(NamedTuple):
    """`name` is UTF-8. A deleted entry without its long name has lost its first letter: there stands an underscore."""

    name: bytes
    is_directory: bool
    deleted: bool
    cluster: int
    size: int
    mtime: int


def fat_entries(content: bytes) -> Iterator[FatEntry]:
    """All entries before the end mark, labels and `.`, `..` left out."""
    long: list[bytes] = []
    for at in range(0, len(content) - ENTRY + 1, ENTRY):
        raw = content[at : at + ENTRY]
        if raw[0] == 0:
            return
        deleted = raw[0] == DELETED
        if raw[11] & 0x3F == LONG_NAME:
            if raw[0] & 0x40 and not deleted:
                long = []
            long.append(raw[1:11] + raw[14:26] + raw[28:32])
            continue
        pieces, long = long, []
        if raw[11] & LABEL or raw[:2] in (b". ", b".."):
            continue
        name = _long_name(pieces) or _short_name(raw)
        cluster = int.from_bytes(raw[26:28], "little") | int.from_bytes(raw[20:22], "little") << 16
        size = int.from_bytes(raw[28:32], "little")
        yield FatEntry(name, bool(raw[11] & DIRECTORY), deleted, cluster, size, dos_time(int.from_bytes(raw[22:26], "little")))


def _long_name(pieces: list[bytes]) -> bytes:
    """Pieces stand in the directory from the name's end to its beginning; each has 13 UTF-16 units."""
    raw = b"".join(reversed(pieces[-20:]))
    end = next((at for at in range(0, len(raw), 2) if raw[at : at + 2] == b"\0\0"), len(raw))
    return raw[:end].decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass")


def _short_name(raw: bytes) -> bytes:
    stem, extension = raw[:8], raw[8:11]
    if stem[0] == DELETED:
        stem = b"_" + stem[1:]
    elif stem[0] == 0x05:
        stem = b"\xe5" + stem[1:]
    left, right = (part.rstrip(b" ").decode("cp437") for part in (stem, extension))
    left = left.lower() if raw[12] & 0x08 else left
    right = right.lower() if raw[12] & 0x10 else right
    return (f"{left}.{right}" if right else left).encode()


def dos_time(stamp: int) -> int:
    """Seconds since 1970 of a time (low 16 bits) and date; local time of an unknown zone, taken as UTC."""
    time, date = stamp & 0xFFFF, stamp >> 16
    if not date:
        return 0
    month = min(max(date >> 5 & 15, 1), 12)
    return calendar.timegm((1980 + (date >> 9), month, max(date & 31, 1), time >> 11, time >> 5 & 63, (time & 31) * 2))
