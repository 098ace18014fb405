"""Who owns which bytes of an XFS volume, read from its allocation groups: inode trees, extents, free space, the log.

Directories are put together in blocks of the size the superblock says, which may be many filesystem blocks. Source: the Linux kernel's
fs/xfs/libxfs/xfs_format.h and xfs_da_format.h.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

from snapscan.maps.ext_source import MapStopped
from snapscan.maps.map_task import MapTask
from snapscan.maps.xfs_inode import (
    BTREE,
    EXTENTS,
    EXTENTS_MOST,
    LOCAL,
    Entry,
    Extent,
    Inode,
    block_entries,
    parse_extents,
    parse_inode,
    short_entries,
)
from snapscan.maps.xfs_log import is_clean
from snapscan.maps.xfs_super import Super, parse_super
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind, RowFlag
from snapscan.model.volume import Volume, VolumeReader

DIRECTORY_DATA_END = 1 << 35
"""File offset behind which a directory keeps its hash index instead of entries (XFS_DIR2_LEAF_OFFSET, 32 GiB)."""
CHUNK_INODES = 64
KNOWN_INCOMPATIBLE = 0xFF
"""Features up to parent pointers; later ones (metadata directories, zones) move what we look for."""


def map_xfs(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one XFS volume. Raises nothing for a damaged one."""
    task = MapTask(reader, volume, limits)
    sb = parse_super(task.read(0, 512))
    if sb is None:
        task.gap("unmapped", "xfs: the superblock is damaged")
        return task.finish()
    if sb.incompatible & ~KNOWN_INCOMPATIBLE:
        task.gap("unmapped", f"xfs: unknown features {sb.incompatible & ~KNOWN_INCOMPATIBLE:#x}")
        return task.finish()
    mapping = _XfsMapping(task, sb)
    try:
        mapping.run()
    except MapStopped as stop:
        task.gap("unmapped", str(stop))
    mapping.write_names()
    return task.finish()


