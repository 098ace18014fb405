"""A volume: a part of a space with an address of its own (partition, logical volume, whole bare disk)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from snapscan.model.space import Range, Space


class Segment(msgspec.Struct, frozen=True):
    """`length` bytes of a volume, beginning at `volume_start`, lie at `space_start` of the space."""

    volume_start: int
    space_start: int
    length: int


class Volume(msgspec.Struct, frozen=True):
    """Where a volume's bytes lie.

    `step` is its part of a locator: `part:1`, `part:2/lvm:vg0-root`, or empty for a bare disk. `filesystem` is the kind
    recognised by content (`ext4`, `ntfs`, `swap`, `luks`, ...) and empty if none was. `uuid` and `label` are the filesystem's own.
    Segments rise in `volume_start`; a hole between two has no bytes.
    """

    step: str
    segments: tuple[Segment, ...]
    filesystem: str = ""
    uuid: str = ""
    label: str = ""

    @property
    def size_bytes(self) -> int:
        return max((s.volume_start + s.length for s in self.segments), default=0)

    def to_space(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The pieces of volume range `start .. end` as (space start, space end, volume start), in volume order."""
        for segment in self.segments:
            low = max(start, segment.volume_start)
            high = min(end, segment.volume_start + segment.length)
            if low < high:
                shift = segment.space_start - segment.volume_start
                yield low + shift, high + shift, low


class VolumeReader:
    """Reads a volume's bytes through the space that holds it; raises ReadFault like the space does."""

    def __init__(self, space: Space, volume: Volume) -> None:
        self.space = space
        self.volume = volume
        self.size_bytes = volume.size_bytes
        self._base = volume.segments[0].space_start if len(volume.segments) == 1 else None

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from volume offset `offset`, cut at the end of the volume; holes between segments are zeros."""
        length = max(0, min(length, self.size_bytes - offset))
        buffer = bytearray(length)
        if length:
            self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view` from volume offset `offset`; the caller stays inside `size_bytes`."""
        if self._base is not None:
            self.space.read_into(self._base + offset, view)
            return
        view[:] = bytes(len(view))
        for start, end, at in self.volume.to_space(offset, offset + len(view)):
            self.space.read_into(start, view[at - offset : at - offset + end - start])


class Gap(msgspec.Struct, frozen=True):
    """Something that the bytes alone do not show; a run with a gap is not complete.

    `reason` is one of `unmapped`, `dirty-log`, `encrypted-volume`, `encrypted-file`, `rule-limited`, `yara-failed`, `source-changed`.
    """

    reason: str
    where: str
    detail: str = ""
    start: int = 0
    end: int = 0


class VolumeMap(msgspec.Struct, frozen=True):
    """What a look at the partition tables found: the volumes, the places of the tables themselves, and what stays closed."""

    volumes: tuple[Volume, ...]
    tables: tuple[Range, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    disk_id: str = ""
