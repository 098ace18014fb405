"""The read side of a case: records for the run, and the RunView for reports and the gate."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from snapscan.model.finding import Confidence, Evidence, Hit, Severity, Sighting
from snapscan.model.ledger import LedgerRow, joined_rows, missing, totals
from snapscan.model.locator import Locator
from snapscan.model.runview import FindingView, GapEntry, RuleInfo, RunInfo, RunView, SightingView, SpaceView, ViewEntry
from snapscan.model.snapshot import SnapshotRef, SourceSpec, SourceStamp
from snapscan.model.space import Range
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap, VolumeMap
from snapscan.store import database
from snapscan.store.rows import SIGHTING_COLUMNS, Magic, hit, sighting

_SIGHTING_FIELDS = SIGHTING_COLUMNS.removeprefix("task, number, ")
_MOST = 2**63 - 1


class SpaceRecord(msgspec.Struct, frozen=True):
    """A space as the run needs it to go on."""

    id: int
    snapshot: SnapshotRef
    state: str
    spec: SourceSpec
    stamps: tuple[SourceStamp, ...]
    size_bytes: int
    volumes: VolumeMap | None


class Reader:
    """A case, open for reading. Methods raise StoreError; those that return iterators read as they are asked."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection

    @property
    def maps(self) -> Path:
        return self.folder / database.MAPS

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def meta(self) -> dict[str, Any]:
        """Facts of the run by their key."""
        return {key: msgspec.json.decode(value) for key, value in self._rows("SELECT key, value FROM meta")}

    def spaces(self) -> list[SpaceRecord]:
        """The spaces in the order they were added; the first is the snapshot itself."""
        return [
            SpaceRecord(
                id=number,
                snapshot=msgspec.json.decode(snapshot, type=SnapshotRef),
                state=state,
                spec=msgspec.json.decode(spec, type=SourceSpec),
                stamps=msgspec.json.decode(stamps, type=tuple[SourceStamp, ...]),
                size_bytes=size_bytes,
                volumes=msgspec.json.decode(volumes, type=VolumeMap) if volumes else None,
            )
            for number, snapshot, state, spec, stamps, size_bytes, volumes in self._rows(
                "SELECT id, snapshot, state, spec, stamps, size_bytes, volume_map FROM space ORDER BY id"
            )
        ]

    def tasks(self, *, done: bool) -> list[str]:
        """Ids of the tasks that are done, or of those that are not, in the order they were announced."""
        return [row[0] for row in self._rows("SELECT id FROM task WHERE state = ? ORDER BY number", "done" if done else "pending")]

    def ledger(self, space: int) -> list[LedgerRow]:
        """The rows of one space in order, as they were stored."""
        return [LedgerRow(*row) for row in self._rows("SELECT start, end, outcome, reason, detail FROM ledger WHERE space = ? ORDER BY start", space)]

    def missing(self, space: int) -> list[Range]:
        """The ranges of a space that no ledger row speaks of: what a resumed run has to do."""
        size_bytes = next(iter(self._rows("SELECT size_bytes FROM space WHERE id = ?", space)), (0,))[0]
        return missing(self.ledger(space), size_bytes)

    def hits(self, space: int, start: int = 0, end: int = _MOST) -> Iterator[Hit]:
        """Hits that begin in `start .. end` of a space, rising."""
        columns = "rule, start, length, fingerprint, redacted, confidence, wide, evidence"
        statement = f"SELECT {columns} FROM hit WHERE space = ? AND start >= ? AND start < ? ORDER BY start, rule, length"
        return map(hit, self._rows(statement, space, start, end))

    def unjoined_hits(self, space: int) -> Iterator[Hit]:
        """Hits for which no sighting tells the owner: the run did not get as far as to join them."""
        statement = (
            "SELECT rule, start, length, fingerprint, redacted, confidence, wide, evidence FROM hit WHERE space = ? AND NOT EXISTS ("
            "SELECT 1 FROM sighting WHERE sighting.space = hit.space AND sighting.space_offset = hit.start AND sighting.rule = hit.rule "
            "AND sighting.fingerprint = hit.fingerprint) ORDER BY start, rule, length"
        )
        return map(hit, self._rows(statement, space))

    def magics(self, space: int, start: int = 0, end: int = _MOST) -> Iterator[Magic]:
        """Places where a view may begin in `start .. end` of a space, rising."""
        statement = "SELECT DISTINCT start, kind FROM magic WHERE space = ? AND start >= ? AND start < ? ORDER BY start, kind"
        return (Magic(*row) for row in self._rows(statement, space, start, end))

    def sightings(self, space: int) -> Iterator[Sighting]:
        """Sightings in one space, by place."""
        order = "space_offset, locator, rule, task, number"
        return (sighting(row[1:]) for row in self._rows(f"SELECT {_SIGHTING_FIELDS} FROM sighting WHERE space = ? ORDER BY {order}", space))

    def live_paths(self, space: int) -> Iterator[str]:
        """Paths of live files in which something was found."""
        statement = "SELECT DISTINCT path FROM sighting WHERE space = ? AND owner = 'file' AND owner_state = 'live' AND path <> ''"
        return (row[0] for row in self._rows(statement, space))

    def proofs(self, space: int) -> dict[str, str]:
        """Path -> package of the files that are unchanged parts of a package."""
        return dict(self._rows("SELECT path, package FROM proof WHERE space = ?", space))

    def views(self, space: int) -> Iterator[ViewRow]:
        """Views of one space, by locator."""
        statement = "SELECT locator, kind, stored_bytes, decoded_bytes, outcome, reason, detail FROM view WHERE space = ? ORDER BY locator, kind"
        return (ViewRow(*row) for row in self._rows(statement, space))

    def gaps(self, space: int) -> list[Gap]:
        statement = "SELECT DISTINCT reason, place, detail, start, end FROM gap WHERE space = ? ORDER BY start, reason, place"
        return [Gap(*row) for row in self._rows(statement, space)]

    def notes(self, space: int) -> list[str]:
        return [row[0] for row in self._rows("SELECT DISTINCT text FROM note WHERE space = ? ORDER BY text", space)]

    def rules(self) -> list[RuleInfo]:
        statement = "SELECT id, name, kind, severity, why, fix FROM rule ORDER BY id"
        return [RuleInfo(id, name, kind, Severity(severity), why, fix) for id, name, kind, severity, why, fix in self._rows(statement)]

    def pending_tasks(self) -> int:
        return int(next(self._rows("SELECT count(*) FROM task WHERE state = 'pending'"))[0])

    def _rows(self, statement: str, *values: object) -> Iterator[Any]:
        with database.reading(f"read {self.folder}"):
            yield from self.connection.execute(statement, values)


