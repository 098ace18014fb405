from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.ext_free import covered, minus
from snapscan.maps.ext_groups import united


def runs(*pairs: tuple[int, int]) -> NDArray[np.int64]:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def members(given: NDArray[np.int64]) -> set[int]:
    return {k for start, end in given.tolist() for k in range(start, end)}


def test_random_runs_subtract_like_sets() -> None:
    chance = random.Random(2)
    for _ in range(200):
        pairs = [[(a, a + chance.randrange(8)) for a in chance.sample(range(60), chance.randrange(6))] for _ in range(2)]
        whole, taken = (united(runs(*p)) for p in pairs)
        left = minus(whole, taken)
        assert members(left) == members(whole) - members(taken)
        assert (left[:-1, 1] < left[1:, 0]).all()


def test_positions_in_runs() -> None:
    assert covered(runs((2, 4), (7, 8)), np.arange(10)).tolist() == [k in (2, 3, 7) for k in range(10)]
    assert covered(runs(), np.arange(3)).tolist() == [False] * 3
