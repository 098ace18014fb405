"""Who owns which bytes of an NTFS volume, read from its Master File Table by record number.

Names are never looked up by path, so names with a colon and hostile directories cost nothing. A stream beside a file's content is an
owner of its own, `name:stream`. Small content lies inside the MFT: its rows lead there, the last two bytes of each sector to the place
in the record where they are kept. Records out of use still tell names and runs of deleted files: `former`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from snapscan.maps.bit_runs import true_runs
from snapscan.maps.ext_source import MapStopped
from snapscan.maps.map_task import MapTask
from snapscan.maps.ntfs_record import (
    COMPRESSED,
    DATA,
    ENCRYPTED,
    INDEX_ALLOCATION,
    SECTOR,
    Name,
    Record,
    Run,
    Stream,
    parse_record,
)
from snapscan.maps.ntfs_table import Boot, Table, read_boot
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind, RowFlag
from snapscan.model.volume import Volume, VolumeReader

ROOT, LOG, BITMAP = 5, 2, 6
FIRST_USER_RECORD = 16
"""Records below are the filesystem's own; 16 to 23 are reserved and unused."""
BITMAP_BYTES_MOST = 1 << 30
PATH_DEPTH_MOST = 255


def map_ntfs(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one NTFS volume. Raises nothing for a damaged one."""
    task = MapTask(reader, volume, limits)
    boot = read_boot(task.read(0, 512)) or read_boot(task.read(task.size_bytes - 512, 512))
    if boot is None:
        task.gap("unmapped", "ntfs: the boot sector is damaged")
        return task.finish()
    try:
        _NtfsMapping(task, boot).run()
    except MapStopped as stop:
        task.gap("unmapped", str(stop))
    return task.finish()


class _NtfsMapping:
    def __init__(self, task: MapTask, boot: Boot) -> None:
        self.task = task
        self.cluster_bytes = boot.cluster_bytes
        self.table = Table(task, boot)
        self.clusters = task.size_bytes // boot.cluster_bytes + 1
        self.owners: dict[int, int] = {}
        self.sequences: dict[int, int] = {}
        self.first_names: dict[int, Name] = {}
        self.names: list[tuple[int, Name, bytes]] = []
        self.listed: dict[int, tuple[Record, int]] = {}
        self.extensions: dict[int, list[tuple[Record, int]]] = {}
        self.deleted: list[tuple[int, Record, int]] = []
        self.free = np.zeros(0, dtype=bool)
        self.compressed = self.encrypted = 0

    def run(self) -> None:
        if not self.table.open():
            self.task.gap("unmapped", "ntfs: neither the file table nor its mirror is readable")
            return
        try:
            for number, place, content in self.table.records():
                self._record(number, place, parse_record(content))
        finally:
            for number, (record, place) in self.listed.items():
                self._live(number, record, place, self.extensions.get(number, []))
            self._write_names()
        self._free_space()
        for number, record, place in self.deleted:
            self._deleted(number, record, place)
        if self.compressed:
            self.task.gap("unmapped", f"ntfs: {self.compressed} compressed streams are not decoded")
        if self.encrypted:
            self.task.gap("encrypted-file", f"ntfs: {self.encrypted} streams encrypted by EFS")

    def _record(self, number: int, place: int, record: Record) -> None:
        if not record.in_use:
            if not record.base and number >= FIRST_USER_RECORD:
                self.sequences[number] = record.sequence
                self.deleted.append((number, record, place))
                self._remember_name(number, record.names)
        elif record.base and record.base != number:
            self.extensions.setdefault(record.base, []).append((record, place))
        elif record.has_list:
            self.listed[number] = (record, place)
        else:
            self._live(number, record, place, [])

    def _live(self, number: int, record: Record, place: int, extensions: list[tuple[Record, int]]) -> None:
        streams = [(stream, at) for piece, at in [(record, place), *extensions] for stream in piece.streams]
        names = [name for piece in (record, *(piece for piece, _ in extensions)) for name in piece.names]
        self._remember_name(number, names)
        self.sequences[number] = record.sequence
        by_name: dict[bytes, list[tuple[Stream, int]]] = {}
        for stream, at in streams:
            if stream.kind == DATA:
                by_name.setdefault(stream.name, []).append((stream, at))
        content = by_name.pop(b"", [])
        kind = self._kind(number, record, names)
        owner = self.task.owner(kind, inode=number, mtime=record.mtime, size_bytes=_size(content))
        self.owners[number] = owner
        if number == ROOT:
            self.task.builder.root = owner
        else:
            self._add_names(owner, names, b"")
        self._place(owner, content, background=number == 0)
        for stream, _ in streams:
            if stream.kind != DATA and not stream.resident:
                # lists of attributes and the like are the filesystem's, a folder's index is the folder
                other = owner if stream.kind == INDEX_ALLOCATION else self.task.owner(OwnerKind.METADATA, inode=number)
                self._rows(other, stream, stream.size, stream.size)
        for stream_name, pieces in by_name.items():
            side = OwnerKind.METADATA if kind is OwnerKind.METADATA else OwnerKind.ATTRIBUTE
            twin = self.task.owner(side, inode=number, mtime=record.mtime, size_bytes=_size(pieces))
            self._add_names(twin, names, b":" + stream_name)
            self._place(twin, pieces)

    def _kind(self, number: int, record: Record, names: list[Name]) -> OwnerKind:
        if number == ROOT or (record.is_directory and number >= FIRST_USER_RECORD):
            return OwnerKind.DIRECTORY
        if number == LOG:
            return OwnerKind.JOURNAL
        if number < FIRST_USER_RECORD or (names and all(n.parent == 11 for n in names) and names[0].name.startswith(b"$")):
            return OwnerKind.METADATA
        return OwnerKind.SYMLINK if record.is_symlink else OwnerKind.FILE

    def _remember_name(self, number: int, names: list[Name]) -> None:
        if names:
            self.first_names[number] = next((name for name in names if not name.is_dos), names[0])

    def _add_names(self, owner: int, names: list[Name], suffix: bytes) -> None:
        """The long names; a DOS twin is another word for one of them."""
        for name in [name for name in names if not name.is_dos] or names[:1]:
            self.names.append((owner, name, suffix))

    def _write_names(self) -> None:
        """Parents are known only when all records were seen."""
        for owner, name, suffix in self.names:
            if self.sequences.get(name.parent, name.parent_sequence) != name.parent_sequence:
                self.task.trouble.note("ntfs: a name whose folder's sequence number differs")
            self.task.name(owner, self.owners.get(name.parent, -1), name.name + suffix)

    def _place(self, owner: int, pieces: list[tuple[Stream, int]], *, background: bool = False) -> None:
        """The rows of one stream, all its pieces."""
        size = _size(pieces)
        valid = max((stream.valid for stream, _ in pieces if stream.first == 0), default=size)
        flags = pieces[0][0].flags if pieces else 0
        self.compressed += bool(flags & COMPRESSED and any(run.cluster >= 0 for stream, _ in pieces for run in stream.runs))
        self.encrypted += bool(flags & ENCRYPTED)
        for stream, place in pieces:
            if stream.resident:
                for start, length, offset in self._resident(stream, place):
                    self.task.row(start, length, owner, offset)
            else:
                self._rows(owner, stream, size, valid, RowFlag.BACKGROUND if background else 0)

    def _resident(self, stream: Stream, place: int) -> Iterator[tuple[int, int, int]]:
        """(place, length, offset in the stream) of content inside a record: what lies on a sector's last two bytes is kept in front."""
        sequence_at = int.from_bytes(self.task.read(place + 4, 2), "little")
        at, end = stream.at, stream.at + stream.length
        while at < end:
            kept = (at // SECTOR + 1) * SECTOR - 2
            if at >= kept:
                length = min(end, kept + 2) - at
                yield place + sequence_at + 2 * (at // SECTOR + 1) + at - kept, length, at - stream.at
            else:
                length = min(end, kept) - at
                yield place + at, length, at - stream.at
            at += length

    def _rows(self, owner: int, stream: Stream, size: int, valid: int, flags: int = 0) -> None:
        """Rows of runs; what lies behind the valid length and before the size was never written by the file."""
        for run in stream.runs:
            if not 0 <= run.cluster < self.clusters:
                continue
            start, offset = run.cluster * self.cluster_bytes, run.first * self.cluster_bytes
            length = min(run.clusters, self.clusters - run.cluster) * self.cluster_bytes
            edges = sorted({0, length, *(min(max(edge - offset, 0), length) for edge in (valid, size) if valid < size)})
            for low, high in pairwise(edges):
                unwritten = RowFlag.UNWRITTEN if valid <= offset + low < size else 0
                self.task.row(start + low, high - low, owner, offset + low, flags | unwritten)

    def _free_space(self) -> None:
        """Clusters that the volume's own bitmap, record 6, says are free."""
        runs = self._bitmap_runs()
        parts = [self.task.read(run.cluster * self.cluster_bytes, run.clusters * self.cluster_bytes) for run in runs if run.cluster >= 0]
        raw = b"".join(parts)[: min(BITMAP_BYTES_MOST, -(-self.clusters // 8))]
        if not raw:
            self.task.trouble.note("ntfs: free space is not known, the bitmap cannot be read")
            return
        self.free = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little")[: self.task.size_bytes // self.cluster_bytes] == 0
        owner = self.task.owner(OwnerKind.FREE)
        starts, ends = true_runs(self.free)
        self.task.builder.rows(starts * self.cluster_bytes, ends * self.cluster_bytes, owner, starts * self.cluster_bytes)

    def _bitmap_runs(self) -> Iterable[Run]:
        if BITMAP in self.listed:
            record, _ = self.listed[BITMAP]
            pieces = [record, *(piece for piece, _ in self.extensions.get(BITMAP, []))]
        else:
            pieces = [parse_record(content) for number, _, content in self.table.records(BITMAP + 1) if number == BITMAP]
        streams = [s for piece in pieces for s in piece.streams if s.kind == DATA and not s.name and not s.resident]
        return [run for stream in sorted(streams, key=lambda s: s.first) for run in stream.runs]

    def _deleted(self, number: int, record: Record, place: int) -> None:
        """What a record out of use still says of bytes that nobody has taken since."""
        name = self.first_names.get(number)
        if name is None:
            return
        self.task.visit()
        path = self._former_path(name)
        for stream in record.streams:
            if stream.kind != DATA:
                continue
            full = path + (b":" + stream.name if stream.name else b"")
            if stream.resident:
                for start, length, offset in self._resident(stream, place):
                    self.task.was(start, length, full, offset, number, "MFT", stream.size)
                continue
            for run in stream.runs:
                if not 0 <= run.cluster < len(self.free):
                    continue
                starts, ends = true_runs(self.free[run.cluster : run.cluster + run.clusters])
                for low, high in zip(starts.tolist(), ends.tolist(), strict=True):
                    offset = (run.first + low) * self.cluster_bytes
                    start = (run.cluster + low) * self.cluster_bytes
                    self.task.was(start, (high - low) * self.cluster_bytes, full, offset, number, "MFT", stream.size)

    def _former_path(self, name: Name) -> bytes:
        """The path by parent records; a folder that was deleted counts one more than the number its children knew."""
        parts = [name.name]
        seen: set[int] = set()
        while name.parent != ROOT:
            known = self.first_names.get(name.parent)
            sequence = self.sequences.get(name.parent)
            gone = name.parent not in self.owners
            if (
                known is None
                or name.parent in seen
                or len(seen) > PATH_DEPTH_MOST
                or sequence not in (name.parent_sequence, name.parent_sequence + gone)
            ):
                parts.append(b"?inode-%d" % name.parent)
                break
            seen.add(name.parent)
            parts.append(known.name)
            name = known
        return b"".join(b"/" + part.replace(b"/", b"_") for part in reversed(parts))


def _size(pieces: list[tuple[Stream, int]]) -> int:
    """A stream's size: known where it begins."""
    return max((stream.size for stream, _ in pieces if stream.first == 0), default=0)