def run_view(store: Reader) -> RunView:
    """All of a case as one record, of one moment even while it is being written; not judged yet (see gate.judged)."""
    if store.connection.in_transaction:
        return _run_view(store)
    with database.reading(f"read {store.folder}"):
        store.connection.execute("BEGIN")
        try:
            return _run_view(store)
        finally:
            store.connection.execute("ROLLBACK")


def _run_view(store: Reader) -> RunView:
    rules = store.rules()
    spaces = [_space_view(store, record) for record in store.spaces()]
    known = RunInfo.__struct_fields__
    return RunView(
        run=msgspec.convert({key: value for key, value in store.meta().items() if key in known}, RunInfo),
        spaces=tuple(spaces),
        rules=tuple(rules),
        findings=_findings(store, spaces, {rule.id: rule for rule in rules}),
        views=tuple(ViewEntry(space, row) for space in spaces for row in store.views(space.id)),
        gaps=tuple(GapEntry(space, gap) for space in spaces for gap in store.gaps(space.id)),
        notes=tuple(note for space in spaces for note in store.notes(space.id)),
        pending_tasks=store.pending_tasks(),
    )


def _space_view(store: Reader, record: SpaceRecord) -> SpaceView:
    rows = store.ledger(record.id)
    rows += [LedgerRow(hole.start, hole.end, "unread", "not-reached") for hole in missing(rows, record.size_bytes)]
    volumes = record.volumes.volumes if record.volumes else ()
    return SpaceView(
        id=record.id,
        snapshot=record.snapshot,
        state=record.state,
        size_bytes=record.size_bytes,
        ledger=tuple(joined_rows(rows)),
        totals=totals(rows),
        volumes=tuple(f"{volume.step} {volume.filesystem}".strip() for volume in volumes),
    )


