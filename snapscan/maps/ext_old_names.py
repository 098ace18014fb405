"""Names that inodes had, over time: from the journal's copies of directory blocks, and from remnants in directories.

Inode numbers are used again within seconds. The generation in the inode (i_generation, new at each use) tells the lives apart: the journal
holds a copy of the inode from every transaction that began or ended one.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from typing import NamedTuple

from snapscan.maps.ext_directory import Entry, entries
from snapscan.maps.ext_extents import Runs
from snapscan.maps.ext_journal import Journal
from snapscan.maps.ext_remnants import OldInodes, copy_batches
from snapscan.maps.ext_replay import Copy
from snapscan.maps.ext_source import ExtSource

_NAMES_MOST = 1_000_000
_NAMES_EACH_MOST = 64
_ENTRY = struct.Struct("<IHBB")
END_OF_TIME = 1 << 40
"""Behind every sequence number: for what is said of the present."""


class OldName(NamedTuple):
    """A directory entry that was, seen in the journal from transaction `first` to `last`."""

    first: int
    last: int
    parent_inode: int
    name: bytes


class OldNames:
    """Names and generations by inode number, bounded. Generations come first; names in the order of the journal's sequence."""

    def __init__(self) -> None:
        self._names: defaultdict[int, list[OldName]] = defaultdict(list)
        self._remnants: dict[int, tuple[int, bytes]] = {}
        self._generations: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._left = _NAMES_MOST

    def add(self, number: int, sequence: int, parent_inode: int, name: bytes) -> None:
        """The directory held the name at the time of transaction `sequence`."""
        known = self._names[number]
        if known and known[-1][2:] == (parent_inode, name) and self._same_life(number, known[-1].last, sequence):
            known[-1] = known[-1]._replace(last=sequence)
        elif self._left > 0 and len(known) < _NAMES_EACH_MOST:
            known.append(OldName(sequence, sequence, parent_inode, name))
            self._left -= 1

    def _same_life(self, number: int, first: int, second: int) -> bool:
        return first == second or self.generation_at(number, first) == self.generation_at(number, second)

    def add_remnant(self, number: int, parent_inode: int, name: bytes) -> None:
        """A deleted entry in the room behind a live one: of which time, nobody knows."""
        if len(self._remnants) < _NAMES_MOST:
            self._remnants.setdefault(number, (parent_inode, name))

    def add_generations(self, old: OldInodes) -> None:
        for number, sequence, generation in zip(old.number.tolist(), old.sequence.tolist(), old.generation.tolist(), strict=True):
            if sequence >= 0:
                self._generations[number].append((sequence, generation))

    def sort(self) -> None:
        """To be called when all generations are in."""
        for known in self._generations.values():
            known.sort()

    def generation_at(self, number: int, sequence: int) -> int | None:
        """The inode's generation in the newest copy that is not younger; None where the journal has none."""
        known = self._generations.get(number, [])
        at = bisect_right(known, (sequence, 1 << 32))
        return known[at - 1][1] if at else None

    def name_at(self, number: int, generation: int | None, sequence: int) -> tuple[int, bytes] | None:
        """(parent's inode, name) that this life of the inode had at the time: the newest name not younger, else the oldest one."""
        fitting = [old for old in self._names.get(number, ()) if generation is None or self.generation_at(number, old.last) in (None, generation)]
        before = [old for old in fitting if old.first <= sequence]
        chosen = max(before, key=lambda old: old.first) if before else min(fitting, default=None)
        return (chosen.parent_inode, chosen.name) if chosen else None

    def remnant(self, number: int) -> tuple[int, bytes] | None:
        return self._remnants.get(number)


def slack_entries(block: bytes, start: int, end: int, inodes: int) -> list[Entry]:
    """Deleted entries in the room `start .. end` behind a live one, by their shape: entries lie at multiples of four bytes."""
    found: list[Entry] = []
    at = start
    while at + 12 <= end:
        number, length, name_length, kind = _ENTRY.unpack_from(block, at)
        name = block[at + 8 : at + 8 + name_length]
        fits = name_length and kind <= 7 and length % 4 == 0 and 8 + name_length <= length <= end - at and at + 8 + name_length <= end
        if 0 < number <= inodes and fits and b"\0" not in name and b"/" not in name and name not in (b".", b".."):
            found.append((number, name))
            at += name_length + 11 & ~3
        else:
            at += 4
    return found


def add_journal_names(source: ExtSource, journal: Journal, copies: list[Copy], directories: dict[int, int], names: OldNames, inodes: int) -> None:
    """The entries in the journal's copies of directory blocks.

    `directories` is block -> inode of the directory it belongs or belonged to; a directory's first block says itself whose it is.
    """

    def wanted(copy: Copy, block: bytes) -> bool:
        return copy.tag.block in directories or _own_inode(block) > 0

    found: list[Entry] = []
    rooms: list[tuple[int, int]] = []
    for batch, rows in copy_batches(source, journal, copies, wanted):
        for copy, row in zip(batch, rows, strict=True):
            block = row.tobytes()
            parent = _own_inode(block) or directories[copy.tag.block]
            entries(block, 0, len(block), found, lambda start, end: rooms.append((start, end)))
            for number, name in found:
                names.add(number, copy.sequence, parent, name)
            for start, end in rooms:
                for number, name in slack_entries(block, start, end, inodes):
                    names.add_remnant(number, parent, name)
            found.clear()
            rooms.clear()


def add_inline_names(old: OldInodes, names: OldNames) -> None:
    """The entries of directories that lay in their inodes."""
    found: list[Entry] = []
    for row, raw in old.inline:
        entries(raw, 0, len(raw), found)
        for number, name in found:
            names.add(number, int(old.sequence[row]), int(old.number[row]), name)
        found.clear()


def _own_inode(block: bytes) -> int:
    """The inode number in the entry `.` that begins a directory; 0 for a block that does not begin with `.` and `..`."""
    number, length, name_length, _ = _ENTRY.unpack_from(block)
    if length == 12 and name_length == 1 and block[8:12] == b".\0\0\0" and block[18:19] == b"\2" and block[20:22] == b"..":
        return int(number)
    return 0


def directory_blocks(runs: Runs, inode_of_run: list[int]) -> dict[int, int]:
    """Block -> inode of the directory; bounded like the names."""
    found: dict[int, int] = {}
    for number, start, length in zip(inode_of_run, runs.physical.tolist(), runs.length.tolist(), strict=True):
        if len(found) + length > _NAMES_MOST:
            break
        found.update(dict.fromkeys(range(start, start + length), number))
    return found
