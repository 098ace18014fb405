"""tar: a walk of 512-byte headers. The standard library's reader is lax about damage and keeps every header in memory; this one does neither.

Sparse members are given as they are stored, holes left out. Links, devices and folders have no content. The content of a hard link is its
first name's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import KIB, MIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.names import Names, shown
from snapscan.views.parts import PART_BYTES, parts
from snapscan.views.tar_header import BLOCK_BYTES, Header, checksum_holds, parse, pax_records
from snapscan.views.verdict import Ended, Verdict

_NO_CONTENT = b"123456V"
"""Hard link, symbolic link, character and block device, folder, FIFO, volume label."""

_LONGEST_EXTENSION = MIB
"""pax headers and GNU long names; real ones are a few hundred bytes, with access lists a few KiB."""

_PADDING_BYTES = 64 * KIB
"""An archive is padded with zeros to a record (10 KiB unless told); another one may follow (`tar -A`, `cat`)."""

_RESYNC_BYTES = 64 * MIB
"""How far the next good header is looked for behind damage."""


class _Extension(NamedTuple):
    """What pax and GNU headers say about the member that follows them."""

    name: bytes = b""
    size_bytes: int | None = None


class Tar:
    """See the module's head."""

    kind = "tar"

    def recognise(self, head: bytes) -> bool:
        """A first block whose checksum holds, with a name."""
        return head[:1] not in (b"", b"\0") and checksum_holds(head[:BLOCK_BYTES])

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """A member for each entry that has content, empty files included."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        names = Names()
        try:
            for header in _entries(cursor, verdict):
                start = cursor.position
                if header.type not in _NO_CONTENT:
                    what = f"{shown(header.name)}: "
                    member_parts = parts(_content(cursor, header.size_bytes), verdict, what)
                    yield Member(ViewStep(self.kind, names.unique(header.name)), member_parts, header.size_bytes)
                    if verdict.stopped:
                        return
                    start += -(-header.size_bytes // BLOCK_BYTES) * BLOCK_BYTES
                cursor.position = start
        except Ended as end:
            verdict.fault(end.reason, end.detail)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


def _content(cursor: Cursor, size_bytes: int) -> Iterator[bytes]:
    left = size_bytes
    while left:
        chunk = cursor.read(min(left, PART_BYTES))
        if not chunk:
            raise Ended("truncated", f"tar: {left} of {size_bytes} bytes are missing")
        left -= len(chunk)
        yield chunk


def _entries(cursor: Cursor, verdict: Verdict) -> Iterator[Header]:
    """Members with their final name and size, the cursor at their content. The caller moves it behind; raises Ended."""
    extension = _Extension()
    while verdict.member():
        position = cursor.position
        block = cursor.read(BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            raise Ended("truncated", f"tar: no end mark before the end at {cursor.end}")
        if not block.strip(b"\0"):
            if not _archive_follows(cursor):
                return
            continue
        header = parse(block) if checksum_holds(block) else None
        if header is None:
            verdict.fault("damaged", f"tar: no header at {position}")
            _find_header(cursor, verdict)
            continue
        if header.type in (b"x", b"X", b"L", b"K", b"g"):
            extension = _extended(header, extension, _extension_data(cursor, header))
            continue
        if header.type == b"S":
            _skip_sparse_map(cursor, header)
        size_bytes = header.size_bytes if extension.size_bytes is None else extension.size_bytes
        yield header._replace(name=extension.name or header.name, size_bytes=size_bytes)
        extension = _Extension()


def _extension_data(cursor: Cursor, header: Header) -> bytes:
    if header.size_bytes > _LONGEST_EXTENSION:
        raise Ended("damaged", f"tar: an extended header of {header.size_bytes} bytes")
    data = cursor.read(header.size_bytes)
    if len(data) < header.size_bytes:
        raise Ended("truncated", "tar: ends inside an extended header")
    cursor.position += -header.size_bytes % BLOCK_BYTES
    return data


def _extended(header: Header, extension: _Extension, data: bytes) -> _Extension:
    if header.type == b"L":
        return extension._replace(name=data.partition(b"\0")[0])
    if header.type not in (b"x", b"X"):
        return extension
    records = pax_records(data)
    size = records.get(b"size", b"")
    return _Extension(
        records.get(b"GNU.sparse.name") or records.get(b"path") or extension.name,
        int(size) if size.isdigit() and len(size) <= 20 else extension.size_bytes,
    )


def _skip_sparse_map(cursor: Cursor, header: Header) -> None:
    """Old GNU sparse maps go on in further blocks, each of which says whether one more follows."""
    more = header.extended
    while more:
        block = cursor.read(BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            raise Ended("truncated", "tar: ends inside a sparse map")
        more = block[504] == 1


def _archive_follows(cursor: Cursor) -> bool:
    """Behind a block of zeros: move to the next header if one follows the padding; False at the archive's end."""
    padding = cursor.peek(_PADDING_BYTES)
    zeros = len(padding) - len(padding.lstrip(b"\0"))
    skip = zeros // BLOCK_BYTES * BLOCK_BYTES
    if not checksum_holds(padding[skip : skip + BLOCK_BYTES]):
        return False
    cursor.position += skip
    return True


def _find_header(cursor: Cursor, verdict: Verdict) -> None:
    """Move to the next block that is a header. Raises Ended when there is none."""
    limit = cursor.position + _RESYNC_BYTES
    while cursor.position < limit and verdict.decoded(0):
        window = cursor.peek(PART_BYTES)
        place = window.find(b"ustar")
        while place >= 0:
            block = place - 257
            if block >= 0 and block % BLOCK_BYTES == 0 and checksum_holds(window[block : block + BLOCK_BYTES]):
                cursor.position += block
                return
            place = window.find(b"ustar", place + 1)
        if len(window) < PART_BYTES:
            break
        cursor.position += PART_BYTES
    raise Ended("damaged", "tar: no header behind the damage")