class _XfsMapping:
    def __init__(self, task: MapTask, sb: Super) -> None:
        self.task = task
        self.sb = sb
        self.metadata = task.owner(OwnerKind.METADATA)
        self.free = task.owner(OwnerKind.FREE)
        self.owners: dict[int, int] = {}
        self.names: list[tuple[int, Entry]] = []
        self.realtime = 0
        self.damaged = False

    def run(self) -> None:
        self._log()
        for group in range(min(self.sb.groups, -(-self.task.size_bytes // (self.sb.group_blocks * self.sb.block_bytes)))):
            self.task.visit()
            self._group(group)
        if self.realtime:
            self.task.gap("unmapped", f"xfs: {self.realtime} files on a realtime device")
        if self.damaged:
            self.task.gap("unmapped", "xfs: a tree of inodes or extents is damaged")

    def write_names(self) -> None:
        for parent, entry in self.names:
            owner = self.owners.get(entry.inode)
            if owner is None:
                self.task.trouble.note("xfs: a name of an inode that is not in use")
            else:
                self.task.name(owner, parent, entry.name)

    def _block(self, absolute: int) -> int:
        """Byte offset of an absolute block number: the group in its high bits, the block inside in its low ones; -1 outside."""
        group, inner = absolute >> self.sb.group_log, absolute & ((1 << self.sb.group_log) - 1)
        if group >= self.sb.groups or inner >= self.sb.group_blocks:
            return -1
        return (group * self.sb.group_blocks + inner) * self.sb.block_bytes

    def _log(self) -> None:
        if not self.sb.log_start:
            self.task.gap("dirty-log", "xfs: the log is on another device")
            return
        start, length = self._block(self.sb.log_start), self.sb.log_blocks * self.sb.block_bytes
        self.task.row(start, length, self.task.owner(OwnerKind.JOURNAL, size_bytes=length))
        clean = is_clean(self.task, start, length)
        if clean is False:
            self.task.gap("dirty-log", "xfs: the log was not replayed: names and places may be older than the guest's")
        elif clean is None:
            self.task.trouble.note("xfs: whether the log is clean could not be told")

    def _group(self, group: int) -> None:
        base = group * self.sb.group_blocks * self.sb.block_bytes
        self.task.row(base, 4 * self.sb.sector_bytes, self.metadata)
        free = self.task.read(base + self.sb.sector_bytes, 512)
        inodes = self.task.read(base + 2 * self.sb.sector_bytes, 512)
        if free[:4] != b"XAGF" or inodes[:4] != b"XAGI":
            self.task.gap("unmapped", f"xfs: the headers of allocation group {group} are damaged")
            if inodes[:4] != b"XAGI":
                return
        else:
            for leaf in self._tree(base, int.from_bytes(free[16:20], "big"), (b"ABTB", b"AB3B"), 8, 8):
                for first, count in struct.iter_unpack(">II", leaf):
                    if first < self.sb.group_blocks:
                        place = base + first * self.sb.block_bytes
                        length = min(count, self.sb.group_blocks - first) * self.sb.block_bytes
                        self.task.row(place, length, self.free, place)
            for _ in self._tree(base, int.from_bytes(free[20:24], "big"), (b"ABTC", b"AB3C"), 8, 8):
                pass  # the walk itself claims the tree's blocks
        for leaf in self._tree(base, int.from_bytes(inodes[20:24], "big"), (b"IABT", b"IAB3"), 16, 4):
            for at in range(0, len(leaf) - 15, 16):
                self._chunk(group, base, leaf[at : at + 16])

    def _tree(self, base: int, root: int, magics: tuple[bytes, bytes], record_bytes: int, key_bytes: int) -> Iterator[bytes]:
        """The records of each leaf of a group's own tree. Its blocks are metadata; each is visited once."""
        header = 56 if self.sb.version == 5 else 16
        most = (self.sb.block_bytes - header) // (key_bytes + 4)
        waiting, seen = [root], set[int]()
        while waiting:
            block = waiting.pop()
            if block in seen or block >= self.sb.group_blocks:
                self.damaged = True
                continue
            seen.add(block)
            self.task.visit()
            place = base + block * self.sb.block_bytes
            raw = self.task.read(place, self.sb.block_bytes)
            if raw[:4] not in magics or len(raw) < self.sb.block_bytes:
                self.damaged = True
                continue
            self.task.row(place, self.sb.block_bytes, self.metadata)
            level, count = struct.unpack_from(">HH", raw, 4)
            if level == 0:
                yield raw[header : header + min(count * record_bytes, (self.sb.block_bytes - header) // record_bytes * record_bytes)]
            else:
                at = header + most * key_bytes
                waiting += struct.unpack_from(f">{min(count, most)}I", raw, at)[::-1]

    def _chunk(self, group: int, base: int, record: bytes) -> None:
        """64 inodes, those of them that are stored and in use."""
        sb = self.sb
        first, free = struct.unpack(">I4xQ", record)
        holes = int.from_bytes(record[4:6], "big") if sb.incompatible & 2 else 0
        place = base + (first >> sb.inodes_per_block_log) * sb.block_bytes + (first & ((1 << sb.inodes_per_block_log) - 1)) * sb.inode_bytes
        self.task.visit(CHUNK_INODES)
        raw = self.task.read(place, CHUNK_INODES * sb.inode_bytes)
        for k in range(len(raw) // sb.inode_bytes):
            if holes >> (k // 4) & 1:
                continue
            at = place + k * sb.inode_bytes
            if k % 4 == 0:
                self.task.builder.row(at, at + 4 * sb.inode_bytes, self.metadata, 0, RowFlag.BACKGROUND)
            if free >> k & 1:
                continue
            inode = parse_inode(raw[k * sb.inode_bytes : (k + 1) * sb.inode_bytes])
            if inode is None:
                self.task.trouble.note("xfs: an inode in use without its magic")
                continue
            number = group << (sb.group_log + sb.inodes_per_block_log) | first + k
            self._inode(number, at, inode)

    def _inode(self, number: int, place: int, inode: Inode) -> None:
        kinds = {stat.S_IFDIR: OwnerKind.DIRECTORY, stat.S_IFLNK: OwnerKind.SYMLINK}
        kind = OwnerKind.METADATA if number in self.sb.own_inodes else kinds.get(stat.S_IFMT(inode.mode), OwnerKind.FILE)
        owner = self.task.owner(kind, inode=number, mode=inode.mode, uid=inode.uid, mtime=inode.mtime, size_bytes=inode.size)
        self.owners[number] = owner
        if number == self.sb.root:
            self.task.builder.root = owner
        if inode.format == LOCAL:
            length = min(inode.size, len(inode.data_fork))
            self.task.row(place + inode.data_at, length, owner)
            if kind is OwnerKind.DIRECTORY:
                self.names += [(owner, entry) for entry in short_entries(inode.data_fork[:length], has_type=self.sb.has_type)]
        elif inode.realtime:
            self.realtime += 1
        elif inode.format in (EXTENTS, BTREE):
            extents = self._extents(inode.format, inode.data_fork, inode.data_extents)
            self._rows(owner, extents)
            if kind is OwnerKind.DIRECTORY:
                self._directory(owner, extents)
        if inode.attribute_format in (EXTENTS, BTREE) and inode.attribute_fork:
            extents = self._extents(inode.attribute_format, inode.attribute_fork, inode.attribute_extents)
            if extents:
                size = max(e.first + e.blocks for e in extents) * self.sb.block_bytes
                self._rows(self.task.owner(OwnerKind.ATTRIBUTE, inode=number, size_bytes=size), extents)

    def _rows(self, owner: int, extents: list[Extent]) -> None:
        size = self.sb.block_bytes
        for extent in extents:
            start = self._block(extent.block)
            if start >= 0:
                room = self.sb.group_blocks - (extent.block & ((1 << self.sb.group_log) - 1))
                flags = RowFlag.UNWRITTEN if extent.unwritten else 0
                self.task.row(start, min(extent.blocks, room) * size, owner, extent.first * size, flags)

    def _extents(self, kind: int, fork: bytes, count: int) -> list[Extent]:
        """All extents of one fork: in the inode, or in a tree whose root is there."""
        if kind == EXTENTS:
            return parse_extents(fork, count)
        found: list[Extent] = []
        most = (len(fork) - 4) // 16
        if most <= 0:
            return found
        inner = min(int.from_bytes(fork[2:4], "big"), most)
        waiting = list(struct.unpack_from(f">{inner}Q", fork, 4 + 8 * most))[::-1]
        header = 72 if self.sb.version == 5 else 24
        most = (self.sb.block_bytes - header) // 16
        seen = set[int]()
        while waiting and len(found) < EXTENTS_MOST:
            block = waiting.pop()
            place = self._block(block)
            raw = self.task.read(place, self.sb.block_bytes) if block not in seen else b""
            if raw[:4] not in (b"BMAP", b"BMA3") or len(raw) < self.sb.block_bytes:
                self.damaged = True
                continue
            seen.add(block)
            self.task.visit()
            self.task.row(place, self.sb.block_bytes, self.metadata)
            level, count = struct.unpack_from(">HH", raw, 4)
            if level == 0:
                found += parse_extents(raw[header:], count)
            else:
                waiting += struct.unpack_from(f">{min(count, most)}Q", raw, header + 8 * most)[::-1]
        return found

    def _directory(self, owner: int, extents: list[Extent]) -> None:
        """Entries of all data blocks; a block may be put together from several extents."""
        sb = self.sb
        per_block = sb.directory_bytes // sb.block_bytes
        blocks: dict[int, list[int]] = {}
        for extent in extents:
            for k in range(extent.blocks):
                first = extent.first + k
                if first * sb.block_bytes >= DIRECTORY_DATA_END:
                    break
                if k % 4096 == 0:
                    self.task.visit()
                blocks.setdefault(first // per_block, [-1] * per_block)[first % per_block] = self._block(extent.block + k)
            self.task.visit()
        for places in blocks.values():
            parts = [self.task.read(place, sb.block_bytes) if place >= 0 else b"" for place in places]
            if not all(parts):
                self.task.trouble.note("xfs: a directory block is not whole")
                continue
            self.names += [(owner, entry) for entry in block_entries(b"".join(parts), has_type=sb.has_type)]
