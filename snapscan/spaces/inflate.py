"""Adapter for isal and zstandard: one compressed unit of a container to its bytes, never more than asked for."""

from __future__ import annotations

import zlib
from typing import cast

import zstandard
from isal import isal_zlib

from snapscan.model.errors import StructureFault

WINDOW_MOST = 8 << 20
"""Bytes of zstd window; a unit is 2 MiB at most, so that a larger window is a lie."""


_ZSTD = zstandard.ZstdDecompressor(max_window_size=WINDOW_MOST)
_ERRORS: tuple[type[Exception], ...] = (cast(type[Exception], isal_zlib.error), zlib.error, zstandard.ZstdError, EOFError, MemoryError)


def inflate(data: bytes, length: int, window_bits: int) -> bytes:
    """Up to `length` bytes out of deflate data (`window_bits` as in zlib: negative is raw). Raises StructureFault with offset 0."""
    try:
        return bytes(isal_zlib.decompressobj(window_bits).decompress(data, length))
    except _ERRORS as error:
        raise StructureFault("damaged-unit", f"compressed data does not decompress: {error}", offset=0, length=length) from error


def unzstd(data: bytes, length: int) -> bytes:
    """Up to `length` bytes out of zstd data; what follows the frame is ignored. Raises StructureFault with offset 0."""
    try:
        with _ZSTD.stream_reader(data) as reader:
            return bytes(reader.read(length))
    except _ERRORS as error:
        raise StructureFault("damaged-unit", f"compressed data does not decompress: {error}", offset=0, length=length) from error
