"""Content that is stored as it is, and content that is already in memory, as the chunks that `parts` takes."""

from __future__ import annotations

from collections.abc import Iterator

from snapscan.views.cursor import Cursor
from snapscan.views.parts import PART_BYTES
from snapscan.views.verdict import Ended


def stored(cursor: Cursor, size_bytes: int) -> Iterator[bytes]:
    """The next `size_bytes` bytes. Raises Ended where the input ends first, ReadFault."""
    left = size_bytes
    while left > 0:
        chunk = cursor.read(min(left, PART_BYTES))
        if not chunk:
            raise Ended("truncated", f"{left} of {size_bytes} bytes are missing")
        left -= len(chunk)
        yield chunk


def sliced(data: bytes) -> Iterator[bytes]:
    """`data` in pieces."""
    for start in range(0, len(data), PART_BYTES):
        yield data[start : start + PART_BYTES]
