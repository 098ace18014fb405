"""Hyper-V disks (VHDX): what must be known before a library may read one.

Source of the format: [MS-VHDX] 2.2 (headers, region table), 2.5 (block table), 2.6 (metadata). Little-endian.
"""

from __future__ import annotations

import struct
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from snapscan.model.errors import SourceError, UnsupportedFormat
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.space import Space
from snapscan.model.units import KIB, MIB
from snapscan.spaces.blockwise import BlockwiseSpace
from snapscan.spaces.chain import Source
from snapscan.spaces.dissect import vhdx_reader
from snapscan.spaces.file import SourceFile, printable

BLOCK_TABLE = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
ENTRIES_MOST = 2047
SIZE_BYTES_MOST = 64 << 40
"""The format's own limit."""
BATCH_BLOCKS = 1 << 20
_HAS_PARENT = 2
_ABSENT_STATES = 4
"""States 0..3: not present, undefined, zero, unmapped; 6 is present, the others have no meaning in a disk without a parent."""


def open_vhdx(source: Source) -> Space:
    """Raises SourceError; differencing disks, and disks whose log must be replayed first, are refused."""
    file, label = source.file, printable(source.label)
    _check_log(file, label)
    regions = _entries(file, 192 * KIB, b"regi", 8, "<I", 16, label)
    metadata_at, _ = _region(regions, METADATA, label)
    items = _entries(file, metadata_at, b"metadata", 10, "<H", 32, label, short=True)
    block_bytes, flags = struct.unpack("<II", _item(file, metadata_at, items, FILE_PARAMETERS, 8, label))
    if flags & _HAS_PARENT:
        hint = "merge it with its parent first"
        raise UnsupportedFormat("differencing-unsupported", f"{label} is a differencing disk: most of it lies in a parent", hint=hint)
    (size_bytes,) = struct.unpack("<Q", _item(file, metadata_at, items, DISK_SIZE, 8, label))
    (sector_bytes,) = struct.unpack("<I", _item(file, metadata_at, items, SECTOR_SIZE, 4, label))
    identity = UUID(bytes_le=_item(file, metadata_at, items, DISK_ID, 16, label))
    fits = MIB <= block_bytes <= 256 * MIB and not block_bytes & (block_bytes - 1) and sector_bytes in (512, 4096)
    if not fits or not 0 < size_bytes <= SIZE_BYTES_MOST or size_bytes % sector_bytes:
        raise SourceError("damaged-container", f"{label} claims blocks of {block_bytes}, sectors of {sector_bytes} and {size_bytes} bytes")
    stored = _stored(file, _region(regions, BLOCK_TABLE, label), size_bytes, block_bytes, sector_bytes, label)
    snapshot = SnapshotRef("vhdx", str(identity), source.label, size_bytes)
    return BlockwiseSpace(snapshot, vhdx_reader(file, label), [source], block_bytes=block_bytes, stored=stored, notes=())


def _check_log(file: SourceFile, label: str) -> None:
    """The current header is the valid one with the higher sequence number; a log id in it means changes that are not in place yet."""
    headers = [raw for at in (64 * KIB, 128 * KIB) if (raw := file.read(at, 4 * KIB)).startswith(b"head") and _checksum_holds(raw)]
    if not headers:
        raise SourceError("damaged-container", f"{label} has no valid header")
    current = max(headers, key=lambda raw: int.from_bytes(raw[8:16], "little"))
    if any(current[48:64]):
        hint = "attach it once in Hyper-V, or repair it with: qemu-img check -r all"
        raise UnsupportedFormat("vhdx-log-not-replayed", f"{label} was not closed cleanly: its log holds changes that are not in place", hint=hint)


def _checksum_holds(header: bytes) -> bool:
    return len(header) == 4 * KIB and crc32c(header[:4] + bytes(4) + header[8:]) == int.from_bytes(header[4:8], "little")


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, reflected polynomial 0x82F63B78; a table is not worth it for two headers."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _entries(
    file: SourceFile, at: int, signature: bytes, count_at: int, count_format: str, head_bytes: int, label: str, *, short: bool = False
) -> dict[UUID, tuple[int, int]]:
    """id -> (offset, length) of a region table, or (`short`) of a metadata table with its 32-bit numbers."""
    raw = file.read(at, 64 * KIB)
    if len(raw) < 64 * KIB or not raw.startswith(signature):
        raise SourceError("damaged-container", f"{label} has no valid table at {at}")
    (count,) = struct.unpack_from(count_format, raw, count_at)
    if count > ENTRIES_MOST:
        raise SourceError("damaged-container", f"{label} has a table of {count} entries at {at}")
    found: dict[UUID, tuple[int, int]] = {}
    for number in range(count):
        identity, offset, length = struct.unpack_from("<16sII" if short else "<16sQI", raw, head_bytes + 32 * number)
        found[UUID(bytes_le=identity)] = (offset, length)
    return found


def _region(regions: dict[UUID, tuple[int, int]], identity: UUID, label: str) -> tuple[int, int]:
    if identity not in regions:
        raise SourceError("damaged-container", f"{label} lacks the region {identity}")
    return regions[identity]


def _item(file: SourceFile, metadata_at: int, items: dict[UUID, tuple[int, int]], identity: UUID, length: int, label: str) -> bytes:
    raw = file.read(metadata_at + items[identity][0], length) if identity in items else b""
    if len(raw) < length:
        raise SourceError("damaged-container", f"{label} lacks the metadata item {identity}")
    return raw


def _stored(file: SourceFile, region: tuple[int, int], size_bytes: int, block_bytes: int, sector_bytes: int, label: str) -> NDArray[np.bool_]:
    """Which payload blocks are there; after every `ratio` of them the table has an entry for a sector bitmap."""
    at, length = region
    blocks = -(-size_bytes // block_bytes)
    ratio = (1 << 23) * sector_bytes // block_bytes
    entries = blocks + (blocks - 1) // ratio
    if entries * 8 > length or at + entries * 8 > file.size_bytes:
        raise SourceError("damaged-container", f"the block table of {label} is too short or lies outside the file", hint="scan it with the kind raw")
    stored = np.zeros(blocks, dtype=np.bool_)
    for first in range(0, blocks, BATCH_BLOCKS):
        index = np.arange(first, min(first + BATCH_BLOCKS, blocks), dtype=np.int64)
        index += index // ratio
        low, high = int(index[0]), int(index[-1]) + 1
        table = np.frombuffer(file.read(at + low * 8, (high - low) * 8), dtype="<u8")
        stored[first : first + len(index)] = (table[index - low] & np.uint64(7)) >= np.uint64(_ABSENT_STATES)
    return stored
