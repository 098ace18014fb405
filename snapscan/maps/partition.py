"""What a partition table says, whichever kind it is, and how its bytes are read."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from snapscan.model.errors import ReadFault
from snapscan.model.space import Range

PARTITIONS_MOST = 1024
"""Entries kept of one table; Linux itself stops at 256, GPT tools at 128 by default."""


class Readable(Protocol):
    """A space, or a volume read through one."""

    @property
    def size_bytes(self) -> int: ...

    def read_into(self, offset: int, view: memoryview) -> None: ...


class Partition(NamedTuple):
    """Entry `number` (from 1) claims bytes `start <= offset < end`; `end` may lie behind the medium."""

    number: int
    start: int
    end: int


class PartitionTable(NamedTuple):
    """A table's entries in its own order, where the table lies, and the disk's own identity (GUID or signature)."""

    partitions: tuple[Partition, ...]
    tables: tuple[Range, ...]
    disk_id: str
    sector_bytes: int
    notes: tuple[str, ...] = ()


def peek(source: Readable, offset: int, length: int) -> bytes:
    """Exactly `length` bytes, or none at all: the place is outside the medium, or unreadable."""
    if offset < 0 or length <= 0 or offset + length > source.size_bytes:
        return b""
    buffer = bytearray(length)
    try:
        source.read_into(offset, memoryview(buffer))
    except ReadFault:
        return b""
    return bytes(buffer)


def head_of(source: Readable, length: int, step: int = 64 << 10) -> bytes:
    """Up to `length` bytes from the beginning, in order; stops at the first `step` that cannot be read."""
    parts = []
    length = min(length, source.size_bytes)
    whole = peek(source, 0, length)
    if whole:
        return whole
    for offset in range(0, length, step):
        part = peek(source, offset, min(step, length - offset))
        if not part:
            break
        parts.append(part)
    return b"".join(parts)
