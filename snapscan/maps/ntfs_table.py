"""Where the Master File Table of an NTFS volume lies, and its records one after the other."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from snapscan.maps.map_task import MapTask
from snapscan.maps.ntfs_record import ATTRIBUTE_LIST, DATA, Record, Run, fixed, listed_records, parse_record

CHUNK_BYTES = 1 << 20


class Boot(NamedTuple):
    cluster_bytes: int
    record_bytes: int
    table_cluster: int
    mirror_cluster: int


def read_boot(sector: bytes) -> Boot | None:
    """What the boot sector says; None for another sector or impossible sizes."""
    if len(sector) < 512 or sector[3:11] != b"NTFS    ":
        return None
    (sector_bytes,) = struct.unpack_from("<H", sector, 11)
    per_cluster = sector[13] if sector[13] <= 0x80 else 1 << (256 - sector[13])
    table, mirror = struct.unpack_from("<QQ", sector, 48)
    (per_record,) = struct.unpack_from("<b", sector, 64)
    cluster_bytes = sector_bytes * per_cluster
    record_bytes = 1 << -per_record if per_record < 0 else per_record * cluster_bytes
    sane = sector_bytes in (256, 512, 1024, 2048, 4096) and 0 < cluster_bytes <= 2 << 20 and record_bytes in (512, 1024, 2048, 4096)
    return Boot(cluster_bytes, record_bytes, table, mirror) if sane else None


class Table:
    """The table's runs, found by `open`, and its records."""

    def __init__(self, task: MapTask, boot: Boot) -> None:
        self.task = task
        self.boot = boot
        self.cluster_bytes = boot.cluster_bytes
        self.record_bytes = boot.record_bytes
        self.runs: list[Run] = []

    def open(self) -> bool:
        """Find the table's own runs: in its first record, and in the records that the first one lists."""
        for cluster in (self.boot.table_cluster, self.boot.mirror_cluster):
            content = fixed(self.task.read(cluster * self.cluster_bytes, self.record_bytes))
            if content is None:
                continue
            record = parse_record(content)
            if self._take_table_runs(record):
                for number in self._listed(record, content):
                    place = self._place_of_record(number)
                    extension = fixed(self.task.read(place, self.record_bytes))
                    if extension is None or not self._take_table_runs(parse_record(extension)):
                        self.task.gap("unmapped", "ntfs: a part of the file table cannot be found")
                return True
        return False

    def _listed(self, record: Record, content: bytes) -> list[int]:
        """Records that hold further runs of the table: each is reached by the runs that come before it."""
        parts = []
        for stream in record.streams:
            if stream.kind == ATTRIBUTE_LIST and stream.resident:
                parts.append(content[stream.at : stream.at + stream.length])
            elif stream.kind == ATTRIBUTE_LIST:
                raw = [self.task.read(run.cluster * self.cluster_bytes, run.clusters * self.cluster_bytes) for run in stream.runs[:16]]
                parts.append(b"".join(raw)[: stream.size])
        return [number for number in dict.fromkeys(listed_records(b"".join(parts), DATA)) if number]

    def _place_of_record(self, number: int) -> int:
        """Where a record lies in the volume; -1 if no known run reaches it."""
        offset = number * self.record_bytes
        for run in self.runs:
            inner = offset - run.first * self.cluster_bytes
            if 0 <= inner < run.clusters * self.cluster_bytes:
                return run.cluster * self.cluster_bytes + inner
        return -1

    def _take_table_runs(self, record: Record) -> bool:
        for stream in record.streams:
            if stream.kind == DATA and not stream.name and not stream.resident:
                known = {run.first for run in self.runs}
                self.runs += [run for run in stream.runs if run.cluster >= 0 and run.first not in known]
        return bool(self.runs)

    def records(self, most: int | None = None) -> Iterator[tuple[int, int, bytes]]:
        """(record number, place in the volume, content) of every whole record, in the order of the table's runs."""
        most = most or self.task.size_bytes // self.record_bytes + 1
        chunk_bytes = CHUNK_BYTES // self.record_bytes * self.record_bytes
        seen = 0
        for run in sorted(self.runs):
            start = run.cluster * self.cluster_bytes
            length = min(run.clusters * self.cluster_bytes, self.task.size_bytes - start)
            number = run.first * self.cluster_bytes // self.record_bytes
            for at in range(0, length, chunk_bytes):
                chunk = self.task.read(start + at, min(chunk_bytes, length - at))
                self.task.visit(len(chunk) // self.record_bytes)
                for inner in range(0, len(chunk) - self.record_bytes + 1, self.record_bytes):
                    seen += 1
                    if seen > most:
                        return
                    content = fixed(chunk[inner : inner + self.record_bytes])
                    if content is not None:
                        yield number + (at + inner) // self.record_bytes, start + at + inner, content
                    elif chunk[inner : inner + 4] in (b"BAAD", b"FILE"):
                        self.task.trouble.note("ntfs: a torn record in the file table")
