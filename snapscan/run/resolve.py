"""From a locator, a path or an offset back to bytes: what `show` and `map` stand on. Reads the source again; writes nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from snapscan.maps.space_map import Place
from snapscan.model.errors import LocatorError
from snapscan.model.locator import Locator, ViewStep
from snapscan.model.owner import Extent, OwnerMap
from snapscan.model.reading import OwnerReader, RangeReader
from snapscan.model.view import Budget, Reader, ViewLimits
from snapscan.model.volume import VolumeMap
from snapscan.run.join import CARVE_BYTES
from snapscan.run.messages import SpaceSpec
from snapscan.run.opened import OpenSpace
from snapscan.store.queries import Reader as Case
from snapscan.store.queries import SpaceRecord
from snapscan.views.walk import walk


def open_record(case: Case, record: SpaceRecord, *, check: bool = True) -> OpenSpace:
    """Open a case's space again. Raises SourceError: gone, unreadable, or (with `check`) changed since the scan."""
    listing = next((str(path) for path in sorted(case.maps.glob("source-*.listing"))), "") if record.snapshot.kind == "folder" else ""
    volumes = record.volumes or VolumeMap(())
    stamps = record.stamps if check else ()
    return OpenSpace(SpaceSpec(record.id, record.spec, record.snapshot, volumes, str(case.maps), listing, stamps))


def record_of(case: Case, locator: Locator) -> SpaceRecord:
    """The space that a locator speaks of. Raises LocatorError."""
    for record in case.spaces():
        if record.snapshot.kind == locator.kind and os.fsencode(record.snapshot.label) == locator.label:
            return record
    raise LocatorError(
        "locator-space", f"this case holds no {locator.kind}:{os.fsdecode(locator.label)}", hint="snapscan report CASE lists what was scanned"
    )


def bytes_at(opened: OpenSpace, locator: Locator) -> bytes:
    """The bytes that a locator names. Raises LocatorError when it leads nowhere, ReadFault when they cannot be read."""
    if locator.views:
        reader, steps = _view_reader(opened, locator)
        data = _decoded(reader, steps, locator.offset, locator.length)
    elif locator.in_space:
        data = RangeReader(opened.space, locator.offset, locator.offset + locator.length).read(0, locator.length)
    else:
        data = _owner_reader(opened, locator).read(locator.offset, locator.length)
    if len(data) < locator.length:
        raise LocatorError("locator-range", f"only {len(data)} of {locator.length} bytes are there", hint="has the source changed since the scan?")
    return data


def owners_at(opened: OpenSpace, path: bytes) -> list[tuple[int, int, list[Extent]]]:
    """(volume, owner, pieces) of every owner with this path, in any volume; the path has a leading slash."""
    found = []
    for volume, owners in opened.space_map.maps.items():
        found += [(volume, owner, owners.extents(owner)) for owner in find(owners, path)]
    return found


def find(owners: OwnerMap, path: bytes) -> list[int]:
    """Owners that bear `path` as one of their paths."""
    name = path.rpartition(b"/")[2]
    return [owner for owner in owners.named(frozenset((name,))) if path in owners.paths(owner)]


def places_at(opened: OpenSpace, position: int) -> list[Place]:
    return opened.space_map.places(position)


def _owner_reader(opened: OpenSpace, locator: Locator) -> OwnerReader:
    for volume, owners in opened.space_map.maps.items():
        if opened.spec.volumes.volumes[volume].step != locator.volume:
            continue
        for owner in find(owners, b"/" + locator.path):
            return OwnerReader(opened.space, owners, owner, stored=True)
    raise LocatorError("locator-owner", f"no owner has the path /{locator.path.decode('utf-8', 'backslashreplace')} in this case's maps")


def _view_reader(opened: OpenSpace, locator: Locator) -> tuple[Reader, tuple[ViewStep, ...]]:
    first = locator.views[0]
    if first.kind == "at":
        start = int(first.member, 16)
        return RangeReader(opened.space, start, start + CARVE_BYTES), locator.views[1:]
    return _owner_reader(opened, locator), locator.views


class _Capture:
    """Keeps bytes offset .. offset + length of the first member whose steps are the wanted ones."""

    def __init__(self, steps: tuple[ViewStep, ...], offset: int, length: int) -> None:
        self.found = bytearray()
        self._steps, self._offset, self._length = steps, offset, length
        self._at = 0
        self._mine = False
        self._seen = False

    def begin(self, steps: tuple[ViewStep, ...], size_hint: int) -> None:
        self._mine = steps == self._steps and not self._seen
        self._seen |= self._mine
        self._at = 0

    def data(self, data: bytes, last: bool) -> None:
        if self._mine:
            low, high = self._offset - self._at, self._offset + self._length - self._at
            self.found += data[max(0, low) : max(0, high)]
            self._at += len(data)

    def end(self, steps: tuple[ViewStep, ...], decoded_bytes: int) -> None:
        self._mine = False


def _decoded(reader: Reader, steps: tuple[ViewStep, ...], offset: int, length: int) -> bytes:
    capture = _Capture(steps, offset, length)
    with tempfile.TemporaryDirectory(prefix="snapscan-") as folder:
        walk(reader, reader.read(0, 512), (), Budget(ViewLimits(), reader.size_bytes), capture, spool_folder=Path(folder))
    return bytes(capture.found)
