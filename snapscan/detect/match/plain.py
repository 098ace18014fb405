"""The slow twin: `re` over the whole view, pattern by pattern. It defines what the fast matcher has to find."""

from __future__ import annotations

from collections.abc import Sequence

from snapscan.detect.match.base import Buffer, Found, Match
from snapscan.detect.match.pattern import Pattern


class PlainMatcher:
    """Patterns by `re` alone; `marks` are patterns (as `re` text) that only need their ends."""

    def __init__(self, patterns: Sequence[Pattern], marks: Sequence[bytes] = ()) -> None:
        import re

        self._patterns = list(patterns)
        self._marks = [re.compile(mark, re.DOTALL) for mark in marks]

    def scan(self, view: Buffer) -> Found:
        matches: list[Match] = []
        limited = []
        for pattern in self._patterns:
            found, whole = pattern.everywhere(view, 3600.0)
            matches += found
            if not whole:
                limited.append(pattern.number)
        first = len(self._patterns)
        marks = [(first + k, match.end()) for k, mark in enumerate(self._marks) for match in mark.finditer(view)]
        return Found(matches, marks, tuple(limited))
