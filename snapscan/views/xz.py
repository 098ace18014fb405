"""xz (The .xz File Format 1.2.1): one or more streams with padding between them, which are one stream, as `xz -dc` prints it.

The dictionary is the archive's wish, up to 4 GiB: one that needs more than the limit is refused before it is allocated.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator

from snapscan.model.locator import ViewStep
from snapscan.model.units import KIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.parts import parts
from snapscan.views.stream import Codec, decode
from snapscan.views.verdict import Ended, Verdict

_MAGIC = b"\xfd7zXZ\x00"
_PADDING_BYTES = 64 * KIB


class Xz:
    """See the module's head."""

    kind = "xz"

    def recognise(self, head: bytes) -> bool:
        """A stream header whose checksum holds."""
        return head.startswith(_MAGIC) and len(head) >= 12 and struct.pack("<I", zlib.crc32(head[6:8])) == head[8:12]

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member without a name."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        if verdict.member():
            yield Member(ViewStep(self.kind), parts(_noted(cursor, verdict), verdict))


def _noted(cursor: Cursor, verdict: Verdict) -> Iterator[bytes]:
    yield from streams(cursor, verdict.budget.limits.window_bytes)
    if cursor.position < cursor.end:
        verdict.note(f"{cursor.end - cursor.position} bytes follow the last xz stream")


def streams(cursor: Cursor, window_bytes: int) -> Iterator[bytes]:
    """All streams up to bytes that begin none. Chunks and errors as `stream.decode`."""
    codec = Codec("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=window_bytes), (lzma.LZMAError,), reason=_reason)
    while True:
        yield from decode(codec, cursor)
        yield b""
        padding = cursor.peek(_PADDING_BYTES)
        zeros = len(padding) - len(padding.lstrip(b"\0"))
        if not padding[zeros:].startswith(_MAGIC):
            return
        cursor.position += zeros


def _reason(error: Exception) -> str:
    text = str(error)
    if text.startswith("Memory usage limit"):
        return "memory-limit"
    return "unsupported" if "unsupported" in text.lower() else "damaged"


def lzma_of_zip(cursor: Cursor, decoded_bytes: int | None, window_bytes: int) -> Iterator[bytes]:
    """An LZMA member of a zip (APPNOTE 5.8): version, length of the properties, properties, raw stream.

    `decoded_bytes` ends a stream without end mark; None where there is one.
    """
    head = cursor.read(9)
    if len(head) < 9:
        raise Ended("truncated", "lzma: ends inside the properties")
    _, length, packed, dictionary_bytes = struct.unpack("<HHBI", head)
    if length != 5 or packed >= 225:
        raise Ended("damaged", "lzma: properties out of range")
    if dictionary_bytes > window_bytes:
        raise Ended("memory-limit", f"lzma: a dictionary of {dictionary_bytes} bytes")
    properties = {"lc": packed % 9, "lp": packed // 9 % 5, "pb": packed // 45, "dict_size": max(dictionary_bytes, 4 * KIB)}
    filters = [{"id": lzma.FILTER_LZMA1, **properties}]
    codec = Codec("lzma", lambda: lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters), (lzma.LZMAError, ValueError), reason=_reason)
    given_bytes = 0
    if decoded_bytes == 0:
        return
    for chunk in decode(codec, cursor):
        given_bytes += len(chunk)
        yield chunk
        if decoded_bytes is not None and given_bytes >= decoded_bytes:
            return
