"""The coverage ledger: every byte of a space in exactly one outcome.

swept + absent + excluded + unread + lost = size
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from snapscan.model.space import Range

OUTCOMES = ("swept", "absent", "excluded", "unread", "lost")


class LedgerRow(msgspec.Struct, frozen=True):
    """Bytes `start .. end` of the space and what became of them; `reason` says why for all but swept and absent."""

    start: int
    end: int
    outcome: str
    reason: str = ""
    detail: str = ""


class Totals(msgspec.Struct):
    """Bytes per outcome."""

    swept: int = 0
    absent: int = 0
    excluded: int = 0
    unread: int = 0
    lost: int = 0

    @property
    def total(self) -> int:
        return self.swept + self.absent + self.excluded + self.unread + self.lost


def totals(rows: Iterable[LedgerRow]) -> Totals:
    """The sums of all rows."""
    result = Totals()
    for row in rows:
        setattr(result, row.outcome, getattr(result, row.outcome) + row.end - row.start)
    return result


def joined_rows(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Rows in order of start, with neighbours of one outcome, reason and detail made one. Raises ValueError where two overlap."""
    out: list[LedgerRow] = []
    for row in sorted(rows, key=lambda r: r.start):
        if out and row.start < out[-1].end:
            raise ValueError(f"ledger rows overlap at {row.start}: {out[-1]} and {row}")
        last = out[-1] if out else None
        if last and last.end == row.start and (last.outcome, last.reason, last.detail) == (row.outcome, row.reason, row.detail):
            out[-1] = LedgerRow(last.start, row.end, row.outcome, row.reason, row.detail)
        elif row.end > row.start:
            out.append(row)
    return out


def missing(rows: Iterable[LedgerRow], size_bytes: int) -> list[Range]:
    """What no row speaks of: the ranges still to be done, or a proof that the ledger adds up (empty)."""
    at = 0
    holes = []
    for row in sorted(rows, key=lambda r: r.start):
        if row.start > at:
            holes.append(Range(at, row.start))
        at = max(at, row.end)
    if at < size_bytes:
        holes.append(Range(at, size_bytes))
    return holes
