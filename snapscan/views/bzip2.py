"""bzip2: one or more streams laid end to end (pbzip2 writes many), which are one stream, as `bzip2 -dc` prints it."""

from __future__ import annotations

import bz2
from collections.abc import Iterator

from snapscan.model.locator import ViewStep
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.parts import parts
from snapscan.views.stream import Codec, decode
from snapscan.views.verdict import Verdict

_BLOCK, _END_OF_STREAM = b"1AY&SY", b"\x17rE8P\x90"

_CODEC = Codec("bzip2", bz2.BZ2Decompressor, (OSError, ValueError))


class Bzip2:
    """See the module's head."""

    kind = "bzip2"

    def recognise(self, head: bytes) -> bool:
        """`BZh`, the level, and a first block or the end of an empty stream."""
        return head[:3] == b"BZh" and b"1" <= head[3:4] <= b"9" and head[4:10] in (_BLOCK, _END_OF_STREAM)

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member without a name."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        if verdict.member():
            yield Member(ViewStep(self.kind), parts(_noted(cursor, verdict), verdict))


def _noted(cursor: Cursor, verdict: Verdict) -> Iterator[bytes]:
    yield from streams(cursor)
    if cursor.position < cursor.end:
        verdict.note(f"{cursor.end - cursor.position} bytes follow the last bzip2 stream")


def streams(cursor: Cursor) -> Iterator[bytes]:
    """All streams up to bytes that begin none. Chunks and errors as `stream.decode`."""
    while True:
        yield from decode(_CODEC, cursor)
        yield b""
        if not Bzip2().recognise(cursor.peek(10)):
            return
