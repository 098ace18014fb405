"""A volume as a file object, for libraries that read one."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from snapscan.model.errors import ReadFault
from snapscan.model.volume import VolumeReader


class VolumeFile(io.RawIOBase):
    """A volume as a file: exact lengths, faults as OSError. `check` is called before each read."""

    def __init__(self, reader: VolumeReader, check: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._reader = reader
        self._check = check
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._reader.size_bytes}[whence]
        if base + offset < 0:
            raise OSError("a seek before the beginning of the volume")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, less only at the end of the volume."""
        self._check()
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._reader.size_bytes - self._at))
        try:
            if length:
                self._reader.read_into(self._at, view[:length])
        except ReadFault as fault:
            raise OSError(f"volume bytes {self._at} to {self._at + length} cannot be read") from fault
        self._at += length
        return length
