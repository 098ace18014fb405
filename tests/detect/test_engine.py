"""Findings do not depend on how bytes are cut, nor on being wide; generic rules are silent where a specific one speaks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapscan.detect.chunk import Chunk, whole
from snapscan.detect.engine import Engine
from snapscan.detect.match.hyperscan import HyperscanMatcher, compile_database
from snapscan.detect.match.pattern import Pattern
from snapscan.detect.redact import Fingerprinter
from snapscan.model.finding import Hit
from snapscan.model.rule import Rule
from snapscan.model.units import REACH_BYTES

MARGIN = 2 * REACH_BYTES


def rule(identifier: str, pattern: str, value: int = 1) -> Rule:
    return Rule(id=identifier, name="N", kind="secret", severity="high", pattern=pattern, why="w", fix="f", references=[], examples=[], value=value)


RULES = [rule("acme.token", r"\bacme_([a-z0-9]{8,40})\b"), rule("generic.assigned", r"(?i)token\s{0,3}=\s{0,3}([^\s\x00]{6,60})")]
PATTERNS = [Pattern(number, item.pattern, item.value) for number, item in enumerate(RULES)]
KEY = Fingerprinter(bytes(32))
ENGINE = Engine(RULES, HyperscanMatcher(compile_database(PATTERNS, [rb"MAGIC"]), PATTERNS), KEY)


def in_chunks(data: bytes, size: int) -> list[Hit]:
    hits = []
    for start in range(0, len(data), size):
        end = min(len(data), start + size)
        base, stop = max(0, start - MARGIN), min(len(data), end + MARGIN)
        hits += ENGINE.scan(Chunk(memoryview(data)[base:stop], base, start - base, end - base)).hits
    return sorted(hits, key=lambda hit: (hit.start, hit.rule))


PIECES = st.sampled_from(
    [
        b"acme_",
        b"abcd1234efgh",
        b"token = ",
        b"zzTop99x",
        b" ",
        b"\n",
        b"\0" * 40,
        b"x" * 30,
        "token=wide1234".encode("utf-16-le"),
        b"acme_0123456789abcdef ",
    ]
)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(PIECES, min_size=1, max_size=80), size=st.sampled_from([1, 7, 64, 4096]), shift=st.integers(0, 3))
def test_findings_do_not_depend_on_the_size_of_chunks(pieces: list[bytes], size: int, shift: int) -> None:
    data = b"." * shift + b"".join(pieces)
    if size == 1 and len(data) > 400:
        data = data[:400]
    assert in_chunks(data, size) == sorted(ENGINE.scan(whole(data)).hits, key=lambda hit: (hit.start, hit.rule))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("shift", [0, 1])
def test_wide_text_has_the_fingerprint_of_plain_text(encoding: str, shift: int) -> None:
    text = "here is acme_abcd1234efgh5678 for you"
    data = b"\xff" * shift + text.encode(encoding) + b"\xff\xff"
    (plain,) = ENGINE.scan(whole(text.encode())).hits
    (wide,) = ENGINE.scan(whole(data)).hits
    assert (wide.fingerprint, wide.wide, plain.wide) == (plain.fingerprint, 2, 1)
    assert data[wide.start : wide.start + wide.length : 2] == b"abcd1234efgh5678"


def test_generic_rule_is_silent_about_a_value_that_a_specific_rule_names() -> None:
    hits = ENGINE.scan(whole(b"token = acme_abcd1234efgh\ntoken = zzTop99x\n")).hits
    assert sorted(hit.rule for hit in hits) == ["acme.token", "generic.assigned"]


def test_mark_belongs_to_the_chunk_in_which_it_ends() -> None:
    data = b"." * 100 + b"MAGIC" + b"." * 100
    first = ENGINE.scan(Chunk(memoryview(data), 0, 0, 103)).marks
    second = ENGINE.scan(Chunk(memoryview(data), 0, 103, len(data))).marks
    assert [mark.end for mark in first + second] == [105]


def test_no_value_leaves_the_engine() -> None:
    (hit,) = ENGINE.scan(whole(b"acme_abcd1234efgh5678zz ")).hits
    assert "1234efgh5678" not in repr(hit)
    assert hit.redacted.startswith("abcd")


def test_chunk_that_owns_nothing_gives_nothing() -> None:
    assert ENGINE.scan(whole(b"")).hits == []
