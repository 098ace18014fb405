"""Who owns which bytes of a btrfs device, from its trees: subvolumes, snapshots, shared extents, free space.

Extents of profiles with whole copies (single, DUP, RAID1) have places; those of striped profiles do not. Compressed extents have no rows
either: their bytes are not the file's. Both are gaps. Source: as in `btrfs_tree.py`.
"""

from __future__ import annotations

import stat
import struct
from typing import NamedTuple

import numpy as np

from snapscan.maps.btrfs_tree import SUPER_BYTES, SUPER_PLACES, Item, Super, Trees, parse_super
from snapscan.maps.ext_source import MapStopped
from snapscan.maps.map_task import MapTask
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind, RowFlag
from snapscan.model.volume import Volume, VolumeReader

INODE_ITEM, INODE_REF, INODE_EXTREF, EXTENT_DATA, ROOT_ITEM, ROOT_BACKREF, EXTENT_ITEM, METADATA_ITEM = 1, 12, 13, 108, 132, 144, 168, 169
EXTENT_TREE, FS_TREE, FIRST_FREE, LAST_FREE = 2, 5, 256, 2**64 - 256
INLINE, REGULAR, PREALLOCATED = 0, 1, 2
TREE_BLOCK = 2


class _Subvolume(NamedTuple):
    root: int
    directory: int


