"""The part of Betterleaks' filter language that we read."""

from __future__ import annotations

import re

import pytest

from snapscan.detect.foreign.filter import read_filter
from snapscan.detect.foreign.refusal import Refused


def dropped(text: str, value: bytes) -> bool:
    return any(re.search(pattern.encode(), value) for pattern in read_filter(text).ignore)


def test_no_filter_wants_nothing() -> None:
    assert read_filter("  // only said\n") == (0.0, ())


def test_entropy_is_read_in_both_spellings() -> None:
    assert read_filter('entropy(finding["secret"]) <= 3.5').entropy == 3.5
    assert read_filter('filter.entropy(finding["secret"]) < 2').entropy == 2


def test_texts_and_patterns_over_the_secret_drop_it() -> None:
    text = '(entropy(finding["secret"]) <= 3 || matchesAny(finding["secret"], [`^ab`, `cd$`,]))\n|| containsAny(finding["secret"], ["x\\"y"])'
    assert dropped(text, b"abz")
    assert dropped(text, b"zcd")
    assert dropped(text, b'zX"Yz')
    assert not dropped(text, b"zabz")


def test_negated_pattern_drops_what_does_not_match() -> None:
    text = '!filter.matchesAny(finding["secret"], [`[0-9]`])'
    assert dropped(text, b"abc\nd")
    assert not dropped(text, b"abc\n1")


@pytest.mark.parametrize(
    "text",
    [
        'entropy(finding["match"]) < 1',
        'entropy(finding["secret"]) > 1',
        '!entropy(finding["secret"]) < 1',
        'matchesAny(finding["secret"], [`a`]) && true',
        'matchesAny(finding["secret"], [])',
        'matchesAny(finding["secret"], [`a`',
        'entropy(finding["secret"]) < many',
        'size(finding["secret"], ["a"])',
        "let x = 1;",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="filter"):
        read_filter(text)
