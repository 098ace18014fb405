from __future__ import annotations

from snapscan.views import escapes


def test_one_percent_escape_is_no_encoding():
    assert list(escapes.percent(b"a%20b c%2")) == []
    assert list(escapes.percent(b"x a%20b%21 y")) == [(2, 10, b"a b!")]


def test_the_reach_to_both_sides_is_bounded():
    data = b"a" * 10_000 + b"%41%42" + b"b" * 10_000
    ((start, end, decoded),) = escapes.percent(data)
    assert start == 10_000 - 4096 and end == 10_000 + 4096 and b"aABb" in decoded
    ((start, end, decoded),) = escapes.backslash(data.replace(b"%41%42", b"\\u0041"))
    assert start == 10_000 - 4096 and 14_000 < end < 14_200 and b"aAb" in decoded


def test_an_escaped_quote_does_not_end_a_string():
    assert [decoded for _, _, decoded in escapes.backslash(b'"\\u0041 \\"inner\\" z", "other"')] == [b'A "inner" z']


def test_values_far_from_the_word_secret_are_none():
    data = b"kind: Secret\n" + b"#\n" * 40_000 + b"  key: QUJDREVGR0g=\n"
    assert list(escapes.secret_values(data)) == []
    assert [decoded for _, _, decoded in escapes.secret_values(data[70_000:] + b"kind: Secret\n")] == [b"key=ABCDEFGH"]
