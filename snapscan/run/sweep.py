"""One range of a space: read every stored byte once, match, and account for all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from snapscan.detect.chunk import Chunk
from snapscan.detect.engine import Engine, Mark
from snapscan.model.errors import ReadFault
from snapscan.model.finding import Hit
from snapscan.model.ledger import LedgerRow
from snapscan.model.space import Range, Space
from snapscan.model.units import KIB, MIB, PAGE_BYTES, REACH_BYTES

CHUNK_BYTES = 2 * MIB
MARGIN_BYTES = 2 * REACH_BYTES
"""A match of wide text takes two bytes a character."""
JOIN_GAP_BYTES = 64 * KIB
"""Stored ranges with a smaller gap between them are read in one go: the zeros between cost less than a call."""
RETRY_BYTES = (64 * KIB, PAGE_BYTES)

Beat = Callable[[int, int], None]
"""Told before each chunk which bytes are being worked on, so that a crash costs those and no more."""


class RangeSwept(NamedTuple):
    """What one range gave. The ledger rows cover it exactly; `limited` is (rule, start, end) where a rule ran out of time."""

    hits: list[Hit]
    marks: list[Mark]
    ledger: list[LedgerRow]
    limited: list[tuple[str, int, int]]


class Sweeper:
    """Sweeps ranges with one reused buffer. The engine's views point into it, so nothing of a view outlives its chunk."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._buffer = bytearray(CHUNK_BYTES + 2 * MARGIN_BYTES)
        self._zeros = bytes(CHUNK_BYTES + 2 * MARGIN_BYTES)

    def sweep(self, space: Space, stored: Iterable[Range], whole: Range, beat: Beat) -> RangeSwept:
        """Sweep `whole`, of which `stored` are the stored ranges, rising and cut to it.

        The bytes around it are looked at for context only. Raises nothing that the space says of itself.
        """
        result = RangeSwept([], [], [], [])
        at = whole.start
        for item in stored:
            _absent(result, at, item.start)
            at = item.end
            result.ledger.append(LedgerRow(item.start, item.end, "swept"))
        _absent(result, at, whole.end)
        unread: list[LedgerRow] = []
        filled = Range(0, 0)
        for span in spans(row for row in result.ledger if row.outcome == "swept"):
            for start in range(span.start, span.end, CHUNK_BYTES):
                end = min(start + CHUNK_BYTES, span.end)
                beat(start, end)
                filled = self._fill(space, Range(max(0, start - MARGIN_BYTES), min(space.size_bytes, end + MARGIN_BYTES)), filled, unread)
                self._scan(filled, start, end, result)
        return result._replace(ledger=subtract(result.ledger, [_cut(row, whole) for row in unread])) if unread else result

    def _fill(self, space: Space, wanted: Range, before: Range, unread: list[LedgerRow]) -> Range:
        """Bring `wanted` to the front of the buffer; what the chunk before it read is moved, not read again."""
        view = memoryview(self._buffer)[: wanted.length]
        kept = 0
        if before.start <= wanted.start < before.end:
            kept = before.end - wanted.start
            view[:kept] = bytes(memoryview(self._buffer)[wanted.start - before.start : before.end - before.start])
        if kept < wanted.length:
            read_or_account(space, wanted.start + kept, view[kept:], unread)
        return wanted

    def _scan(self, filled: Range, start: int, end: int, result: RangeSwept) -> None:
        if filled.length == len(self._zeros) and self._buffer.startswith(self._zeros):
            return
        view = memoryview(self._buffer)[: filled.length]
        scanned = self._engine.scan(Chunk(view, filled.start, start - filled.start, end - filled.start))
        result.hits.extend(scanned.hits)
        result.marks.extend(scanned.marks)
        result.limited.extend((rule, start, end) for rule in scanned.limited)


def spans(rows: Iterator[LedgerRow]) -> Iterator[Range]:
    """Neighbouring ranges joined over small gaps: what is read in one go."""
    current: Range | None = None
    for row in rows:
        if current is not None and row.start - current.end <= JOIN_GAP_BYTES:
            current = Range(current.start, row.end)
            continue
        if current is not None:
            yield current
        current = Range(row.start, row.end)
    if current is not None:
        yield current


def read_or_account(space: Space, offset: int, view: memoryview, unread: list[LedgerRow]) -> None:
    """Fill `view`; what cannot be read is zeros there and a row in `unread`, found by asking again in smaller pieces."""
    try:
        space.read_into(offset, view)
    except ReadFault as fault:
        size = next((size for size in RETRY_BYTES if size < len(view)), 0)
        if not size:
            view[:] = bytes(len(view))
            unread.append(LedgerRow(offset, offset + len(view), "unread", fault.reference, fault.message))
            return
        at = 0
        while at < len(view):
            step = min(len(view), at + size - (offset + at) % size)
            read_or_account(space, offset + at, view[at:step], unread)
            at = step


def subtract(rows: list[LedgerRow], replacing: list[LedgerRow]) -> list[LedgerRow]:
    """Ledger rows in which each of `replacing` takes its bytes from the swept ones; absent bytes stay absent."""
    taken = sorted((row for row in replacing if row.end > row.start), key=lambda row: row.start)
    out: list[LedgerRow] = []
    for row in rows:
        at = row.start
        for other in taken if row.outcome == "swept" else []:
            low, high = max(at, other.start), min(row.end, other.end)
            if low >= high:
                continue
            if low > at:
                out.append(LedgerRow(at, low, row.outcome))
            out.append(LedgerRow(low, high, other.outcome, other.reason, other.detail))
            at = high
        if at < row.end:
            out.append(LedgerRow(at, row.end, row.outcome, row.reason, row.detail))
    return out


def _cut(row: LedgerRow, whole: Range) -> LedgerRow:
    return LedgerRow(max(row.start, whole.start), min(row.end, whole.end), row.outcome, row.reason, row.detail)


def _absent(result: RangeSwept, start: int, end: int) -> None:
    if start < end:
        result.ledger.append(LedgerRow(start, end, "absent"))
