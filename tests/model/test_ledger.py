from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.model.ledger import OUTCOMES, LedgerRow, joined_rows, missing, totals
from snapscan.model.space import Range

SIZE = 60


@st.composite
def disjoint_rows(draw):
    """Rows over a space of SIZE bytes, with holes, in any order, some of them empty."""
    edges = sorted(draw(st.sets(st.integers(0, SIZE), min_size=2, max_size=12)))
    rows = []
    for start, end in pairwise(edges):
        if draw(st.booleans()):
            rows.append(LedgerRow(start, end, draw(st.sampled_from(OUTCOMES)), draw(st.sampled_from(["", "media-error"]))))
    return draw(st.permutations(rows))


def outcome_of_each_byte(rows):
    return [next(((row.outcome, row.reason) for row in rows if row.start <= byte < row.end), None) for byte in range(SIZE)]


@given(disjoint_rows())
def test_joining_changes_no_byte_and_leaves_no_neighbours_alike(rows):
    joined = joined_rows(rows)
    assert outcome_of_each_byte(joined) == outcome_of_each_byte(rows)
    assert joined == sorted(joined, key=lambda row: row.start)
    assert all(a.end < b.start or (a.outcome, a.reason) != (b.outcome, b.reason) for a, b in pairwise(joined))


@given(disjoint_rows())
def test_totals_and_missing_add_up_to_the_space(rows):
    holes = missing(rows, SIZE)
    assert totals(rows).total + sum(hole.length for hole in holes) == SIZE
    covered = {byte for row in rows for byte in range(row.start, row.end)}
    assert {byte for hole in holes for byte in range(hole.start, hole.end)} == set(range(SIZE)) - covered


def test_totals_are_kept_apart_by_outcome():
    rows = [LedgerRow(10 * i, 10 * i + i + 1, outcome) for i, outcome in enumerate(OUTCOMES)]
    result = totals(rows)
    assert [getattr(result, outcome) for outcome in OUTCOMES] == [1, 2, 3, 4, 5]
    assert result.total == 15


@pytest.mark.parametrize("second", [LedgerRow(5, 15, "swept"), LedgerRow(0, 10, "lost", "worker-crashed"), LedgerRow(9, 10, "absent")])
def test_two_rows_over_one_byte_are_refused(second):
    with pytest.raises(ValueError, match="overlap"):
        joined_rows([LedgerRow(0, 10, "swept"), second])


def test_rows_with_another_detail_are_not_joined():
    rows = [LedgerRow(0, 5, "unread", "media-error", "a"), LedgerRow(5, 9, "unread", "media-error", "b")]
    assert joined_rows(rows) == rows


def test_nothing_known_of_a_space_is_all_missing_and_an_empty_space_misses_nothing():
    assert missing([], 7) == [Range(0, 7)]
    assert missing([], 0) == []
