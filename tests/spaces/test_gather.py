from __future__ import annotations

import os

import numpy as np

from snapscan.spaces.gather import BLOCK_BYTES, gather_blocks


def test_each_byte_is_that_of_its_offset(tmp_path, opened):
    content = os.urandom(3 * BLOCK_BYTES + 17)
    (tmp_path / "disk.img").write_bytes(content)
    offsets = np.array([0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES, 2 * BLOCK_BYTES + 5, len(content) - 1])
    assert gather_blocks(opened(tmp_path / "disk.img"), offsets).tolist() == [content[offset] for offset in offsets]


def test_no_offsets_give_no_bytes(tmp_path, opened):
    (tmp_path / "disk.img").write_bytes(b"x")
    assert len(gather_blocks(opened(tmp_path / "disk.img"), np.zeros(0, dtype=np.int64))) == 0


def test_a_byte_that_cannot_be_read_is_nought_and_its_neighbours_are_read(tmp_path, opened):
    (tmp_path / "disk.img").write_bytes(b"\x55" * 2 * BLOCK_BYTES)
    space = opened(tmp_path / "disk.img")
    os.truncate(tmp_path / "disk.img", BLOCK_BYTES + 100)
    assert gather_blocks(space, np.array([5, BLOCK_BYTES + 99, BLOCK_BYTES + 100, 2 * BLOCK_BYTES - 1])).tolist() == [0x55, 0x55, 0, 0]
