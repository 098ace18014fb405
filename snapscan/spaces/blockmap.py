"""Bytes that lie in units of one size, each at a place of its own: what qcow2 clusters and VMDK grains have in common.

A table gives each unit one int64, its *place*: a file offset, or one of the words below. Units whose places follow each other are read
together; what a layer does not hold shows the layer below it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from snapscan.model.errors import MediaFault, ReadFault, StructureFault
from snapscan.model.space import Range
from snapscan.spaces.file import Int64, SourceFile, UInt8

BELOW = -1
"""Not in this layer: the parent's bytes, zeros without one."""
ZERO = -2
FAULT = -3
"""The table that should say it, or the place it says, is not to be had."""
PACKED = -16
"""At or below: compressed, `PACKED - place` is the format's own description of where."""

BATCH_UNITS = 1 << 16
PACKED_CACHE_BYTES = 4 << 20
_ZEROS = memoryview(bytes(1 << 20))

ReadBelow = Callable[[int, memoryview], None]
GatherBelow = Callable[[Int64], UInt8]


def fill_zeros(view: memoryview) -> None:
    for at in range(0, len(view), len(_ZEROS)):
        part = view[at : at + len(_ZEROS)]
        part[:] = _ZEROS[: len(part)]


class Part(Protocol):
    """A run of a disk's addresses that knows which of its bytes lie in this layer. Offsets count from the part's start."""

    size_bytes: int

    def read_into(self, offset: int, view: memoryview, below: ReadBelow) -> None: ...

    def stored(self) -> Iterator[Range]:
        """Rising, disjoint; may touch."""
        ...

    def transparent(self) -> Iterator[Range]:
        """Where the parent shows through; rising, disjoint; may touch."""
        ...

    def gather(self, offsets: Int64, below: GatherBelow) -> UInt8: ...


class Tables(NamedTuple):
    """Units `first .. end` have tables; `lost` says that all of those cannot be read, so that their units count as stored."""

    first: int
    end: int
    lost: bool = False


def table_runs(present: NDArray[np.bool_], lost: NDArray[np.bool_], table_units: int, units: int) -> Iterator[Tables]:
    """The runs of a first table that says of each second table whether it is `present`, and whether it is `lost` (and then present too)."""
    kinds = np.where(lost, 2, present.astype(np.int64))
    edges = [0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), len(kinds)]
    for low, high in pairwise(edges):
        first, end = low * table_units, min(high * table_units, units)
        if low == high or kinds[low] == 0:
            continue
        if kinds[low] == 2:
            yield Tables(first, end, lost=True)
            continue
        for at in range(first, end, BATCH_UNITS):
            yield Tables(at, min(at + BATCH_UNITS, end))


