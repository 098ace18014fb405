"""Who owns which bytes of an ext2, ext3 or ext4 volume, read from its own structures.

Order of work: superblock (or a backup), journal overlay, group descriptors, inode tables, directories, free space, former names.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snapscan.maps.container_names import container_names
from snapscan.maps.ext_directory import Entry, directory_windows, entries, shown_name
from snapscan.maps.ext_former import former
from snapscan.maps.ext_free import free_blocks, minus
from snapscan.maps.ext_groups import Groups, own_blocks, read_groups, united
from snapscan.maps.ext_inodes import ROOT_INODE, inode_tables
from snapscan.maps.ext_journal import open_journal
from snapscan.maps.ext_old_names import slack_entries
from snapscan.maps.ext_owners import OwnerCollector
from snapscan.maps.ext_replay import overlay_journal
from snapscan.maps.ext_source import ExtSource, MapStopped, Trouble
from snapscan.maps.ext_superblock import (
    SUPERBLOCK_BYTES,
    SUPERBLOCK_OFFSET,
    Incompat,
    Superblock,
    backup_offsets,
    parse_superblock,
    recognise_ext,
)
from snapscan.maps.map_files import MapFiles
from snapscan.model.errors import ReadFault
from snapscan.model.mapping import FormerName, MapLimits, Mapped
from snapscan.model.owner import OwnerKind, OwnerMap, RowFlag
from snapscan.model.owner_builder import MapBuilder, empty_like
from snapscan.model.volume import Volume, VolumeReader

__all__ = ["map_ext", "recognise_ext"]


def map_ext(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one ext volume. Raises nothing for a damaged one: gaps and notes say what is missing."""
    trouble = Trouble()
    sb = find_superblock(reader, trouble)
    if sb is None:
        trouble.gap("unmapped", volume.step, "neither the superblock nor a backup of it is readable")
        return Mapped(empty_like(volume), trouble.gaps(), trouble.notes())
    return _ExtMapping(reader, volume, limits, sb, trouble).run()


def find_superblock(reader: VolumeReader, trouble: Trouble) -> Superblock | None:
    """The primary superblock, or the first backup that a kernel would take."""
    for offset in (SUPERBLOCK_OFFSET, *backup_offsets()):
        try:
            sb = parse_superblock(reader.read(offset, SUPERBLOCK_BYTES))
        except ReadFault:
            continue
        if sb is not None:
            if offset != SUPERBLOCK_OFFSET:
                trouble.note(f"the superblock is damaged: its copy at byte {offset} was taken")
            return sb
    return None