def map_btrfs(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one btrfs device. Raises nothing for a damaged one."""
    task = MapTask(reader, volume, limits)
    supers = [sb for place in SUPER_PLACES if (sb := parse_super(task.read(place, SUPER_BYTES))) is not None]
    if not supers:
        task.gap("unmapped", "btrfs: the superblock and its copies are damaged")
        return task.finish()
    mapping = _BtrfsMapping(task, max(supers, key=lambda sb: sb.generation))
    try:
        mapping.run()
    except MapStopped as stop:
        task.gap("unmapped", str(stop))
    mapping.write_names()
    return task.finish()


class _BtrfsMapping:
    def __init__(self, task: MapTask, sb: Super) -> None:
        self.task = task
        self.sb = sb
        self.owners: dict[tuple[int, int], int] = {}
        self.names: list[tuple[int, tuple[int, int], bytes]] = []
        self.mounted: list[tuple[int, int, int, bytes]] = []
        self.compressed = self.striped = 0

    def run(self) -> None:
        task = self.task
        if self.sb.log_root:
            task.gap("dirty-log", "btrfs: a log of recent changes was not replayed")
        trees = Trees(task, self.sb)
        roots: dict[int, _Subvolume] = {}
        extent_root = 0
        for item in trees.items(self.sb.root):
            if item.kind == ROOT_ITEM and len(item.content) >= 220:
                directory, start = struct.unpack_from("<QQ", item.content, 168)
                (references,) = struct.unpack_from("<I", item.content, 216)
                if item.object == EXTENT_TREE:
                    extent_root = start
                elif item.object == FS_TREE or (FIRST_FREE <= item.object <= LAST_FREE and references):
                    roots[item.object] = _Subvolume(start, directory)
            elif item.kind == ROOT_BACKREF and len(item.content) >= 18:
                directory, _, length = struct.unpack_from("<QQH", item.content)
                self.mounted.append((item.object, item.offset, directory, item.content[18 : 18 + length]))
        for number, subvolume in sorted(roots.items()):
            for item in trees.items(subvolume.root):
                self._item(number, item, trees)
        task.builder.root = self.owners.get((FS_TREE, roots[FS_TREE].directory), -1) if FS_TREE in roots else -1
        for child, parent, directory, name in self.mounted:
            if child in roots:
                self.names.append((self.owners.get((child, roots[child].directory), -1), (parent, directory), name))
        self._space(trees, extent_root)
        if trees.damaged:
            task.gap("unmapped", f"btrfs: {trees.damaged} tree nodes are damaged or out of reach")
        if self.compressed:
            task.gap("unmapped", f"btrfs: {self.compressed} compressed extents are not decoded")
        if self.striped:
            task.gap("unmapped", f"btrfs: {self.striped} extents have no place on this device")

    def write_names(self) -> None:
        for owner, parent, name in self.names:
            if owner >= 0:
                self.task.name(owner, self.owners.get(parent, -1), name)

    def _item(self, tree: int, item: Item, trees: Trees) -> None:
        content = item.content
        if item.kind == INODE_ITEM and len(content) >= 160:
            self.task.visit()
            size, _, _, _, uid, _, mode = struct.unpack_from("<QQQIIII", content, 16)
            (mtime,) = struct.unpack_from("<q", content, 136)
            kinds = {stat.S_IFDIR: OwnerKind.DIRECTORY, stat.S_IFLNK: OwnerKind.SYMLINK}
            kind = kinds.get(stat.S_IFMT(mode), OwnerKind.FILE)
            owner = self.task.owner(kind, inode=item.object, mode=mode, uid=uid, mtime=mtime, size_bytes=size)
            self.owners[tree, item.object] = owner
            return
        owner = self.owners.get((tree, item.object), -1)
        if owner < 0:
            return
        if item.kind == INODE_REF:
            self._references(owner, tree, item.offset, content, 0)
        elif item.kind == INODE_EXTREF:
            self._references(owner, tree, 0, content, 8)
        elif item.kind == EXTENT_DATA and len(content) >= 21:
            self._extent(owner, item, trees)

    def _references(self, owner: int, tree: int, parent: int, content: bytes, skip: int) -> None:
        """Names of one inode: in one folder, or (with `skip`, its bytes) each with the folder in front."""
        at = 0
        while at + skip + 10 <= len(content):
            if skip:
                (parent,) = struct.unpack_from("<Q", content, at)
            (length,) = struct.unpack_from("<H", content, at + skip + 8)
            name = content[at + skip + 10 : at + skip + 10 + length]
            if name != b"..":
                self.names.append((owner, (tree, parent), name))
            at += skip + 10 + length

    def _extent(self, owner: int, item: Item, trees: Trees) -> None:
        content = item.content
        compression, encryption, kind = content[16], content[17], content[20]
        if kind == INLINE:
            if compression or encryption:
                self.compressed += 1
            else:
                self.task.row(item.leaf + item.at + 21, len(content) - 21, owner, item.offset)
            return
        if len(content) < 53 or kind not in (REGULAR, PREALLOCATED):
            return
        start, _, offset, length = struct.unpack_from("<4Q", content, 21)
        if not start:
            return
        if compression or encryption:
            self.compressed += 1
            return
        flags = RowFlag.UNWRITTEN if kind == PREALLOCATED else 0
        placed = 0
        for low, piece, places in trees.chunks.pieces(start + offset, length):
            if places:
                self.task.row(places[0], piece, owner, item.offset + low - start - offset, flags)
                placed += piece
        self.striped += placed < length

    def _space(self, trees: Trees, extent_root: int) -> None:
        """Tree blocks, free space in chunks, and what no chunk has: from the extent tree, all copies.

        Free rows give way: the copies of the superblock lie inside chunks that count them as free.
        """
        task = self.task
        metadata = task.owner(OwnerKind.METADATA)
        for place in SUPER_PLACES:
            task.row(place, SUPER_BYTES, metadata)
        used: list[tuple[int, int]] = []
        damaged = trees.damaged
        for item in trees.items(extent_root) if extent_root else ():
            if item.kind not in (EXTENT_ITEM, METADATA_ITEM):
                continue
            length = item.offset if item.kind == EXTENT_ITEM else self.sb.node_bytes
            if item.object < 2**62 and length < 2**62:
                used.append((item.object, length))
            is_tree = item.kind == METADATA_ITEM or (len(item.content) >= 24 and item.content[16] & TREE_BLOCK)
            for _, piece, places in trees.chunks.pieces(item.object, length) if is_tree else ():
                for place in places:
                    if 0 <= place < task.size_bytes:
                        task.builder.row(place, min(place + piece, task.size_bytes), metadata, 0, RowFlag.BACKGROUND)
        if not extent_root or trees.damaged > damaged:
            task.trouble.note("btrfs: free space is not known, the extent tree is damaged")
            return
        self._free(trees, used)

    def _free(self, trees: Trees, used: list[tuple[int, int]]) -> None:
        task = self.task
        owner = task.owner(OwnerKind.FREE)
        table = np.array(sorted(used), dtype=np.int64).reshape(-1, 2)
        taken = [(place, place + chunk.length) for chunk in trees.chunks for place in chunk.places]
        for chunk in trees.chunks:
            if max(chunk.start, chunk.length) >= 2**62 or not chunk.places:
                continue
            first, last = np.searchsorted(table[:, 0], [chunk.start, chunk.start + chunk.length])
            at = chunk.start
            for start, length in [*table[first:last].tolist(), (chunk.start + chunk.length, 0)]:
                for place in chunk.places if start > at else ():
                    task.row(place + at - chunk.start, start - at, owner, place + at - chunk.start, RowFlag.BACKGROUND)
                at = max(at, start + length)
        reach = 0
        for start, end in [*sorted([*taken, *((p, p + SUPER_BYTES) for p in SUPER_PLACES)]), (task.size_bytes, task.size_bytes)]:
            if start > reach:
                task.row(reach, start - reach, owner, reach, RowFlag.BACKGROUND)
            reach = max(reach, end)
