"""Owners of extended attributes: they belong to a file and go by its names, and are not its content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snapscan.maps import ext_attributes as xattr
from snapscan.maps import ext_inodes as inode
from snapscan.maps.ext_inodes import InodeTable
from snapscan.maps.ext_source import ExtSource
from snapscan.maps.ext_superblock import Incompat, Superblock
from snapscan.model.owner import OwnerKind, RowFlag
from snapscan.model.owner_builder import MapBuilder

Int64 = NDArray[np.int64]
_SHARERS_MOST = 16


class AttributeOwners:
    """Attributes table by table. File content that lies among attributes (inline data) becomes rows of the file."""

    def __init__(self, source: ExtSource, sb: Superblock, builder: MapBuilder, inline_directories: list[tuple[int, bytes]]) -> None:
        """`inline_directories` gets (owner, entries) of each directory that lies in its inode."""
        self._source = source
        self._sb = sb
        self._builder = builder
        self._blocks = min(sb.blocks, source.size_bytes // sb.block_bytes)
        self.inline_directories = inline_directories
        self.twins: defaultdict[int, list[int]] = defaultdict(list)
        self._attribute_blocks: list[Int64] = []
        self._value_inodes: list[tuple[int, int]] = []

    def add(self, table: InodeTable, rows: Int64, owners: Int64) -> None:
        owner_by_row = dict(zip(rows.tolist(), owners.tolist(), strict=True))
        block = table.inodes["attributes"][rows].astype(np.int64)
        if self._sb.incompat & Incompat.BITS_64:
            block |= table.inodes["attributes_high"][rows].astype(np.int64) << 32
        has_block = (block > 0) & (block < self._blocks)
        if has_block.any():
            self._attribute_blocks.append(np.stack([block[has_block], table.first_inode + rows[has_block], owners[has_block]], axis=1))
        holders, places = xattr.in_inode(table, rows)
        flags = table.inodes["flags"][holders]
        inline = flags & inode.INLINE_DATA != 0
        plain = xattr.only_security_label(table, places)
        for row, place, is_inline in zip(holders[~plain].tolist(), places[~plain].tolist(), inline[~plain].tolist(), strict=True):
            self._add_in_inode(table, row, place, owner_by_row[row], is_inline)
        if self._sb.incompat & Incompat.INLINE_DATA:
            directory = table.inodes["mode"][rows] & inode.FORMAT == inode.DIRECTORY
            for row in rows[directory & (table.inodes["flags"][rows] & inode.INLINE_DATA != 0)].tolist():
                # the first four bytes are the parent's inode number; entries follow
                self.inline_directories.append((owner_by_row[row], table.inodes["block"][row].tobytes()[4:]))

    def _add_in_inode(self, table: InodeTable, row: int, place: int, owner: int, is_inline: bool) -> None:
        """One inode's own attributes: an owner of their own, without the file content that is among them."""
        end = (row + 1) * self._sb.inode_bytes
        found = xattr.attributes(table.raw, place + 4, end, place + 4)
        number = table.first_inode + row
        pieces = [(place, end)]
        for item in found:
            if item.value_inode:
                self._value_inodes.append((number, item.value_inode))
            elif is_inline and item.namespace == xattr.SYSTEM and item.name == b"data" and item.value_bytes:
                start, stop = item.value_start, item.value_start + item.value_bytes
                self._builder.row(table.offset + start, table.offset + stop, owner, inode.I_BLOCK_BYTES)
                pieces = [(place, start), (stop, end)]
                if int(table.inodes["mode"][row]) & inode.FORMAT == inode.DIRECTORY:
                    self.inline_directories.append((owner, table.raw[start:stop]))
        if not found:
            return
        if is_inline and len(found) == 1 and found[0].namespace == xattr.SYSTEM:
            return  # nothing but the file's own content
        twin = self._builder.owner(OwnerKind.ATTRIBUTE, inode=number, size_bytes=end - place)
        for start, stop in pieces:
            self._builder.row(table.offset + start, table.offset + stop, twin, start - place)
        self.twins[number].append(twin)

    def finish(self, owner_of: Callable[[int], int]) -> None:
        """After the last table: one owner for each attribute block, known by the names of the (at most 16) files that share it first."""
        if self._attribute_blocks:
            uses = np.concatenate(self._attribute_blocks)
            uses = uses[np.argsort(uses[:, 0], kind="stable")]
            first = np.flatnonzero(np.concatenate(([True], np.diff(uses[:, 0]) != 0)))
            for low, high in zip(first.tolist(), [*first[1:].tolist(), len(uses)], strict=True):
                self._add_attribute_block(int(uses[low, 0]), uses[low : min(high, low + _SHARERS_MOST), 1].tolist())
        for number, value in self._value_inodes:
            owner = owner_of(value)
            if owner >= 0 and len(self.twins[number]) < _SHARERS_MOST:
                self.twins[number].append(owner)

    def _add_attribute_block(self, block: int, numbers: list[int]) -> None:
        size = self._sb.block_bytes
        owner = self._builder.owner(OwnerKind.ATTRIBUTE, inode=numbers[0], size_bytes=size)
        add_lone_block(self._builder, self._sb, block, owner)
        for number in numbers:
            self.twins[number].append(owner)
        if self._sb.incompat & Incompat.EA_INODE:
            raw = self._source.read_bulk(block * size, size, "attribute block")
            for item in xattr.attributes(raw, xattr.BLOCK_HEAD_BYTES, size, 0):
                if item.value_inode:
                    self._value_inodes.append((numbers[0], item.value_inode))


def add_lone_block(builder: MapBuilder, sb: Superblock, block: int, owner: int) -> None:
    """A row for one block; with bigalloc the rest of its cluster goes with it."""
    size, ratio = sb.block_bytes, sb.blocks_per_cluster
    builder.row(block * size, (block + 1) * size, owner)
    if ratio > 1:
        builder.row((block + 1) * size, -(-(block + 1) // ratio) * ratio * size, owner, size, RowFlag.BACKGROUND)
