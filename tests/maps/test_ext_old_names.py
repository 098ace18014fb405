from __future__ import annotations

import numpy as np
import pytest

from snapscan.maps.ext_extents import no_runs
from snapscan.maps.ext_old_names import END_OF_TIME, OldNames, slack_entries
from snapscan.maps.ext_remnants import OldInodes


def lives(number: int, *copies: tuple[int, int]) -> OldInodes:
    """Copies of one inode: (sequence, generation)."""
    count = len(copies)
    sequence, generation = (np.array(column, dtype=np.int64) for column in zip(*copies, strict=True))
    zeros = np.zeros(count, dtype=np.int64)
    return OldInodes(np.full(count, number), sequence, generation, zeros, zeros.astype(np.uint64), no_runs(), [])


@pytest.fixture
def names() -> OldNames:
    """Inode 50 was /a/first, then /b/second; it was written in transactions 3, 4 and 8, the first two in its first life."""
    known = OldNames()
    known.add_generations(lives(50, (8, 222), (3, 111), (4, 111)))
    known.sort()
    for sequence, parent, name in ((3, 2, b"first"), (4, 2, b"first"), (8, 7, b"second"), (9, 7, b"second")):
        known.add(50, sequence, parent, name)
    return known


def test_each_life_of_an_inode_has_its_own_name(names: OldNames) -> None:
    assert names.name_at(50, 111, 4) == (2, b"first")
    assert names.name_at(50, 111, END_OF_TIME) == (2, b"first")
    assert names.name_at(50, 222, 8) == (7, b"second")
    assert names.name_at(50, 333, 8) is None


def test_without_a_generation_the_time_decides(names: OldNames) -> None:
    assert names.name_at(50, None, 5) == (2, b"first")
    assert names.name_at(50, None, 8) == (7, b"second")
    assert names.name_at(50, None, 1) == (2, b"first")
    assert names.name_at(51, None, 5) is None


def test_the_generation_is_that_of_the_copy_before(names: OldNames) -> None:
    assert [names.generation_at(50, sequence) for sequence in (2, 3, 7, 8, END_OF_TIME)] == [None, 111, 111, 222, 222]


def test_one_name_in_two_lives_is_two_names() -> None:
    known = OldNames()
    known.add_generations(lives(50, (3, 111), (8, 222)))
    known.sort()
    for sequence in (3, 5, 8, 9):
        known.add(50, sequence, 2, b"same")
    assert known.name_at(50, 111, 5) == known.name_at(50, 222, 9) == (2, b"same")


def entry(number: int, length: int, name: bytes, kind: int = 1) -> bytes:
    return number.to_bytes(4, "little") + length.to_bytes(2, "little") + bytes([len(name), kind]) + name.ljust(-len(name) % 4 + len(name), b"\0")


def test_entries_in_slack_are_known_by_their_shape() -> None:
    gone = entry(12, 20, b"password.txt") + entry(13, 500, b"b")
    block = gone.ljust(532, b"\0")
    assert slack_entries(block, 0, len(block), 100) == [(12, b"password.txt"), (13, b"b")]


@pytest.mark.parametrize(
    "bad",
    [
        entry(101, 20, b"inode-too-large"),
        entry(12, 18, b"length-is-odd"),
        entry(12, 8, b"length-too-short"),
        entry(12, 2000, b"length-too-long"),
        entry(12, 24, b"a/slash"),
        entry(12, 24, b"a\0nul"),
        entry(12, 24, b"kind", 9),
        entry(0, 24, b"no inode"),
    ],
)
def test_what_is_no_entry_in_slack_is_not_taken(bad: bytes) -> None:
    assert slack_entries(bad.ljust(64, b"\0"), 0, 64, 100) == []
