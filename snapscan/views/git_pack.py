"""Objects of a git pack (gitformat-pack): headers, inflated content, and deltas resolved against their bases within the pack.

The pack's index is another file, so objects are found one behind the other. Bases come from a cache of bounded size, else are read again.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import NamedTuple

from snapscan.model.units import KIB, MIB
from snapscan.views.cursor import Cursor
from snapscan.views.verdict import Ended, Verdict

COMMIT, TREE, BLOB, TAG, OFFSET_DELTA, NAMED_DELTA = 1, 2, 3, 4, 6, 7
WORDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}

HEADER_BYTES = 12
LONGEST_OBJECT = 64 * MIB
"""Deltas and what they make are held in memory; a whole object that is longer is streamed."""

_CACHE_BYTES = 64 * MIB
_CHAIN_BYTES = 128 * MIB
_LONGEST_CHAIN = 4096
"""git refuses to write longer ones (pack.h, 12 bits)."""

_MOST_NAMES = 1_000_000
_ID_BYTES = 20
_FEED_BYTES = 256 * KIB


class NoBase(Exception):
    """Inside the git modules only: a delta whose base is not (yet) known in this pack."""


class Entry(NamedTuple):
    """The header of one object. `base` is the place of an OFFSET_DELTA's base, `base_id` the name of a NAMED_DELTA's, `data` where the stream is."""

    kind: int
    size_bytes: int
    base: int
    base_id: bytes
    data: int


class Pack:
    """Random access to the objects of one pack by their places."""

    def __init__(self, cursor: Cursor, verdict: Verdict) -> None:
        self._cursor = cursor
        self._verdict = verdict
        self._cache: OrderedDict[int, tuple[int, bytes]] = OrderedDict()
        self._cached_bytes = 0
        self._places: dict[bytes, int] = {}

    def entry(self, offset: int) -> Entry:
        """The object's header. Raises Ended."""
        self._cursor.position = offset
        head = self._cursor.peek(64)
        try:
            byte = head[0]
            kind, size, shift, at = byte >> 4 & 7, byte & 15, 4, 1
            while byte & 0x80:
                byte = head[at]
                size |= (byte & 0x7F) << shift
                shift, at = shift + 7, at + 1
            base, base_id = 0, b""
            if kind == OFFSET_DELTA:
                byte = head[at]
                distance, at = byte & 0x7F, at + 1
                while byte & 0x80:
                    byte = head[at]
                    distance, at = distance + 1 << 7 | byte & 0x7F, at + 1
                base = offset - distance
                if not HEADER_BYTES <= base < offset:
                    raise Ended("damaged", f"git: the delta at {offset} has a base outside of the pack")
            elif kind == NAMED_DELTA:
                base_id, at = head[at : at + _ID_BYTES], at + _ID_BYTES
            elif kind not in WORDS:
                raise Ended("damaged", f"git: no object at {offset}")
        except IndexError:
            reason = "truncated" if len(head) < 64 else "damaged"
            raise Ended(reason, f"git: the object's header at {offset} does not end") from None
        return Entry(kind, size, base, base_id, offset + at)

    def content(self, entry: Entry) -> bytes:
        """The inflated stream, at most LONGEST_OBJECT long; the cursor is left behind it. Raises Ended."""
        if entry.size_bytes > LONGEST_OBJECT:
            raise Ended("memory-limit", f"git: an object or delta of {entry.size_bytes} bytes")
        cursor = self._cursor
        cursor.position = entry.data
        inflater = zlib.decompressobj()
        chunks = []
        left = entry.size_bytes
        feed = min(entry.size_bytes + 64, _FEED_BYTES)
        while not inflater.eof:
            data = cursor.read(feed)
            try:
                chunk = inflater.decompress(inflater.unconsumed_tail + data, left + 1)
            except zlib.error as error:
                raise Ended("damaged", f"git: {error}") from error
            left -= len(chunk)
            chunks.append(chunk)
            if left < 0:
                raise Ended("damaged", f"git: the object at {entry.data} is longer than it says")
            if not data and not chunk and not inflater.eof:
                raise Ended("truncated", "git: ends inside an object")
        if left:
            raise Ended("damaged", f"git: the object at {entry.data} is shorter than it says")
        cursor.position -= len(inflater.unused_data)
        return b"".join(chunks)

    def resolve(self, offset: int, entry: Entry, content: bytes) -> tuple[int, bytes]:
        """(type, content) of the object at `offset`, whose stream held `content`. Raises Ended, NoBase."""
        deltas: list[tuple[int, bytes]] = []
        held_bytes = 0
        while entry.kind not in WORDS:
            deltas.append((offset, content))
            held_bytes += len(content)
            if len(deltas) > _LONGEST_CHAIN:
                raise Ended("damaged", "git: a chain of deltas that does not end")
            if held_bytes > _CHAIN_BYTES or not self._verdict.decoded(0):
                raise Ended("memory-limit", f"git: the chain of deltas at {offset} is too long to hold")
            offset = self._base(entry)
            known = self._cache.get(offset)
            if known is not None:
                self._cache.move_to_end(offset)
                kind, content = known
                break
            entry = self.entry(offset)
            content = self.content(entry)
        else:
            kind = entry.kind
            self._remember(offset, kind, content)
        for place, delta in reversed(deltas):
            content = apply(delta, content)
            self._remember(place, kind, content)
        return kind, content

    def name(self, identity: bytes, offset: int) -> None:
        """Note where the object of this name is, for deltas that name their base."""
        if len(self._places) < _MOST_NAMES:
            self._places[identity] = offset

    def _base(self, entry: Entry) -> int:
        if entry.kind == OFFSET_DELTA:
            return entry.base
        place = self._places.get(entry.base_id)
        if place is None:
            raise NoBase
        return place

    def _remember(self, offset: int, kind: int, content: bytes) -> None:
        if offset in self._cache:
            return
        self._cache[offset] = kind, content
        self._cached_bytes += len(content) + 256
        while self._cached_bytes > _CACHE_BYTES:
            _, (_, dropped) = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped) + 256


