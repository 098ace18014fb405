"""Stretches of set bits, for bitmaps and tables of what is free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snapscan.model.owner import Int64


def true_runs(flags: NDArray[np.bool_]) -> tuple[Int64, Int64]:
    """Starts and ends of the stretches of True, as indexes."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8))).astype(np.int64)
    return edges[::2], edges[1::2]
