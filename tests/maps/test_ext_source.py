from __future__ import annotations

from typing import Any

import pytest

from snapscan.maps.ext_source import ExtSource, MapStopped, Trouble
from snapscan.model.errors import ReadFault
from snapscan.model.space import Range
from snapscan.model.volume import Segment, Volume, VolumeReader


@pytest.fixture
def source(bytes_space: Any) -> Any:
    def make(faults: tuple[Range, ...] = (), seconds: float = 10.0) -> tuple[ExtSource, Trouble]:
        content = b"".join(bytes([k]) * 1024 for k in range(16))
        trouble = Trouble()
        reader = VolumeReader(bytes_space(content, faults), Volume("", (Segment(0, 0, len(content)),)))
        return ExtSource(reader, 1024, trouble, seconds), trouble

    return make


def test_a_block_of_the_overlay_is_read_from_its_copy(source: Any) -> None:
    blocks, _ = source()
    blocks.overlay({3: (9, False), 5: (10, True)})
    assert blocks.read(3 * 1024 - 2, 1028) == b"\2\2" + b"\x09" * 1024 + b"\4\4"
    assert blocks.read_block(5) == b"\xc0\x3b\x39\x98" + b"\x0a" * 1020
    assert blocks.read_block(9) == b"\x09" * 1024


def test_bytes_outside_the_volume_are_a_fault(source: Any) -> None:
    blocks, _ = source()
    for offset, length in ((16 * 1024 - 1, 2), (1 << 60, 1), (-1, 2)):
        with pytest.raises(ReadFault):
            blocks.read(offset, length)


def test_unreadable_blocks_in_bulk_are_zeros_and_one_gap(source: Any) -> None:
    blocks, trouble = source((Range(2048, 2049), Range(3100, 3101)))
    data = blocks.read_bulk(1024, 4096, "a table")
    assert data == b"\1" * 1024 + bytes(2048) + b"\4" * 1024
    assert [(gap.where, gap.start, gap.end) for gap in trouble.gaps()] == [("a table", 2048, 4096)]


def test_time_is_up_when_the_share_is_used(source: Any) -> None:
    blocks, _ = source(seconds=0.0)
    with pytest.raises(MapStopped):
        blocks.check_time()


def test_notes_are_counted_and_gaps_bounded() -> None:
    trouble = Trouble()
    for _ in range(3):
        trouble.note("odd")
    for _ in range(1000):
        trouble.gap("unmapped", "x")
    assert "odd (3 times)" in trouble.notes()
    assert len(trouble.gaps()) == 200 and any("more gaps" in note for note in trouble.notes())
