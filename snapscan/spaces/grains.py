"""Extents of a VMDK as parts: sparse ones with grain tables (hosted, stream-optimised, ESX copy-on-write), flat ones, and zeros.

Source of the format: VMware "Virtual Disk Format 5.0", sections "Hosted Sparse Extents", "ESX Server Sparse Extents" and
"Stream-Optimized Compressed Sparse Extents". Numbers are little-endian, places count in sectors of 512 bytes.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snapscan.model.errors import MediaFault, SourceError, StructureFault, UnsupportedFormat
from snapscan.model.space import Range
from snapscan.model.units import SECTOR_BYTES
from snapscan.spaces.blockmap import BELOW, FAULT, PACKED, ZERO, BlockMap, GatherBelow, ReadBelow, Tables, fill_zeros, table_runs
from snapscan.spaces.file import Int64, SourceFile, UInt8
from snapscan.spaces.inflate import inflate
from snapscan.spaces.ranges import clipped, shifted

HOSTED, ESX, SE_SPARSE = b"KDMV", b"COWD", b"\xbe\xba\xfe\xca"
DIRECTORY_AT_END = 0xFFFFFFFFFFFFFFFF
GRAIN_SECTORS_MOST = 1 << 14
DIRECTORY_BYTES_MOST = 64 << 20
TABLE_CACHE_BYTES = 32 << 20
LOST = -1

_ZEROED, _COMPRESSED, _MARKERS = 1 << 2, 1 << 16, 1 << 17


@dataclass(frozen=True)
class SparseHeader:
    """What both sparse formats say, in one shape."""

    capacity_sectors: int
    grain_sectors: int
    table_entries: int
    directory_sector: int
    flags: int = 0
    descriptor_sector: int = 0
    descriptor_sectors: int = 0
    unclean: bool = False


def read_sparse_header(file: SourceFile, label: str) -> SparseHeader:
    """Raises SourceError; what it returns is safe to compute with."""
    raw = file.read(0, SECTOR_BYTES)
    if raw.startswith(SE_SPARSE):
        raise UnsupportedFormat(
            "unsupported-format", f"{label} is an SE sparse extent, which we do not read", hint="consolidate the snapshot, or clone it"
        )
    if len(raw) < SECTOR_BYTES:
        raise SourceError("damaged-container", f"{label} ends inside its header")
    if raw.startswith(ESX):
        _, _, sectors, grain, directory, _ = struct.unpack("<6I", raw[4:28])
        return _checked(SparseHeader(sectors, grain, 4096, directory), label)
    if not raw.startswith(HOSTED):
        raise SourceError("damaged-container", f"{label} does not begin with the header of a sparse extent")
    header = _hosted(raw)
    if header.directory_sector == DIRECTORY_AT_END:  # the last sector marks the end of the stream, the one before it is the footer
        footer = file.read(file.size_bytes - 2 * SECTOR_BYTES, SECTOR_BYTES) if file.size_bytes >= 3 * SECTOR_BYTES else b""
        if not footer.startswith(HOSTED):
            raise SourceError("damaged-container", f"{label} has no footer: the file is not complete")
        closing = _hosted(footer)
        header = SparseHeader(
            closing.capacity_sectors, closing.grain_sectors, closing.table_entries, closing.directory_sector, closing.flags,
            header.descriptor_sector, header.descriptor_sectors, header.unclean,
        )  # fmt: skip
    if raw[77:79] not in (b"\0\0", b"\1\0"):
        raise UnsupportedFormat("unsupported-feature", f"{label} uses an unknown compression method")
    return _checked(header, label)


def _hosted(raw: bytes) -> SparseHeader:
    flags, capacity, grain, descriptor, descriptor_size, entries, _, directory = struct.unpack("<I4QI2Q", raw[8:64])
    return SparseHeader(capacity, grain, entries, directory, flags, descriptor, descriptor_size, raw[72] == 1)


def _checked(header: SparseHeader, label: str) -> SparseHeader:
    grain = header.grain_sectors
    if not 1 <= grain <= GRAIN_SECTORS_MOST or grain & (grain - 1) or not 1 <= header.table_entries <= 4096 or header.capacity_sectors >= 1 << 53:
        what = f"{grain} sectors a grain, {header.table_entries} grains a table, {header.capacity_sectors} sectors"
        raise SourceError("damaged-container", f"{label} claims {what}")
    return header


class SparseExtent(BlockMap):
    """A unit is a grain. The directory is read whole, tables when first needed."""

    def __init__(self, file: SourceFile, header: SparseHeader, size_bytes: int, label: str) -> None:
        """`size_bytes` is what the descriptor says, at most the header's capacity. Raises SourceError."""
        grain_bytes = header.grain_sectors * SECTOR_BYTES
        if size_bytes > header.capacity_sectors * SECTOR_BYTES:
            raise SourceError("damaged-container", f"{label} is described as larger than its own header says")
        super().__init__(file, size_bytes, grain_bytes, group_bytes=grain_bytes, table_units=header.table_entries)
        self._units = -(-size_bytes // grain_bytes)
        count = -(-self._units // header.table_entries)
        at = header.directory_sector * SECTOR_BYTES
        if count * 4 > DIRECTORY_BYTES_MOST or at + count * 4 > file.size_bytes:
            hint = "scan it with the kind raw to sweep what is there"
            raise SourceError("damaged-container", f"the grain directory of {label} lies outside the file", hint=hint)
        self._directory = _without_lost(np.frombuffer(file.read(at, count * 4), dtype="<u4").astype(np.int64), file.size_bytes)
        self._zeroed = bool(header.flags & _ZEROED)
        self._compressed = bool(header.flags & _COMPRESSED)
        self._markers = bool(header.flags & _MARKERS)
        self._tables: OrderedDict[int, Int64] = OrderedDict()
        self._tables_most = max(2, TABLE_CACHE_BYTES // (8 * header.table_entries))

    def tables(self) -> Iterator[Tables]:
        return table_runs(self._directory != 0, self._directory == LOST, self.table_units, self._units)

    def places(self, first: int, end: int) -> Int64:
        parts: list[Int64] = []
        at = first
        while at < end:
            index, inside = divmod(at, self.table_units)
            stop = min(end, (index + 1) * self.table_units)
            sector = int(self._directory[index])
            if sector > 0:
                parts.append(self._table(sector)[inside : inside + stop - at])
            else:
                parts.append(np.full(stop - at, FAULT if sector == LOST else BELOW, dtype=np.int64))
            at = stop
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _table(self, sector: int) -> Int64:
        known = self._tables.get(sector)
        if known is None:
            raw = self.file.read(sector * SECTOR_BYTES, self.table_units * 4)
            known = self._read_table(np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4").astype(np.int64))
            self._tables[sector] = known
            if len(self._tables) > self._tables_most:
                self._tables.popitem(last=False)
        return known

    def _read_table(self, sectors: Int64) -> Int64:
        places = PACKED - sectors if self._compressed else sectors * SECTOR_BYTES
        places[sectors == 0] = BELOW
        if self._zeroed:
            places[sectors == 1] = ZERO
        return np.concatenate([places, np.full(self.table_units - len(places), FAULT, dtype=np.int64)])

    def unpack(self, code: int) -> bytes:
        """A compressed grain: 8 bytes of its place on the disk and 4 of length before zlib data, unless the extent has no markers."""
        at, most = code * SECTOR_BYTES, 2 * self.unit_bytes
        if self._markers:
            head = self.file.read(at, 12)
            most = min(most, int.from_bytes(head[8:12], "little")) if len(head) == 12 else 0
            at += 12
        data = self.file.read(at, most)
        if not data or (self._markers and len(data) < most):
            raise StructureFault("unit-outside-file", f"its data should lie at {at}, behind the file's end", offset=0, length=0)
        return inflate(data, self.unit_bytes, 15)


def _without_lost(directory: Int64, file_bytes: int) -> Int64:
    """The directory with LOST for tables outside the file, or named a second time (no writer does that; a small file could claim petabytes)."""
    present = np.flatnonzero(directory)
    repeated = np.ones(len(present), dtype=bool)
    repeated[np.unique(directory[present], return_index=True)[1]] = False
    directory[present[repeated | (directory[present] * SECTOR_BYTES >= file_bytes)]] = LOST
    return directory


class FlatExtent:
    """Bytes of a file from `start` on, as they are. Implements Part."""

    def __init__(self, file: SourceFile, start: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._file = file
        self._start = start

    def read_into(self, offset: int, view: memoryview, below: ReadBelow) -> None:
        at = self._start + offset
        if at + len(view) > self._file.size_bytes:
            raise StructureFault("unit-outside-file", f"its data should lie at {at}, behind the file's end", offset=offset, length=len(view))
        try:
            self._file.read_into(at, view)
        except MediaFault as fault:
            raise MediaFault(fault.reference, fault.message, offset=offset, length=len(view)) from fault

    def stored(self) -> Iterator[Range]:
        """What the file holds; and what it should hold and does not."""
        end = self._start + self.size_bytes
        yield from shifted(clipped(self._file.stored_ranges(), self._start, end), -self._start)
        held = max(0, self._file.size_bytes - self._start)
        if held < self.size_bytes:
            yield Range(held, self.size_bytes)

    def transparent(self) -> Iterator[Range]:
        return iter(())

    def gather(self, offsets: Int64, below: GatherBelow) -> UInt8:
        return self._file.gather(offsets + self._start)


class ZeroExtent:
    """Zeros without a file. Implements Part."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def read_into(self, offset: int, view: memoryview, below: ReadBelow) -> None:
        fill_zeros(view)

    def stored(self) -> Iterator[Range]:
        return iter(())

    def transparent(self) -> Iterator[Range]:
        return iter(())

    def gather(self, offsets: Int64, below: GatherBelow) -> UInt8:
        return np.zeros(len(offsets), dtype=np.uint8)
