from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snapscan.model.space import Range
from snapscan.spaces.ranges import clipped, intersection, shifted

rising = st.sets(st.integers(0, 200), max_size=40).map(sorted).map(lambda edges: [Range(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)])


def members(ranges):
    return [position for start, end in ranges for position in range(start, end)]


@given(rising, rising)
def test_an_intersection_holds_what_lies_in_both(left, right):
    found = list(intersection(iter(left), iter(right)))
    assert members(found) == sorted(set(members(left)) & set(members(right)))
    assert all(item.start < item.end for item in found)


@given(rising, st.integers(0, 200), st.integers(0, 200))
def test_clipping_keeps_what_lies_inside(ranges, start, end):
    assert members(clipped(iter(ranges), start, end)) == [position for position in members(ranges) if start <= position < end]


@given(rising, st.integers(0, 1000))
def test_shifting_moves_every_position(ranges, by):
    assert members(shifted(iter(ranges), by)) == [position + by for position in members(ranges)]
