"""What a matcher promises: for a view of bytes, every exact match of every pattern.

**What a match is.** For one pattern: what `re` finds, leftmost and non-overlapping. A matcher may use hints of a native engine, but its
answer is that of `re`; tests/detect/match compares the two matchers on random bytes.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

Buffer = bytes | bytearray | memoryview


class Match(NamedTuple):
    """Pattern number `pattern` matches the view's bytes `start .. end`; `value_start .. value_end` is its group that is the secret."""

    pattern: int
    start: int
    end: int
    value_start: int
    value_end: int


class Found(NamedTuple):
    """One view's matches in no particular order, the marks (pattern number, end) of patterns that need no exact stage, and the numbers
    of those patterns for which time ran out: they were not looked for in all of the view."""

    matches: list[Match]
    marks: list[tuple[int, int]]
    limited: tuple[int, ...]


class Matcher(Protocol):
    def scan(self, view: Buffer) -> Found:
        """No state is kept between calls; the view is not kept either."""
        ...
