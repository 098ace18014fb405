"""The fast matcher gives the answers of the slow one, also where ends are dense, and keeps its cache honest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapscan.detect.match import hyperscan
from snapscan.detect.match.hyperscan import HyperscanMatcher, cached_database, compile_database
from snapscan.detect.match.pattern import Pattern
from snapscan.detect.match.plain import PlainMatcher
from snapscan.model.errors import RuleError

SOURCES = [
    (r"\bkey_([a-z0-9]{6})\b", 1),
    (r"(?<![a-z0-9])[a-f0-9]{8,12}(?![a-f0-9])", 0),
    (r"(?i)pass(?:word)?\s{0,2}[=:]\s{0,2}([^\s\x00]{3,20})", 1),
    (r"ab{1,3}c?", 0),
    (r"x(?:yz){2,4}", 0),
    (r"://[a-z]{1,8}:([^@\s]{3,30})@[a-z]{2}", 1),
]
PATTERNS = [Pattern(number, text, value) for number, (text, value) in enumerate(SOURCES)]
MARKS = [rb"PK\x03\x04"]
FAST = HyperscanMatcher(compile_database(PATTERNS, MARKS), PATTERNS)
PLAIN = PlainMatcher(PATTERNS, MARKS)

PIECES = [
    "key_",
    "abc123",
    "password",
    "=",
    ": ",
    "abbb",
    "xyzyz",
    "://u:",
    "secret",
    "@ho",
    "deadbeef",
    "00",
    " ",
    "\n",
    "\x00",
    "PK\x03\x04",
    "q",
    "Pass",
    "abcdefabcdef01",
]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces).encode()))
def test_fast_and_slow_matcher_agree(data: bytes) -> None:
    fast, slow = FAST.scan(data), PLAIN.scan(data)
    assert sorted(fast.matches) == sorted(slow.matches)
    assert sorted(fast.marks) == sorted(slow.marks)


@given(st.binary(max_size=300))
def test_fast_and_slow_matcher_agree_on_noise(data: bytes) -> None:
    assert sorted(FAST.scan(data).matches) == sorted(PLAIN.scan(data).matches)


@pytest.mark.parametrize("piece", [b"ab", b"://u:bbbb@cc", b"password=abc ", b"deadbeef ", b"abbbbbbbbb"])
def test_dense_input_goes_through_the_slow_lane_with_the_same_answers(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hyperscan, "ENDS_MOST", 50)
    data = piece * 2000
    found = FAST.scan(data)
    assert sorted(found.matches) == sorted(PLAIN.scan(data).matches)
    assert found.limited == ()


def test_rule_that_runs_out_of_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hyperscan, "ENDS_MOST", 50)
    monkeypatch.setattr(hyperscan, "SLOW_LANE_SECONDS", -1.0)
    assert FAST.scan(b"abc " * 2000).limited == (3,)


def test_memoryview_of_a_reused_buffer_is_scanned_without_a_copy() -> None:
    buffer = bytearray(b"...password=hunter22 ")
    assert [m.value_start for m in FAST.scan(memoryview(buffer)[3:]).matches] == [9]


def test_pattern_that_may_run_beyond_the_reach_is_refused() -> None:
    with pytest.raises(RuleError, match="most"):
        Pattern(0, "a{5000}", 0).check()
    with pytest.raises(RuleError, match="group"):
        Pattern(0, "ab", 1).check()


def test_cache_gives_back_what_was_compiled_and_is_ours_alone(tmp_path: Path) -> None:
    first = cached_database(PATTERNS, MARKS, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert cached_database(PATTERNS, MARKS, tmp_path) == first
    assert HyperscanMatcher(first, PATTERNS).scan(b"key_abc123").matches


@pytest.mark.parametrize("spoil", ["flip", "truncate", "mode", "link"])
def test_cache_that_is_not_to_be_trusted_is_not_used(spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = cached_database(PATTERNS, MARKS, tmp_path)
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    if spoil == "flip":
        file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif spoil == "truncate":
        file.write_bytes(data[:-1])
    elif spoil == "mode":
        file.chmod(0o666)
    else:
        file.rename(tmp_path / "other")
        file.symlink_to(tmp_path / "other")
    compiled = []
    monkeypatch.setattr(hyperscan, "compile_database", lambda p, m: compiled.append(1) or good)
    assert cached_database(PATTERNS, MARKS, tmp_path) == good
    assert compiled
