"""Virtual PC and Azure disks (VHD): what must be known before a library may read one.

Source of the format: Microsoft "Virtual Hard Disk Image Format Specification" 1.0, sections "Hard Disk Footer Format" and "Dynamic Disk
Header Format". Big-endian.
"""

from __future__ import annotations

import struct
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from snapscan.model.errors import SourceError, UnsupportedFormat
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.space import Space
from snapscan.model.units import MIB
from snapscan.spaces.blockwise import BlockwiseSpace
from snapscan.spaces.chain import Source
from snapscan.spaces.dissect import vhd_reader
from snapscan.spaces.file import SourceFile, printable

COOKIE, HEADER_COOKIE = b"conectix", b"cxsparse"
FOOTER_BYTES = 512
BLOCK_BYTES_MOST = 256 * MIB
TABLE_BYTES_MOST = 256 * MIB
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_FREE = 0xFFFFFFFF


def open_vhd(source: Source) -> Space:
    """Raises SourceError; differencing disks are refused."""
    file, label = source.file, printable(source.label)
    notes: list[str] = []
    footer = _footer(file, label, notes)
    (size_bytes,) = struct.unpack_from(">Q", footer, 48)
    (kind,) = struct.unpack_from(">I", footer, 60)
    if kind == _DIFFERENCING:
        hint = "merge it with its parent first"
        raise UnsupportedFormat("differencing-unsupported", f"{label} is a differencing disk: most of it lies in a parent", hint=hint)
    if kind not in (_FIXED, _DYNAMIC) or size_bytes >= 1 << 53 or size_bytes % 512:
        raise SourceError("damaged-container", f"{label} claims to be of type {kind} with {size_bytes} bytes")
    snapshot = SnapshotRef("vhd", str(UUID(bytes=footer[68:84])), source.label, size_bytes)
    if kind == _FIXED:
        if size_bytes > file.size_bytes:
            notes.append("truncated: the file is shorter than its disk")
        read = vhd_reader(file, footer, fixed=True, label=label)
        return BlockwiseSpace(snapshot, read, [source], block_bytes=MIB, stored=None, notes=tuple(notes))
    block_bytes, stored = _blocks(file, footer, size_bytes, label)
    read = vhd_reader(file, footer, fixed=False, label=label)
    return BlockwiseSpace(snapshot, read, [source], block_bytes=block_bytes, stored=stored, notes=tuple(notes))


def _footer(file: SourceFile, label: str, notes: list[str]) -> bytes:
    """The footer at the end, or its copy at the start where the end is lost."""
    for at, note in ((file.size_bytes - FOOTER_BYTES, ""), (0, "its footer is lost, the copy at its start is used")):
        raw = file.read(at, FOOTER_BYTES) if at >= 0 else b""
        if len(raw) == FOOTER_BYTES and raw.startswith(COOKIE) and _checksum(raw) == struct.unpack_from(">I", raw, 64)[0]:
            if note:
                notes.append(note)
            return raw
    raise SourceError("damaged-container", f"{label} has no valid VHD footer", hint="scan it with the kind raw to sweep what is there")


def _checksum(footer: bytes) -> int:
    """One's complement of the sum of all bytes but the checksum's own."""
    return ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF


def _blocks(file: SourceFile, footer: bytes, size_bytes: int, label: str) -> tuple[int, NDArray[np.bool_]]:
    """(block size, which blocks are there) of a dynamic disk, from its header and block table."""
    (header_at,) = struct.unpack_from(">Q", footer, 16)
    header = file.read(header_at, 1024)
    if len(header) < 1024 or not header.startswith(HEADER_COOKIE):
        raise SourceError("damaged-container", f"{label} has no valid header of a dynamic disk")
    (table_at,) = struct.unpack_from(">Q", header, 16)
    entries, block_bytes = struct.unpack_from(">II", header, 28)
    if block_bytes < 512 or block_bytes & (block_bytes - 1) or block_bytes > BLOCK_BYTES_MOST or entries * block_bytes < size_bytes:
        raise SourceError("damaged-container", f"{label} claims {entries} blocks of {block_bytes} bytes for {size_bytes} bytes")
    needed = -(-size_bytes // block_bytes)
    if 4 * needed > TABLE_BYTES_MOST or table_at + 4 * needed > file.size_bytes:
        raise SourceError("damaged-container", f"the block table of {label} is too large or lies outside the file", hint="scan it with the kind raw")
    return block_bytes, np.frombuffer(file.read(table_at, 4 * needed), dtype=">u4") != _FREE
