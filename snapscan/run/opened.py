"""A space as a worker holds it: opened once, with its maps when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from snapscan.maps.space_map import SpaceMap
from snapscan.model.errors import SourceChanged
from snapscan.model.mapping import FormerName
from snapscan.model.owner import OwnerMap
from snapscan.model.space import Range, Space
from snapscan.run.messages import SpaceSpec
from snapscan.spaces.registry import open_space

DONE = "complete.json"
"""Written last: a map folder without it is not there."""


class MapFacts(msgspec.Struct, frozen=True):
    """What a map task leaves beside the columns."""

    former: tuple[FormerName, ...] = ()
    containers: dict[str, str] = {}
    owners: int = 0


class StoredIndex:
    """A space's stored ranges in two arrays: 16 bytes a range, whatever an image claims."""

    def __init__(self, space: Space) -> None:
        pairs = np.fromiter((value for item in space.stored_ranges() for value in item), dtype=np.int64)
        self._starts, self._ends = pairs[0::2].copy(), pairs[1::2].copy()

    def within(self, whole: Range) -> Iterator[Range]:
        """The stored ranges cut to `whole`."""
        first = int(np.searchsorted(self._ends, whole.start, side="right"))
        last = int(np.searchsorted(self._starts, whole.end, side="left"))
        for start, end in zip(self._starts[first:last].tolist(), self._ends[first:last].tolist(), strict=True):
            yield Range(max(start, whole.start), min(end, whole.end))

    def bytes_total(self) -> int:
        return int((self._ends - self._starts).sum())

    def cut(self, size_bytes: int, piece_bytes: int) -> Iterator[tuple[int, int, int]]:
        """All of a space as pieces (start, end, stored bytes) of about `piece_bytes` stored bytes; absent stretches ride along."""
        at = stored = 0
        for start, end in zip(self._starts.tolist(), self._ends.tolist(), strict=True):
            while end - start > piece_bytes - stored:
                border = start + piece_bytes - stored
                yield at, border, piece_bytes
                at, stored, start = border, 0, border
            stored += end - start
        if at < size_bytes:
            yield at, size_bytes, stored


class OpenSpace:
    """One space, its stored ranges, and the maps of its volumes as far as they exist when first asked for."""

    def __init__(self, spec: SpaceSpec) -> None:
        self.spec = spec
        self.space = open_space(spec.source, listing=Path(spec.listing) if spec.listing else None)
        if spec.stamps and self.space.stamps() != spec.stamps:
            raise SourceChanged(
                "source-changed", f"{spec.source.path} is not what it was when the scan began", hint="scan a copy, or a snapshot of it"
            )
        self.stored = StoredIndex(self.space)
        self._map: SpaceMap | None = None

    @property
    def space_map(self) -> SpaceMap:
        """Loaded when first asked for: by then the map tasks have ended, well or not."""
        if self._map is None:
            maps: dict[int, OwnerMap] = {}
            former: dict[int, list[FormerName]] = {}
            containers: dict[int, dict[str, str]] = {}
            for volume in range(len(self.spec.volumes.volumes)):
                folder = map_folder(self.spec, volume)
                if (folder / DONE).is_file():
                    facts = msgspec.json.decode((folder / DONE).read_bytes(), type=MapFacts)
                    maps[volume] = OwnerMap.load(folder)
                    former[volume] = list(facts.former)
                    containers[volume] = facts.containers
            self._map = SpaceMap(self.spec.snapshot, self.spec.volumes, maps, former, containers)
        return self._map

    def owners(self, volume: int) -> OwnerMap | None:
        return self.space_map.maps.get(volume)

    def close(self) -> None:
        self.space.close()


def map_folder(spec: SpaceSpec, volume: int) -> Path:
    return Path(spec.maps) / f"{spec.number}-{volume}"


class Spaces:
    """The few spaces that a worker keeps open."""

    MOST = 4

    def __init__(self) -> None:
        self._specs: dict[int, SpaceSpec] = {}
        self._open: dict[int, OpenSpace] = {}

    def learn(self, spec: SpaceSpec) -> None:
        self._specs[spec.number] = spec

    def get(self, number: int) -> OpenSpace:
        """Opens the space if need be. Raises SourceError."""
        found = self._open.pop(number, None) or OpenSpace(self._specs[number])
        self._open[number] = found
        while len(self._open) > self.MOST:
            self._open.pop(next(iter(self._open))).close()
        return found
