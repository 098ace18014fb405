"""Where an inode's blocks lie: extents in the inode (many at once), extent trees, and the block maps of ext2 and ext3.

Formats: kernel documentation of ext4, "The Contents of inode.i_block".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.ext_source import ExtSource
from snapscan.model.errors import ReadFault

Int64 = NDArray[np.int64]
Bytes = NDArray[np.uint8]

EXTENT_MAGIC = 0xF30A
_DEPTH_MOST = 5  # the kernel's EXT4_MAX_EXTENT_DEPTH
_INITIALISED_MOST = 32768
_EXTENT: np.dtype[Any] = np.dtype([("block", "<u4"), ("length", "<u2"), ("high", "<u2"), ("low", "<u4")])
_INDEX: np.dtype[Any] = np.dtype([("block", "<u4"), ("low", "<u4"), ("high", "<u2"), ("unused", "<u2")])
_HEADER: np.dtype[Any] = np.dtype([("magic", "<u2"), ("entries", "<u2"), ("most", "<u2"), ("depth", "<u2"), ("generation", "<u4")])
_ROOT: np.dtype[Any] = np.dtype([("head", _HEADER), ("extents", _EXTENT, (4,))])


class Runs(NamedTuple):
    """Runs of blocks, all columns of one length. `which` is the caller's number of the inode; all but it are in filesystem blocks."""

    which: Int64
    logical: Int64
    physical: Int64
    length: Int64
    unwritten: NDArray[np.bool_]


def no_runs() -> Runs:
    empty = np.empty(0, dtype=np.int64)
    return Runs(empty, empty, empty, empty, np.empty(0, dtype=bool))


def joined_runs(parts: list[Runs]) -> Runs:
    if not parts:
        return no_runs()
    if len(parts) == 1:
        return parts[0]
    which, logical, physical, length, unwritten = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Runs(which, logical, physical, length, unwritten.astype(bool))


def root_extents(roots: Bytes) -> tuple[Runs, NDArray[np.bool_], NDArray[np.bool_]]:
    """The extents that lie in the inodes themselves.

    `roots` has the 60 bytes of i_block of one inode in each row. Returns the runs, which rows are the root of a deeper tree, and which are damaged.
    """
    table = np.ascontiguousarray(roots).view(_ROOT)[:, 0]
    head = table["head"]
    good = (head["magic"] == EXTENT_MAGIC) & (head["entries"] <= 4) & (head["depth"] <= _DEPTH_MOST)
    deep = good & (head["depth"] > 0)
    entries = np.where(good & ~deep, head["entries"], 0)
    which, slot = np.nonzero(np.arange(4) < entries[:, None])
    return _leaf_runs(table["extents"][which, slot], which), deep, ~good


def _leaf_runs(extents: NDArray[Any], which: Int64) -> Runs:
    length = extents["length"].astype(np.int64)
    unwritten = length > _INITIALISED_MOST
    physical = extents["high"].astype(np.int64) << 32 | extents["low"]
    return Runs(which, extents["block"].astype(np.int64), physical, np.where(unwritten, length - _INITIALISED_MOST, length), unwritten)


