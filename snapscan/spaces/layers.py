"""A disk made of parts side by side, over a parent or over nothing."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate

import numpy as np

from snapscan.model.errors import ReadFault
from snapscan.model.snapshot import SnapshotRef, SourceStamp
from snapscan.model.space import Range, Space, joined
from snapscan.spaces.blockmap import Part, fill_zeros
from snapscan.spaces.chain import Source, stamps_of
from snapscan.spaces.file import Int64, UInt8
from snapscan.spaces.gather import gather_blocks
from snapscan.spaces.ranges import clipped, intersection, shifted


class LayeredSpace:
    """Implements Space. Owns the files of `sources` and the parent."""

    def __init__(
        self, snapshot: SnapshotRef, parts: list[Part], sources: list[Source], *, parent: Space | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        self.snapshot = snapshot
        self.notes = notes
        self._parts = parts
        self._sources = sources
        self._parent = parent
        self._starts = [0, *accumulate(part.size_bytes for part in parts)]
        self.size_bytes = self._starts[-1]

    def stored_ranges(self) -> Iterator[Range]:
        own = self._over_parts(lambda part: part.stored())
        if self._parent is None:
            return joined(own)
        shows = self._over_parts(lambda part: part.transparent())
        below = intersection(self._parent.stored_ranges(), joined(clipped(shows, 0, self._parent.size_bytes)))
        return joined(heapq.merge(own, below))

    def _over_parts(self, ranges: Callable[[Part], Iterator[Range]]) -> Iterator[Range]:
        for part, start in zip(self._parts, self._starts, strict=False):
            yield from shifted(ranges(part), start)

    def read_into(self, offset: int, view: memoryview) -> None:
        assert offset >= 0 and offset + len(view) <= self.size_bytes
        done = 0
        while done < len(view):
            at = offset + done
            index = bisect_right(self._starts, at) - 1
            start = self._starts[index]
            count = min(len(view) - done, self._starts[index + 1] - at)
            piece = view[done : done + count]
            try:
                self._parts[index].read_into(at - start, piece, lambda o, v, start=start: self._read_below(start + o, v))  # type: ignore[misc]  # the default binds the loop's value
            except ReadFault as fault:
                if start == 0:
                    raise
                raise type(fault)(fault.reference, fault.message, offset=at, length=count, hint=fault.hint) from fault
            done += count

    def _read_below(self, offset: int, view: memoryview) -> None:
        """The parent's bytes; zeros without a parent and behind its end (an overlay may be larger than what it lies on)."""
        inside = 0
        if self._parent is not None:
            inside = max(0, min(len(view), self._parent.size_bytes - offset))
            if inside:
                self._parent.read_into(offset, view[:inside])
        fill_zeros(view[inside:])

    def gather(self, offsets: Int64) -> UInt8:
        """The byte at each offset (sorted); 0 where it cannot be read."""
        cuts = np.searchsorted(offsets, self._starts).tolist()
        out = np.zeros(len(offsets), dtype=np.uint8)
        for part, start, first, last in zip(self._parts, self._starts, cuts, cuts[1:], strict=False):
            if first < last:
                out[first:last] = part.gather(offsets[first:last] - start, lambda o, start=start: self._gather_below(o + start))  # type: ignore[misc]  # as above
        return out

    def _gather_below(self, offsets: Int64) -> UInt8:
        out = np.zeros(len(offsets), dtype=np.uint8)
        if self._parent is None:
            return out
        inside = int(np.searchsorted(offsets, self._parent.size_bytes))
        gather = getattr(self._parent, "gather", None)
        below = offsets[:inside]
        out[:inside] = gather(below) if gather is not None else gather_blocks(self._parent, below)
        return out

    def stamps(self) -> tuple[SourceStamp, ...]:
        return stamps_of(self._sources, self._parent)

    def close(self) -> None:
        for source in self._sources:
            source.file.close()
        if self._parent is not None:
            self._parent.close()
