from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from snapscan.maps.ext_extents import EXTENT_MAGIC, BlockWalker, Runs, cluster_rests, direct_blocks, root_extents
from snapscan.maps.ext_source import ExtSource, Trouble
from snapscan.model.volume import Segment, Volume, VolumeReader

BLOCK = 1024


def node(depth: int, *entries: bytes, length: int = 60) -> bytes:
    return (struct.pack("<HHHHI", EXTENT_MAGIC, len(entries), 4 if length == 60 else 84, depth, 0) + b"".join(entries)).ljust(length, b"\0")


def extent(logical: int, length: int, physical: int) -> bytes:
    return struct.pack("<IHHI", logical, length, physical >> 32, physical & 0xFFFFFFFF)


def index(logical: int, block: int) -> bytes:
    return struct.pack("<IIHH", logical, block & 0xFFFFFFFF, block >> 32, 0)


def columns(runs: Runs) -> list[tuple[int, int, int, int, bool]]:
    return list(zip(*(column.tolist() for column in runs), strict=True))


@pytest.fixture
def walker(bytes_space: Any) -> Any:
    """A walker over a volume of 64 blocks, some of which are given."""

    def make(blocks: dict[int, bytes]) -> tuple[BlockWalker, Trouble]:
        content = bytearray(64 * BLOCK)
        for number, data in blocks.items():
            content[number * BLOCK : number * BLOCK + len(data)] = data
        volume = Volume("", (Segment(0, 0, len(content)),))
        trouble = Trouble()
        source = ExtSource(VolumeReader(bytes_space(bytes(content)), volume), BLOCK, trouble, 10.0)
        return BlockWalker(source, 64), trouble

    return make


def test_extents_in_inodes_are_read_together() -> None:
    roots = [
        node(0, extent(0, 3, 100), extent(10, 32768, 1 << 40)),
        node(0, extent(5, 32768 + 7, 200)),
        node(1, index(0, 5)),
        b"\0" * 60,
        node(0, *[extent(0, 1, 1)] * 4)[:2] + b"\x09\0" + bytes(56),
    ]
    runs, deep, bad = root_extents(np.array([np.frombuffer(root, dtype=np.uint8) for root in roots]))
    assert columns(runs) == [(0, 0, 100, 3, False), (0, 10, 1 << 40, 32768, False), (1, 5, 200, 7, True)]
    assert deep.tolist() == [False, False, True, False, False]
    assert bad.tolist() == [False, False, False, True, True]


def test_a_tree_of_two_levels_comes_in_order(walker: Any) -> None:
    inner = {7: node(1, index(0, 8), index(50, 9), length=BLOCK)}
    leaves = {8: node(0, extent(0, 2, 30), length=BLOCK), 9: node(0, extent(50, 1, 40), length=BLOCK)}
    tree, trouble = walker(inner | leaves)
    assert columns(tree.tree(node(2, index(0, 7)), 3)) == [(3, 0, 30, 2, False), (3, 50, 40, 1, False)]
    assert tree.index_blocks == {7, 8, 9} and trouble.notes() == ()


def test_a_tree_that_contains_itself_ends(walker: Any) -> None:
    tree, trouble = walker({7: node(1, index(0, 7), index(1, 7), length=BLOCK)})
    assert columns(tree.tree(node(2, index(0, 7), index(9, 7)), 0)) == []
    assert trouble.notes()


@pytest.mark.parametrize("child", [node(3, extent(0, 1, 1), length=BLOCK), b"noise" * 100, node(0, length=BLOCK)[:2] + b"\xff\xff"])
def test_a_damaged_node_costs_its_part_only(child: bytes, walker: Any) -> None:
    tree, trouble = walker({7: child, 8: node(0, extent(4, 1, 20), length=BLOCK)})
    assert columns(tree.tree(node(1, index(0, 7), index(4, 8), index(5, 1 << 40)), 0)) == [(0, 4, 20, 1, False)]
    assert trouble.notes()


def test_direct_blocks_that_follow_each_other_are_one_run() -> None:
    maps = np.zeros((2, 12), dtype=np.int64)
    maps[0, :5] = [10, 11, 0, 13, 15]
    maps[1, :2] = [12, 13]
    assert columns(direct_blocks(maps)) == [(0, 0, 10, 2, False), (0, 3, 13, 1, False), (0, 4, 15, 1, False), (1, 0, 12, 2, False)]


def pointers(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers).ljust(BLOCK, b"\0")


def test_indirect_blocks_of_three_levels(walker: Any) -> None:
    tree, _ = walker({20: pointers(30, 31), 21: pointers(0, 22), 22: pointers(40), 23: pointers(24), 24: pointers(0, 25), 25: pointers(50, 0, 51)})
    runs = columns(tree.indirect(np.array([20, 21, 23], dtype=np.int64), 6))
    per = BLOCK // 4
    double, triple = 12 + per, 12 + per + per * per
    assert runs == [
        (6, 12, 30, 2, False),
        (6, double + per, 40, 1, False),
        (6, triple + per, 50, 1, False),
        (6, triple + per + 2, 51, 1, False),
    ]


def test_a_block_map_that_contains_itself_ends(walker: Any) -> None:
    tree, trouble = walker({20: pointers(*[20] * 256)})
    assert len(columns(tree.indirect(np.array([0, 0, 20], dtype=np.int64), 0))) <= 256
    assert trouble.notes()


def test_the_rest_of_a_cluster_belongs_to_its_run() -> None:
    runs = Runs(*(np.array(c) for c in ([1, 1, 2], [2, 5, 0], [18, 21, 32], [1, 2, 16])), np.zeros(3, dtype=bool))  # type: ignore[arg-type]  # columns
    rests = [tuple(row) for part in cluster_rests(runs, 16) for row in zip(*(c.tolist() for c in part), strict=True) if row[2] < row[3]]
    assert rests == [(1, 0, 16, 18), (1, 3, 19, 21), (1, 7, 23, 32)]
