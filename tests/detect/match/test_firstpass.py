"""The minimal form: what it looks like, and that every exact match begins with a match of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.detect.match.firstpass import first_pass
from snapscan.model.errors import RuleError

FORMS = [
    (r"\bghp_([0-9A-Za-z]{36})\b", r"\bghp_(?:[0-9A-Za-z]{36})"),
    (r"key[a-z]{20,200}={0,2}", r"key[a-z]{20}"),
    (r"key(?:abc|de)?", r"key"),
    (r"(?<![A-Z])[A-Z]{9}(?![A-Z])", r"(?:^|[^A-Z])[A-Z]{9}"),
    (r"(?i)pass[:=]x{2,}", r"(?i:p)(?i:a)(?i:s)(?i:s)[\x3a\x3d](?:(?i:x)){2}"),
    (r"-----BEGIN PRIVATE KEY-----[\s\S]{20,4000}-----END", r"\x2d\x2d\x2d\x2d\x2dBEGIN\x20PRIVATE\x20K"),
]


@pytest.mark.parametrize(("pattern", "start"), FORMS, ids=[pattern for pattern, _ in FORMS])
def test_form_is_minimal(pattern: str, start: str) -> None:
    assert first_pass(pattern).pattern.startswith(start)


@pytest.mark.parametrize("pattern", [r"a$", r"^a", r"(a)\1b", r"a*", r"(?(1)a|b)", "(", r"\Aabc"])
def test_pattern_that_the_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(RuleError):
        first_pass(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"(?<![a-c])[ab]{3,6}c?\b", r"(?:ab|a(?:bc){1,3})[abc]{2,}", r"a(?=b)[abc]{2}", r"(?i)AB{1,2}(?:c|B)+", r"a[^b]{1,3}c{2,4}?", r"\ba+b{2}(?!c)"],
)
@given(data=st.text("abcAB \n", max_size=60).map(str.encode))
def test_every_match_has_a_beginning_that_the_first_pass_matches(pattern: str, data: bytes) -> None:
    first = re.compile(first_pass(pattern).pattern.encode())
    for match in re.compile(pattern.encode()).finditer(data):
        begins = [first.match(data, at) for at in (match.start(), match.start() - 1) if at >= 0]
        assert any(found is not None and found.end() <= match.end() for found in begins)
