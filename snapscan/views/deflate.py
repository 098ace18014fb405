"""The adapter of isal: raw deflate at about twice zlib's speed, and CRC-32 at memory speed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from isal import igzip_lib, isal_zlib

from snapscan.views.cursor import Cursor
from snapscan.views.stream import Codec, Decoder, decode

_WINDOW_BITS = 15


def crc32(data: bytes, value: int = 0) -> int:
    """CRC-32 as gzip and zip use it, continued from `value`."""
    result: int = isal_zlib.crc32(data, value)
    return result


def inflate(cursor: Cursor) -> Iterator[bytes]:
    """One raw deflate stream (RFC 1951), without header or trailer. Chunks and errors as `stream.decode`."""
    return decode(_CODEC, cursor)


def _fast() -> Decoder:
    decoder: Decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE, hist_bits=_WINDOW_BITS)
    return decoder


class _Careful:
    """zlib in the shape of `Decoder`. Asked for one byte at a time it does not decode ahead, so an error costs the byte before it at most."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(-_WINDOW_BITS)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


_ISAL_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # isal's stub declares the class as an instance

_CODEC = Codec("deflate", _fast, (_ISAL_ERROR, zlib.error), _Careful)
