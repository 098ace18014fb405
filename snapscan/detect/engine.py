"""From a chunk of bytes to hits: the order of the stages, top to bottom.

Pure: bytes in, hits out. A value lives only inside `detect`: what leaves is redacted text and a keyed fingerprint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from snapscan.detect.armour import follow
from snapscan.detect.chunk import Chunk
from snapscan.detect.match.base import Match, Matcher
from snapscan.detect.redact import Fingerprinter, redact
from snapscan.detect.score import evaluate
from snapscan.detect.wide import Region, half, is_wide, wide_regions
from snapscan.model.finding import Hit
from snapscan.model.rule import Rule
from snapscan.model.units import REACH_BYTES

WINDOW_BYTES = 256
"""Context on each side of a match that checks may look at."""

FOLLOW_BYTES = 2 * REACH_BYTES
"""How far an armoured key is read on, to know it again however it is wrapped (RSA of 8192 bits takes 6,400); every chunk has so many bytes
behind what it owns."""


class Mark(NamedTuple):
    """Something that a later stage starts from (an archive's magic, a YARA atom): mark number `number` ends at byte `end`."""

    number: int
    end: int


class Scanned(NamedTuple):
    """What one chunk gave. `limited` are the rules for which time ran out in this chunk."""

    hits: list[Hit]
    marks: list[Mark]
    limited: tuple[str, ...]


class Engine:
    """The rules with their matcher. One per process; `scan` keeps no state between calls."""

    def __init__(self, rules: Sequence[Rule], matcher: Matcher, fingerprinter: Fingerprinter) -> None:
        self._rules = list(rules)
        self._matcher = matcher
        self._fingerprinter = fingerprinter
        self._generic = [rule.id.startswith("generic.") for rule in rules]
        self._wide = [("utf16" in rule.encodings) for rule in rules]

    def scan(self, chunk: Chunk) -> Scanned:
        """The hits whose match starts in the owned part, the marks that end in it; positions count like `chunk.base`."""
        view, low, high = chunk.view, chunk.low, chunk.high
        if low >= high:
            return Scanned([], [], ())
        found = self._matcher.scan(view)
        named = _Named(found.matches, self._generic)
        hits = [self._hit(match, view, chunk.base, named) for match in found.matches if low <= match.start < high]
        marks = [Mark(number - len(self._rules), chunk.base + end) for number, end in found.marks if low < end <= high]
        limited = set(found.limited)
        for region in wide_regions(view):
            hits += self._scan_wide(chunk, region, limited)
        return Scanned([hit for hit in hits if hit is not None], marks, tuple(sorted(self._rules[n].id for n in limited)))

    def _scan_wide(self, chunk: Chunk, region: Region, limited: set[int]) -> list[Hit | None]:
        text = half(chunk.view, region)
        data = memoryview(text.data)
        found = self._matcher.scan(data)
        limited.update(found.limited)
        if not found.matches:
            return []
        named = _Named(found.matches, self._generic)
        hits = []
        for match in found.matches:
            at = text.first + 2 * match.start
            if chunk.low <= at < chunk.high and self._wide[match.pattern] and is_wide(chunk.view, at, match.end - match.start):
                hits.append(self._hit(match, data, chunk.base + text.first, named, wide=2))
        return hits

    def _hit(self, match: Match, view: memoryview, base: int, named: _Named, *, wide: int = 1) -> Hit | None:
        """The hit behind a match; None where a check refuses it, or a specific rule names the same value."""
        if self._generic[match.pattern] and named.overlaps(match):
            return None
        rule = self._rules[match.pattern]
        value = bytes(view[match.value_start : match.value_end])
        window = bytes(view[max(0, match.start - WINDOW_BYTES) : match.end + WINDOW_BYTES])
        confidence, evidence = evaluate(rule, value, window)
        if confidence is None:
            return None
        length = match.value_end - match.value_start
        named_by = value
        if rule.follow and (armour := follow(bytes(view[match.start : match.start + FOLLOW_BYTES]), 0)):
            named_by = armour.normal
        return Hit(
            rule=rule.id,
            start=base + wide * match.value_start,
            length=length if wide == 1 else 2 * length - 1,
            fingerprint=self._fingerprinter.of(rule.fingerprint_family, named_by),
            redacted=redact(value),
            confidence=int(confidence),
            evidence=evidence,
            wide=wide,
        )


class _Named:
    """The values that specific rules match in one view: a generic rule is silent about those. Ask as often as there are matches."""

    def __init__(self, matches: list[Match], generic: list[bool]) -> None:
        spans = sorted((m.value_start, m.value_end) for m in matches if not generic[m.pattern])
        self._starts = [start for start, _ in spans]
        self._furthest = list(accumulate((end for _, end in spans), max))

    def overlaps(self, match: Match) -> bool:
        before = bisect_left(self._starts, match.value_end)
        return before > 0 and self._furthest[before - 1] > match.value_start
