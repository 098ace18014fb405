"""gzip (RFC 1952): one or more members laid end to end, which are one stream, as `gzip -dc` prints it.

bgzip, pigz and log rotation write many members, and a tar may cross them: so all of them are one Member here, named by the first header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import KIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.deflate import crc32, inflate
from snapscan.views.names import bounded
from snapscan.views.parts import parts
from snapscan.views.verdict import Ended, Verdict

_MAGIC = b"\x1f\x8b\x08"
_HEADER_CRC, _EXTRA, _NAME, _COMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_LONGEST_TEXT = 64 * KIB


class Gzip:
    """See the module's head."""

    kind = "gzip"

    def recognise(self, head: bytes) -> bool:
        """Magic, method 8, no reserved flag, and (where it is the next byte) a first block of a type that exists."""
        if len(head) < 10 or not head.startswith(_MAGIC) or head[3] & _RESERVED:
            return False
        return head[3] != 0 or len(head) < 11 or head[10] & 0x06 != 0x06

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        try:
            name = _header(cursor)
        except Ended as end:
            verdict.fault(end.reason, end.detail)
            return
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)
            return
        if verdict.member():
            yield Member(ViewStep(self.kind, bounded(name)), parts(_chunks(cursor, verdict), verdict))


def _chunks(cursor: Cursor, verdict: Verdict) -> Iterator[bytes]:
    """All members' content; the cursor is behind the first header. A wrong checksum is a fault, and the members behind it are still read."""
    while True:
        checksum = length = 0
        for chunk in inflate(cursor):
            checksum = crc32(chunk, checksum)
            length += len(chunk)
            yield chunk
        trailer = cursor.read(8)
        if len(trailer) < 8:
            raise Ended("truncated", "gzip: ends inside the trailer")
        if struct.unpack("<II", trailer) != (checksum, length & 0xFFFFFFFF):
            verdict.fault("damaged", f"gzip: checksum or length of the member that ends at {cursor.position} is wrong")
        yield b""
        if not cursor.peek(4).startswith(_MAGIC):
            break
        _header(cursor)
    if cursor.position < cursor.end:
        verdict.note(f"{cursor.end - cursor.position} bytes follow the last gzip member")


def _header(cursor: Cursor) -> bytes:
    """Step over a member's header; returns the file name in it. Raises Ended."""
    fixed = cursor.read(10)
    if len(fixed) < 10:
        raise Ended("truncated", "gzip: ends inside a header")
    flags = fixed[3]
    if not fixed.startswith(_MAGIC) or flags & _RESERVED:
        raise Ended("damaged", f"gzip: no header at {cursor.position - 10}")
    if flags & _EXTRA:
        (length,) = struct.unpack("<H", _exactly(cursor, 2))
        _exactly(cursor, length)
    name = _text(cursor) if flags & _NAME else b""
    if flags & _COMMENT:
        _text(cursor)
    if flags & _HEADER_CRC:
        _exactly(cursor, 2)
    return name


def _exactly(cursor: Cursor, length: int) -> bytes:
    data = cursor.read(length)
    if len(data) < length:
        raise Ended("truncated", "gzip: ends inside a header")
    return data


def _text(cursor: Cursor) -> bytes:
    data = cursor.peek(_LONGEST_TEXT)
    text, end_mark, _ = data.partition(b"\0")
    if not end_mark:
        raise Ended("truncated" if len(data) < _LONGEST_TEXT else "damaged", "gzip: a name in a header does not end")
    cursor.position += len(text) + 1
    return text
