"""Records to table rows and back: which column holds which field, and what a table can not hold.

Names and numbers come from hostile images: text that is not Unicode and numbers beyond 63 bits are made storable here, never refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from snapscan.model.finding import Attribution, Evidence, Hit, Sighting
from snapscan.model.ledger import LedgerRow
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap

Row = tuple[object, ...]

HIT_COLUMNS = "task, number, space, rule, start, length, fingerprint, redacted, confidence, wide, evidence"
MAGIC_COLUMNS = "task, number, space, start, kind"
LEDGER_COLUMNS = "space, start, end, outcome, reason, detail, task"
SIGHTING_COLUMNS = (
    "task, number, space, fingerprint, rule, locator, path, \"offset\", length, space_offset, owner, owner_state, "
    "mode, uid, mtime, redacted, confidence, attribution, evidence"
)  # fmt: skip
VIEW_COLUMNS = "space, locator, kind, stored_bytes, decoded_bytes, outcome, reason, detail, task"
GAP_COLUMNS = "task, space, reason, place, detail, start, end"

_MOST = 2**63 - 1
_encode = msgspec.json.Encoder().encode
_decode_evidence = msgspec.json.Decoder(tuple[Evidence, ...]).decode
_attribution = msgspec.json.Decoder(Attribution | None)


@lru_cache(maxsize=4096)
def _evidence(text: str) -> tuple[Evidence, ...]:
    """Most hits of a rule carry the same few lines of evidence: decoded once, and one object in memory."""
    return _decode_evidence(text)


class Magic(NamedTuple):
    """Bytes at `start` of the space that begin content of a kind (`gzip`, `zip`, `sqlite`, ...)."""

    start: int
    kind: str


def hit_rows(hits: Iterable[Hit], task: int, first: int, space: int) -> list[Row]:
    return [
        (task, number, space, h.rule, h.start, h.length, h.fingerprint, h.redacted, h.confidence, h.wide, _evidence_text(h.evidence))
        for number, h in enumerate(hits, first)
    ]


def hit(row: Sequence[Any]) -> Hit:
    """From the columns rule, start, length, fingerprint, redacted, confidence, wide, evidence."""
    rule, start, length, fingerprint, redacted, confidence, wide, evidence = row
    return Hit(rule, start, length, fingerprint, redacted, confidence, _evidence(evidence), wide)


def sighting_rows(sightings: Iterable[Sighting], task: int, first: int, space: int) -> list[Row]:
    return [
        (task, number, space, s.fingerprint, s.rule, s.locator, s.path, s.offset, s.length, s.space_offset, s.owner, s.owner_state,
         s.mode, s.uid, s.mtime, s.redacted, s.confidence, "null" if s.attribution is None else _json(s.attribution), _evidence_text(s.evidence))
        for number, s in enumerate(sightings, first)
    ]  # fmt: skip


def sighting(row: Sequence[Any]) -> Sighting:
    """From the columns fingerprint ... evidence, in the order of SIGHTING_COLUMNS."""
    *fields, attribution, evidence = row
    values = [*fields, _attribution.decode(attribution), _evidence(evidence)]
    return Sighting(*values)


def ledger_rows(rows: Iterable[LedgerRow], space: int, task: int) -> list[Row]:
    """Empty ranges are left out: they speak of no byte."""
    return [(space, r.start, r.end, r.outcome, r.reason, r.detail, task) for r in rows if r.start != r.end]


def view_rows(rows: Iterable[ViewRow], space: int, task: int) -> list[Row]:
    return [(space, r.locator, r.kind, r.stored_bytes, r.decoded_bytes, r.outcome, r.reason, r.detail, task) for r in rows]


def gap_rows(gaps: Iterable[Gap], space: int, task: int) -> list[Row]:
    return [(task, space, g.reason, g.where, g.detail, g.start, g.end) for g in gaps]


def insert(connection: sqlite3.Connection, statement: str, rows: list[Row]) -> None:
    """executemany inside a transaction; rows that SQLite cannot take (lone surrogates, numbers beyond 63 bits) are made storable and given again."""
    if not rows:
        return
    connection.execute("SAVEPOINT batch")
    try:
        connection.executemany(statement, rows)
    except (UnicodeEncodeError, OverflowError):
        connection.execute("ROLLBACK TO batch")
        connection.executemany(statement, [tuple(storable(value) for value in row) for row in rows])
    connection.execute("RELEASE batch")


def storable(value: object) -> object:
    """Text that UTF-8 can write, a number of 63 bits; everything else as it is."""
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")  # a byte 0xff, kept by surrogateescape, reads \\xff
        except UnicodeEncodeError:
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, int):
        return max(-_MOST - 1, min(value, _MOST))
    return value


def _evidence_text(evidence: tuple[Evidence, ...]) -> str:
    return _json(evidence) if evidence else "[]"


def _json(value: object) -> str:
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        return _encode(_storable_all(msgspec.to_builtins(value))).decode()


def _storable_all(value: object) -> object:
    if isinstance(value, dict):
        return {key: _storable_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable_all(item) for item in value]
    return storable(value)


def json_text(value: object) -> str:
    """A record as JSON text for a column."""
    return _json(value)
