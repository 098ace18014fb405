"""Drive a decompressor of the kind that bz2, lzma and isal share: bounded output from input as it asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from snapscan.model.units import KIB
from snapscan.views.cursor import Cursor
from snapscan.views.verdict import Ended

STEP_BYTES = 256 * KIB
"""Most that one call decodes."""

_FIRST_FEED_BYTES = 4 * KIB
"""A stream may be tiny and another one follow: what is fed beyond its end is copied back, so the first bites are small."""

_SALVAGE_FEED_BYTES = 64


class Decoder(Protocol):
    """One stream, as in the standard library's bz2 and lzma."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Codec(NamedTuple):
    """How to make a decoder and how to read its errors."""

    name: str
    new: Callable[[], Decoder]
    """Raises one of `errors` for parameters out of range."""
    errors: tuple[type[Exception], ...]
    careful: Callable[[], Decoder] | None = None
    """Another decoder of the same format that decodes no further than asked; `new` if None."""
    reason: Callable[[Exception], str] = lambda error: "damaged"


def decode(codec: Codec, cursor: Cursor) -> Iterator[bytes]:
    """The decoded bytes of one stream in chunks of at most STEP_BYTES, some of them empty; the cursor ends right behind the stream.

    Raises Ended: `truncated` where the input ends first, otherwise what the codec says; every byte that can be decoded was
    given before, but for the one right before damage, which the libraries throw away with the error.
    """
    start = cursor.position
    feed_bytes = _FIRST_FEED_BYTES
    given_bytes = 0
    idle_calls = 0
    try:
        decoder = codec.new()
    except codec.errors as error:
        raise Ended(codec.reason(error), f"{codec.name}: {error}") from error
    while not decoder.eof:
        data = b""
        exhausted = False
        if decoder.needs_input:
            data = cursor.read(feed_bytes)
            feed_bytes = min(feed_bytes * 2, STEP_BYTES)
            exhausted = not data
        try:
            chunk = decoder.decompress(data, STEP_BYTES)
        except codec.errors as error:
            reason = codec.reason(error)
            if reason == "damaged":
                yield from _salvage(codec, cursor, start, given_bytes)
            raise Ended(reason, f"{codec.name}: {error}") from error
        # A decoder may hold output back although it asks for input (bz2 does), or spin without either: two idle calls end it.
        idle_calls = 0 if chunk or data else idle_calls + 1
        if not decoder.eof and not chunk and (exhausted or idle_calls > 1):
            raise Ended("truncated", f"{codec.name}: the stream goes on past the end of what is stored")
        given_bytes += len(chunk)
        yield chunk
    cursor.position -= len(decoder.unused_data)


def _salvage(codec: Codec, cursor: Cursor, start: int, given_bytes: int) -> Iterator[bytes]:
    """The bytes between the last good call and the damage, which the failing call decoded and threw away.

    Decodes the stream once more: quickly up to `given_bytes`, then byte by byte until the error, at most STEP_BYTES long.
    """
    decoder = (codec.careful or codec.new)()
    cursor.position = start
    passed_bytes = 0
    rescued = bytearray()
    while len(rescued) < STEP_BYTES and not decoder.eof:
        wanted = min(given_bytes - passed_bytes, STEP_BYTES) or 1
        data = cursor.read(_SALVAGE_FEED_BYTES if wanted == 1 else STEP_BYTES) if decoder.needs_input else b""
        ending = decoder.needs_input and not data
        try:
            chunk = decoder.decompress(data, wanted)
        except codec.errors:
            break
        if passed_bytes < given_bytes:
            passed_bytes += len(chunk)
            yield b""
        else:
            rescued += chunk
        if ending and not chunk:
            break
    yield bytes(rescued)
