"""Master boot records with their chains of extended partitions.

Source: the de-facto format that fdisk and the Linux kernel (block/partitions/msdos.c) read. Sectors of the table count in 512 bytes, or in
4096 on media that have such sectors; the table does not say which, so the caller tries both and looks where filesystems begin.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from snapscan.maps.partition import PARTITIONS_MOST, Partition, PartitionTable, Readable, peek
from snapscan.model.space import Range

BOOT_SIGNATURE = b"\x55\xaa"
PROTECTIVE = 0xEE
EXTENDED_TYPES = frozenset({0x05, 0x0F, 0x85})
FIRST_LOGICAL = 5


class _Entry(NamedTuple):
    status: int
    kind: int
    first: int
    sectors: int


def _entries(sector: bytes) -> list[_Entry]:
    found = []
    for at in range(446, 510, 16):
        status, kind, first, count = struct.unpack_from("<B3xB3xII", sector, at)
        found.append(_Entry(status, kind, first, count))
    return found


def is_protective(sector: bytes) -> bool:
    """Whether a GPT is said to follow."""
    return sector[510:512] == BOOT_SIGNATURE and any(entry.kind == PROTECTIVE for entry in _entries(sector))


def read_mbr(source: Readable, sector_bytes: int = 512) -> PartitionTable | None:
    """Primary partitions 1 to 4 and logical ones from 5 on; None where sector 0 is no partition table.

    A boot sector of a filesystem also ends in 55 AA: a table needs known status bytes and at least one entry that begins inside the medium.
    """
    first = peek(source, 0, 512)
    if first[510:512] != BOOT_SIGNATURE:
        return None
    entries = _entries(first)
    if any(entry.status not in (0, 0x80) for entry in entries):
        return None
    used = [(k + 1, entry) for k, entry in enumerate(entries) if entry.kind and entry.sectors]
    if not any(0 < entry.first * sector_bytes < source.size_bytes for _, entry in used):
        return None
    partitions: list[Partition] = []
    tables = [Range(0, 512)]
    notes: list[str] = []
    for index, entry in used:
        start = entry.first * sector_bytes
        if entry.kind in EXTENDED_TYPES:
            _logical(source, entry, sector_bytes, partitions, tables, notes)
        else:
            partitions.append(Partition(index, start, start + entry.sectors * sector_bytes))
    partitions.sort(key=lambda partition: partition.number)
    disk_id = f"{struct.unpack_from('<I', first, 440)[0]:08x}"
    return PartitionTable(tuple(partitions), tuple(tables), disk_id if disk_id != "00000000" else "", sector_bytes, tuple(notes))


def _logical(source: Readable, extended: _Entry, sector_bytes: int, partitions: list[Partition], tables: list[Range], notes: list[str]) -> None:
    """Follow the chain of extended boot records; a link back, or too long a chain, ends it with a note."""
    base = extended.first
    at = base
    seen: set[int] = set()
    index = max((p.number for p in partitions if p.number >= FIRST_LOGICAL), default=FIRST_LOGICAL - 1) + 1
    while True:
        if at in seen or len(seen) >= PARTITIONS_MOST:
            notes.append("mbr: the chain of logical partitions loops or is too long; what was found is kept")
            return
        seen.add(at)
        record = peek(source, at * sector_bytes, 512)
        if record[510:512] != BOOT_SIGNATURE:
            notes.append(f"mbr: no extended boot record at sector {at}; logical partitions behind it are not known")
            return
        tables.append(Range(at * sector_bytes, at * sector_bytes + 512))
        follow = 0
        for entry in _entries(record):
            if not entry.kind or not entry.sectors:
                continue
            if entry.kind in EXTENDED_TYPES:
                follow = follow or entry.first
            else:
                start = (at + entry.first) * sector_bytes
                partitions.append(Partition(index, start, start + entry.sectors * sector_bytes))
                index += 1
        if not follow:
            return
        at = base + follow
