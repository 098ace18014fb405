"""Who owns which bytes of a FAT12, FAT16 or FAT32 volume. Source: Microsoft's FAT specification (fatgen103).

Deleted entries keep their first cluster and size: as far as the clusters in a row from there are free, they are told as former.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.bit_runs import true_runs
from snapscan.maps.ext_source import MapStopped
from snapscan.maps.fat_directory import FatEntry, fat_entries
from snapscan.maps.fat_table import Geometry, Stretch, Table, read_all, read_stretches
from snapscan.maps.map_task import MapTask
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind
from snapscan.model.volume import Volume, VolumeReader

DIRECTORY_BYTES_MOST = 2 << 20
"""65,536 entries: the specification's limit."""
DEPTH_MOST = 512


class _Boot(NamedTuple):
    bits: int
    table_at: int
    table_bytes: int
    tables: int
    root_at: int
    root_bytes: int
    root_cluster: int
    geometry: Geometry


def map_fat(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one FAT volume. Raises nothing for a damaged one."""
    task = MapTask(reader, volume, limits)
    boot = _boot(task.read(0, 512), task.size_bytes)
    if boot is None:
        task.gap("unmapped", "fat: the boot sector is damaged")
        return task.finish()
    try:
        _FatMapping(task, boot).run()
    except MapStopped as stop:
        task.gap("unmapped", str(stop))
    return task.finish()


def _boot(raw: bytes, size_bytes: int) -> _Boot | None:
    if len(raw) < 512:
        return None
    sector, per_cluster, reserved, copies, root_entries, few, _, short_table = struct.unpack_from("<HBHBHHBH", raw, 11)
    many, long_table = struct.unpack_from("<II", raw, 32)
    table_sectors = short_table or long_table
    cluster_bytes = sector * per_cluster
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or not table_sectors or not copies:
        return None
    root_at = (reserved + copies * table_sectors) * sector
    root_bytes = -(-root_entries * 32 // sector) * sector
    heap = root_at + root_bytes
    clusters = max(0, min((few or many) * sector, size_bytes) - heap) // cluster_bytes
    bits = 32 if not short_table else 12 if clusters < 4085 else 16
    root_cluster = struct.unpack_from("<I", raw, 44)[0] if bits == 32 else 0
    geometry = Geometry(heap, cluster_bytes, clusters)
    return _Boot(bits, reserved * sector, table_sectors * sector, copies, root_at, root_bytes, root_cluster, geometry)


def _unpacked(raw: bytes, bits: int) -> NDArray[np.uint32]:
    """Table entries as numbers; in a FAT12, two entries share three bytes."""
    if bits == 32:
        return np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4").astype(np.uint32) & np.uint32(0x0FFFFFFF)
    if bits == 16:
        return np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<u2").astype(np.uint32)
    three = np.frombuffer(raw[: len(raw) // 3 * 3], dtype=np.uint8).reshape(-1, 3).astype(np.uint32)
    entries = np.empty(2 * len(three), dtype=np.uint32)
    entries[::2] = three[:, 0] | (three[:, 1] & 15) << 8
    entries[1::2] = three[:, 1] >> 4 | three[:, 2] << 4
    return entries


class _FatMapping:
    def __init__(self, task: MapTask, boot: _Boot) -> None:
        self.task = task
        self.boot = boot
        self.geometry = boot.geometry
        needed = -(-(boot.geometry.clusters + 2) * boot.bits // 8) + 3
        self.table = Table(np.zeros(0, dtype=np.uint32), boot.geometry)
        for copy in range(min(boot.tables, 2)):
            raw = read_all(task, boot.table_at + copy * boot.table_bytes, min(boot.table_bytes, needed))
            if len(raw) == min(boot.table_bytes, needed):
                self.table = Table(_unpacked(raw, boot.bits), boot.geometry)
                break
        else:
            task.gap("unmapped", "fat: neither copy of the table is readable")
        self.broken = 0

    def run(self) -> None:
        task, boot = self.task, self.boot
        task.row(0, boot.root_at, task.owner(OwnerKind.METADATA))
        starts, ends = true_runs(self.table.free())
        place, size = self.geometry.place, self.geometry.cluster_bytes
        at = np.minimum(self.geometry.heap + (starts - 2) * size, task.size_bytes)
        task.builder.rows(at, self.geometry.heap + (ends - 2) * size, task.owner(OwnerKind.FREE), at)
        root = task.owner(OwnerKind.DIRECTORY)
        task.builder.root = root
        waiting: list[tuple[int, bytes, list[Stretch], int]] = []
        if boot.bits == 32:
            waiting.append((root, b"", self._chain(boot.root_cluster), 0))
        else:
            task.row(boot.root_at, boot.root_bytes, root)
            self._entries(root, b"", task.read(boot.root_at, boot.root_bytes), 0, waiting)
        seen = {0, boot.root_cluster}
        while waiting:
            owner, path, stretches, depth = waiting.pop()
            for stretch in stretches:
                task.row(place(stretch.cluster), stretch.clusters * size, owner, stretch.first * size)
            if stretches and (owner == root or stretches[0].cluster not in seen):
                seen.add(stretches[0].cluster)
                self._entries(owner, path, read_stretches(task, self.geometry, stretches), depth, waiting)
        if self.broken:
            task.gap("unmapped", f"fat: {self.broken} chains are broken")

    def _chain(self, cluster: int, most_bytes: int = DIRECTORY_BYTES_MOST) -> list[Stretch]:
        stretches, whole = self.table.chain(self.task, cluster, -(-most_bytes // self.geometry.cluster_bytes))
        self.broken += not whole
        return stretches

    def _entries(self, parent: int, path: bytes, content: bytes, depth: int, waiting: list[tuple[int, bytes, list[Stretch], int]]) -> None:
        task, size = self.task, self.geometry.cluster_bytes
        for entry in fat_entries(content):
            task.visit()
            if self.boot.bits != 32:
                entry = entry._replace(cluster=entry.cluster & 0xFFFF)
            if entry.deleted:
                self._deleted(path, entry)
                continue
            kind = OwnerKind.DIRECTORY if entry.is_directory else OwnerKind.FILE
            owner = task.owner(kind, inode=entry.cluster, mtime=entry.mtime, size_bytes=entry.size)
            task.name(owner, parent, entry.name)
            if entry.is_directory:
                if depth < DEPTH_MOST:
                    waiting.append((owner, path + b"/" + entry.name, self._chain(entry.cluster), depth + 1))
            elif entry.size:
                stretches = self._chain(entry.cluster, entry.size)
                if sum(stretch.clusters for stretch in stretches) * size < entry.size:
                    task.trouble.note("fat: a file whose chain is shorter than its size")
                for stretch in stretches:
                    task.row(self.geometry.place(stretch.cluster), stretch.clusters * size, owner, stretch.first * size)

    def _deleted(self, path: bytes, entry: FatEntry) -> None:
        if entry.is_directory or not entry.size:
            return
        count = self.table.free_stretch(entry.cluster, -(-entry.size // self.geometry.cluster_bytes))
        length = count * self.geometry.cluster_bytes
        if length:
            full = path + b"/" + entry.name.replace(b"/", b"_")
            self.task.was(self.geometry.place(entry.cluster), length, full, 0, entry.cluster, "directory entry", entry.size)
