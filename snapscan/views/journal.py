"""The systemd journal (systemd.io/JOURNAL_FILE_FORMAT): what its data objects hold compressed, `FIELD=value`, one a line.

journald compresses values of 512 bytes and more; all others are plain text in the file, where the sweep reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import MIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views import xz, zstd
from snapscan.views.cursor import Cursor
from snapscan.views.lz4_block import decode_block
from snapscan.views.parts import parts
from snapscan.views.stored import sliced
from snapscan.views.verdict import Ended, Verdict

_MAGIC = b"LPKSHHRH"
_LEAST_HEADER, _MOST_HEADER = 208, 4096
_KNOWN_FLAGS = 0x1F
_COMPACT = 0x10
_OBJECT = struct.Struct("<BB6xQ")
_DATA = 1
_MOST_TYPE = 7
_XZ, _LZ4, _ZSTD = 1, 2, 4
_LONGEST_VALUE = 64 * MIB


class Journal:
    """See the module's head."""

    kind = "journal"

    def recognise(self, head: bytes) -> bool:
        """The magic and a header of a length that exists."""
        return head.startswith(_MAGIC) and len(head) >= 96 and _LEAST_HEADER <= int.from_bytes(head[88:96], "little") <= _MOST_HEADER

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member, `values`, if anything is compressed."""
        verdict = Verdict(budget, outcome)
        values = _values(Cursor(reader), verdict)
        try:
            for first in values:
                if first:
                    if verdict.member():
                        yield Member(ViewStep(self.kind, b"values"), parts(chain((first,), values), verdict))
                    return
                if not verdict.decoded(0):
                    return
        except Ended as end:
            verdict.fault(end.reason, end.detail)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


def _values(cursor: Cursor, verdict: Verdict) -> Iterator[bytes]:
    """The compressed values; an empty chunk for every other object. Raises Ended, ReadFault."""
    head = cursor.peek(104)
    if len(head) < 104:
        raise Ended("truncated", "journal: ends inside the header")
    (flags,) = struct.unpack_from("<I", head, 12)
    header_bytes, arena_bytes = struct.unpack_from("<QQ", head, 88)
    if flags & ~_KNOWN_FLAGS:
        raise Ended("unsupported", f"journal: incompatible flags {flags:#x}")
    before_payload = 72 if flags & _COMPACT else 64
    end = header_bytes + arena_bytes
    place = header_bytes
    while place + _OBJECT.size <= min(end, cursor.size_bytes):
        cursor.end, cursor.position = cursor.size_bytes, place
        kind, compression, size_bytes = _OBJECT.unpack(cursor.read(_OBJECT.size).ljust(_OBJECT.size, b"\0"))
        if kind == 0 and size_bytes == 0:
            break  # the arena is allocated ahead
        if size_bytes < _OBJECT.size or kind > _MOST_TYPE:
            raise Ended("damaged", f"journal: no object at {place}")
        if place + size_bytes > cursor.size_bytes:
            raise Ended("truncated", "journal: ends inside an object")
        if kind == _DATA and compression and size_bytes > before_payload:
            cursor.position, cursor.end = place + before_payload, place + size_bytes
            try:
                yield from _value(cursor, compression, verdict.budget.limits.window_bytes)
            except Ended as fault:
                verdict.fault(fault.reason, f"journal: object at {place}: {fault.detail}")
            yield b"\n"
        else:
            yield b""
        place += size_bytes + -size_bytes % 8
    if end > cursor.size_bytes:
        raise Ended("truncated", f"journal: {cursor.size_bytes} of {end} bytes are there")


def _value(cursor: Cursor, compression: int, window_bytes: int) -> Iterator[bytes]:
    """One value; the cursor is fenced around it. Raises Ended."""
    if compression & _ZSTD:
        yield from zstd.frames(cursor, window_bytes)
    elif compression & _XZ:
        yield from xz.streams(cursor, window_bytes)
    elif compression & _LZ4:
        decoded_bytes = int.from_bytes(cursor.read(8), "little")
        stored_bytes = cursor.end - cursor.position
        if decoded_bytes > _LONGEST_VALUE or stored_bytes > _LONGEST_VALUE:
            raise Ended("memory-limit", f"lz4: a value of {decoded_bytes} bytes")
        yield from sliced(decode_block(cursor.read(stored_bytes), decoded_bytes))
    else:
        raise Ended("unsupported", f"compression {compression:#x}")
