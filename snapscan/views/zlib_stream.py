"""zlib (RFC 1950): one stream that stands alone. A loose object of git is one: `blob 12`, a NUL, the content.

Two bytes of header say little, so recognition inflates the head: what passes is zlib.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.deflate import inflate
from snapscan.views.parts import parts
from snapscan.views.verdict import Ended, Verdict

_HEADER_BYTES = 2
_WHOLE_HEAD_BYTES = 512
"""A head of this length may be the beginning of something longer; a shorter one is all there is."""

_GIT_HEADER = re.compile(rb"(blob|tree|commit|tag) (\d{1,20})\0")
_LONGEST_GIT_HEADER = 32


class Zlib:
    """See the module's head."""

    kind = "zlib"

    def recognise(self, head: bytes) -> bool:
        """A header without a dictionary, and a stream that inflates: as far as the head goes, or to its end with the checksum right."""
        if len(head) < 8 or head[0] & 0x0F != 8 or head[0] >> 4 > 7 or head[1] & 0x20 or (head[0] << 8 | head[1]) % 31:
            return False
        inflater = zlib.decompressobj()
        try:
            begun = inflater.decompress(head, _WHOLE_HEAD_BYTES * 4)
        except zlib.error:
            return False
        return bool(begun) and (inflater.eof or len(head) >= _WHOLE_HEAD_BYTES)

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member; of an object of git its type is the name, and its header is left out."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        try:
            name, header_bytes = _git_header(cursor.peek(_WHOLE_HEAD_BYTES))
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)
            return
        if verdict.member():
            yield Member(ViewStep(self.kind, name), parts(_chunks(cursor, header_bytes, verdict), verdict))


def _git_header(head: bytes) -> tuple[bytes, int]:
    """(type, length of the header) of an object of git; (b"", 0) of anything else."""
    try:
        begun = zlib.decompressobj().decompress(head, _LONGEST_GIT_HEADER)
    except zlib.error:
        return b"", 0
    match = _GIT_HEADER.match(begun)
    return (match[1], match.end()) if match else (b"", 0)


def _chunks(cursor: Cursor, skip: int, verdict: Verdict) -> Iterator[bytes]:
    """The content behind its first `skip` bytes; the checksum is looked at where the stream ends."""
    cursor.position += _HEADER_BYTES
    checksum = 1
    for chunk in inflate(cursor):
        checksum = zlib.adler32(chunk, checksum)
        yield chunk[skip:]
        skip -= min(skip, len(chunk))
    trailer = cursor.read(4)
    if len(trailer) < 4:
        raise Ended("truncated", "zlib: ends inside the checksum")
    if int.from_bytes(trailer, "big") != checksum:
        raise Ended("damaged", "zlib: the checksum is wrong")
    if cursor.position < cursor.end:
        verdict.note(f"{cursor.end - cursor.position} bytes follow the zlib stream")
