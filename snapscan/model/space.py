"""A space: a linear run of bytes that can only be read.

Offsets and lengths are bytes. Ranges are half-open, `start <= offset < end`, everywhere in this project.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from snapscan.model.snapshot import SnapshotRef, SourceStamp


class Range(NamedTuple):
    """Bytes `start <= offset < end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class Space(Protocol):
    """A snapshot's bytes, opened read-only in this process; never pickled, safe to open again in another process."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def snapshot(self) -> SnapshotRef: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the reader of the report: a damaged header that changes nothing, internal snapshots that exist."""
        ...

    def stored_ranges(self) -> Iterator[Range]:
        """The ranges that hold data: rising, disjoint, not touching, inside the space. What lies between is absent: it reads as zeros.

        A range whose data cannot be reached (its cluster lies outside the file) is stored: reading it raises.
        """
        ...

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill all of `view` with the bytes from `offset`; absent bytes are zeros.

        `offset + len(view)` must not pass `size_bytes` (a programming error, asserted). Any length is served rightly.
        Raises ReadFault when any byte of it cannot be read; `view` is then undefined, and the caller asks again in smaller pieces.
        """
        ...

    def gather(self, offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The byte at each of the rising `offsets`, all inside the space; 0 where a byte cannot be read. Much faster than single reads."""
        ...

    def stamps(self) -> tuple[SourceStamp, ...]:
        """Every file behind this space, parents included, in the order they were opened."""
        ...

    def close(self) -> None: ...


def read_bytes(space: Space, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, cut at the end of the space. Raises ReadFault."""
    length = max(0, min(length, space.size_bytes - offset))
    buffer = bytearray(length)
    if length:
        space.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def joined(ranges: Iterator[Range]) -> Iterator[Range]:
    """Rising ranges, with those that touch or overlap made one, and empty ones dropped."""
    start = end = -1
    for item in ranges:
        if item.start >= item.end:
            continue
        if item.start <= end:
            end = max(end, item.end)
            continue
        if end > start:
            yield Range(start, end)
        start, end = item.start, item.end
    if end > start:
        yield Range(start, end)
