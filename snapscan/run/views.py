"""View tasks: decode owners and carved ranges, and scan what comes out with the same engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from snapscan.detect.engine import Engine, Scanned
from snapscan.maps.space_map import Place
from snapscan.model.errors import ReadFault
from snapscan.model.finding import Attribution, Sighting
from snapscan.model.locator import ViewStep
from snapscan.model.reading import OwnerReader, RangeReader
from snapscan.model.view import Budget, Reader, ViewLimits, ViewRow
from snapscan.model.volume import Gap
from snapscan.run.attribute import formerly, in_view, sighting_at
from snapscan.run.messages import Part, ViewItem, ViewTask
from snapscan.run.opened import OpenSpace
from snapscan.run.stream import StreamScanner
from snapscan.run.sweep import Beat
from snapscan.views.walk import Fate, walk

HEAD_BYTES = 512


def open_views(opened: OpenSpace, task: ViewTask, engine: Engine, limits: ViewLimits, temporary: Path, beat: Beat) -> Iterator[Part]:
    """A part for each item: its sightings and the fate of it and of all views inside it."""
    for number, item in enumerate(task.items):
        beat(number, number + 1)
        sink = _Sink(opened, item, engine)
        fates = _walk(opened, item, limits, temporary, sink)
        last = number == len(task.items) - 1
        yield Part(
            task.id,
            number,
            last,
            sightings=tuple(sink.sightings.values()),
            views=tuple(_rows(opened, item, fates)),
            gaps=tuple(Gap("rule-limited", item.locator, rule) for rule in sorted(sink.limited)),
            done_bytes=sink.decoded_bytes,
        )


def _walk(opened: OpenSpace, item: ViewItem, limits: ViewLimits, temporary: Path, sink: _Sink) -> list[Fate]:
    reader: Reader
    owners = opened.owners(item.volume) if item.owner >= 0 else None
    reader = OwnerReader(opened.space, owners, item.owner) if owners is not None else RangeReader(opened.space, item.start, item.end)
    try:
        head = reader.read(0, HEAD_BYTES)
    except ReadFault as fault:
        return [Fate((ViewStep(item.kind),), item.kind, item.stored_bytes, 0, "refused", "damaged", fault.message)]
    return walk(reader, head, (), Budget(limits, item.stored_bytes), sink, spool_folder=temporary)


def _rows(opened: OpenSpace, item: ViewItem, fates: list[Fate]) -> Iterator[ViewRow]:
    """The fates as rows; the outermost keeps the locator under which it was announced.

    A carved range that gave not one byte was no archive but chance (three bytes in four gigabytes): no row.
    """
    if item.owner < 0 and not any(fate.decoded_bytes for fate in fates):
        return
    if not fates:
        yield ViewRow(item.locator, item.kind, item.stored_bytes, 0, "opened", "", "not encoded after all: only its first bytes looked so")
    for number, fate in enumerate(fates):
        locator = item.locator
        if number:
            locator = str(in_view(opened.space_map, _owner_of(opened, item), item.start, fate.steps, 0, fate.stored_bytes))
        yield ViewRow(locator, fate.kind, fate.stored_bytes, fate.decoded_bytes, fate.outcome, fate.reason, fate.detail)


class _Sink:
    """Receives decoded bytes member by member, and turns hits in them into sightings of the outermost owner."""

    def __init__(self, opened: OpenSpace, item: ViewItem, engine: Engine) -> None:
        self.sightings: dict[tuple[str, str, str], Sighting] = {}
        self.limited: set[str] = set()
        self.decoded_bytes = 0
        self._opened = opened
        self._item = item
        self._stream = StreamScanner(engine)
        self._steps: tuple[ViewStep, ...] = ()
        self._place: tuple[Place, Attribution | None] | None = None

    def begin(self, steps: tuple[ViewStep, ...], size_hint: int) -> None:
        self._steps = steps

    def data(self, data: bytes, last: bool) -> None:
        self.decoded_bytes += len(data)
        for scanned in self._stream.feed(data):
            self._keep(scanned)

    def end(self, steps: tuple[ViewStep, ...], decoded_bytes: int) -> None:
        for scanned in self._stream.finish():
            self._keep(scanned)

    def _keep(self, scanned: Scanned) -> None:
        self.limited.update(scanned.limited)
        space_map, item = self._opened.space_map, self._item
        for hit in scanned.hits:
            if self._place is None:
                place = _owner_of(self._opened, item)
                self._place = place, formerly(space_map, place, item.start)
            place, attribution = self._place
            locator = in_view(space_map, place, item.start, self._steps, hit.start, hit.length)
            sighting = sighting_at(hit, place, locator, item.start, hit.evidence, hit.confidence, attribution)
            self.sightings.setdefault((hit.fingerprint, hit.rule, sighting.locator), sighting)


def _owner_of(opened: OpenSpace, item: ViewItem) -> Place:
    """The place that the item was announced for: its owner, where several own the byte."""
    places = opened.space_map.places(item.start)
    return next((p for p in places if (p.volume, p.owner) == (item.volume, item.owner)), places[0])
