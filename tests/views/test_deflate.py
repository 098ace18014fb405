from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.views.cursor import Cursor
from snapscan.views.deflate import crc32, inflate


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_the_checksum_is_zlib_s_and_can_be_continued(first, second):
    assert crc32(second, crc32(first)) == zlib.crc32(first + second)


@pytest.mark.parametrize("level", range(10))
def test_what_zlib_packed_is_unpacked_and_the_cursor_stops_behind_it(make_reader, text, level):
    data = zlib.compress(text, level, -15)
    cursor = Cursor(make_reader(data + b"behind"))
    assert b"".join(inflate(cursor)) == text
    assert cursor.read(10) == b"behind"