class _ExtMapping:
    """One map task."""

    def __init__(self, reader: VolumeReader, volume: Volume, limits: MapLimits, sb: Superblock, trouble: Trouble) -> None:
        self._reader = reader
        self._volume = volume
        self._limits = limits
        self._sb = sb
        self._trouble = trouble
        self._source = ExtSource(reader, sb.block_bytes, trouble, limits.seconds)
        self._builder = MapBuilder()
        self._slack_names: list[tuple[int, Entry]] = []
        self._free_runs: NDArray[np.int64] = np.empty((0, 2), dtype=np.int64)

    def run(self) -> Mapped:
        self._check_extent()
        try:
            self._overlay_journal()
        except MapStopped as stop:
            self._trouble.gap("dirty-log", self._volume.step, str(stop))
        groups = read_groups(self._source, self._sb)
        collector = OwnerCollector(self._source, self._sb, self._builder)
        own = own_blocks(self._sb, groups)
        self._background(OwnerKind.METADATA, own)
        self._bounded(lambda: self._inodes(collector, groups))
        self._bounded(lambda: self._names(collector))
        self._bounded(lambda: self._free(groups, own, collector))
        owners = self._builder.finish(self._volume)
        self._report_encrypted(owners, collector)
        files = MapFiles(owners, self._reader.space)
        names = container_names(files.read_file, files.list_dir)
        return Mapped(owners, self._trouble.gaps(), self._trouble.notes(), self._former(groups, collector, owners), names)

    def _bounded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except MapStopped as stop:
            self._trouble.gap("unmapped", self._volume.step, str(stop))

    def _check_extent(self) -> None:
        sb = self._sb
        if sb.unknown_features:
            self._trouble.gap("unmapped", self._volume.step, f"unknown incompatible features {sb.unknown_features:#x}: the map may be wrong")
        if sb.blocks * sb.block_bytes > self._source.size_bytes:
            detail = f"the filesystem has {sb.blocks * sb.block_bytes} bytes, the volume {self._source.size_bytes}"
            self._trouble.gap("unmapped", self._volume.step, detail, self._source.size_bytes, sb.blocks * sb.block_bytes)

    def _overlay_journal(self) -> None:
        """Bring the metadata to the state that mounting would give: the committed part of a journal that was not emptied."""
        sb = self._sb
        if not sb.incompat & Incompat.RECOVER:
            return
        if not sb.journal_inode:
            self._trouble.gap("dirty-log", self._volume.step, "the journal is on another device and was not emptied")
            return
        journal = open_journal(self._source, sb, read_groups(self._source, sb))
        if journal is None:
            self._trouble.gap("dirty-log", self._volume.step, "the journal was not emptied, and cannot be read")
            return
        overlay_journal(self._source, sb, journal, self._volume.step)
        try:
            self._sb = parse_superblock(self._source.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES)) or sb
        except ReadFault:
            return

    def _inodes(self, collector: OwnerCollector, groups: Groups) -> None:
        try:
            for table in inode_tables(self._source, self._sb, groups, self._limits.inodes):
                collector.add(table)
        finally:
            collector.add_attribute_blocks()
            collector.add_cluster_rests()
            self._builder.root = collector.owner_of(ROOT_INODE)
            if self._builder.root < 0:
                self._trouble.gap("unmapped", self._volume.step, "the root directory's inode is missing")

    def _names(self, collector: OwnerCollector) -> None:
        found: list[Entry] = []
        for owner, raw in collector.inline_directories:
            if not entries(raw, 0, len(raw), found):
                self._trouble.note("an inline directory is damaged")
            self._add_names(collector, owner, found)
            found.clear()
        size = self._sb.block_bytes
        rooms: list[tuple[int, int]] = []
        for buffer, blocks in directory_windows(self._source, collector.directories):
            for at, owner, _ in blocks:
                if not entries(buffer, at, at + size, found, lambda start, end: rooms.append((start, end))):
                    self._trouble.note("a directory block is damaged")
                self._add_names(collector, owner, found)
                found.clear()
                for start, end in rooms:
                    self._slack_names += [(owner, entry) for entry in slack_entries(buffer, start, end, self._sb.inodes)]
                rooms.clear()

    def _add_names(self, collector: OwnerCollector, directory: int, found: list[Entry]) -> None:
        known = collector.owner_plus_one
        most = len(known)
        encrypted = directory in collector.encrypted
        twins = collector.twins
        add = self._builder.name
        for number, name in found:
            owner = int(known[number]) - 1 if number < most else -1
            if owner < 0:
                self._trouble.note("a directory entry leads to no inode")
                continue
            name = shown_name(name, encrypted)
            add(owner, directory, name)
            if number in twins:
                for twin in twins[number]:
                    add(twin, directory, name)

    def _free(self, groups: Groups, own: NDArray[np.int64], collector: OwnerCollector) -> None:
        ratio = self._sb.blocks_per_cluster
        index = np.array(sorted(collector.walker.index_blocks), dtype=np.int64) // ratio * ratio
        self._background(OwnerKind.METADATA, minus(united(np.stack([index, index + ratio], axis=1)), own))
        self._free_runs = free_blocks(self._source, self._sb, groups, own)
        self._background(OwnerKind.FREE, self._free_runs)

    def _former(self, groups: Groups, collector: OwnerCollector, owners: OwnerMap) -> tuple[FormerName, ...]:
        try:
            return former(self._source, self._sb, groups, collector, self._slack_names, self._free_runs, owners)
        except MapStopped as stop:
            self._trouble.note(f"former names are missing: {stop}")
            return ()

    def _background(self, kind: OwnerKind, runs: NDArray[np.int64]) -> None:
        owner = self._builder.owner(kind, size_bytes=int((runs[:, 1] - runs[:, 0]).sum()) * self._sb.block_bytes)
        size = self._sb.block_bytes
        self._builder.rows(runs[:, 0] * size, runs[:, 1] * size, owner, runs[:, 0] * size, RowFlag.BACKGROUND)

    def _report_encrypted(self, owners: OwnerMap, collector: OwnerCollector) -> None:
        for owner in sorted(collector.encrypted):
            parents = [parent for parent, _ in owners.names(owner)]
            if not any(parent in collector.encrypted for parent in parents):
                self._trouble.gap("encrypted-file", owners.path(owner).decode("utf-8", "replace"), "file names and contents below are encrypted")
