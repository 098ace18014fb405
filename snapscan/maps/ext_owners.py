"""Turns inode tables into owners and rows: files, directories, links, the journal, attributes, and the filesystem's own files."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapscan.maps import ext_inodes as inode
from snapscan.maps.ext_attribute_owners import AttributeOwners, add_lone_block
from snapscan.maps.ext_extents import BlockWalker, Runs, cluster_rests, direct_blocks, joined_runs, no_runs, picked, root_extents
from snapscan.maps.ext_inodes import InodeTable
from snapscan.maps.ext_source import ExtSource
from snapscan.maps.ext_superblock import Superblock
from snapscan.model.owner import OwnerKind, OwnerState, RowFlag
from snapscan.model.owner_builder import MapBuilder

Int64 = NDArray[np.int64]
_DEAD_MOST = 200_000
_DIRECTORY_BLOCKS_MOST = 8_000_000


class OwnerCollector:
    """Everything that the inode tables say, table by table. What the names need is kept: the places of directories, and attribute owners."""

    def __init__(self, source: ExtSource, sb: Superblock, builder: MapBuilder) -> None:
        self._source = source
        self._sb = sb
        self._builder = builder
        self._blocks = min(sb.blocks, source.size_bytes // sb.block_bytes)
        self.walker = BlockWalker(source, sb.blocks)
        # what a volume cannot hold needs no room, whatever the superblock claims
        self._inodes = min(sb.inodes, source.size_bytes // sb.inode_bytes + sb.inodes_per_group)
        self.owner_plus_one = np.zeros(self._inodes + 1, dtype=np.int32)
        self.generation = np.zeros(self._inodes + 1, dtype=np.uint32)
        self.directory_runs: list[Runs] = []
        self.inline_directories: list[tuple[int, bytes]] = []
        """(owner, bytes of directory entries)"""
        self.encrypted: set[int] = set()
        """Owners that are encrypted directories."""
        self.all_runs: list[Runs] | None = [] if sb.blocks_per_cluster > 1 else None
        """With bigalloc every run, `which` being the owner: the rest of its clusters is its own too."""
        self.dead: list[tuple[Int64, NDArray[Any]]] = []
        """Numbers and inodes of regular files that are not in use and still name blocks."""
        self._dead_left = _DEAD_MOST
        self._attributes = AttributeOwners(source, sb, builder, self.inline_directories)
        self._system = {n for n in range(1, sb.first_inode) if n != inode.ROOT_INODE} | sb.system_inodes | {sb.journal_inode}

    def owner_of(self, number: int) -> int:
        """The owner of an inode, -1 where it has none."""
        return int(self.owner_plus_one[number]) - 1 if 0 < number <= self._inodes else -1

    def add(self, table: InodeTable) -> None:
        """Owners and rows of one group's inodes."""
        mode, links = table.inodes["mode"], table.inodes["links"]
        numbers = table.first_inode + np.arange(len(mode), dtype=np.int64)
        wanted = (mode != 0) & ((links > 0) | table.allocated)
        if table.first_inode == 1:
            wanted[0] = table.inodes["block"][0].any()  # the list of bad blocks has neither mode nor links
        wanted &= numbers <= self._inodes
        self._keep_dead(table, numbers)
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return
        form = mode[rows] & inode.FORMAT
        kind = np.full(len(rows), OwnerKind.FILE, dtype=np.uint8)
        kind[form == inode.DIRECTORY] = OwnerKind.DIRECTORY
        kind[form == inode.SYMLINK] = OwnerKind.SYMLINK
        kind[table.inodes["flags"][rows] & inode.EA_INODE != 0] = OwnerKind.ATTRIBUTE
        system = np.isin(numbers[rows], list(self._system))
        kind[system] = np.where(numbers[rows][system] == self._sb.journal_inode, OwnerKind.JOURNAL, OwnerKind.METADATA)
        state = np.where((links[rows] == 0) & ~system, OwnerState.DELETED, OwnerState.LIVE)
        size = table.size_bytes(rows)
        first = self._builder.owners(
            kind=kind, state=state, mode=mode[rows], uid=table.uid(rows), inode=numbers[rows], mtime=table.mtime(rows), size_bytes=size
        )
        owners = first + np.arange(len(rows), dtype=np.int64)
        self.owner_plus_one[numbers[rows]] = owners + 1
        self.generation[numbers[rows]] = table.inodes["generation"][rows]
        self._add_blocks(table, rows, owners, size)
        self._attributes.add(table, rows, owners)

    def _keep_dead(self, table: InodeTable, numbers: Int64) -> None:
        dead = np.flatnonzero((table.inodes["links"] == 0) & ~table.allocated & (table.inodes["mode"] & inode.FORMAT == inode.REGULAR))
        block = table.inodes["block"][dead]
        in_tree = table.inodes["flags"][dead] & inode.EXTENTS != 0
        # bytes 2 and 3 of an extent tree's root count its entries; an unused block map is all zeros
        dead = dead[np.where(in_tree, block[:, 2:4].any(axis=1), block.any(axis=1))][: self._dead_left]
        if len(dead):
            self._dead_left -= len(dead)
            self.dead.append((numbers[dead], table.inodes[dead]))

    def _add_blocks(self, table: InodeTable, rows: Int64, owners: Int64, size: NDArray[np.uint64]) -> None:
        flags = table.inodes["flags"][rows]
        form = table.inodes["mode"][rows] & inode.FORMAT
        numbers = table.first_inode + rows
        inline = flags & inode.INLINE_DATA != 0
        link = form == inode.SYMLINK
        in_tree = flags & inode.EXTENTS != 0
        has_blocks = (form == inode.REGULAR) | (form == inode.DIRECTORY) | link & (in_tree | (size >= inode.I_BLOCK_BYTES))
        has_blocks |= numbers == inode.BAD_BLOCKS_INODE
        has_blocks &= ~inline & (numbers != inode.RESIZE_INODE)
        runs = joined_runs(self._tree_runs(table, rows, owners, has_blocks & in_tree) + self._map_runs(table, rows, owners, has_blocks & ~in_tree))
        runs = self._inside(runs)
        self._add_runs(runs)
        self._keep_directories(runs, owners, form == inode.DIRECTORY, size)
        self.encrypted.update(owners[(form == inode.DIRECTORY) & (flags & inode.ENCRYPT != 0)].tolist())
        short = (link & ~has_blocks | inline) & (size > 0)
        start = table.offset + rows[short] * self._sb.inode_bytes + inode.I_BLOCK_OFFSET
        self._builder.rows(start, start + inode.I_BLOCK_BYTES, owners[short], np.zeros(len(start), dtype=np.int64))
        self._add_resize_inode(table, rows, owners, numbers)

    def _tree_runs(self, table: InodeTable, rows: Int64, owners: Int64, chosen: NDArray[np.bool_]) -> list[Runs]:
        roots = table.inodes["block"][rows[chosen]]
        chosen_owners = owners[chosen]
        runs, deep, bad = root_extents(roots)
        self._source.trouble.note("an inode's extents are damaged", int(bad.sum()))
        parts = [runs._replace(which=chosen_owners[runs.which])]
        parts += [self.walker.tree(roots[k].tobytes(), int(chosen_owners[k])) for k in np.flatnonzero(deep).tolist()]
        return parts

    def _map_runs(self, table: InodeTable, rows: Int64, owners: Int64, chosen: NDArray[np.bool_]) -> list[Runs]:
        if not chosen.any():
            return []
        maps = np.ascontiguousarray(table.inodes["block"][rows[chosen]]).view("<u4").astype(np.int64)
        chosen_owners = owners[chosen]
        runs = direct_blocks(maps[:, :12])
        parts = [runs._replace(which=chosen_owners[runs.which])]
        far = np.flatnonzero(maps[:, 12:].any(axis=1)).tolist()
        return parts + [self.walker.indirect(maps[k, 12:], int(chosen_owners[k])) for k in far]

    def _inside(self, runs: Runs) -> Runs:
        good = (runs.physical > 0) & (runs.physical + runs.length <= self._blocks) & (runs.length > 0)
        if good.all():
            return runs
        self._source.trouble.note("an extent lies outside the volume", int((~good & (runs.length > 0)).sum()))
        count = np.minimum(runs.length, self._blocks - runs.physical)
        return picked(runs._replace(length=count), (runs.physical > 0) & (count > 0))

    def _add_runs(self, runs: Runs) -> None:
        size = self._sb.block_bytes
        start = runs.physical * size
        flags = np.where(runs.unwritten, RowFlag.UNWRITTEN, 0)
        self._builder.rows(start, start + runs.length * size, runs.which, runs.logical * size, flags)
        if self.all_runs is not None:
            self.all_runs.append(runs)

    def _keep_directories(self, runs: Runs, owners: Int64, directory: NDArray[np.bool_], size: NDArray[np.uint64]) -> None:
        """Blocks behind a directory's size hold no names that count."""
        if not directory.any():
            return
        at = runs.which - owners[0]
        most = np.minimum(size // np.uint64(self._sb.block_bytes), np.uint64(1 << 40)).astype(np.int64)[at]
        count = np.minimum(runs.length, most - runs.logical)
        self.directory_runs.append(picked(runs._replace(length=count), directory[at] & (count > 0) & ~runs.unwritten))

    def _add_resize_inode(self, table: InodeTable, rows: Int64, owners: Int64, numbers: Int64) -> None:
        """The inode that keeps descriptor blocks for growth: those are counted with the descriptors, its one indirect block is here."""
        for k in np.flatnonzero(numbers == inode.RESIZE_INODE).tolist():
            block = int(np.frombuffer(table.inodes["block"][rows[k]].tobytes(), dtype="<u4")[13])
            if 0 < block < self._blocks:
                add_lone_block(self._builder, self._sb, block, int(owners[k]))

    @property
    def twins(self) -> dict[int, list[int]]:
        """Inode number -> attribute owners that go by its names."""
        return self._attributes.twins

    def add_attribute_blocks(self) -> None:
        """After the last table: the owners of attribute blocks, and who goes by whose name."""
        self._attributes.finish(self.owner_of)

    def add_cluster_rests(self) -> None:
        """After the last table: what a cluster of bigalloc holds beside its runs belongs to the same inode, and the guest does not read it."""
        if self.all_runs is None:
            return
        size = self._sb.block_bytes
        for owner, logical, start, end in cluster_rests(joined_runs(self.all_runs), self._sb.blocks_per_cluster):
            self._builder.rows(start * size, end * size, owner, logical * size, RowFlag.UNWRITTEN | RowFlag.BACKGROUND)

    @cached_property
    def directories(self) -> Runs:
        """The blocks of all directories, `which` being the owner; bounded. For after the last table."""
        runs = joined_runs(self.directory_runs) if self.directory_runs else no_runs()
        fits = np.cumsum(runs.length) <= min(self._blocks, _DIRECTORY_BLOCKS_MOST)
        if not fits.all():
            self._source.trouble.gap("unmapped", "directories", "directories claim more blocks than the volume has or than are read")
        return picked(runs, fits)
