"""A pattern ready for both stages, and the exact stage itself: from an end that the first pass hints at to what `re` finds there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import cached_property
from re import _parser  # type: ignore[attr-defined]  # firstpass.py says why

from snapscan.detect.match.base import Buffer, Match
from snapscan.detect.match.firstpass import FirstPass, first_pass
from snapscan.model.errors import RuleError
from snapscan.model.units import REACH_BYTES

CONTEXT_BYTES = 16
"""How far behind a match a lookahead may want to see; rules look at one byte."""


class Pattern:
    """One rule's pattern. What is derived from it is made when first asked for: most rules match nothing on most disks, and compiling
    hundreds of patterns takes longer than a scan of a small folder."""

    def __init__(self, number: int, pattern: str, value: int) -> None:
        self.number = number
        self.value = value
        self.source = pattern

    @cached_property
    def first(self) -> FirstPass:
        """Raises RuleError for a pattern that no first pass can be made of."""
        return first_pass(self.source)

    @cached_property
    def exact(self) -> re.Pattern[bytes]:
        exact = re.compile(self.source.encode("latin-1"))
        if self.value > exact.groups:
            raise RuleError("rule-pattern", f"value is group {self.value}, the pattern has {exact.groups}")
        return exact

    @cached_property
    def most(self) -> int:
        """The longest that an exact match can be, in bytes."""
        most = int(_parser.parse(self.source.encode("latin-1")).getwidth()[1])
        if most > REACH_BYTES:
            raise RuleError("rule-pattern", f"may match {most} bytes; the most is {REACH_BYTES}", hint="give the repeats an upper bound")
        return most

    @cached_property
    def _near(self) -> re.Pattern[bytes]:
        """The exact pattern behind a lazy gap as long as the first pass leaves open where it begins."""
        return re.compile(b"(?s:.{0,%d}?)(%s)" % (self.first.most - self.first.least + 1, _scoped(self.source)))

    def check(self) -> None:
        """Raise RuleError now for what would be raised later."""
        assert self.first and self.exact and self.most and self._near

    def around(self, view: Buffer, ends: Iterable[int]) -> list[Match]:
        """The matches near the first pass's `ends` (rising, one past the last byte).

        No start is tried twice, so a dense run of ends costs its own bytes once: `cursor` is where the next match may begin. A search
        would go on behind the last start that the end allows; the lazy gap of `_near` stops there.
        """
        size = len(view)
        near = self._near.match
        found: list[Match] = []
        cursor = 0
        for end in ends:
            low = max(cursor, end - self.first.most)
            last_start = end - self.first.least + 1  # the context byte of the first pass is not part of the match
            while low <= last_start:
                match = near(view, low, min(size, end + self.most + CONTEXT_BYTES))
                if match is None or match.start(1) > last_start:
                    break  # none, or one that has an end of its own
                low = self._keep(match, found, 1)
            cursor = max(low, last_start + 1) if low <= last_start else low
        return found

    def everywhere(self, view: Buffer, seconds: float) -> tuple[list[Match], bool]:
        """All matches of the view, and whether the time was enough for all of it."""
        deadline = time.monotonic() + seconds
        found: list[Match] = []
        at, size = 0, len(view)
        step = 1 << 18
        while at < size:
            if time.monotonic() > deadline:
                return found, False
            border = min(size, at + step)
            low = at
            while low < border and (match := self.exact.search(view, low, min(size, border + self.most + CONTEXT_BYTES))):
                if match.start() >= border:
                    break
                low = self._keep(match, found, 0)
                if len(found) & 0xFFF == 0 and time.monotonic() > deadline:
                    return found, False
            at = max(border, low)
        return found, True

    def _keep(self, match: re.Match[bytes], found: list[Match], group: int) -> int:
        start, end = match.span(group)
        value_start, value_end = match.span(self.value + group)
        if value_start < 0:
            value_start, value_end = start, end
        found.append(Match(self.number, start, end, value_start, value_end))
        return max(end, start + 1)


def _scoped(pattern: str) -> bytes:
    """The pattern with leading flags `(?i)` made a group of their own, so that it can stand inside another."""
    flags = re.match(r"\(\?([a-zA-Z]+)\)", pattern)
    text = f"(?{flags[1]}:{pattern[flags.end() :]})" if flags else pattern
    return text.encode("latin-1")
