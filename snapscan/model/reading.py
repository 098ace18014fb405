"""Owner's bytes, in the owner's order: what `show`, views, seams and second looks read."""

from __future__ import annotations

from snapscan.model.owner import UNWRITTEN, Extent, OwnerMap
from snapscan.model.space import Space


class OwnerReader:
    """The bytes of one owner as the guest reads them: holes and unwritten pieces are zeros, the size is the owner's.

    With `stored=True` unwritten pieces give what is stored. Where pieces overlap, the later one in the owner's order wins.
    """

    def __init__(self, space: Space, owners: OwnerMap, owner: int, *, stored: bool = False) -> None:
        self._space = space
        self._extents = [e for e in owners.extents(owner) if stored or not e.flags & UNWRITTEN]
        self.size_bytes = int(owners.size[owner])

    def read(self, offset: int, length: int) -> bytes:
        """Cut at the owner's end. Raises ReadFault."""
        buffer = bytearray(max(0, min(length, self.size_bytes - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view`, which holds zeros, from the owner's byte `offset`; the caller stays inside the size. Raises ReadFault."""
        length = len(view)
        for extent in _between(self._extents, offset, offset + length):
            low = max(extent.owner_offset, offset)
            high = min(extent.owner_offset + extent.end - extent.start, offset + length)
            if low < high:
                self._space.read_into(extent.start + low - extent.owner_offset, view[low - offset : high - offset])

    def place(self, offset: int) -> int:
        """Where the owner's byte `offset` lies in the space, -1 for a hole."""
        for extent in _between(self._extents, offset, offset + 1):
            if extent.owner_offset <= offset < extent.owner_offset + extent.end - extent.start:
                return extent.start + offset - extent.owner_offset
        return -1


def _between(extents: list[Extent], low: int, high: int) -> list[Extent]:
    """The extents that may touch owner bytes low .. high. Most owners have one piece; for many, binary search on the offset."""
    if len(extents) < 8:
        return extents
    first, last = 0, len(extents)
    while first < last:
        middle = (first + last) // 2
        if extents[middle].owner_offset + (extents[middle].end - extents[middle].start) <= low:
            first = middle + 1
        else:
            last = middle
    stop = first
    while stop < len(extents) and extents[stop].owner_offset < high:
        stop += 1
    return extents[first:stop]


class RangeReader:
    """A range of the space as if it were a file: what carving reads."""

    def __init__(self, space: Space, start: int, end: int) -> None:
        self._space = space
        self._start = start
        self.size_bytes = max(0, min(end, space.size_bytes) - start)

    def read(self, offset: int, length: int) -> bytes:
        """Cut at the range's end. Raises ReadFault."""
        length = max(0, min(length, self.size_bytes - offset))
        buffer = bytearray(length)
        if length:
            self._space.read_into(self._start + offset, memoryview(buffer))
        return bytes(buffer)
