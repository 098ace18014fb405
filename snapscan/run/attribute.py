"""From hits at places to sightings with owners; pure but for the map's columns."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from snapscan.detect.redact import redact_path
from snapscan.maps.space_map import Place, SpaceMap
from snapscan.model.finding import Attribution, Confidence, Evidence, Hit, Sighting
from snapscan.model.locator import Locator, ViewStep

UNJOINED = Evidence("owner", "unjoined", -2, "the match runs from one owner's bytes into another's")


def sightings_of(hit: Hit, space_map: SpaceMap, places: list[Place] | None = None) -> list[Sighting]:
    """One sighting for each owner of the hit's first byte; a hit that leaves its owner's bytes is kept, marked and weighed down.

    `places` are those of the hit's first byte, where the caller has them already.
    """
    found = []
    for place in space_map.places(hit.start) if places is None else places:
        joined = place.until >= hit.start + hit.length or space_map.same_owner_until(place, hit.start, hit.start + hit.length)
        evidence, confidence = hit.evidence, hit.confidence
        if not joined:
            evidence, confidence = (*evidence, UNJOINED), int(Confidence.LOW)
        locator = shown_locator(space_map, place, hit.start, hit.length)
        found.append(sighting_at(hit, place, locator, hit.start, evidence, confidence, formerly(space_map, place, hit.start)))
    return found


def sighting_at(
    hit: Hit, place: Place, locator: Locator, space_offset: int, evidence: tuple[Evidence, ...], confidence: int, attribution: Attribution | None
) -> Sighting:
    """The record of one place; the path of what was deleted is its former one."""
    record = place.record if place.named or place.word == "slack" else None
    path, state, offset = place.path, place.state, place.offset
    if attribution and attribution.formerly:
        state, offset = "deleted", attribution.offset
    return Sighting(
        fingerprint=hit.fingerprint,
        rule=hit.rule,
        locator=str(locator),
        path=attribution.formerly if attribution and attribution.formerly else text(path),
        offset=locator.offset if locator.views else offset,
        length=hit.length,
        space_offset=space_offset,
        owner=place.word,
        owner_state=state,
        mode=record.mode if record else 0,
        uid=record.uid if record else 0,
        mtime=record.mtime if record else 0,
        redacted=hit.redacted,
        confidence=confidence,
        attribution=attribution,
        evidence=evidence,
    )


def shown_locator(space_map: SpaceMap, place: Place, position: int, length: int) -> Locator:
    """The locator by path, or by place where the path itself would give a secret away."""
    locator = space_map.locator(place, position, length)
    if place.named and _tells(place.path):
        return msgspec.structs.replace(locator, path=place.word.encode(), offset=position, in_space=True)
    return locator


def formerly(space_map: SpaceMap, place: Place, position: int) -> Attribution | None:
    """What else is known of a place: whose it was, whose slack it is, which container's."""
    if place.word == "slack":
        return Attribution(slack_of=text(place.path))
    container = space_map.container_of(place)
    if place.volume >= 0 and not place.named:
        row = space_map.former(place.volume, position)
        if row is not None:
            start = space_map.volume_offset(place.volume, position)
            return Attribution(formerly=text(row.path), offset=row.offset + (start or 0) - row.start, known_from=row.source, container=container)
    return Attribution(container=container) if container else None


def in_view(space_map: SpaceMap, place: Place, start: int, steps: tuple[ViewStep, ...], offset: int, length: int) -> Locator:
    """Bytes inside a view: the owner's own locator, or for a carved view the place `start` where it begins, then the steps."""
    base = shown_locator(space_map, place, start, length)
    views = steps if place.named and not base.in_space else (ViewStep("at", hex(start).encode()), *steps)
    return Locator(base.kind, base.label, base.state, base.volume, base.filesystem, base.path, views, offset, length)


@lru_cache(maxsize=4096)
def text(path: bytes) -> str:
    """A path for people: UTF-8 as it is, any other byte as `\\xNN`, and what looks like a secret in it hidden."""
    return redact_path(path.decode("utf-8", "backslashreplace"))


@lru_cache(maxsize=4096)
def _tells(path: bytes) -> bool:
    """Whether a path, written out, would show a secret."""
    return text(path) != path.decode("utf-8", "backslashreplace")
