"""Who owns which bytes of an exFAT volume. Source: Microsoft's exFAT specification 1.00.

A directory entry is a set of 32-byte records: the file's, its stream's, and the name's in pieces. A stream without a chain lies in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from snapscan.maps.bit_runs import true_runs
from snapscan.maps.ext_source import MapStopped
from snapscan.maps.fat_directory import dos_time
from snapscan.maps.fat_table import Geometry, Stretch, Table, read_all, read_stretches
from snapscan.maps.map_task import MapTask
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind, RowFlag
from snapscan.model.volume import Volume, VolumeReader

FILE, STREAM, NAME, BITMAP, UPCASE = 0x85, 0xC0, 0xC1, 0x81, 0x82
IN_USE = 0x80
NO_CHAIN = 2
IS_DIRECTORY = 0x10
DIRECTORY_BYTES_MOST = 256 << 20
DEPTH_MOST = 512


class _Entry(NamedTuple):
    name: bytes
    is_directory: bool
    deleted: bool
    in_a_row: bool
    cluster: int
    size: int
    valid: int
    mtime: int


class _Waiting(NamedTuple):
    owner: int
    path: bytes
    stretches: list[Stretch]
    depth: int


def map_exfat(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one exFAT volume. Raises nothing for a damaged one."""
    task = MapTask(reader, volume, limits)
    raw = task.read(0, 512)
    if raw[3:11] != b"EXFAT   " or not 9 <= raw[108] <= 12 or raw[109] > 25 - raw[108]:
        task.gap("unmapped", "exfat: the boot sector is damaged")
        return task.finish()
    try:
        _ExfatMapping(task, raw).run()
    except MapStopped as stop:
        task.gap("unmapped", str(stop))
    return task.finish()


