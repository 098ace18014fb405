"""Expert Witness images (E01): their segments, and what must be known before a library may read them.

Source of the format: libewf, "Expert Witness Compression Format (EWF)", sections 2 (segment file names), 3.1 (section descriptor), 3.9 (table).
Little-endian.
"""

from __future__ import annotations

import os
import struct

import numpy as np

from snapscan.model.errors import ParentRefused, ReadFault, SourceError, UnsupportedFormat
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.space import Space
from snapscan.model.units import MIB
from snapscan.spaces.blockwise import BlockwiseSpace
from snapscan.spaces.chain import Source
from snapscan.spaces.dissect import ewf_reader
from snapscan.spaces.file import SourceFile, printable

SIGNATURE = b"EVF\x09\x0d\x0a\xff\x00"
SECTIONS_MOST = 1_000_000
TABLE_ENTRIES_MOST = 1 << 22
"""EnCase writes 16,375 at most, others 65,534 and more."""
CHUNK_BYTES_MOST = 16 * MIB
_DESCRIPTOR_BYTES = 76
SEGMENTS_MOST = 99 + 22 * 26 * 26
"""`.E01` to `.E99`, then `.EAA` to `.ZZZ`."""


def open_ewf(source: Source) -> Space:
    """Opens the segments beside the first one too. Raises SourceError."""
    label = printable(source.label)
    if not source.file.read(0, 8).startswith(SIGNATURE):
        raise UnsupportedFormat("unsupported-format", f"{label} is a logical or a version 2 evidence file, which we do not read")
    if int.from_bytes(source.file.read(9, 2), "little") != 1:
        raise UnsupportedFormat("not-the-first-part", f"{label} is not the first segment of its image", hint="give the file that ends in .E01")
    sources = [source]
    try:
        _add_segments(sources)
        for segment in sources:
            check_sections(segment.file, printable(segment.label))
        read, size_bytes, chunk_bytes = ewf_reader([segment.file for segment in sources], label)
        if not 512 <= chunk_bytes <= CHUNK_BYTES_MOST or chunk_bytes % 512:
            raise SourceError("damaged-container", f"{label} claims chunks of {chunk_bytes} bytes")
    except (SourceError, ReadFault):
        for segment in sources[1:]:
            segment.file.close()
        raise
    snapshot = SnapshotRef("ewf", f"{source.label}:{size_bytes}", source.label, size_bytes)
    notes = (f"{len(sources)} segments",) if len(sources) > 1 else ()
    return BlockwiseSpace(snapshot, read, sources, block_bytes=chunk_bytes, stored=None, notes=notes)


def segment_name(first: str, number: int) -> str:
    """The name of segment `number` (from 1), given the first one's, which ends in `.E01` or `.e01`."""
    stem, letter = first[:-3], first[-3]
    if number <= 99:
        return f"{stem}{letter}{number:02d}"
    head, rest = divmod(number - 100, 26 * 26)
    base = "A" if letter.isupper() else "a"
    return stem + chr(ord(letter) + head) + chr(ord(base) + rest // 26) + chr(ord(base) + rest % 26)


def _add_segments(sources: list[Source]) -> None:
    """Append the segments that lie beside the first one, up to the first number that is missing."""
    first = sources[0]
    if first.label[-4:] not in (".E01", ".e01"):
        return
    for number in range(2, SEGMENTS_MOST):
        try:
            sources.append(first.named(os.fsencode("./" + segment_name(first.label, number)), "next segment"))
        except ParentRefused as refusal:
            if refusal.reference == "parent-missing":
                return
            raise


def check_sections(file: SourceFile, label: str) -> None:
    """Sections follow each other upwards (one that points back would be read for ever), and no chunk claims more than two chunks' bytes.

    The second keeps a library that decompresses without a limit inside a bound. Raises SourceError.
    """
    at = 13
    for _ in range(SECTIONS_MOST):
        raw = file.read(at, _DESCRIPTOR_BYTES)
        if len(raw) < _DESCRIPTOR_BYTES:
            raise SourceError("damaged-container", f"{label} ends in the middle of its sections", hint="is the copy complete?")
        kind = raw[:16].rstrip(b"\0")
        (following,) = struct.unpack_from("<Q", raw, 16)
        if kind == b"table":
            _check_table(file, at, label)
        if kind in (b"done", b"next") or following == at:
            return
        if following <= at:
            break
        at = following
    raise SourceError("damaged-container", f"the sections of {label} lead in a circle")


def _check_table(file: SourceFile, at: int, label: str) -> None:
    head = file.read(at + _DESCRIPTOR_BYTES, 24)
    (count,) = struct.unpack_from("<I", head.ljust(24, b"\0"))
    raw = file.read(at + _DESCRIPTOR_BYTES + 24, 4 * min(count, TABLE_ENTRIES_MOST))
    entries = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<u4").astype(np.int64) & 0x7FFFFFFF
    lengths = np.diff(entries)
    if len(entries) != count or (lengths < 0).any() or (lengths > 2 * CHUNK_BYTES_MOST).any():
        raise SourceError("damaged-container", f"{label} has a damaged table of chunks at {at}")
