"""One range: every byte in one ledger row, every start found once, whatever cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapscan.detect.engine import Engine
from snapscan.detect.match.hyperscan import HyperscanMatcher, compile_database
from snapscan.detect.match.pattern import Pattern
from snapscan.detect.redact import Fingerprinter
from snapscan.model.errors import MediaFault
from snapscan.model.ledger import missing, totals
from snapscan.model.rule import Rule
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.space import Range
from snapscan.model.units import KIB
from snapscan.run import sweep as module
from snapscan.run.sweep import Sweeper

RULE = Rule(
    id="canary.token",
    name="N",
    kind="secret",
    severity="high",
    pattern=r"\bcnry_([0-9a-f]{8})\b",
    value=1,
    why="w",
    fix="f",
    references=[],
    examples=[],
)
PATTERN = Pattern(0, RULE.pattern, 1)
ENGINE = Engine([RULE], HyperscanMatcher(compile_database([PATTERN], []), [PATTERN]), Fingerprinter(bytes(32)))
SIZE = 512 * KIB


class Space:
    """Bytes in memory, with ranges that hold nothing and places that cannot be read."""

    def __init__(self, data: bytes, stored: list[Range], bad: list[Range] = []) -> None:  # noqa: B006  # never changed
        self.data, self.stored, self.bad = data, stored, bad
        self.size_bytes = len(data)
        self.snapshot = SnapshotRef("raw", "x", "x", len(data))

    def stored_ranges(self) -> Iterator[Range]:
        yield from self.stored

    def read_into(self, offset: int, view: memoryview) -> None:
        assert offset + len(view) <= self.size_bytes
        view[:] = b"\xee" * len(view)
        for bad in self.bad:
            if offset < bad.end and bad.start < offset + len(view):
                raise MediaFault("read-error", "a bad sector", offset=bad.start, length=bad.length)
        view[:] = self.data[offset : offset + len(view)]

    def gather(self, offsets: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def stamps(self) -> tuple:
        return ()

    def close(self) -> None:
        return


def canaries(step: int) -> bytes:
    data = bytearray(b"." * SIZE)
    for number, at in enumerate(range(0, SIZE - 16, step)):
        data[at : at + 15] = b" cnry_%08x " % number
    return bytes(data)


def sweep(space: Space, cuts: list[int]) -> tuple[list[int], list]:
    hits, rows = [], []
    edges = sorted({0, *cuts, space.size_bytes})
    for start, end in pairwise(edges):
        within = [Range(max(start, r.start), min(end, r.end)) for r in space.stored if r.start < end and r.end > start]
        result = Sweeper(ENGINE).sweep(space, within, Range(start, end), lambda a, b: None)
        hits += [hit.start for hit in result.hits]
        rows += result.ledger
    return sorted(hits), rows


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, SIZE - 1), max_size=6), chunk=st.sampled_from([4 * KIB, 20_000, 64 * KIB, 1024 * KIB]))
def test_each_canary_is_found_once_however_the_space_is_cut(cuts: list[int], chunk: int) -> None:
    space = Space(canaries(1000), [Range(0, SIZE)])
    before, module.CHUNK_BYTES = module.CHUNK_BYTES, chunk
    try:
        hits, rows = sweep(space, cuts)
    finally:
        module.CHUNK_BYTES = before
    assert hits == [at + 6 for at in range(0, SIZE - 16, 1000)]
    assert totals(rows).swept == SIZE and missing(rows, SIZE) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=5), st.lists(st.integers(0, SIZE - 1), max_size=3))
def test_ledger_adds_up_with_holes_and_bad_places(holes: list[tuple[int, int]], bad_places: list[int]) -> None:
    data = bytearray(canaries(4096))
    stored, at = [], 0
    for low, high in sorted((min(h), max(h)) for h in holes):
        if at < low:
            stored.append(Range(at, low))
        data[max(at, low) : high] = bytes(max(0, high - max(at, low)))
        at = max(at, high)
    if at < SIZE:
        stored.append(Range(at, SIZE))
    space = Space(bytes(data), stored, [Range(b, b + 1) for b in bad_places])
    _, rows = sweep(space, [SIZE // 3])
    assert missing(rows, SIZE) == []
    sums = totals(rows)
    assert sums.total == SIZE
    assert sums.absent == SIZE - sum(r.length for r in stored)
    for place in bad_places:
        inside = any(r.start <= place < r.end for r in stored)
        assert any(row.outcome == "unread" and row.start <= place < row.end for row in rows) == inside


def test_bad_sector_costs_its_page_and_no_more() -> None:
    space = Space(canaries(4096), [Range(0, SIZE)], [Range(100 * KIB, 100 * KIB + 512)])
    hits, rows = sweep(space, [])
    assert [(r.start, r.end, r.reason) for r in rows if r.outcome == "unread"] == [(100 * KIB, 104 * KIB, "read-error")]
    assert hits == [at + 6 for at in range(0, SIZE - 16, 4096) if at != 100 * KIB]


def test_token_across_a_hole_is_not_made_up() -> None:
    data = bytearray(SIZE)
    data[4090:4096] = b" cnry_"
    data[8192:8201] = b"00000001 "
    hits, _ = sweep(Space(bytes(data), [Range(0, 4096), Range(8192, 12288)]), [])
    assert hits == []


@pytest.mark.parametrize("where", [0, SIZE - 13])
def test_first_and_last_bytes_are_swept(where: int) -> None:
    data = bytearray(SIZE)
    data[where : where + 13] = b"cnry_deadbeef"
    hits, _ = sweep(Space(bytes(data), [Range(0, SIZE)]), [])
    assert hits == [where + 5]
