"""The JSONL document: the contract that other programs read, field by field in docs/outputs.md.

Lines are plain ASCII: whatever a name in an image holds, a line ends where its record ends and does nothing to a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

import msgspec

from snapscan.model.finding import Attribution, Confidence, Evidence
from snapscan.model.ledger import LedgerRow, joined_rows
from snapscan.model.runview import FindingView, RunView, SightingView, SpaceView, ViewEntry
from snapscan.report.base import ReportOptions

SCHEMA = 1

Record = dict[str, Any]

_WITH_INODE = frozenset(("file", "directory", "symlink", "attribute", "encrypted"))
"""Owners of which mode, uid and mtime say something; for the others a 0 would read as root."""


class JsonlReporter:
    def __init__(self, options: ReportOptions) -> None:
        """Takes no option: the document is always whole."""

    def write(self, view: RunView, out: TextIO) -> None:
        for record in records(view):
            out.write(json.dumps(record, separators=(",", ":")) + "\n")


def records(view: RunView) -> Iterator[Record]:
    """run; each finding with its sightings behind it; ledger; view; summary."""
    yield _record("run", run_record(view))
    for finding in view.findings:
        yield _record("finding", _finding(finding))
        for place in finding.sightings:
            yield _record("sighting", _sighting(place))
    for space in view.spaces:
        for row in _ledger(space):
            yield _record("ledger", {"space": space.name, "start": row.start, "end": row.end, "outcome": row.outcome, "reason": row.reason})
    for entry in view.views:
        yield _record("view", _view(entry))
    yield _record("summary", summary_record(view))


def _record(kind: str, fields: Record) -> Record:
    return {"record": kind, "schema": SCHEMA, **fields}


def run_record(view: RunView) -> Record:
    """`snapshot` is the first space's; further spaces of it are `states`."""
    first = view.spaces[0].snapshot if view.spaces else None
    return {
        "tool": view.run.tool,
        "version": view.run.version,
        "snapshot": {"kind": first.kind, "id": first.id, "label": first.label, "size_bytes": first.size_bytes} if first else None,
        "states": [space.state for space in view.spaces if space.state],
        "rules_digest": view.run.rules_digest,
        "policy_digest": view.run.policy_digest,
        "started": view.run.started,
    }


def _finding(finding: FindingView) -> Record:
    return {
        "fingerprint": finding.fingerprint,
        "rule": finding.rule.id,
        "name": finding.rule.name,
        "kind": finding.rule.kind,
        "severity": finding.rule.severity.word,
        "confidence": Confidence(finding.confidence).word,
        "redacted": finding.redacted,
        "sightings": len(finding.sightings),
    }


def _sighting(place: SightingView) -> Record:
    item = place.sighting
    inode = item.owner in _WITH_INODE
    return {
        "fingerprint": item.fingerprint,
        "rule": item.rule,
        "snapshot": place.space.snapshot.id,
        "state": place.space.state,
        "locator": item.locator,
        "path": item.path,
        "offset": item.offset,
        "length": item.length,
        "space_offset": item.space_offset,
        "owner": item.owner,
        "owner_state": item.owner_state,
        "mode": item.mode if inode else None,
        "uid": item.uid if inode else None,
        "mtime": item.mtime if inode else None,
        "attribution": _attribution(item.attribution),
        "evidence": [_evidence(evidence) for evidence in item.evidence],
    }


def _attribution(attribution: Attribution | None) -> Record | None:
    """Only what is known: empty fields are left out, the offset goes with the former path."""
    if attribution is None:
        return None
    fields = msgspec.structs.asdict(attribution)
    return {name: value for name, value in fields.items() if value or (name == "offset" and attribution.formerly)}


def _evidence(evidence: Evidence) -> Record:
    return {"check": evidence.check, "outcome": evidence.outcome, "weight": evidence.weight, "note": evidence.note}


def _ledger(space: SpaceView) -> list[LedgerRow]:
    """Rows that differ only in their detail are one here."""
    return joined_rows(LedgerRow(row.start, row.end, row.outcome, row.reason) for row in space.ledger)


def _view(entry: ViewEntry) -> Record:
    return {"space": entry.space.name, **msgspec.structs.asdict(entry.row)}


def summary_record(view: RunView) -> Record:
    totals = view.totals
    return {
        "complete": view.verdict.complete,
        "size_bytes": view.size_bytes,
        "swept": totals.swept,
        "absent": totals.absent,
        "excluded": totals.excluded,
        "unread": totals.unread,
        "lost": totals.lost,
        "views": view.views_by_outcome,
        "gaps": [{"space": entry.space.name, **msgspec.structs.asdict(entry.gap)} for entry in view.gaps],
        "findings": view.findings_by_severity,
        "seconds": round(view.run.seconds, 3),
        "exit": int(view.verdict.exit),
        "reasons": list(view.verdict.reasons),
        "accepted": list(view.verdict.accepted),
    }
