from __future__ import annotations

import struct

import pytest

from snapscan.views.sqlite_record import Columns, Damaged, as_text, decode, line, varint


@pytest.mark.parametrize(("data", "value"), [(b"\x00", 0), (b"\x7f", 127), (b"\x81\x00", 128), (b"\xff" * 9, 2**64 - 1), (b"\x80" * 8 + b"\x05", 5)])
def test_numbers_have_up_to_nine_bytes(data, value):
    assert varint(data + b"rest", 0) == (value, len(data))


def test_numbers_that_do_not_end_are_damage():
    for data in (b"", b"\x80", b"\xff" * 8):
        with pytest.raises(Damaged):
            varint(data, 0)


def test_every_serial_type_is_decoded():
    header = bytes([0, 1, 2, 6, 7, 8, 9, 12 + 4, 13 + 4])
    body = b"\xff" + b"\x01\x00" + struct.pack(">q", -5) + struct.pack(">d", 1.5) + b"\x00\x01" + b"ab"
    assert decode(bytes([len(header) + 1]) + header + body) == [None, -1, 256, -5, 1.5, 0, 1, b"\x00\x01", "ab"]


def test_records_that_lie_are_damage_or_cut():
    for payload in (b"", b"\x05\x01", b"\x00", b"\x02\x0a\x00", b"\x02\x0b\x00"):
        with pytest.raises(Damaged):
            decode(payload)
    assert decode(b"\x03\x21\x01ab") == ["ab", None]


def test_a_pair_needs_a_text_for_its_key():
    columns = Columns((b"name", b"value"))
    assert line(["k", "v"], 1, columns, 1, columns.pair()) == b"k=v\n"
    assert line([7, "v"], 1, columns, 1, columns.pair()) == b"name=7\tvalue=v\n"
    assert line(["k"], 1, columns, 1, columns.pair()) == b"name=k\n"


def test_wide_text_of_an_unknown_encoding_is_guessed_by_its_nuls():
    for codec in ("utf-8", "utf-16-le", "utf-16-be"):
        assert as_text("text".encode(codec).decode("latin-1"), 0) == b"text"
