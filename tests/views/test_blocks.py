from __future__ import annotations

import pytest

from snapscan.model.errors import MediaFault
from snapscan.views.blocks import Blocks

DATA = bytes(range(251)) * 2000


def test_reads_anywhere_are_those_of_the_reader(make_reader):
    blocks = Blocks(make_reader(DATA))
    for offset in (0, 1, 65_530, 65_536, 131_071, len(DATA) - 3):
        for length in (1, 10, 70_000, 200_000):
            assert blocks.read(offset, length) == DATA[offset : offset + length]
    assert blocks.read(-1, 5) == blocks.read(len(DATA), 5) == blocks.read(2**70, 5) == blocks.read(5, 0) == b""


def test_small_reads_of_one_block_reach_the_reader_once(make_reader):
    reader = make_reader(DATA)
    blocks = Blocks(reader)
    calls = []
    plain = reader.read
    reader.read = lambda offset, length: calls.append(offset) or plain(offset, length)
    for offset in range(0, 60_000, 7):
        blocks.read(offset, 4)
    assert calls == [0]


def test_bytes_beside_an_unreadable_place_are_given(make_reader):
    blocks = Blocks(make_reader(DATA, 1000, 1512))
    assert blocks.read(0, 1000) == DATA[:1000] and blocks.read(1512, 5) == DATA[1512:1517]
    with pytest.raises(MediaFault):
        blocks.read(999, 2)
