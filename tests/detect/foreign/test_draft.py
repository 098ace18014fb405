"""From a draft to rules: how far open repeats go."""

from __future__ import annotations

import re

import pytest

from snapscan.detect.foreign.draft import FIRST_PASS_BYTES, Draft, rules_of, shaped_id
from snapscan.detect.foreign.refusal import Refused
from snapscan.detect.grammar import pattern_faults, pattern_width
from snapscan.detect.match.firstpass import first_pass


def pattern_of(text: str) -> str:
    return rules_of(Draft("gitleaks", "a", "A", "regex", text))[0].pattern


def test_open_tail_goes_as_far_as_a_match_may_be() -> None:
    assert pattern_width(pattern_of("acme_([0-9a-z]{20,})"))[1] > 3500


def test_armour_is_matched_to_its_end() -> None:
    pattern = pattern_of(r"(?i)-----BEGIN[ A-Z]{0,40}ACME KEY-----[\s\S]{64,}?KEY-----")
    block = b"-----BEGIN ACME KEY-----\n" + b"ab12\n" * 400 + b"-----END ACME KEY-----"
    assert re.search(pattern.encode(), block)


@pytest.mark.parametrize("text", ["a.*b.*c", r"a(?:\s*#.*)*b(?:\s*#.*)*c", "(?:a+b)+c"])
def test_open_repeats_in_the_middle_keep_the_first_pass_short(text: str) -> None:
    pattern = pattern_of(text)
    assert pattern_faults(pattern) == []
    assert first_pass(pattern).most <= FIRST_PASS_BYTES


@pytest.mark.parametrize("text", ["a[0-9]{5000}", "(?:(?:(?:a+b)+c)+d)+e"])
def test_match_too_long_even_with_the_smallest_bound_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="may match"):
        pattern_of(text)


def test_pattern_too_large_for_the_first_pass_is_refused() -> None:
    with pytest.raises(Refused, match="first pass does not take it"):
        pattern_of("(?:username|user)(?:[a-z]{1,30}.{0,20}){1,30}(?:[a-c]{1,30}.{0,20}){1,30}x")


def test_ids_are_shaped_to_ours() -> None:
    assert shaped_id("gitleaks", "AWS_Access--Token.1") == "gitleaks.aws-access-token-1"
    assert shaped_id("gitleaks", "__") == "gitleaks.unnamed"
