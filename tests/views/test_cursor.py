from __future__ import annotations

import pytest

from snapscan.model.errors import MediaFault
from snapscan.views.cursor import READ_AHEAD_BYTES, Cursor

DATA = bytes(range(256)) * 1024


def test_reads_follow_each_other_and_are_cut_at_the_end(make_reader):
    cursor = Cursor(make_reader(DATA), 10)
    assert cursor.read(5) == DATA[10:15] and cursor.peek(3) == DATA[15:18] and cursor.read(200_000) == DATA[15:200_015]
    cursor.position = len(DATA) - 3
    assert cursor.read(10) == DATA[-3:] and cursor.read(10) == b""
    cursor.position = 2**70
    assert cursor.read(10) == b""
    cursor.position = 7
    assert cursor.read(1) == DATA[7:8]


def test_a_fence_hides_what_lies_behind_it(make_reader):
    cursor = Cursor(make_reader(DATA))
    cursor.end = 100
    assert cursor.read(1000) == DATA[:100] and cursor.read(1) == b""
    cursor.end = cursor.size_bytes
    assert cursor.read(2) == DATA[100:102]


def test_small_reads_are_served_from_one_big_one(make_reader):
    reader = make_reader(DATA)
    cursor = Cursor(reader)
    calls = []
    plain = reader.read
    reader.read = lambda offset, length: calls.append(length) or plain(offset, length)
    assert b"".join(cursor.read(100) for _ in range(600)) == DATA[:60_000]
    assert calls == [READ_AHEAD_BYTES]


def test_bytes_before_an_unreadable_place_are_given(make_reader):
    cursor = Cursor(make_reader(DATA, bad_from=70_000, bad_to=70_512))
    good = b""
    with pytest.raises(MediaFault):
        while True:
            good += cursor.read(50_000)
    assert DATA.startswith(good) and 70_000 - 512 <= len(good) <= 70_000
    cursor.position = 70_512
    assert cursor.read(5) == DATA[70_512:70_517]
