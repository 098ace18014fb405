"""Patterns of other tools, said in ours: each case with what it must find and what it must not."""

from __future__ import annotations

import re

import pytest

from snapscan.detect.foreign.dialect import translated
from snapscan.detect.foreign.refusal import Refused
from snapscan.detect.grammar import pattern_faults

CASES = [
    ("(?x) acme _ [0-9 a-f]{4} # the token\n \\ end", b"acme_12ab end", b"acme_12ab  end"),
    ("(?x)\n(?i)\nacme # one\n - \\# [x]", b"ACME-#X", b"acme#x"),
    (r"key=(?i)abc|def", b"DEF", b"KEY=abc"),
    (r"(?:k(?i)ab|cd)E", b"CDE", b"kabe"),
    (r"(?i)ab(?-i:cd)", b"ABcd", b"ABCD"),
    (r"(?P<name>ab)c", b"abc", b"ab"),
    (r"(?<name>ab)c", b"abc", b"ab"),
    (r"[[:xdigit:]_]{4}z", b"af_9z", b"agh_z"),
    (r"[a\]b[-]{3}z", b"][-z", b"xyz"),
    (r"[]a]{2}z", b"]az", b"bbz"),
    (r"a[^]]z", b"abz", b"a]z"),
    (r"[&&a]{2}z", b"&az", b"bbz"),
    (r"a\x{2d}\x2eb", b"a-.b", b"a-xb"),
    (r"\Qa.b\E+c", b"a.bbbc", b"axbc"),
    (r"a{b}{2}", b"a{b}}", b"abb"),
    ("caf\u00e9{2}", "caf\u00e9\u00e9".encode(), "caf\u00e9".encode()),
    (r"(?#said aside)ab", b"ab", b"said"),
    (r"(?s)a.b", b"a\nb", b"ab"),
    (r"(?-u:ab)c", b"abc", b"ab"),
    (r"a(?:;|$)", b"a\x00", b"ab"),
    (r"^a=1", b"x\na=1", b"xa=1"),
    (r"a\z", b"a", b"ab"),
]


@pytest.mark.parametrize(("pattern", "found", "silent"), CASES, ids=[case[0] for case in CASES])
def test_translation_finds_what_the_original_finds_and_no_more(pattern: str, found: bytes, silent: bytes) -> None:
    text = translated(pattern, "regex", scan=True, bound=20)
    assert pattern_faults(text) == []
    assert re.search(text.encode(), found)
    assert not re.search(text.encode(), silent)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"a(?U)b", "flag"),
        (r"a\pL", "escape"),
        (r"(a)\1", "escape"),
        (r"a(?>bc)", r"\(\?>"),
        (r"a++b", "possessive"),
        (r"a\xff", "several bytes"),
        ("[\u00e9]b", "several bytes"),
        (r"(a", "not closed"),
        (r"a)", "not opened"),
        (r"[a", "not closed"),
        (r"*a", "repeat"),
        (r"(?x)[a-z&&[^b]]", "class"),
        ("(?x)a+ ?", "repeat"),
        ("a\\", "escape"),
    ],
)
def test_what_the_tools_read_differently_is_refused_with_its_reason(pattern: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        translated(pattern, "regex", scan=True, bound=20)
    assert refused.value.field == "regex"


def test_open_repeats_get_a_bound_in_a_scan_and_stay_open_over_a_value() -> None:
    assert translated(r"a*b+c{3,}", "regex", scan=True, bound=200) == "a{0,200}b{1,201}c{3,203}"
    assert translated(r"a*b+c{3,}", "regex", scan=False) == "a{0,}b{1,}c{3,}"


def test_blanks_and_nested_repeats_get_a_smaller_bound() -> None:
    assert translated(r"\s*(?:a+b)*", "regex", scan=True, bound=200) == r"\s{0,50}(?:a{1,201}b){0,8}"


def test_anchors_over_a_value_mean_its_ends() -> None:
    text = translated(r"^ab$", "regexes", scan=False).encode()
    assert re.search(text, b"ab")
    assert not re.search(text, b"ab\n")
    assert not re.search(text, b"x\nab")
    assert re.search(translated(r"(?m)^ab$", "regexes", scan=False).encode(), b"x\nab\ny")


def test_flags_in_front_of_a_whole_pattern_stay_in_front() -> None:
    assert translated(r"(?x)(?i) a \. b", "regex", scan=True, bound=1) == r"(?i)a\x2eb"
