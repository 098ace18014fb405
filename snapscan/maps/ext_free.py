"""Free space of ext2, ext3 and ext4 from the block bitmaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.ext_groups import BLOCK_UNINIT, Groups, united
from snapscan.maps.ext_source import ExtSource
from snapscan.maps.ext_superblock import Superblock
from snapscan.model.errors import ReadFault

Int64 = NDArray[np.int64]


def free_blocks(source: ExtSource, sb: Superblock, groups: Groups, own: Int64) -> Int64:
    """Runs (start, end) of free blocks, rising and disjoint. `own` are the filesystem's own blocks, which are never free.

    A group whose bitmap was never written (BLOCK_UNINIT) is free but for `own`. With bigalloc a bit stands for a cluster.
    """
    parts = [np.empty((0, 2), dtype=np.int64)]
    for group in range(groups.total):
        start = sb.group_start(group)
        end = min(start + sb.blocks_per_group, sb.blocks)
        if groups.flags[group] & BLOCK_UNINIT:
            parts.append(np.array([[start, end]], dtype=np.int64))
            continue
        source.check_time()
        runs = _bitmap_runs(source, int(groups.block_bitmap[group]), -(-(end - start) // sb.blocks_per_cluster), group)
        parts.append(np.minimum(runs * sb.blocks_per_cluster + start, end))
    return minus(united(np.concatenate(parts)), own)


def _bitmap_runs(source: ExtSource, block: int, bits: int, group: int) -> Int64:
    """Runs of zero bits of one group's bitmap; none where it lies outside the volume or cannot be read."""
    length = -(-bits // 8)
    offset = block * source.block_bytes
    if not source.block_bytes <= offset <= source.size_bytes - length:
        return np.empty((0, 2), dtype=np.int64)
    try:
        raw = source.read(offset, length)
    except ReadFault:
        source.trouble.gap("unmapped", f"block bitmap of group {group}", "cannot be read", offset, offset + length)
        return np.empty((0, 2), dtype=np.int64)
    used = np.ones(bits + 2, dtype=np.int8)
    used[1:-1] = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), count=bits, bitorder="little")
    return np.flatnonzero(np.diff(used)).reshape(-1, 2).astype(np.int64)


def minus(whole: Int64, taken: Int64) -> Int64:
    """The runs of `whole` without those of `taken`; both rising and disjoint, and so is the result."""
    if not len(whole) or not len(taken):
        return whole
    edges = np.unique(np.concatenate([whole.ravel(), taken.ravel()]))
    keep = covered(whole, edges[:-1]) & ~covered(taken, edges[:-1])
    return united(np.stack([edges[:-1][keep], edges[1:][keep]], axis=1))


def covered(runs: Int64, positions: Int64) -> NDArray[np.bool_]:
    """Which positions lie in one of the runs (rising and disjoint)."""
    if not len(runs):
        return np.zeros(len(positions), dtype=bool)
    at = np.searchsorted(runs[:, 0], positions, side="right") - 1
    result: NDArray[np.bool_] = (at >= 0) & (positions < runs[np.maximum(at, 0), 1])
    return result
