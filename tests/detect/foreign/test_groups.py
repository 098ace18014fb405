"""The secret as a group by number, also where the tool says: the first that took part."""

from __future__ import annotations

import re

import pytest

from snapscan.detect.foreign.groups import Part, parts_of
from snapscan.detect.foreign.refusal import Refused


def test_pattern_without_groups_is_its_own_secret() -> None:
    assert parts_of("abc", "regex") == [Part("abc", 0)]


def test_first_group_that_always_takes_part_is_the_secret() -> None:
    assert parts_of("(?:a|b)(c)(d)?", "regex") == [Part("(?:a|b)(c)(d)?", 1)]


def test_named_group_goes_before_the_first() -> None:
    assert parts_of("(a)(?P<TOKEN>b)", "pattern", "TOKEN")[0].value == 2


def test_groups_in_branches_become_a_pattern_each() -> None:
    parts = parts_of("(?i)x(?:a=(\\d)|b=(?:(y)|[|)]))z|w", "regex")
    assert [part.value for part in parts] == [1, 1, 0, 0]
    values = {}
    for text in (b"xa=1z", b"XB=yz", b"xb=|z", b"w"):
        (values[text],) = [match[part.value] for part in parts if (match := re.search(part.pattern.encode(), text))]
    assert values == {b"xa=1z": b"1", b"XB=yz": b"y", b"xb=|z": b"xb=|z", b"w": b"w"}


def test_first_group_that_may_be_absent_is_refused() -> None:
    with pytest.raises(Refused, match="may be absent"):
        parts_of("(a)?(b)", "regex")


def test_too_many_branches_are_refused() -> None:
    with pytest.raises(Refused, match="more than 16"):
        parts_of("|".join(f"a({number})" for number in range(20)), "regex")
