"""The fast matcher: one pass of hyperscan over all patterns, ends only, then `re` around each end.

The only module that imports hyperscan. What was learnt of its Python door: it takes any contiguous buffer without a copy; a database that was
loaded from bytes has no scratch until it is given one; one scratch serves one scan, so a matcher belongs to one process and one thread.
"""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hyperscan

from snapscan.detect.cache import read_cache, write_cache
from snapscan.detect.match.base import Buffer, Found, Match
from snapscan.detect.match.firstpass import FORM
from snapscan.detect.match.pattern import Pattern

ENDS_MOST = 20_000
"""Ends of one pattern in one view; beyond, the pattern goes through the slow lane for this view."""
SLOW_LANE_SECONDS = 20.0

log = logging.getLogger(__name__)


class HyperscanMatcher:
    """`blob` is what `compile_database` made for the same patterns and marks in the same order."""

    def __init__(self, blob: bytes, patterns: Sequence[Pattern]) -> None:
        self._patterns = list(patterns)
        self._database = hyperscan.loadb(blob, mode=hyperscan.HS_MODE_BLOCK)
        self._database.scratch = hyperscan.Scratch(self._database)

    def scan(self, view: Buffer) -> Found:
        hot = _Ends(len(self._patterns))
        self._database.scan(view, match_event_handler=hot.add)  # type: ignore[type-var]  # its stub knows no memoryview, its code does
        matches: list[Match] = []
        limited = []
        for number, ends in hot.ends.items():
            pattern = self._patterns[number]
            if len(ends) < ENDS_MOST:
                matches += pattern.around(view, ends)
                continue
            found, whole = pattern.everywhere(view, SLOW_LANE_SECONDS)
            matches += found
            if not whole:
                limited.append(number)
        return Found(matches, hot.marks, tuple(limited))

    def ends(self, view: Buffer) -> list[tuple[int, int]]:
        """The bare first pass: (pattern, end). For benchmarks and `rules check`."""
        rows: list[tuple[int, int]] = []

        def add(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            rows.append((number, end))

        self._database.scan(view, match_event_handler=add)  # type: ignore[type-var]  # as in scan
        return rows


class _Ends:
    """Collects the first pass's ends, each pattern's up to ENDS_MOST. hyperscan reports a pattern's ends in rising order."""

    __slots__ = ("ends", "first_mark", "marks")

    def __init__(self, first_mark: int) -> None:
        self.ends: dict[int, list[int]] = {}
        self.marks: list[tuple[int, int]] = []
        self.first_mark = first_mark

    def add(self, number: int, _start: int, end: int, _flags: int, _context: object) -> None:
        if number >= self.first_mark:
            self.marks.append((number, end))
            return
        ends = self.ends.get(number)
        if ends is None:
            self.ends[number] = [end]
        elif len(ends) < ENDS_MOST:
            ends.append(end)


def compile_database(patterns: Sequence[Pattern], marks: Sequence[bytes]) -> bytes:
    """The serialised database of the patterns' first-pass forms followed by the marks; seconds for hundreds of patterns."""
    expressions = [pattern.first.pattern.encode("latin-1") for pattern in patterns] + list(marks)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [0] * len(patterns) + [hyperscan.HS_FLAG_DOTALL] * len(marks)
    database.compile(expressions=expressions, ids=list(range(len(expressions))), flags=flags)
    blob: bytes = hyperscan.dumpb(database)
    return blob


def rejected(pattern: Pattern) -> str:
    """Why hyperscan does not take this pattern; empty when it does."""
    try:
        compile_database([pattern], [])
    except hyperscan.error as error:
        return str(error)
    return ""


def cached_database(patterns: Sequence[Pattern], marks: Sequence[bytes], folder: Path | None) -> bytes:
    """`compile_database` through a cache of files named by everything that decides the result; `folder` None means no cache.

    They hold hyperscan's own form, never pickle.
    """
    name = _cache_name(patterns, marks)
    path = folder / f"{name}.hs" if folder is not None else None
    blob = read_cache(path) if path else None
    if blob is not None:
        return blob
    blob = compile_database(patterns, marks)
    if path:
        write_cache(path, blob)
    return blob


def _cache_name(patterns: Sequence[Pattern], marks: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    parts: list[Any] = [version("hyperscan"), FORM, _cpu(), *(pattern.source for pattern in patterns), "marks", *marks]
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _cpu() -> str:
    """What the database depends on besides its patterns: the instruction sets of this processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                return platform.machine() + line
    except OSError:
        pass
    return platform.machine()
