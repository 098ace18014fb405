"""A stream gives the findings of its bytes in one piece, however they arrive."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from snapscan.detect.chunk import whole
from snapscan.detect.engine import Engine
from snapscan.detect.match.hyperscan import HyperscanMatcher, compile_database
from snapscan.detect.match.pattern import Pattern
from snapscan.detect.redact import Fingerprinter
from snapscan.model.rule import Rule
from snapscan.run import stream
from snapscan.run.stream import StreamScanner

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


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=12), gap=st.integers(14, 5000))
def test_findings_do_not_depend_on_the_pieces(sizes: list[int], gap: int) -> None:
    total = sum(sizes)
    data = bytearray(b"." * total)
    for at in range(0, total - 15, gap):
        data[at : at + 15] = b" cnry_%08x " % at
    before, stream.STREAM_CHUNK_BYTES = stream.STREAM_CHUNK_BYTES, 10_000
    try:
        scanner, hits, at = StreamScanner(ENGINE), [], 0
        for size in sizes:
            for scanned in scanner.feed(bytes(data[at : at + size])):
                hits += scanned.hits
            at += size
        for scanned in scanner.finish():
            hits += scanned.hits
    finally:
        stream.STREAM_CHUNK_BYTES = before
    assert sorted(hit.start for hit in hits) == sorted(hit.start for hit in ENGINE.scan(whole(data)).hits)


def test_scanner_begins_anew_after_finish() -> None:
    scanner = StreamScanner(ENGINE)
    for _ in range(2):
        assert list(scanner.feed(b"cnry_00000001 ")) == []
        (scanned,) = scanner.finish()
        assert [hit.start for hit in scanned.hits] == [5]
