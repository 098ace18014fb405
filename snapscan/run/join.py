"""The join: whose bytes are the hits, which owners begin an archive, which deserve a second look."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from snapscan.detect.inspect.shadow import NAMES as SHADOW_NAMES
from snapscan.maps.space_map import Place
from snapscan.model.finding import Sighting
from snapscan.model.locator import ViewStep
from snapscan.model.owner import OwnerKind
from snapscan.model.units import MIB, PAGE_BYTES
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap
from snapscan.run.attribute import in_view, shown_locator, sightings_of
from snapscan.run.messages import JoinTask, LookItem, Part, ViewItem
from snapscan.run.opened import OpenSpace

CARVE_BYTES = 256 * MIB
"""The most that a view carved from free space is given to read."""
_UNNAMED = {"free", "slack", "unknown", "gap", "swap", "journal", "metadata", "file"}


YARA_ATOM = "yara"
YARA_START = "yara-start"
"""The kinds under which the sweep reports a page that holds a YARA atom, beside the kinds of views: one that counts anywhere, and one
that counts only at the beginning of an owner."""


def join(opened: OpenSpace, task: JoinTask, *, every_file: bool) -> Iterator[Part]:
    """Sightings of the task's hits, the views that its magics begin, the owners that deserve a second look.

    `every_file`: there are YARA rules without atoms, which have to see every file.
    """
    space_map = opened.space_map
    sightings: list[Sighting] = []
    looks: dict[tuple[int, int], set[str]] = {}
    for hit in task.hits:
        places = space_map.places(hit.start)
        sightings += sightings_of(hit, space_map, places)
        for place in places:
            if place.named and place.word == OwnerKind.FILE.word:
                looks.setdefault((place.volume, place.owner), set()).add(hit.rule)
    for start, kind in task.magics:
        for place in space_map.places(start) if kind in (YARA_ATOM, YARA_START) else ():
            near = kind == YARA_ATOM or place.offset < PAGE_BYTES
            if near and place.named and place.word == OwnerKind.FILE.word:
                looks.setdefault((place.volume, place.owner), set()).add(YARA_ATOM)
    if task.last:
        for volume, owner, mark in _artefacts(opened, every_file):
            looks.setdefault((volume, owner), set()).add(mark)
    items = list(_views(opened, tuple(item for item in task.magics if item[1] not in (YARA_ATOM, YARA_START))))
    owned = [item for item in items if item.owner >= 0]
    gaps: tuple[Gap, ...] = ()
    if not task.views:
        gaps = (Gap("views-off", "archives", f"{len(owned)} archives and compressed files were not opened"),) if owned else ()
        items = owned = []
    views = tuple(ViewRow(item.locator, item.kind, item.stored_bytes, 0, "pending") for item in owned)
    look_items = tuple(LookItem(volume, owner, tuple(sorted(rules))) for (volume, owner), rules in sorted(looks.items()))
    yield Part(task.id, 0, True, sightings=tuple(sightings), views=views, items=tuple(items), looks=look_items, gaps=gaps)


def _artefacts(opened: OpenSpace, every_file: bool) -> Iterator[tuple[int, int, str]]:
    """Owners that are looked at for their name, whatever was found in them."""
    for volume, owners in opened.space_map.maps.items():
        yield from ((volume, owner, "name") for owner in owners.named(frozenset(SHADOW_NAMES)))
        if every_file:
            files = np.flatnonzero((np.asarray(owners.kind) == OwnerKind.FILE) & (np.asarray(owners.size) > 0))
            yield from ((volume, owner, YARA_ATOM) for owner in files.tolist())


def _views(opened: OpenSpace, magics: tuple[tuple[int, str], ...]) -> Iterator[ViewItem]:
    """A magic at an owner's first byte begins a view of that owner; one in bytes that belong to no live file is carved.

    The local headers of one zip each look like a beginning: in a run of unowned bytes only the first is taken.
    """
    space_map = opened.space_map
    covered = -1
    for start, kind in sorted(magics):
        if start < 0:
            continue
        for place in space_map.places(start):
            if place.named:
                if place.offset == 0 and place.word == OwnerKind.FILE.word and place.record is not None:
                    size = place.record.size_bytes
                    locator = in_view(space_map, place, start, (ViewStep(kind),), 0, size)
                    yield ViewItem(place.volume, place.owner, kind, start, start + size, size, str(locator))
            elif place.word in _UNNAMED and start >= covered:
                end = min(_run_end(opened, place, start), start + CARVE_BYTES, opened.space.size_bytes)
                if kind == "zip":
                    covered = end
                locator = msgspec.structs.replace(
                    shown_locator(space_map, place, start, end - start), views=(ViewStep("at", hex(start).encode()), ViewStep(kind))
                )
                yield ViewItem(place.volume, -1, kind, start, end, end - start, str(locator))


def _run_end(opened: OpenSpace, place: Place, start: int) -> int:
    """End of the run of bytes that has the same owner as `start`."""
    at = place.until
    while at < min(start + CARVE_BYTES, opened.space.size_bytes):
        following = opened.space_map.places(at)[0]
        if (following.volume, following.owner, following.word) != (place.volume, place.owner, place.word) or following.until <= at:
            break
        at = following.until
    return at
