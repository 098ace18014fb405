"""A place in a Reader that moves forward: every decoder takes its input here, and leaves the cursor right behind what it used."""

from __future__ import annotations

from snapscan.model.errors import ReadFault
from snapscan.model.units import KIB
from snapscan.model.view import Reader

READ_AHEAD_BYTES = 64 * KIB
"""Headers are small and lie close together; bigger reads than this go past it."""

_SMALLEST_READ_BYTES = 512


class Cursor:
    """Reads `reader` from `position` up to `end`, which the owner of the cursor may move to fence a member in."""

    def __init__(self, reader: Reader, position: int = 0) -> None:
        self._reader = reader
        self.size_bytes = reader.size_bytes
        self.end = self.size_bytes
        self.position = position
        self._buffer = b""
        self._buffer_start = 0

    def read(self, length: int) -> bytes:
        """The next bytes; fewer only at the end, or just before bytes that cannot be read. Raises ReadFault when those come first."""
        data = self.peek(length)
        self.position += len(data)
        return data

    def peek(self, length: int) -> bytes:
        """As `read`, without moving."""
        length = min(length, self.end - self.position)
        if length <= 0:
            return b""
        skipped = self.position - self._buffer_start
        if skipped < 0 or skipped + length > len(self._buffer):
            self._buffer = self._fetch(max(length, READ_AHEAD_BYTES))
            self._buffer_start = self.position
            skipped = 0
        return self._buffer[skipped : skipped + length]

    def _fetch(self, length: int) -> bytes:
        length = min(length, self.size_bytes - self.position)
        while True:
            try:
                return self._reader.read(self.position, length)
            except ReadFault:
                # One bad sector must not cost the readable bytes before it.
                if length <= _SMALLEST_READ_BYTES:
                    raise
                length //= 2
