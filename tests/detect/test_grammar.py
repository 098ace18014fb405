"""Which patterns a rule may have."""

from __future__ import annotations

import pytest

from snapscan.detect.grammar import pattern_faults, pattern_width


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bghp_[A-Za-z0-9]{36}\b",
        r"(?<![A-Za-z0-9])x{20,200}(?!\.)",
        r"(?i)key=(?:a|b){4}",
        r"(?i:key)[ \t]{0,8}=([^\s\x00]{8,99}?)",
        r"(?<![^\r\n])a",
    ],
)
def test_patterns_that_both_engines_take_are_allowed(pattern: str) -> None:
    assert pattern_faults(pattern) == []


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"^key", "anchor"),
        (r"key$", "anchor"),
        (r"key\Z", "anchor"),
        (r"(a)\1", "backreference"),
        (r"(a)?(?(1)b|c)", "conditional"),
        (r"(?<!ab)c", "looks around"),
        (r"a(?=bc)", "looks around"),
        (r"a(?=b|cd)", "looks around"),
        (r"ab*", "without a bound"),
        (r"(?:ab+){2}", "without a bound"),
        (r"a{,9}", "empty"),
        (r"a{4097}", "4097 bytes"),
        (r"ab++c", "possessive"),
        (r"(?>ab)c", "atomic"),
        (r"(", "does not compile"),
        ("\u00e4", "escapes"),
    ],
)
def test_fault_is_named(pattern: str, word: str) -> None:
    assert any(word in fault for fault in pattern_faults(pattern)), pattern_faults(pattern)


def test_width_is_counted_in_bytes() -> None:
    assert pattern_width(r"ab{2,5}") == (3, 6)