class BlockWalker:
    """Follows index blocks: of extent trees, and the indirect blocks of block maps.

    A block serves as an index once in a whole filesystem: whatever loops or shared pointers an image holds, the work ends after as many blocks
    as the volume has.
    """

    def __init__(self, source: ExtSource, blocks: int) -> None:
        self._source = source
        self._blocks = min(blocks, source.size_bytes // source.block_bytes)
        self.index_blocks: set[int] = set()

    def _index(self, block: int) -> bytes | None:
        if not 0 < block < self._blocks:
            self._source.trouble.note("an index block lies outside the volume")
            return None
        if block in self.index_blocks:
            self._source.trouble.note("an index block is used twice")
            return None
        self.index_blocks.add(block)
        if len(self.index_blocks) % 256 == 0:
            self._source.check_time()
        try:
            return self._source.read_block(block)
        except ReadFault:
            start = block * self._source.block_bytes
            self._source.trouble.gap("unmapped", "index block", "cannot be read", start, start + self._source.block_bytes)
            return None

    def tree(self, root: bytes, which: int) -> Runs:
        """All extents below an i_block whose depth is above 0, as runs of inode `which`."""
        leaves: list[NDArray[Any]] = []
        waiting = [(root, int.from_bytes(root[6:8], "little"))]
        while waiting:
            node, depth = waiting.pop()
            head = np.frombuffer(node, dtype=_HEADER, count=1)[0]
            entries = int(head["entries"])
            if head["magic"] != EXTENT_MAGIC or head["depth"] != depth or entries > (len(node) - 12) // 12:
                self._source.trouble.note("an extent tree is damaged")
                continue
            if depth == 0:
                leaves.append(np.frombuffer(node, dtype=_EXTENT, count=entries, offset=12))
                continue
            for entry in np.frombuffer(node, dtype=_INDEX, count=entries, offset=12)[::-1]:
                child = self._index(int(entry["high"]) << 32 | int(entry["low"]))
                if child is not None:
                    waiting.append((child, depth - 1))
        extents = np.concatenate(leaves) if leaves else np.empty(0, dtype=_EXTENT)
        return _leaf_runs(extents, np.full(len(extents), which, dtype=np.int64))

    def indirect(self, pointers: Int64, which: int) -> Runs:
        """The runs behind i_block[12..14] of a block map: single, double and triple indirect."""
        per_block = self._source.block_bytes // 4
        parts: list[Runs] = []
        base = 12
        for level, pointer in enumerate(pointers.tolist(), start=1):
            if pointer:
                self._indirect(pointer, level, base, which, parts)
            base += per_block**level
        return merged_runs(joined_runs(parts))

    def _indirect(self, pointer: int, level: int, base: int, which: int, parts: list[Runs]) -> None:
        per_block = self._source.block_bytes // 4
        waiting = [(pointer, level, base)]
        while waiting:
            block, depth, logical = waiting.pop()
            raw = self._index(block)
            if raw is None:
                continue
            below = np.frombuffer(raw, dtype="<u4").astype(np.int64)
            slots = np.flatnonzero(below)
            if depth == 1:
                used = below[slots]
                ones = np.ones(len(slots), dtype=np.int64)
                parts.append(merged_runs(Runs(np.full(len(slots), which), logical + slots, used, ones, np.zeros(len(slots), dtype=bool))))
            else:
                span = per_block ** (depth - 1)
                waiting.extend((int(below[slot]), depth - 1, logical + slot * span) for slot in slots.tolist()[::-1])


def direct_blocks(maps: Int64) -> Runs:
    """The runs of the first twelve blocks of many block maps; `maps` has i_block[0..11] of one inode in each row."""
    which, slot = np.nonzero(maps)
    ones = np.ones(len(which), dtype=np.int64)
    return merged_runs(Runs(which.astype(np.int64), slot.astype(np.int64), maps[which, slot], ones, np.zeros(len(which), dtype=bool)))


def merged_runs(runs: Runs) -> Runs:
    """Neighbours in the list that go on in the inode and on the volume made one."""
    if len(runs.which) < 2:
        return runs
    goes_on = (
        (runs.which[1:] == runs.which[:-1])
        & (runs.logical[1:] == runs.logical[:-1] + runs.length[:-1])
        & (runs.physical[1:] == runs.physical[:-1] + runs.length[:-1])
        & (runs.unwritten[1:] == runs.unwritten[:-1])
    )
    first = np.flatnonzero(np.concatenate(([True], ~goes_on)))
    return Runs(runs.which[first], runs.logical[first], runs.physical[first], np.add.reduceat(runs.length, first), runs.unwritten[first])


def cluster_rests(runs: Runs, ratio: int) -> list[tuple[Int64, Int64, Int64, Int64]]:
    """What lies in the clusters of runs before the first and behind each: columns (which, logical, start, end), once for heads, once for tails.

    `ratio` is blocks per cluster. A cluster belongs to one inode, and offsets inside it are the same in the inode and on the volume
    (kernel documentation of ext4, "Bigalloc").
    """
    order = np.argsort(runs.physical, kind="stable")
    which, logical, start = runs.which[order], runs.logical[order], runs.physical[order]
    end = start + runs.length[order]
    following = np.append(start[1:], 1 << 62)[: len(start)]
    tail_end = np.minimum(-(-end // ratio) * ratio, following)
    before = np.concatenate(([0], end[:-1]))[: len(start)]
    head_start = np.where(before > start // ratio * ratio, start, start // ratio * ratio)
    head_logical = np.maximum(logical - (start - head_start), 0)
    return [(which, head_logical, head_start, start), (which, logical + end - start, end, tail_end)]


def picked(runs: Runs, keep: NDArray[np.bool_]) -> Runs:
    return Runs(runs.which[keep], runs.logical[keep], runs.physical[keep], runs.length[keep], runs.unwritten[keep])