class BlockMap(ABC):
    """A Part made of units. `group_bytes` is the unit of compression: one unit, or several that are packed as one."""

    def __init__(self, file: SourceFile, size_bytes: int, unit_bytes: int, *, group_bytes: int, table_units: int) -> None:
        self.file = file
        self.size_bytes = size_bytes
        self.unit_bytes = unit_bytes
        self.group_bytes = group_bytes
        self.table_units = table_units
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()
        self._unpacked_most = max(2, PACKED_CACHE_BYTES // group_bytes)

    @abstractmethod
    def places(self, first: int, end: int) -> Int64:
        """The places of units `first .. end` (at most BATCH_UNITS and a table more). Raises ReadFault only for an unreadable file."""

    @abstractmethod
    def tables(self) -> Iterator[Tables]:
        """Rising runs of units that have tables, at most BATCH_UNITS long unless lost; outside of them all is BELOW."""

    def unpack(self, code: int) -> bytes:
        """The group that `code` describes, up to `group_bytes` long. Raises StructureFault with any offset."""
        raise StructureFault("damaged-unit", "compressed data in a container that has none", offset=0, length=0)

    def read_into(self, offset: int, view: memoryview, below: ReadBelow) -> None:
        unit = self.unit_bytes
        end = offset + len(view)
        at = offset
        while at < end:
            first = at // unit
            last = min((end - 1) // unit + 1, first + BATCH_UNITS)
            for start, stop, place in _runs(self._known_places(first, last), first, unit):
                low, high = max(start * unit, at), min(stop * unit, end)
                piece = view[low - offset : high - offset]
                if place >= 0:
                    self._fill_plain(low, piece, place + low - start * unit)
                else:
                    self._fill(low, piece, place, below)
            at = min(last * unit, end)

    def _fill_plain(self, offset: int, view: memoryview, at: int) -> None:
        """Fill `view` from file offset `at`."""
        if at + len(view) > self.file.size_bytes:
            raise StructureFault("unit-outside-file", f"its data should lie at {at}, behind the file's end", offset=offset, length=len(view))
        try:
            self.file.read_into(at, view)
        except MediaFault as fault:
            raise MediaFault(fault.reference, fault.message, offset=offset, length=len(view)) from fault

    def _fill(self, offset: int, view: memoryview, place: int, below: ReadBelow) -> None:
        """Fill `view` from one run of units that have no place in the file."""
        if place == BELOW:
            below(offset, view)
        elif place == ZERO:
            fill_zeros(view)
        elif place <= PACKED:
            self._fill_packed(offset, view, PACKED - place)
        else:
            raise StructureFault(
                "unit-unknown", "the table that places these bytes is damaged or lies outside the file", offset=offset, length=len(view)
            )

    def _fill_packed(self, offset: int, view: memoryview, code: int) -> None:
        done = 0
        while done < len(view):
            inside = (offset + done) % self.group_bytes
            count = min(len(view) - done, self.group_bytes - inside)
            try:
                piece = self._group(code)[inside : inside + count]
            except ReadFault as fault:
                raise type(fault)(fault.reference, fault.message, offset=offset, length=len(view)) from fault
            if len(piece) < count:
                raise StructureFault("damaged-unit", "compressed data ends early", offset=offset, length=len(view))
            view[done : done + count] = piece
            done += count

    def _group(self, code: int) -> bytes:
        known = self._unpacked.get(code)
        if known is None:
            known = self.unpack(code)
            self._unpacked[code] = known
            if len(self._unpacked) > self._unpacked_most:
                self._unpacked.popitem(last=False)
        return known

    def stored(self) -> Iterator[Range]:
        for start, end, word in self._words():
            if word == 0:
                yield self._range(start, end)

    def transparent(self) -> Iterator[Range]:
        at = 0
        for start, end, word in self._words():
            if start > at:
                yield self._range(at, start)
            if word == BELOW:
                yield self._range(start, end)
            at = end
        if at * self.unit_bytes < self.size_bytes:
            yield Range(at * self.unit_bytes, self.size_bytes)

    def _words(self) -> Iterator[tuple[int, int, int]]:
        """Runs of units in tables with what they are: 0 (stored), BELOW or ZERO."""
        for first, end, lost in self.tables():
            if lost:
                yield first, end, 0
                continue
            places = self._known_places(first, end)
            words = np.where((places == BELOW) | (places == ZERO), places, 0)
            edges = [0, *(np.flatnonzero(words[1:] != words[:-1]) + 1).tolist(), len(words)]
            for low, high in pairwise(edges):
                yield first + low, first + high, int(words[low])

    def _range(self, start: int, end: int) -> Range:
        return Range(min(start * self.unit_bytes, self.size_bytes), min(end * self.unit_bytes, self.size_bytes))

    def gather(self, offsets: Int64, below: GatherBelow) -> UInt8:
        """The byte at each sorted offset; 0 where it cannot be read."""
        units = offsets // self.unit_bytes
        places = np.empty(len(offsets), dtype=np.int64)
        tables = units // self.table_units
        firsts = np.flatnonzero(np.concatenate(([True], tables[1:] != tables[:-1]))).tolist() if len(offsets) else []
        for first, last in zip(firsts, [*firsts[1:], len(offsets)], strict=False):
            for low in range(first, last, BATCH_UNITS):
                some = units[low : min(low + BATCH_UNITS, last)]
                places[low : low + len(some)] = self._places_of(some)
        inside = offsets % self.unit_bytes
        out = np.zeros(len(offsets), dtype=np.uint8)
        plain = places >= 0
        out[plain] = self.file.gather(places[plain] + inside[plain])
        under = places == BELOW
        if under.any():
            out[under] = below(offsets[under])
        for index in np.flatnonzero(places <= PACKED).tolist():
            try:
                group = self._group(PACKED - int(places[index]))
            except ReadFault:
                continue
            at = int(offsets[index]) % self.group_bytes
            out[index] = group[at] if at < len(group) else 0
        return out

    def _places_of(self, units: Int64) -> Int64:
        """Places of units of one table, sorted."""
        first, end = int(units[0]), int(units[-1]) + 1
        if end - first <= BATCH_UNITS:
            return self._known_places(first, end)[units - first]
        return np.array([int(self._known_places(int(unit), int(unit) + 1)[0]) for unit in units], dtype=np.int64)

    def _known_places(self, first: int, end: int) -> Int64:
        """`places`; where a table cannot be read, its neighbours in this batch count as lost with it."""
        try:
            return self.places(first, end)
        except ReadFault:
            return np.full(end - first, FAULT, dtype=np.int64)


def _runs(places: Int64, first: int, unit_bytes: int) -> list[tuple[int, int, int]]:
    """(unit start, unit end, place of the first) for units that can be served together."""
    if len(places) == 1:
        return [(first, first + 1, int(places[0]))]
    follows = np.where(places[:-1] >= 0, unit_bytes, 0)
    edges = np.flatnonzero(places[1:] - places[:-1] != follows) + 1
    if not len(edges):
        return [(first, first + len(places), int(places[0]))]
    starts = [first, *(edges + first).tolist()]
    return list(zip(starts, [*starts[1:], first + len(places)], [int(places[0]), *places[edges].tolist()], strict=True))