def _findings(store: Reader, spaces: list[SpaceView], rules: dict[str, RuleInfo]) -> tuple[FindingView, ...]:
    """One for each secret and rule. A place that several tasks saw (the join, an edge, a second look) is one sighting: the most certain of them."""
    places: dict[tuple[int, str, str], SightingView] = {}
    for space in spaces:
        proofs = store.proofs(space.id)
        for sighted in chain(store.sightings(space.id), (_by_place(space, lone) for lone in store.unjoined_hits(space.id))):
            item = _weighed(sighted, proofs)
            key = (space.id, item.rule, item.locator.rpartition("+")[0])
            before = places.get(key)
            if before is None or _certainty(before.sighting) < _certainty(item):
                places[key] = SightingView(space, item)
    seen: dict[tuple[str, str], list[SightingView]] = {}
    for view in places.values():
        seen.setdefault((view.sighting.fingerprint, view.sighting.rule), []).append(view)
    found = [_finding(key, rules.get(key[1]) or _unknown_rule(key[1]), group) for key, group in seen.items()]
    return tuple(sorted(found, key=_rank))


def _weighed(item: Sighting, proofs: Mapping[str, str]) -> Sighting:
    """What lies in a file that its package shipped just so is the vendor's: it stays, and counts for little."""
    package = proofs.get(item.path) if item.owner == "file" and item.owner_state == "live" else None
    if package is None:
        return item
    evidence = (*item.evidence, Evidence("package", "vendor", -4, f"unchanged since {package} was installed"))
    return msgspec.structs.replace(item, evidence=evidence, confidence=int(Confidence.LOW))


def _by_place(space: SpaceView, found: Hit) -> Sighting:
    """What can be said of a hit that was not joined: where it lies. Nothing that was found is left out of a report."""
    label = space.snapshot.label.encode("utf-8", "surrogateescape")
    state = space.state.encode("utf-8", "surrogateescape")
    locator = Locator(space.snapshot.kind, label, state, path=b"unknown", offset=found.start, length=found.length, in_space=True)
    return Sighting(
        found.fingerprint, found.rule, str(locator), "", found.start, found.length, found.start, "unknown", "live",
        redacted=found.redacted, confidence=found.confidence, evidence=(*found.evidence, NOT_JOINED),
    )  # fmt: skip


NOT_JOINED = Evidence("owner", "not-joined", 0, "the run ended before owners were told")


def _certainty(item: Sighting) -> tuple[bool, int, int]:
    """An owner's own order beats the order of the space: what runs over a seam is whole only there."""
    return (any(evidence.outcome == "in-order" for evidence in item.evidence), item.confidence, len(item.evidence))


def _finding(key: tuple[str, str], rule: RuleInfo, seen: list[SightingView]) -> FindingView:
    best = max(seen, key=lambda place: place.sighting.confidence)
    seen.sort(key=_place)
    return FindingView(key[0], rule, best.sighting.confidence, best.sighting.redacted, tuple(seen))


def _place(view: SightingView) -> tuple[object, ...]:
    """Named places first: an unnamed copy in free space is the less useful line."""
    return (view.sighting.path == "", view.sighting.path, view.space.id, view.sighting.space_offset, view.sighting.locator)


def _unknown_rule(rule: str) -> RuleInfo:
    """A rule that the case does not describe counts as grave: leaving it out of the gate would be the worse mistake."""
    return RuleInfo(rule, rule, "secret", Severity.HIGH)


def _rank(finding: FindingView) -> tuple[object, ...]:
    return (-finding.rule.severity, -finding.confidence, finding.rule.id, finding.sightings[0].sighting.path, finding.fingerprint)
