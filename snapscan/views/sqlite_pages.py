"""Pages of a SQLite database by number: from the database file, or from a write-ahead log (file format, sections 1.3 and 4.1)."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import OrderedDict
from typing import NamedTuple, Protocol

from snapscan.model.errors import ReadFault
from snapscan.model.units import KIB, MIB
from snapscan.model.view import Reader

MAGIC = b"SQLite format 3\x00"
WAL_MAGICS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
WAL_VERSION = 3_007_000
WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24

_HEADER_BYTES = 100
_READ_BYTES = 64 * KIB
_CACHE_BYTES = 4 * MIB
MOST_FRAMES = 1_000_000
"""Of one log: the index of its frames is in memory."""


class Header(NamedTuple):
    """The fields of page 1 that reading needs. `usable_bytes` is a page without the part reserved at its end."""

    page_bytes: int
    usable_bytes: int
    encoding: int
    pages: int
    """Zero when the file does not say, or says something stale."""


class Pages(Protocol):
    """`page` gives a whole page, or b"" for one that is not there; raises ReadFault."""

    header: Header

    def page(self, number: int) -> bytes: ...


def parse_header(head: bytes) -> Header | None:
    """The header of a database file; None when its fields are out of range."""
    if len(head) < _HEADER_BYTES or not head.startswith(MAGIC):
        return None
    (page_bytes,) = struct.unpack_from(">H", head, 16)
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    reserved = head[20]
    if not is_page_size(page_bytes) or page_bytes - reserved < 480 or head[21:24] != b"\x40\x20\x20":
        return None
    changes, pages = struct.unpack_from(">II", head, 24)
    (encoding,) = struct.unpack_from(">I", head, 56)
    (valid_for,) = struct.unpack_from(">I", head, 92)
    return Header(page_bytes, page_bytes - reserved, encoding if encoding in (1, 2, 3) else 1, pages if changes == valid_for else 0)


def is_page_size(size: int) -> bool:
    """A power of two from 512 to 65536."""
    return 512 <= size <= 65_536 and size & (size - 1) == 0


class FilePages:
    """Pages of a database file, read in strides: neighbours are asked for next."""

    def __init__(self, reader: Reader, header: Header) -> None:
        self.header = header
        whole = reader.size_bytes // header.page_bytes
        self.count = min(header.pages, whole) if header.pages else whole
        """Pages that are wholly there."""
        self._reader = reader
        self._stride = max(_READ_BYTES, header.page_bytes)
        self._cache: OrderedDict[int, bytes] = OrderedDict()

    def page(self, number: int) -> bytes:
        """See Pages."""
        if not 1 <= number <= self.count:
            return b""
        start = (number - 1) * self.header.page_bytes
        slot = start // self._stride
        data = self._cache.get(slot)
        if data is None:
            try:
                data = self._reader.read(slot * self._stride, self._stride)
            except ReadFault:
                return self._reader.read(start, self.header.page_bytes)
            self._cache[slot] = data
            if len(self._cache) * self._stride > _CACHE_BYTES:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(slot)
        start -= slot * self._stride
        return data[start : start + self.header.page_bytes]


class WalPages:
    """Pages of a write-ahead log; `page` gives the version that the transaction of the frame looked at last would see."""

    def __init__(self, reader: Reader, page_bytes: int) -> None:
        self.header = Header(page_bytes, page_bytes, 0, 0)
        self._reader = reader
        self._step = FRAME_HEADER_BYTES + page_bytes
        self.stored_frames = max(reader.size_bytes - WAL_HEADER_BYTES, 0) // self._step
        self.frames = min(self.stored_frames, MOST_FRAMES)
        self.numbers: list[int] = []
        """Page number of each frame."""
        self._ends: list[int] = []
        self._by_page: dict[int, list[int]] = {}
        self._limit = 0

    def index_next(self) -> bool:
        """Read the header of one more frame; False when all were read. Raises ReadFault."""
        frame = len(self.numbers)
        if frame >= self.frames:
            self._limit = self.frames
            first = self.page(1)
            header = parse_header(first)
            if header is not None and header.page_bytes == self.header.page_bytes:
                self.header = header
            return False
        number, committed = struct.unpack(">II", self._reader.read(WAL_HEADER_BYTES + frame * self._step, 8))
        self.numbers.append(number)
        self._by_page.setdefault(number, []).append(frame)
        if committed:
            self._ends.append(frame)
        return True

    def at(self, frame: int) -> bytes:
        """The page in a frame, which sets the transaction that `page` looks from. Raises ReadFault."""
        place = bisect_right(self._ends, frame - 1)
        self._limit = self._ends[place] if place < len(self._ends) else self.frames
        return self._read(frame)

    def page(self, number: int) -> bytes:
        """See Pages."""
        frames = self._by_page.get(number, [])
        place = bisect_right(frames, self._limit) - 1
        return self._read(frames[place]) if place >= 0 else b""

    def page_is_there(self, number: int) -> bool:
        """Whether any frame holds the page."""
        return number in self._by_page

    def _read(self, frame: int) -> bytes:
        data = self._reader.read(WAL_HEADER_BYTES + frame * self._step + FRAME_HEADER_BYTES, self.header.page_bytes)
        return data if len(data) == self.header.page_bytes else b""
