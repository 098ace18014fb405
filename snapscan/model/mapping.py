"""What a mapper hands back: the owners of one volume, and what it could not do."""

from __future__ import annotations

from typing import Protocol

import msgspec

from snapscan.model.owner import OwnerMap
from snapscan.model.volume import Gap, Volume, VolumeReader


class MapLimits(msgspec.Struct, frozen=True):
    """Bounds of one map task; reaching one ends the map with a gap `unmapped`, and what was found so far is kept."""

    seconds: float = 600.0
    inodes: int = 50_000_000


class FormerName(msgspec.Struct, frozen=True):
    """A deleted file's place: volume bytes `start .. end` were bytes `offset ..` of `path`, and how we know."""

    start: int
    end: int
    path: bytes
    offset: int
    inode: int
    source: str
    size_bytes: int = 0


class Mapped(msgspec.Struct, frozen=True):
    """Result of mapping one volume. `complete` is false when a gap says why; the owners found are valid all the same."""

    owners: OwnerMap
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    former: tuple[FormerName, ...] = ()
    containers: dict[str, str] = {}
    """Path prefix of an overlay2 or container-store folder -> the image's or container's name."""


class Mapper(Protocol):
    """Reads one kind of filesystem. A damaged entry is a note, never an exception; time and memory are bounded by the limits."""

    def __call__(self, reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped: ...
