"""The decoded bytes of a member, kept so that a view inside it can be opened: in memory while small, then in a nameless file."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from snapscan.model.errors import StoreError
from snapscan.model.units import MIB

MEMORY_BYTES = 8 * MIB

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Spool:
    """A Reader over what was written to it. The file has no name and mode 0600; it is gone when the spool is closed or the process dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._descriptor = -1
        self._size_bytes = 0
        self._open = ExitStack()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._memory = bytearray()
        self._open.close()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def write(self, data: bytes) -> bool:
        """Append. False when the folder's filesystem is full: an archive must not end the run by being big. Raises StoreError otherwise."""
        try:
            if self._descriptor < 0 and self._size_bytes + len(data) <= MEMORY_BYTES:
                self._memory += data
            else:
                if self._descriptor < 0:
                    # tempfile makes it with O_TMPFILE, or unlinks it at once; 0600 either way.
                    self._descriptor = self._open.enter_context(tempfile.TemporaryFile(dir=self._folder, buffering=0)).fileno()  # noqa: SIM115  # it is entered
                    _write_whole(self._descriptor, self._memory, 0)
                    self._memory = bytearray()
                _write_whole(self._descriptor, data, self._size_bytes)
        except OSError as error:
            if error.errno in _FULL:
                return False
            raise StoreError("spool-failed", f"cannot keep a decoded member: {error.strerror}") from error
        self._size_bytes += len(data)
        return True

    def read(self, offset: int, length: int) -> bytes:
        """Cut at the end. Raises StoreError when the temporary file cannot be read."""
        length = min(length, max(self._size_bytes - offset, 0))
        if self._descriptor < 0:
            return bytes(memoryview(self._memory)[offset : offset + length])
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise StoreError("spool-failed", f"cannot read a decoded member back: {error.strerror}") from error


def _write_whole(descriptor: int, data: bytes | bytearray, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
