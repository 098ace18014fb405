"""Owner tasks that need no decoding: whose bytes are the hits, which owners begin an archive, what hides at edges."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from snapscan.detect.chunk import Chunk
from snapscan.detect.engine import Engine
from snapscan.detect.inspect.shadow import NAMES as SHADOW_NAMES
from snapscan.maps.edges import edges, needing_a_look
from snapscan.maps.space_map import Place
from snapscan.model.errors import ReadFault
from snapscan.model.finding import Sighting
from snapscan.model.locator import ViewStep
from snapscan.model.owner import OwnerKind
from snapscan.model.reading import OwnerReader
from snapscan.model.units import MIB, REACH_BYTES
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap
from snapscan.run.attribute import sightings_of
from snapscan.run.messages import EdgeTask, JoinTask, LookItem, Part, ViewItem
from snapscan.run.opened import OpenSpace
from snapscan.run.sweep import Beat

CARVE_BYTES = 256 * MIB
"""The most that a view carved from free space is given to read."""
_UNNAMED = {"free", "slack", "unknown", "gap", "swap", "journal", "metadata", "file"}


YARA_ATOM = "yara"
"""The kind under which the sweep reports a page that holds a YARA atom, beside the kinds of views."""


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
        for place in space_map.places(start) if kind == YARA_ATOM else ():
            if place.named and place.word == OwnerKind.FILE.word:
                looks.setdefault((place.volume, place.owner), set()).add(YARA_ATOM)
    if task.last:
        for volume, owner, mark in _artefacts(opened, every_file):
            looks.setdefault((volume, owner), set()).add(mark)
    items = list(_views(opened, tuple(item for item in task.magics if item[1] != YARA_ATOM)))
    views = tuple(ViewRow(item.locator, item.kind, item.stored_bytes, 0, "pending") for item in items if item.owner >= 0)
    look_items = tuple(LookItem(volume, owner, tuple(sorted(rules))) for (volume, owner), rules in sorted(looks.items()))
    yield Part(task.id, 0, True, sightings=tuple(sightings), views=views, items=tuple(items), looks=look_items)


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
                    locator = msgspec.structs.replace(space_map.locator(place, start, size), views=(ViewStep(kind),))
                    yield ViewItem(place.volume, place.owner, kind, start, start + size, size, str(locator))
            elif place.word in _UNNAMED and start >= covered:
                end = min(_run_end(opened, place, start), start + CARVE_BYTES, opened.space.size_bytes)
                if kind == "zip":
                    covered = end
                locator = msgspec.structs.replace(
                    space_map.locator(place, start, end - start), views=(ViewStep("at", hex(start).encode()), ViewStep(kind))
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


def look_at_edges(opened: OpenSpace, task: EdgeTask, engine: Engine, beat: Beat) -> Iterator[Part]:
    """The hits that only show in the owner's own order, within reach of each edge of owners first .. last."""
    owners = opened.owners(task.volume)
    if owners is None:
        yield Part(task.id, 0, True)
        return
    found = edges(owners, opened.space.size_bytes)
    mine = (found.owner >= task.first) & (found.owner < task.last)
    owner, position, inside, outside = (column[mine] for column in found)
    seam = outside == -1
    both = np.concatenate((inside[~seam], outside[~seam]))
    order = np.argsort(both, kind="stable")
    values = np.empty(len(both), dtype=np.uint8)
    values[order] = opened.space.gather(both[order])
    looked = seam.copy()
    looked[~seam] = needing_a_look(values[: int((~seam).sum())], values[int((~seam).sum()) :])
    sightings: dict[tuple[str, str, str], Sighting] = {}
    gaps: list[Gap] = []
    places = np.flatnonzero(looked)
    for count, k in enumerate(places.tolist()):
        if count % 64 == 0:
            beat(int(owner[k]), int(owner[k]) + 1)
        try:
            for sighting in _look(opened, task.volume, int(owner[k]), int(position[k]), engine):
                sightings.setdefault((sighting.fingerprint, sighting.rule, sighting.locator), sighting)
        except ReadFault as fault:
            gaps.append(
                Gap("edge-unread", f"owner {int(owner[k])} of volume {task.volume}", fault.message, fault.offset, fault.offset + fault.length)
            )
    yield Part(task.id, 0, True, sightings=tuple(sightings.values()), gaps=tuple(gaps[:100]))


def _look(opened: OpenSpace, volume: int, owner: int, position: int, engine: Engine) -> Iterator[Sighting]:
    owners = opened.owners(volume)
    assert owners is not None
    reader = OwnerReader(opened.space, owners, owner)
    base = max(0, position - 2 * REACH_BYTES)
    data = reader.read(base, position + 2 * REACH_BYTES - base)
    low = max(0, position - REACH_BYTES - base)
    high = min(len(data), position + REACH_BYTES - base)
    for hit in engine.scan(Chunk(memoryview(data), base, low, high)).hits:
        at = reader.place(hit.start)
        if at < 0:
            continue
        moved = msgspec.structs.replace(hit, start=at)
        for sighting in sightings_of(moved, opened.space_map):
            yield _rejoined(sighting, hit.confidence)


def _rejoined(sighting: Sighting, confidence: int) -> Sighting:
    """In the owner's order the match is whole: the mark of a match that leaves its owner does not hold here."""
    evidence = tuple(item for item in sighting.evidence if item.outcome != "unjoined")
    return msgspec.structs.replace(sighting, evidence=evidence, confidence=confidence)
