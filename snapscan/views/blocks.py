"""Random access to small structures all over a Reader: blocks of 64 KiB, the last used ones kept."""

from __future__ import annotations

from collections import OrderedDict

from snapscan.model.errors import ReadFault
from snapscan.model.units import KIB
from snapscan.model.view import Reader

_BLOCK_BYTES = 64 * KIB
_MOST_BLOCKS = 128


class Blocks:
    """Reads as its Reader does, faster when reads are small."""

    def __init__(self, reader: Reader) -> None:
        self.size_bytes = reader.size_bytes
        self._reader = reader
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        """Cut at the end; empty for places outside. Raises ReadFault."""
        if offset < 0 or length <= 0 or offset >= self.size_bytes:
            return b""
        length = min(length, self.size_bytes - offset)
        first, last = offset // _BLOCK_BYTES, (offset + length - 1) // _BLOCK_BYTES
        if last - first > 1:
            return self._reader.read(offset, length)
        try:
            data = self._block(first) if first == last else self._block(first) + self._block(last)
        except ReadFault:
            return self._reader.read(offset, length)
        start = offset - first * _BLOCK_BYTES
        return data[start : start + length]

    def _block(self, number: int) -> bytes:
        block = self._kept.get(number)
        if block is None:
            block = self._reader.read(number * _BLOCK_BYTES, _BLOCK_BYTES)
            self._kept[number] = block
            if len(self._kept) > _MOST_BLOCKS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(number)
        return block
