"""Set operations on rising, disjoint ranges, lazily: no list of all ranges is ever made."""

from __future__ import annotations

from collections.abc import Iterator

from snapscan.model.space import Range


def intersection(left: Iterator[Range], right: Iterator[Range]) -> Iterator[Range]:
    """What lies in both, rising."""
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        start, end = max(a.start, b.start), min(a.end, b.end)
        if start < end:
            yield Range(start, end)
        if a.end <= b.end:
            a = next(left, None)
        else:
            b = next(right, None)


def shifted(ranges: Iterator[Range], by: int) -> Iterator[Range]:
    for start, end in ranges:
        yield Range(start + by, end + by)


def clipped(ranges: Iterator[Range], start: int, end: int) -> Iterator[Range]:
    """The parts of rising ranges that lie in `start .. end`."""
    for item in ranges:
        if item.start >= end:
            return
        if item.end > start:
            yield Range(max(item.start, start), min(item.end, end))
