"""Reading on from a key's first line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.detect.armour import follow
from snapscan.detect.examples import fill

KEY = fill("${pem:RSA PRIVATE KEY}", "seed")
BODY = b"".join(KEY.splitlines()[1:-1])


def test_block_ends_after_its_end_line() -> None:
    block = follow(b"before\n" + KEY + b"\nafter", 7)
    assert block is not None
    assert block.end == 7 + len(KEY)
    assert block.whole
    assert block.normal == b"RSA PRIVATE KEY:" + BODY


@pytest.mark.parametrize(
    "text",
    [
        KEY.replace(b"\n", b"\r\n"),
        KEY.replace(b"\n", b"\n    "),
        KEY.replace(b"\n", b"\\n"),
        KEY.replace(b"\n", b"\\r\\n"),
        KEY.replace(b"KEY-----\n", b"KEY-----\nComment: made by hand\n\n", 1),
        b"-----BEGIN RSA PRIVATE KEY-----\n" + BODY + b"\n-----END RSA PRIVATE KEY-----",
    ],
    ids=["crlf", "indented", "json", "json-crlf", "headers", "one-line"],
)
def test_the_same_key_has_one_normal_form(text: bytes) -> None:
    block = follow(text, 0)
    assert block is not None
    assert block.normal == b"RSA PRIVATE KEY:" + BODY


def test_block_that_is_cut_short_is_followed_as_far_as_it_goes() -> None:
    block = follow(KEY[:200] + b"\0rest", 0)
    assert block is not None
    assert not block.whole
    assert block.end == 200


def test_what_does_not_begin_a_block_is_none() -> None:
    assert follow(KEY, 1) is None
    assert follow(b"", 0) is None


def test_block_without_end_costs_no_more_than_the_limit() -> None:
    block = follow(b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A" * (1 << 20), 0)
    assert block is not None
    assert block.end == 64 << 10


@given(st.binary(max_size=400))
def test_no_bytes_after_a_header_raise(tail: bytes) -> None:
    data = b"-----BEGIN EC PRIVATE KEY-----" + tail
    block = follow(data, 0)
    assert block is not None
    assert block.end <= len(data)
