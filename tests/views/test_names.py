from __future__ import annotations

from snapscan.views.names import LONGEST_NAME, Names, bounded, shown


def test_each_name_is_given_out_once():
    names = Names()
    asked = [b"a", b"a#2", b"a", b"a", b"a#2", b"", b""]
    assert [names.unique(name) for name in asked] == [b"a", b"a#2", b"a#3", b"a#4", b"a#2#2", b"", b"#2"]


def test_many_equal_names_stay_distinct():
    names = Names()
    given = [names.unique(b"a") for _ in range(5000)] + [names.unique(b"a#%d" % number) for number in range(2, 5000)]
    assert len(set(given)) == len(given)


def test_long_names_are_cut_and_stay_distinct():
    first, second = b"n" * 70_000 + b"1", b"n" * 70_000 + b"2"
    assert len(bounded(first)) == LONGEST_NAME and bounded(first) != bounded(second)
    assert bounded(b"n" * LONGEST_NAME) == b"n" * LONGEST_NAME


def test_a_name_in_a_detail_is_printable_and_short():
    assert shown(b"a\x1b[31m\n\xff") == "a%1B[31m%0A%FF"
    assert len(shown(b"x" * 5000)) <= 100
