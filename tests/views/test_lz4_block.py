from __future__ import annotations

import pytest

from snapscan.views.lz4_block import decode_block
from snapscan.views.verdict import Ended


def test_literals_and_copies_that_overlap_themselves():
    assert decode_block(b"\x10a\x01\x00\x50bcdef", 10) == b"aaaaabcdef"
    assert decode_block(b"\x3fabc\x03\x00\x05\x50bcdef", 32) == (b"abc" * 9)[:27] + b"bcdef"
    assert decode_block(b"", 0) == b""


@pytest.mark.parametrize(
    "block",
    [b"\x10", b"\x10a\x01", b"\x10a\x00\x00\x00", b"\x10a\x02\x00\x00", b"\xf0\xff", b"\x1fa\x01\x00\xff\xff", b"\x1fa\x01\x00\xff\xff\x00\x00"],
)
def test_damage_is_said(block):
    with pytest.raises(Ended):
        decode_block(block, 10)


def test_lengths_that_do_not_agree_are_damage():
    for decoded_bytes in (9, 11):
        with pytest.raises(Ended):
            decode_block(b"\x10a\x01\x00\x50bcdef", decoded_bytes)