def apply(delta: bytes, base: bytes) -> bytes:
    """What the delta makes of its base. Raises Ended."""
    try:
        base_bytes, at = _size(delta, 0)
        made_bytes, at = _size(delta, at)
        if base_bytes != len(base):
            raise Ended("damaged", "git: a delta belongs to another base")
        if made_bytes > LONGEST_OBJECT:
            raise Ended("memory-limit", f"git: a delta makes {made_bytes} bytes")
        pieces = []
        made = 0
        while at < len(delta) and made <= made_bytes:
            start, length, at = _instruction(delta, at)
            piece = delta[at : at + length] if start < 0 else base[start : start + length]
            if start < 0:
                at += length
            made += len(piece)
            pieces.append(piece)
    except IndexError:
        raise Ended("damaged", "git: a delta ends inside an instruction") from None
    if made != made_bytes:
        raise Ended("damaged", "git: a delta makes more or less than it says")
    return b"".join(pieces)


def literals(delta: bytes) -> bytes:
    """What a delta adds to its base, pieces on lines of their own: all that is here of an object whose base is elsewhere."""
    pieces = []
    try:
        _, at = _size(delta, 0)
        _, at = _size(delta, at)
        while at < len(delta):
            start, length, at = _instruction(delta, at)
            if start < 0:
                pieces.append(delta[at : at + length])
                at += length
    except (IndexError, Ended):
        pieces.append(b"")
    return b"\n".join(pieces)


def _size(delta: bytes, at: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        byte = delta[at]
        size |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return size, at


def _instruction(delta: bytes, at: int) -> tuple[int, int, int]:
    """(start in the base or -1 for bytes that follow, length, next place). Raises IndexError, Ended."""
    code = delta[at]
    at += 1
    if code < 0x80:
        if code == 0:
            raise Ended("damaged", "git: a reserved instruction in a delta")
        return -1, code, at
    start = length = 0
    for bit in range(4):
        if code >> bit & 1:
            start |= delta[at] << 8 * bit
            at += 1
    for bit in range(3):
        if code >> bit + 4 & 1:
            length |= delta[at] << 8 * bit
            at += 1
    return start, length or 0x10000, at
