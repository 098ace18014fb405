"""Zstandard (RFC 8878), and the adapter of zstandard: frames laid end to end, skippable ones left out, as `zstd -dc` prints them.

The frame is walked here and fed block by block: a block decodes to at most 128 KiB, so output is bounded whatever the ratio, damage costs
its own block only, and the window is known before anything is allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import zstandard

from snapscan.model.locator import ViewStep
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.parts import parts
from snapscan.views.verdict import Ended, Verdict

_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"
"""Bytes 1 to 3 of the magic of a skippable frame; byte 0 is 0x50 to 0x5f. LZ4 uses the same."""

_LONGEST_BLOCK = 128 * 1024
_RUN, _COMPRESSED = 1, 2
"""Block types (3.1.1.2.2); 0 is raw, 3 is reserved."""


class Zstd:
    """See the module's head."""

    kind = "zstd"

    def recognise(self, head: bytes) -> bool:
        """A frame without reserved bits, at the start or behind skippable frames that are short enough to be seen."""
        position = 0
        while (skip := _skippable_bytes(head[position:])) and position < len(head):
            position += skip
        frame = head[position : position + 5]
        return len(frame) == 5 and frame.startswith(_MAGIC) and not frame[4] & 0x08

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member without a name."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        if verdict.member():
            yield Member(ViewStep(self.kind), parts(_noted(cursor, verdict), verdict))


def _noted(cursor: Cursor, verdict: Verdict) -> Iterator[bytes]:
    yield from frames(cursor, verdict.budget.limits.window_bytes)
    if cursor.position < cursor.end:
        verdict.note(f"{cursor.end - cursor.position} bytes follow the last zstd frame")


def frames(cursor: Cursor, window_bytes: int) -> Iterator[bytes]:
    """All frames up to bytes that begin none, in chunks of at most 128 KiB. Raises Ended."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=window_bytes)
    while True:
        head = cursor.peek(8)
        if skip := _skippable_bytes(head):
            if cursor.position + skip > cursor.end:
                raise Ended("truncated", "zstd: ends inside a skippable frame")
            cursor.position += skip
            yield b""
        elif head.startswith(_MAGIC):
            yield from _frame(cursor, decompressor, window_bytes)
            yield b""
        else:
            return


def _skippable_bytes(head: bytes) -> int:
    """Length of the skippable frame that `head` begins, its header included; zero when it is none."""
    if len(head) < 8 or head[0] & 0xF0 != 0x50 or head[1:4] != _SKIPPABLE:
        return 0
    return 8 + int(struct.unpack_from("<I", head, 4)[0])


class _Frame(NamedTuple):
    header_bytes: int
    window_bytes: int
    dictionary: int
    has_checksum: bool


def _parse(head: bytes) -> _Frame:
    """The frame header (3.1.1.1); `head` holds up to 18 bytes. Raises Ended."""
    if len(head) < 6:
        raise Ended("truncated", "zstd: ends inside a frame header")
    descriptor = head[4]
    if descriptor & 0x08:
        raise Ended("unsupported", "zstd: a reserved bit is set")
    single = bool(descriptor & 0x20)
    position = 5
    window_bytes = 0
    if not single:
        base = 1 << (10 + (head[5] >> 3))
        window_bytes = base + base // 8 * (head[5] & 7)
        position = 6
    dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
    size_bytes = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    end = position + dictionary_bytes + size_bytes
    if len(head) < end:
        raise Ended("truncated", "zstd: ends inside a frame header")
    dictionary = int.from_bytes(head[position : position + dictionary_bytes], "little")
    if single:
        window_bytes = int.from_bytes(head[end - size_bytes : end], "little")
    return _Frame(end, window_bytes, dictionary, bool(descriptor & 0x04))


def _frame(cursor: Cursor, decompressor: zstandard.ZstdDecompressor, window_limit: int) -> Iterator[bytes]:
    frame = _parse(cursor.peek(18))
    if frame.window_bytes > window_limit:
        raise Ended("memory-limit", f"zstd: a window of {frame.window_bytes} bytes")
    if frame.dictionary:
        raise Ended("unsupported", f"zstd: needs the dictionary {frame.dictionary}")
    decoder = decompressor.decompressobj()
    _feed(decoder, cursor.read(frame.header_bytes))
    last = False
    while not last:
        head = cursor.read(3)
        word = int.from_bytes(head, "little")
        last, kind, size_bytes = bool(word & 1), word >> 1 & 3, word >> 3
        if len(head) == 3 and (kind > _COMPRESSED or size_bytes > _LONGEST_BLOCK):
            raise Ended("damaged", f"zstd: no block at {cursor.position - 3}")
        data = cursor.read(1 if kind == _RUN else size_bytes)
        if len(head) < 3 or len(data) < (1 if kind == _RUN else size_bytes):
            raise Ended("truncated", "zstd: the frame goes on past the end of what is stored")
        yield _feed(decoder, head + data)
    if frame.has_checksum:
        checksum = cursor.read(4)
        if len(checksum) < 4:
            raise Ended("truncated", "zstd: ends inside the checksum")
        yield _feed(decoder, checksum)


def _feed(decoder: zstandard.ZstdDecompressionObj, data: bytes) -> bytes:
    try:
        chunk: bytes = decoder.decompress(data)
    except zstandard.ZstdError as error:
        raise Ended("damaged", f"zstd: {error}") from error
    return chunk
