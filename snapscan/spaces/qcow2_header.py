"""The header of a qcow2 image, and the table of its internal snapshots.

Source of the format: docs/interop/qcow2.txt of QEMU 7.2 (sections "Header", "Header extensions", "Snapshots"). All numbers are big-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from snapscan.model.errors import EncryptedVolume, SourceError, UnsupportedFormat
from snapscan.spaces.file import SourceFile

MAGIC = b"QFI\xfb"
SNAPSHOTS_MOST = 65_536
EXTENSION_BYTES_MOST = 1 << 20

DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED = 1, 2, 4, 8, 16
"""Bits of the incompatible features."""


@dataclass(frozen=True)
class State:
    """An internal snapshot: the disk as it was."""

    id: str
    name: str
    l1_offset: int
    l1_entries: int
    size_bytes: int
    taken_at_seconds: int


@dataclass
class Header:
    """What the header says, checked only as far as later code relies on it."""

    version: int
    cluster_bits: int
    size_bytes: int
    l1_offset: int
    l1_entries: int
    crypt_method: int
    snapshot_count: int
    snapshot_offset: int
    backing_name: bytes = b""
    backing_format: bytes = b""
    data_file_name: bytes = b""
    incompatible: int = 0
    compression: int = 0
    notes: list[str] = field(default_factory=list)


def read_header(file: SourceFile, label: str) -> Header:
    """Raises UnsupportedFormat, EncryptedVolume, SourceError("damaged-container")."""
    raw = file.read(0, 112)
    if len(raw) < 72 or raw[:4] != MAGIC:
        raise SourceError("damaged-container", f"{label} does not begin with a qcow2 header")
    version, backing_at, backing_length, cluster_bits, size, crypt, l1_entries, l1_at = struct.unpack(">IQIIQIIQ", raw[4:48])
    snapshot_count, snapshot_at = struct.unpack(">IQ", raw[60:72])
    if version not in (2, 3):
        raise UnsupportedFormat("unsupported-version", f"{label} is qcow version {version}", hint="qemu-img convert -O qcow2 makes a current one")
    if not 9 <= cluster_bits <= 21:
        raise SourceError("damaged-container", f"{label} claims clusters of 2^{cluster_bits} bytes")
    if size >= 1 << 62:
        raise SourceError("damaged-container", f"{label} claims a size of {size} bytes")
    header = Header(version, cluster_bits, size, l1_at, l1_entries, crypt, snapshot_count, snapshot_at)
    header_bytes = 72
    if version == 3:
        if len(raw) < 104:
            raise SourceError("damaged-container", f"{label} ends inside its header")
        header.incompatible = struct.unpack(">Q", raw[72:80])[0]
        header_bytes = struct.unpack(">I", raw[100:104])[0]
        if header.incompatible & COMPRESSION and header_bytes > 104:
            header.compression = raw[104]
    _read_extensions(file, header, header_bytes, backing_at)
    _check(header, label)
    if backing_at:
        if not 0 < backing_length <= 1023:
            raise SourceError("damaged-container", f"{label} has a backing file name of {backing_length} bytes")
        header.backing_name = file.read(backing_at, backing_length)
    return header


def _read_extensions(file: SourceFile, header: Header, at: int, backing_at: int) -> None:
    end = min(backing_at or 1 << header.cluster_bits, 1 << header.cluster_bits, EXTENSION_BYTES_MOST)
    while at + 8 <= end:
        head = file.read(at, 8)
        if len(head) < 8:
            return
        kind, length = struct.unpack(">II", head)
        if kind == 0 or length > end - at - 8:
            return
        if kind == 0xE2792ACA:
            header.backing_format = file.read(at + 8, length)
        elif kind == 0x44415441:
            header.data_file_name = file.read(at + 8, length)
        at += 8 + (length + 7) // 8 * 8


def _check(header: Header, label: str) -> None:
    if header.crypt_method:
        method = {1: "AES", 2: "LUKS"}.get(header.crypt_method, f"method {header.crypt_method}")
        raise EncryptedVolume("encrypted-container", f"{label} is encrypted ({method})", hint="decrypt it with qemu-img convert and its secret")
    unknown = header.incompatible & ~(DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED)
    if unknown:
        raise UnsupportedFormat("unsupported-feature", f"{label} uses qcow2 features that we do not know (bits {unknown:#x})")
    if header.compression not in (0, 1):
        raise UnsupportedFormat("unsupported-feature", f"{label} uses the unknown compression method {header.compression}")
    if header.incompatible & EXTENDED and header.cluster_bits < 14:
        raise SourceError("damaged-container", f"{label} claims subclusters in clusters of 2^{header.cluster_bits} bytes")
    if header.incompatible & DIRTY:
        header.notes.append("not closed cleanly (dirty bit): its reference counts may be wrong; data and map are read as they are")
    if header.incompatible & CORRUPT:
        header.notes.append("marked as corrupt by its writer")


def read_states(file: SourceFile, header: Header) -> list[State]:
    """The internal snapshots, in the table's order; a damaged table ends early with a note."""
    found: list[State] = []
    at = header.snapshot_offset
    for _ in range(min(header.snapshot_count, SNAPSHOTS_MOST)):
        head = file.read(at, 40)
        if len(head) < 40:
            header.notes.append("the table of internal snapshots is damaged")
            break
        l1_at, l1_entries, id_length, name_length, seconds, _, _, _, extra_length = struct.unpack(">QIHHIIQII", head)
        if extra_length > 1024:
            header.notes.append("the table of internal snapshots is damaged")
            break
        tail = file.read(at + 40, extra_length + id_length + name_length)
        extra, text = tail[:extra_length], tail[extra_length:]
        size = struct.unpack(">Q", extra[8:16])[0] if len(extra) >= 16 else header.size_bytes
        identity, name = (part.decode("utf-8", "replace") for part in (text[:id_length], text[id_length:]))
        found.append(State(identity, name, l1_at, l1_entries, min(size, (1 << 62) - 1), seconds))
        at += (40 + len(tail) + 7) // 8 * 8
    return found