def _entries(content: bytes) -> Iterator[_Entry]:
    at = 0
    while at + 32 <= len(content) and content[at]:
        kind, more = content[at], content[at + 1]
        if kind | IN_USE != FILE or content[at + 32 : at + 33] == b"":
            at += 32
            continue
        stream = content[at + 32 : at + 64]
        if len(stream) < 32 or stream[0] | IN_USE != STREAM or not 2 <= more <= 18:
            at += 32
            continue
        pieces = [content[k + 2 : k + 32] for k in range(at + 64, at + 32 + 32 * more, 32) if content[k : k + 1] and content[k] | IN_USE == NAME]
        name = b"".join(pieces)[: 2 * stream[3]]
        name = name[: len(name) // 2 * 2].decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass")
        valid, cluster, size = (int.from_bytes(stream[a:b], "little") for a, b in ((8, 16), (20, 24), (24, 32)))
        mtime = dos_time(int.from_bytes(content[at + 12 : at + 16], "little"))
        is_directory = bool(content[at + 4] & IS_DIRECTORY)
        yield _Entry(name, is_directory, not kind & IN_USE, bool(stream[1] & NO_CHAIN), cluster, size, valid, mtime)
        at += 32 * (more + 1)


class _ExfatMapping:
    def __init__(self, task: MapTask, raw: bytes) -> None:
        self.task = task
        sector = 1 << raw[108]
        table_at, table_sectors, heap, clusters, self.root_cluster = (int.from_bytes(raw[at : at + 4], "little") for at in range(80, 100, 4))
        cluster_bytes = sector << raw[109]
        room = max(0, task.size_bytes - heap * sector) // cluster_bytes
        self.geometry = Geometry(heap * sector, cluster_bytes, min(clusters, room))
        content = read_all(task, table_at * sector, min(table_sectors * sector, 4 * (self.geometry.clusters + 2)))
        self.table = Table(np.frombuffer(content[: len(content) // 4 * 4], dtype="<u4").astype(np.uint32), self.geometry)
        self.free = np.zeros(0, dtype=bool)
        self.broken = 0

    def run(self) -> None:
        task = self.task
        task.row(0, self.geometry.heap, task.owner(OwnerKind.METADATA))
        root = task.owner(OwnerKind.DIRECTORY)
        task.builder.root = root
        waiting = [_Waiting(root, b"", self._stretches(self.root_cluster, DIRECTORY_BYTES_MOST, in_a_row=False), 0)]
        self._own_structures(read_stretches(task, self.geometry, waiting[0].stretches))
        seen: set[int] = set()
        while waiting:
            folder = waiting.pop()
            self._rows(folder.owner, folder.stretches, 0, 0)
            if folder.stretches and folder.stretches[0].cluster not in seen:
                seen.add(folder.stretches[0].cluster)
                self._folder(folder, waiting)
        if self.broken:
            task.gap("unmapped", f"exfat: {self.broken} chains are broken")

    def _own_structures(self, root: bytes) -> None:
        """The bitmap of clusters in use, and the table of upper-case letters: both have entries in the root."""
        for at in range(0, len(root) - 31, 32):
            if root[at] not in (BITMAP, UPCASE):
                continue
            cluster, size = int.from_bytes(root[at + 20 : at + 24], "little"), int.from_bytes(root[at + 24 : at + 32], "little")
            stretches = self._stretches(cluster, min(size, self.task.size_bytes), in_a_row=False)
            self._rows(self.task.owner(OwnerKind.METADATA), stretches, size, size)
            if root[at] == BITMAP and not len(self.free):
                raw = read_stretches(self.task, self.geometry, stretches)
                self.free = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little")[: self.geometry.clusters] == 0
                starts, ends = true_runs(self.free)
                places = self.geometry.heap + starts * self.geometry.cluster_bytes
                self.task.builder.rows(places, self.geometry.heap + ends * self.geometry.cluster_bytes, self.task.owner(OwnerKind.FREE), places)

    def _folder(self, folder: _Waiting, waiting: list[_Waiting]) -> None:
        task = self.task
        for entry in _entries(read_stretches(task, self.geometry, folder.stretches)):
            task.visit()
            path = folder.path + b"/" + entry.name.replace(b"/", b"_")
            if entry.deleted:
                self._deleted(path, entry)
                continue
            kind = OwnerKind.DIRECTORY if entry.is_directory else OwnerKind.FILE
            owner = task.owner(kind, inode=entry.cluster, mtime=entry.mtime, size_bytes=entry.size)
            task.name(owner, folder.owner, entry.name)
            limit = min(entry.size, DIRECTORY_BYTES_MOST if entry.is_directory else task.size_bytes)
            stretches = self._stretches(entry.cluster, limit, in_a_row=entry.in_a_row) if limit else []
            if not entry.is_directory:
                self._rows(owner, stretches, entry.size, entry.valid)
            elif folder.depth < DEPTH_MOST:
                waiting.append(_Waiting(owner, path, stretches, folder.depth + 1))

    def _stretches(self, cluster: int, size: int, *, in_a_row: bool) -> list[Stretch]:
        count = -(-size // self.geometry.cluster_bytes)
        if in_a_row:
            whole = 2 <= cluster <= cluster + count <= self.geometry.clusters + 2
            self.broken += not whole
            return [Stretch(0, cluster, count)] if whole and count else []
        stretches, whole = self.table.chain(self.task, cluster, count)
        self.broken += not whole
        return stretches

    def _rows(self, owner: int, stretches: list[Stretch], size: int, valid: int) -> None:
        """Rows of stretches; what lies behind the valid length and before the size was never written by the file."""
        cluster_bytes = self.geometry.cluster_bytes
        for stretch in stretches:
            start, offset, length = self.geometry.place(stretch.cluster), stretch.first * cluster_bytes, stretch.clusters * cluster_bytes
            edges = sorted({0, length, *(min(max(edge - offset, 0), length) for edge in (valid, size) if valid < size)})
            for low, high in pairwise(edges):
                flags = RowFlag.UNWRITTEN if valid <= offset + low < size else 0
                self.task.row(start + low, high - low, owner, offset + low, flags)

    def _deleted(self, path: bytes, entry: _Entry) -> None:
        """A deleted file's bytes, as far as the clusters in a row from its first one are free."""
        first = entry.cluster - 2
        if entry.is_directory or not entry.size or not 0 <= first < len(self.free):
            return
        count = min(-(-entry.size // self.geometry.cluster_bytes), len(self.free) - first)
        used = np.flatnonzero(~self.free[first : first + count])
        count = int(used[0]) if len(used) else count
        if count:
            place, length = self.geometry.place(entry.cluster), count * self.geometry.cluster_bytes
            self.task.was(place, length, path, 0, entry.cluster, "directory entry", entry.size)
