from __future__ import annotations

import random

import numpy as np

from snapscan.maps.ext_checksum import crc32c, crc32c_rows


def test_the_check_value_of_the_polynomial() -> None:
    # "Check" of CRC-32/ISCSI in the catalogue of parametrised CRC algorithms; the inversion at the end is the caller's
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283


def test_rows_give_what_single_blocks_give() -> None:
    chance = random.Random(1)
    blocks = [chance.randbytes(1024) for _ in range(7)]
    seeds = [chance.randrange(1 << 32) for _ in blocks]
    rows = np.array([np.frombuffer(block, dtype=np.uint8) for block in blocks])
    together = crc32c_rows(rows, np.array(seeds, dtype=np.uint32))
    assert together.tolist() == [crc32c(block, seed) for block, seed in zip(blocks, seeds, strict=True)]
