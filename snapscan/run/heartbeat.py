"""One shared slot per worker: what it is working on, readable by the foreman after its death."""

from __future__ import annotations

import mmap
import struct
import tempfile
import time

_FORM = struct.Struct("<qqd")
TRACEBACK_BYTES = 16_384


class Slot:
    """24 bytes of memory that worker and foreman share, and the file into which the watchdog writes where the worker hung."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.traceback_file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # lives as long as the worker

    def note(self, start: int, end: int) -> None:
        """Worker: bytes (or items) start .. end are next."""
        _FORM.pack_into(self._memory, 0, start, end, time.monotonic())

    def read(self) -> tuple[int, int, float]:
        """Foreman: what was noted last, and when (monotonic seconds)."""
        start, end, when = _FORM.unpack_from(self._memory, 0)
        return start, end, when

    def traceback(self) -> str:
        """Foreman: what the watchdog or the worker's guard wrote, cut; empty after a plain crash."""
        self.traceback_file.seek(0)
        return self.traceback_file.read(TRACEBACK_BYTES)

    def close(self) -> None:
        self._memory.close()
        self.traceback_file.close()
