"""VirtualBox disks (VDI): what must be known before a library may read one.

Source of the format: VirtualBox, src/VBox/Storage/VDICore.h (VDIPREHEADER, VDIHEADER1PLUS). Little-endian.
"""

from __future__ import annotations

import struct
from uuid import UUID

import numpy as np

from snapscan.model.errors import SourceError, UnsupportedFormat
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.space import Space
from snapscan.model.units import MIB
from snapscan.spaces.blockwise import BlockwiseSpace
from snapscan.spaces.chain import Source
from snapscan.spaces.dissect import vdi_reader
from snapscan.spaces.file import printable

SIGNATURE = b"\x7f\x10\xda\xbe"
BLOCK_BYTES_MOST = 64 * MIB
TABLE_BYTES_MOST = 256 * MIB
_UNDO, _DIFFERENCING = 3, 4
_FREE, _ZERO = 0xFFFFFFFF, 0xFFFFFFFE


def open_vdi(source: Source) -> Space:
    """Raises SourceError; differencing images are refused: they name their parent by an id only, and without it read as zeros."""
    file, label = source.file, printable(source.label)
    raw = file.read(0, 512)
    if len(raw) < 512 or raw[64:68] != SIGNATURE:
        raise SourceError("damaged-container", f"{label} does not begin with a VDI header")
    (version,) = struct.unpack_from("<I", raw, 68)
    (kind,) = struct.unpack_from("<I", raw, 76)
    table_at, data_at = struct.unpack_from("<II", raw, 340)
    size_bytes, block_bytes, extra_bytes, blocks = struct.unpack_from("<QIII", raw, 368)
    if version >> 16 != 1 or extra_bytes:
        raise UnsupportedFormat("unsupported-version", f"{label} is a VDI of a version or with block data that we do not read")
    if kind in (_UNDO, _DIFFERENCING):
        hint = "clone the snapshot in VirtualBox into a disk of its own: VBoxManage clonemedium"
        raise UnsupportedFormat("differencing-unsupported", f"{label} is a differencing image: most of its disk lies in a parent", hint=hint)
    if block_bytes < 512 or block_bytes & (block_bytes - 1) or block_bytes > BLOCK_BYTES_MOST or blocks * block_bytes < size_bytes:
        raise SourceError("damaged-container", f"{label} claims {blocks} blocks of {block_bytes} bytes for {size_bytes} bytes")
    needed = -(-size_bytes // block_bytes)
    if 4 * blocks > TABLE_BYTES_MOST or table_at + 4 * blocks > file.size_bytes:
        raise SourceError("damaged-container", f"the block table of {label} is too large or lies outside the file", hint="scan it with the kind raw")
    table = np.frombuffer(file.read(table_at, 4 * needed), dtype="<u4")
    snapshot = SnapshotRef("vdi", str(UUID(bytes_le=raw[392:408])), source.label, size_bytes)
    stored = (table != _FREE) & (table != _ZERO)
    notes = ("truncated: data lies behind the file's end",) if _beyond(table[stored], data_at, block_bytes, file.size_bytes) else ()
    return BlockwiseSpace(snapshot, vdi_reader(file, label), [source], block_bytes=block_bytes, stored=stored, notes=notes)


def _beyond(blocks: np.ndarray, data_at: int, block_bytes: int, file_bytes: int) -> bool:
    return bool(len(blocks)) and data_at + int(blocks.max()) * block_bytes >= file_bytes
