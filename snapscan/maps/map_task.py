"""One map task: reads a volume's structures within limits, and collects owners, gaps and notes. Nothing of it raises for bad content."""

from __future__ import annotations

import time

from snapscan.maps.ext_source import MapStopped, Trouble
from snapscan.model.errors import ReadFault
from snapscan.model.mapping import FormerName, MapLimits, Mapped
from snapscan.model.owner import OwnerKind, OwnerState
from snapscan.model.owner_builder import MapBuilder
from snapscan.model.volume import Volume, VolumeReader

READ_BYTES_MOST = 64 << 20
"""One structure read in one go; a hostile size beyond that is read up to here."""
NAME_BYTES_MOST = 0xFFFF
FORMER_MOST = 1_000_000
ROWS_MOST = 20_000_000
"""Of one map: about 600 MB while it is put in order."""


class MapTask:
    """Positions are bytes of the volume."""

    def __init__(self, reader: VolumeReader, volume: Volume, limits: MapLimits) -> None:
        self.volume = volume
        self.size_bytes = volume.size_bytes
        self.builder = MapBuilder()
        self.trouble = Trouble()
        self.former: list[FormerName] = []
        self._reader = reader
        self._limits = limits
        self._until = time.monotonic() + limits.seconds
        self._visited = 0
        self._rows = 0

    def read(self, offset: int, length: int) -> bytes:
        """The bytes, cut at the end of the volume; empty where the place is outside or cannot be read (which is noted)."""
        if offset < 0 or length <= 0 or offset >= self.size_bytes:
            return b""
        try:
            return self._reader.read(offset, min(length, READ_BYTES_MOST))
        except ReadFault:
            self.trouble.note("a metadata block cannot be read")
            return b""

    def visit(self, count: int = 1) -> None:
        """Account for `count` visited inodes or blocks. Raises MapStopped at a limit."""
        self._visited += count
        if self._visited > self._limits.inodes:
            raise MapStopped(f"stopped after {self._limits.inodes} inodes")
        self.check_time()

    def check_time(self) -> None:
        """Raises MapStopped when the task's time is over."""
        if time.monotonic() > self._until:
            raise MapStopped(f"stopped after {self._limits.seconds:g} s")

    def owner(
        self,
        kind: OwnerKind,
        *,
        state: OwnerState = OwnerState.LIVE,
        inode: int = 0,
        mode: int = 0,
        uid: int = 0,
        mtime: int = 0,
        size_bytes: int = 0,
    ) -> int:
        """As the builder's, with numbers of any size: they are cut to what a column holds."""
        mtime = max(-(2**63), min(mtime, 2**63 - 1))
        size_bytes = max(0, min(size_bytes, 2**63 - 1))
        return self.builder.owner(kind, state=state, inode=inode & (2**64 - 1), mode=mode, uid=uid, mtime=mtime, size_bytes=size_bytes)

    def row(self, start: int, length: int, owner: int, offset: int = 0, flags: int = 0) -> None:
        """The part inside the volume of `length` bytes from `start` belongs to the owner, from its byte `offset` on. Raises MapStopped."""
        end = min(start + length, self.size_bytes)
        if 0 <= start < end and 0 <= offset < 2**62:
            self._rows += 1
            if self._rows > ROWS_MOST:
                raise MapStopped(f"stopped after {ROWS_MOST} ranges")
            self.builder.row(start, end, owner, offset, flags)

    def name(self, owner: int, parent: int, name: bytes) -> None:
        """A name in a directory. A slash in it (no filesystem allows one) would change the path: it becomes an underscore."""
        self.builder.name(owner, parent, name[:NAME_BYTES_MOST].replace(b"/", b"_"))

    def was(self, start: int, length: int, path: bytes, offset: int, inode: int, source: str, size_bytes: int) -> None:
        """Bytes `start ..` were a deleted file's."""
        end = min(start + length, self.size_bytes)
        if 0 <= start < end and len(self.former) < FORMER_MOST:
            self.former.append(FormerName(start, end, path, offset, inode, source, size_bytes))

    def gap(self, reason: str, detail: str = "") -> None:
        self.trouble.gap(reason, self.volume.step, detail)

    def finish(self) -> Mapped:
        return Mapped(self.builder.finish(self.volume), self.trouble.gaps(), self.trouble.notes(), tuple(self.former))
