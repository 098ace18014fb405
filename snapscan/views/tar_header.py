"""One 512-byte tar header: ustar (POSIX.1-1988), GNU and the pre-POSIX form; and pax records (POSIX.1-2001, pax, "Extended Header")."""

from __future__ import annotations

import re
from typing import NamedTuple

BLOCK_BYTES = 512

_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")


class Header(NamedTuple):
    """What is needed to walk: `size_bytes` as written, whatever the type."""

    name: bytes
    size_bytes: int
    type: bytes
    extended: bool
    """Old GNU sparse: another 512 bytes of map follow."""


def checksum_holds(block: bytes) -> bool:
    """Whether `block` is a header: the sum of its bytes, the checksum field taken as blanks, is what that field says.

    Old programs summed signed bytes; both are taken.
    """
    if len(block) < BLOCK_BYTES:
        return False
    stated = number(block[148:156])
    if not stated:
        return False
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    if stated == unsigned:
        return True
    return stated == unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])


def number(field: bytes) -> int | None:
    """A numeric field: octal text, or base-256 when the first bit is set (GNU); None when it is neither, or negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value if field[0] != 0xFF else None
    match = _OCTAL.fullmatch(field)
    if match is None:
        # Some writers end the number with NUL and leave old bytes behind it.
        match = _OCTAL.fullmatch(field.partition(b"\0")[0])
    return int(match[1] or b"0", 8) if match else None


def parse(block: bytes) -> Header | None:
    """The header in a block whose checksum holds; None when its size is no number."""
    size_bytes = number(block[124:136])
    if size_bytes is None:
        return None
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    return Header(name, size_bytes, block[156:157], block[482] == 1)


def pax_records(data: bytes) -> dict[bytes, bytes]:
    """`length key=value\\n` records up to the first that is malformed; the last of a key counts."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        digits, blank, _ = data[position : position + 20].partition(b" ")
        if not blank or not digits.isdigit():
            break
        end = position + int(digits)
        record = data[position + len(digits) + 1 : end]
        if end > len(data) or not record.endswith(b"\n"):
            break
        key, _, value = record[:-1].partition(b"=")
        records[key] = value
        position = end
    return records
