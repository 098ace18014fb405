"""The allocation table of FAT and exFAT: chains of clusters, and which clusters are free."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.map_task import READ_BYTES_MOST, MapTask

STRETCHES_MOST = 1_000_000
"""Of one chain: more fragments than that have no honest cause, and they are kept in memory."""
VISIT_CLUSTERS = 4096
"""A chain's clusters are accounted for in lots of so many."""


class Geometry(NamedTuple):
    """Where clusters lie: cluster 2 begins at `heap` bytes; `clusters` of them exist."""

    heap: int
    cluster_bytes: int
    clusters: int

    def place(self, cluster: int) -> int:
        return self.heap + (cluster - 2) * self.cluster_bytes


class Stretch(NamedTuple):
    """Clusters in a row: `clusters` of them from `cluster` on, the `first` being that cluster's index in its file."""

    first: int
    cluster: int
    clusters: int


class Table:
    """The entries of one table; clusters behind its end count as used, and lead nowhere."""

    def __init__(self, entries: NDArray[np.uint32], geometry: Geometry) -> None:
        self.entries = entries[: geometry.clusters + 2]
        self.geometry = geometry

    def chain(self, task: MapTask, first: int, most: int) -> tuple[list[Stretch], bool]:
        """The stretches of a chain of at most `most` clusters, and whether it ended well. Raises MapStopped.

        A loop ends at `most`, at the number of clusters there are, or at `STRETCHES_MOST`.
        """
        most = min(most, self.geometry.clusters)
        found: list[Stretch] = []
        start, length, done = first, 0, 0
        cluster = first
        end = len(self.entries)
        while 2 <= cluster < end and done < most and len(found) < STRETCHES_MOST:
            if length and cluster != start + length:
                found.append(Stretch(done - length, start, length))
                start, length = cluster, 0
            length += 1
            done += 1
            if done % VISIT_CLUSTERS == 0:
                task.visit()
            cluster = int(self.entries[cluster])
        if length:
            found.append(Stretch(done - length, start, length))
        return found, done > 0 and (cluster >= end or done >= most)

    def free(self) -> NDArray[np.bool_]:
        """By cluster number: whether it is free. The two entries that are no clusters are not."""
        flags: NDArray[np.bool_] = self.entries == 0
        flags[:2] = False
        return flags

    def free_stretch(self, cluster: int, count: int) -> int:
        """How many of `count` clusters from `cluster` on are free before the first that is not."""
        if not 2 <= cluster < len(self.entries):
            return 0
        used = np.flatnonzero(self.entries[cluster : cluster + count])
        return int(used[0]) if len(used) else min(count, len(self.entries) - cluster)


def read_all(task: MapTask, offset: int, length: int) -> bytes:
    """A long structure, in pieces; ends at the first piece that cannot be read."""
    parts = []
    while length > 0:
        part = task.read(offset, min(length, READ_BYTES_MOST))
        if not part:
            break
        task.visit()
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)


def read_stretches(task: MapTask, geometry: Geometry, stretches: list[Stretch]) -> bytes:
    """The bytes of a chain (of a directory: the caller bounds it), zeros where they cannot be read."""
    parts = []
    for stretch in stretches:
        length = stretch.clusters * geometry.cluster_bytes
        parts.append(task.read(geometry.place(stretch.cluster), length).ljust(min(length, READ_BYTES_MOST), b"\0"))
    return b"".join(parts)
