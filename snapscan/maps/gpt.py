"""GUID partition tables (UEFI specification 2.10, chapter 5), read by us: libraries lose each partition's last sector and the backup.

The primary header lies in sector 1, the backup in the last one. Sectors are 512 or 4096 bytes; the place of the header tells which.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple
from uuid import UUID

from snapscan.maps.partition import PARTITIONS_MOST, Partition, PartitionTable, Readable, peek
from snapscan.model.space import Range

SIGNATURE = b"EFI PART"
SECTOR_SIZES = (512, 4096)
ENTRY_BYTES_LEAST = 128
ENTRIES_BYTES_MOST = 4 << 20
"""Of the entry array; the usual one is 16 KiB. A larger one is read up to here, and its checksum is not checked."""

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")


class _Header(NamedTuple):
    own_sector: int
    alternate_sector: int
    guid: bytes
    entries_sector: int
    entry_count: int
    entry_bytes: int
    entries_crc: int


class _Copy(NamedTuple):
    """One of the two copies: its header, what could be read of its entries, and whether both checksums hold."""

    header: _Header
    entries: bytes
    sound: bool


def read_gpt(source: Readable, *, look_for_backup: bool = True) -> PartitionTable | None:
    """The table by its primary copy, or by the backup where the primary is damaged; None where there is no table.

    A copy whose checksums do not hold is used only if the other is no better, and a note says so. `look_for_backup` is false where
    something else begins at the medium's start: a backup may survive from former times.
    """
    for sector in SECTOR_SIZES:
        primary = _copy(source, 1, sector)
        if primary is not None and primary.sound:
            return _table(source, primary, sector, ())
        backup = None
        if primary is not None or look_for_backup:
            backup = _backup(source, primary, sector)
        if backup is not None and (backup.sound or primary is None):
            notes = ["gpt: the primary table is damaged, the backup was used"]
            if not backup.sound:
                notes.append("gpt: the backup's checksum does not hold")
            return _table(source, backup, sector, tuple(notes))
        if primary is not None:
            return _table(source, primary, sector, ("gpt: the primary table's checksum does not hold and there is no sound backup",))
    return None


def _backup(source: Readable, primary: _Copy | None, sector: int) -> _Copy | None:
    """The backup copy: where the damaged primary says, or in the last sector."""
    places = [source.size_bytes // sector - 1]
    if primary is not None:
        places.insert(0, primary.header.alternate_sector)
    copies = [copy for place in places if place > 1 and (copy := _copy(source, place, sector)) is not None]
    return next((copy for copy in copies if copy.sound), copies[0] if copies else None)


def _copy(source: Readable, at_sector: int, sector: int) -> _Copy | None:
    raw = peek(source, at_sector * sector, sector)
    if not raw.startswith(SIGNATURE):
        return None
    _, _, header_bytes, header_crc, _, own, alternate, _, _, guid, entries_sector, count, entry_bytes, entries_crc = _HEADER.unpack_from(raw)
    header = _Header(own, alternate, guid, entries_sector, count, entry_bytes, entries_crc)
    if entry_bytes < ENTRY_BYTES_LEAST or entry_bytes > sector or count == 0:
        return _Copy(header, b"", sound=False)
    sound = _HEADER.size <= header_bytes <= sector and own == at_sector
    if sound:
        zeroed = raw[:16] + bytes(4) + raw[20:header_bytes]
        sound = zlib.crc32(zeroed) == header_crc
    wanted = count * entry_bytes
    readable = min(wanted, ENTRIES_BYTES_MOST, source.size_bytes - entries_sector * sector)
    entries = peek(source, entries_sector * sector, readable)
    if wanted <= ENTRIES_BYTES_MOST:
        sound = sound and zlib.crc32(entries) == entries_crc
    return _Copy(header, entries, sound)


def _table(source: Readable, copy: _Copy, sector: int, notes: tuple[str, ...]) -> PartitionTable:
    header = copy.header
    partitions: list[Partition] = []
    more = False
    for index in range(len(copy.entries) // header.entry_bytes if header.entry_bytes else 0):
        kind, _, first, last = struct.unpack_from("<16s16sQQ", copy.entries, index * header.entry_bytes)
        if not any(kind) or last < first:
            continue
        if len(partitions) == PARTITIONS_MOST:
            more = True
            break
        partitions.append(Partition(index + 1, first * sector, (last + 1) * sector))
    if more:
        notes += (f"gpt: only the first {PARTITIONS_MOST} partitions were kept",)
    return PartitionTable(tuple(partitions), _places(source, header, sector), str(UUID(bytes_le=header.guid)), sector, notes)


def _places(source: Readable, header: _Header, sector: int) -> tuple[Range, ...]:
    """The protective MBR, both headers and both entry arrays, as far as they lie inside the medium."""
    entries = min(header.entry_count * header.entry_bytes, ENTRIES_BYTES_MOST)
    places = [(0, 2 * sector), (header.own_sector * sector, sector), (header.alternate_sector * sector, sector)]
    if header.entry_bytes:
        places.append((header.entries_sector * sector, entries))
    other = header.alternate_sector if header.own_sector == 1 else 1
    raw = peek(source, other * sector, sector)
    if raw.startswith(SIGNATURE):
        places.append((struct.unpack_from("<Q", raw, 72)[0] * sector, entries))
    size = source.size_bytes
    return tuple(Range(start, min(start + length, size)) for start, length in places if 0 <= start < size and length > 0)
