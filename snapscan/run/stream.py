"""A stream of bytes of unknown length through the engine, in chunks with their margins: what views give."""

from __future__ import annotations

from collections.abc import Iterator

from snapscan.detect.chunk import Chunk
from snapscan.detect.engine import Engine, Scanned
from snapscan.model.units import MIB
from snapscan.run.sweep import MARGIN_BYTES

STREAM_CHUNK_BYTES = 1 * MIB


class StreamScanner:
    """Feed bytes in order, then `finish`; each gives what could be scanned so far. Findings do not depend on how the bytes are cut."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._buffer = bytearray()
        self._base = 0
        self._low = 0

    def feed(self, data: bytes) -> Iterator[Scanned]:
        self._buffer += data
        if len(self._buffer) - self._low >= STREAM_CHUNK_BYTES + MARGIN_BYTES:
            yield self._scan(len(self._buffer) - MARGIN_BYTES)

    def finish(self) -> Iterator[Scanned]:
        if len(self._buffer) > self._low:
            yield self._scan(len(self._buffer))
        self._buffer, self._base, self._low = bytearray(), 0, 0

    def _scan(self, high: int) -> Scanned:
        with memoryview(self._buffer) as view:
            scanned = self._engine.scan(Chunk(view, self._base, self._low, high))
        drop = max(0, high - MARGIN_BYTES)
        del self._buffer[:drop]
        self._base += drop
        self._low = high - drop
        return scanned
