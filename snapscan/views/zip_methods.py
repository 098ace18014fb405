"""The compression methods of zip members (APPNOTE 4.4.5), each by the decoder of the format of its own."""

from __future__ import annotations

from collections.abc import Iterator

from snapscan.views import bzip2, xz, zstd
from snapscan.views.cursor import Cursor
from snapscan.views.deflate import inflate
from snapscan.views.parts import PART_BYTES
from snapscan.views.verdict import Ended
from snapscan.views.zip_records import LZMA_END_MARK, Entry

STORED = 0
_NAMES = {1: "shrink", 6: "implode", 9: "deflate64", 18: "terse", 19: "lz77", 94: "mp3", 96: "jpeg", 97: "wavpack", 98: "ppmd"}


def decode_member(entry: Entry, cursor: Cursor, window_bytes: int) -> Iterator[bytes]:
    """The content of `entry`; the cursor stands at its data and is fenced at its end. Raises Ended."""
    match entry.method:
        case 0:
            yield from _stored(cursor)
        case 8:
            yield from inflate(cursor)
        case 12:
            yield from bzip2.streams(cursor)
        case 14:
            decoded_bytes = None if entry.flags & LZMA_END_MARK else entry.decoded_bytes
            yield from xz.lzma_of_zip(cursor, decoded_bytes, window_bytes)
        case 20 | 93:
            yield from zstd.frames(cursor, window_bytes)
        case 95:
            yield from xz.streams(cursor, window_bytes)
        case other:
            raise Ended("unsupported", f"zip: compression method {other} {_NAMES.get(other, '')}".rstrip())


def _stored(cursor: Cursor) -> Iterator[bytes]:
    while chunk := cursor.read(PART_BYTES):
        yield chunk
