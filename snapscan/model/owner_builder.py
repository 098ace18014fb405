"""Collects the rows of an OwnerMap, in any order, and puts them in the order that the map needs.

Mappers add in bulk (arrays) where there are many, one by one where there are few. Positions are those of the *volume*; `finish` turns them
into positions of the space. Whatever a hostile image claims, `finish` ends with rows inside the volume and owners that exist.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snapscan.model.owner import MEMBERS_MOST, Int64, OwnerKind, OwnerMap, OwnerState, RowFlag
from snapscan.model.volume import Volume

_OWNER_CODES = (("kind", "B"), ("state", "B"), ("mode", "H"), ("uid", "I"), ("inode", "Q"), ("mtime", "q"), ("size", "Q"))


class MapBuilder:
    """One volume's owners while they are being found."""

    def __init__(self) -> None:
        self._rows: dict[str, array[int]] = {
            name: array(code) for name, code in (("start", "q"), ("end", "q"), ("owner", "i"), ("offset", "q"), ("flags", "B"))
        }
        self._owners: dict[str, array[int]] = {name: array(code) for name, code in _OWNER_CODES}
        self._names: dict[str, array[int]] = {name: array(code) for name, code in (("owner", "i"), ("parent", "i"), ("start", "q"), ("length", "H"))}
        self._blob = bytearray()
        self.root = -1
        """Index of the owner that is the root directory; its path is empty."""

    def owner(
        self,
        kind: OwnerKind,
        *,
        state: OwnerState = OwnerState.LIVE,
        inode: int = 0,
        mode: int = 0,
        uid: int = 0,
        mtime: int = 0,
        size_bytes: int = 0,
    ) -> int:
        """Add one owner; returns its index."""
        for name, value in (
            ("kind", kind),
            ("state", state),
            ("mode", mode & 0xFFFF),
            ("uid", uid & 0xFFFFFFFF),
            ("inode", inode),
            ("mtime", mtime),
            ("size", size_bytes),
        ):
            self._owners[name].append(value)
        return len(self._owners["kind"]) - 1

    def owners(
        self, *, kind: ArrayLike, state: ArrayLike, mode: ArrayLike, uid: ArrayLike, inode: ArrayLike, mtime: ArrayLike, size_bytes: ArrayLike
    ) -> int:
        """Add many owners at once; returns the index of the first. `kind` decides the count, the others are of that length or one value."""
        first = len(self._owners["kind"])
        count = np.asarray(kind).shape[0]
        given = {"kind": kind, "state": state, "mode": mode, "uid": uid, "inode": inode, "mtime": mtime, "size": size_bytes}
        for name, values in given.items():
            column = self._owners[name]
            column.frombytes(np.ascontiguousarray(np.broadcast_to(np.asarray(values), (count,)), dtype=np.dtype(column.typecode)).tobytes())
        return first

    def row(self, start: int, end: int, owner: int, offset: int = 0, flags: int = 0) -> None:
        """Bytes `start .. end` of the volume are the owner's from its byte `offset` on."""
        for name, value in (("start", start), ("end", end), ("owner", owner), ("offset", offset), ("flags", flags)):
            self._rows[name].append(value)

    def rows(self, start: ArrayLike, end: ArrayLike, owner: ArrayLike, offset: ArrayLike, flags: ArrayLike = 0) -> None:
        """Add many rows at once; `start` decides the count, the others are of that length or one value."""
        count = np.asarray(start).shape[0]
        for name, values in (("start", start), ("end", end), ("owner", owner), ("offset", offset), ("flags", flags)):
            column = self._rows[name]
            column.frombytes(np.ascontiguousarray(np.broadcast_to(np.asarray(values), (count,)), dtype=np.dtype(column.typecode)).tobytes())

    def name(self, owner: int, parent: int, name: bytes) -> None:
        """The directory `parent` holds `owner` as `name` (any bytes, at most 65,535)."""
        names = self._names
        names["owner"].append(owner)
        names["parent"].append(parent)
        names["start"].append(len(self._blob))
        names["length"].append(len(name))
        self._blob += name

    def finish(self, volume: Volume) -> OwnerMap:
        """The map in space positions. Rows outside the volume are cut, rows of owners that do not exist dropped."""
        owner_count = len(self._owners["kind"])
        rows = {name: _as_array(column) for name, column in self._rows.items()}
        rows = _clipped(rows, volume.size_bytes, owner_count)
        rows = _into_space(rows, volume)
        order = np.argsort(rows["start"], kind="stable")
        rows = {name: column[order] for name, column in rows.items()}
        rows, cuts = _cut(rows)
        by_owner = np.lexsort((rows["offset"], rows["owner"])).astype(np.int32)
        columns: dict[str, Column] = {**rows, **cuts, "by_owner": by_owner}
        columns["row_first"] = np.searchsorted(rows["owner"][by_owner], np.arange(owner_count + 1)).astype(np.int64)
        columns |= {name: _as_array(column) for name, column in self._owners.items()}
        columns |= self._name_columns(owner_count)
        columns["root"] = np.array([self.root], dtype=np.int64)
        return OwnerMap(columns, np.frombuffer(bytes(self._blob), dtype=np.uint8))

    def _name_columns(self, owner_count: int) -> dict[str, Column]:
        names = {name: _as_array(column) for name, column in self._names.items()}
        keep = (names["owner"] >= 0) & (names["owner"] < owner_count) & (names["parent"] < owner_count)
        names = {name: column[keep] for name, column in names.items()}
        order = np.argsort(names["owner"], kind="stable")
        first = np.searchsorted(names["owner"][order], np.arange(owner_count + 1)).astype(np.int64)
        return {
            "name_first": first,
            "name_parent": names["parent"][order],
            "name_start": names["start"][order],
            "name_length": names["length"][order],
        }


Column = NDArray[Any]  # of one of the dtypes above; numpy's types cannot say which
Columns = dict[str, Column]


def _as_array(column: array[int]) -> Column:
    return np.frombuffer(column, dtype=np.dtype(column.typecode)) if len(column) else np.empty(0, dtype=np.dtype(column.typecode))


def _clipped(rows: Columns, size_bytes: int, owner_count: int) -> Columns:
    """Rows cut to the volume; empty, reversed and foreign ones dropped."""
    start = np.maximum(rows["start"], 0)
    end = np.minimum(rows["end"], size_bytes)
    keep = (start < end) & (rows["owner"] >= 0) & (rows["owner"] < owner_count)
    moved = {**rows, "start": start, "end": end, "offset": rows["offset"] + (start - rows["start"])}
    return {name: column[keep] for name, column in moved.items()}


def _into_space(rows: Columns, volume: Volume) -> Columns:
    """Volume positions to space positions; a row that crosses a segment border becomes several."""
    if len(volume.segments) == 1 and volume.segments[0].volume_start == 0:
        shift = volume.segments[0].space_start
        return {**rows, "start": rows["start"] + shift, "end": rows["end"] + shift}
    parts: list[Columns] = []
    for segment in volume.segments:
        low = np.maximum(rows["start"], segment.volume_start)
        high = np.minimum(rows["end"], segment.volume_start + segment.length)
        keep = low < high
        shift = segment.space_start - segment.volume_start
        part = {**rows, "start": low + shift, "end": high + shift, "offset": rows["offset"] + (low - rows["start"])}
        parts.append({name: column[keep] for name, column in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in rows} if parts else {name: column[:0] for name, column in rows.items()}


def _cut(rows: Columns) -> tuple[Columns, Columns]:
    """Resolve overlaps of rows that are sorted by start.

    Background rows lose what a foreground row claims. Bytes that several foreground rows claim get entries in the cut table: disjoint
    pieces, each with the rows that claim it (at most MEMBERS_MOST). Returns the rows and the cut columns.
    """
    starts, ends, firsts, members = array("q"), array("q"), array("q", [0]), array("i")
    groups = _overlapping_groups(rows)
    if groups:
        rows, groups = _without_covered_background(rows, groups)
    for first, last in groups:
        for start, end, claimed in _pieces(rows["start"][first:last].tolist(), rows["end"][first:last].tolist()):
            starts.append(start)
            ends.append(end)
            members.extend(first + k for k in claimed)
            firsts.append(len(members))
    return rows, {
        "cut_start": _as_array(starts), "cut_end": _as_array(ends),
        "cut_first": _as_array(firsts), "cut_row": _as_array(members),
    }  # fmt: skip


def _overlapping_groups(rows: Columns) -> list[tuple[int, int]]:
    """Runs `first .. last` of rows in which each overlaps one before it; runs of one row are left out."""
    start, end = rows["start"], rows["end"]
    if len(start) < 2:
        return []
    reach = np.maximum.accumulate(end)
    joins = start[1:] < reach[:-1]
    if not joins.any():
        return []
    edges = np.flatnonzero(np.diff(np.concatenate(([False], joins, [False])).astype(np.int8)))
    return [(int(a), int(b) + 1) for a, b in edges.reshape(-1, 2)]


def _without_covered_background(rows: Columns, groups: list[tuple[int, int]]) -> tuple[Columns, list[tuple[int, int]]]:
    """Background rows of the groups cut down to what no foreground row claims; then the groups anew."""
    background = rows["flags"] & RowFlag.BACKGROUND != 0
    in_group = np.zeros(len(background), dtype=bool)
    for first, last in groups:
        in_group[first:last] = True
    if not (background & in_group).any():
        return rows, groups
    keep = {name: column[~(background & in_group)] for name, column in rows.items()}
    added: dict[str, list[int]] = {name: [] for name in rows}
    for first, last in groups:
        behind = np.flatnonzero(background[first:last]) + first
        front = np.flatnonzero(~background[first:last]) + first
        taken = _union(zip(rows["start"][front].tolist(), rows["end"][front].tolist(), strict=True))
        taken_ends = [high for _, high in taken]
        reach = 0  # end of the background rows so far: of two over the same bytes the one that starts first keeps them
        for k in behind.tolist():
            start, end = int(rows["start"][k]), int(rows["end"][k])
            for low, high in _minus(max(start, reach), end, taken, bisect_right(taken_ends, max(start, reach))):
                added["start"].append(low)
                added["end"].append(high)
                added["owner"].append(int(rows["owner"][k]))
                added["flags"].append(int(rows["flags"][k]))
                added["offset"].append(int(rows["offset"][k]) + low - start)
            reach = max(reach, end)
    merged = {name: np.concatenate([column, np.array(added[name], dtype=column.dtype)]) for name, column in keep.items()}
    order = np.argsort(merged["start"], kind="stable")
    merged = {name: column[order] for name, column in merged.items()}
    return merged, _overlapping_groups(merged)


def _union(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges with rising starts, those that touch or overlap made one."""
    out: list[tuple[int, int]] = []
    for low, high in ranges:
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out


def _minus(start: int, end: int, taken: list[tuple[int, int]], first: int) -> Iterator[tuple[int, int]]:
    """What of `start .. end` none of `taken` holds; `taken` is rising and disjoint, and none before index `first` reaches into the range."""
    at = start
    for k in range(first, len(taken)):
        low, high = taken[k]
        if low >= end:
            break
        if low > at:
            yield at, low
        at = max(at, high)
    if at < end:
        yield at, end


def _pieces(starts: list[int], ends: list[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Disjoint pieces of overlapping ranges (starts rising), each with the indexes that cover it, at most MEMBERS_MOST.

    Time n log n whatever the ranges are: those beyond MEMBERS_MOST wait in a heap, the one that reaches furthest first in line.
    """
    edges = sorted({*starts, *ends})
    shown: list[int] = []
    waiting: list[tuple[int, int]] = []
    coming = 0
    for low, high in pairwise(edges):
        shown = [k for k in shown if ends[k] > low]
        while coming < len(starts) and starts[coming] <= low:
            heapq.heappush(waiting, (-ends[coming], coming))
            coming += 1
        while waiting and len(shown) < MEMBERS_MOST:
            end, k = heapq.heappop(waiting)
            if -end > low:
                shown.append(k)
            else:
                waiting.clear()  # this one reaches furthest: none of the others reaches here
        if shown:
            yield low, high, shown


def empty_like(volume: Volume) -> OwnerMap:
    """A map that knows nothing of a volume."""
    return MapBuilder().finish(volume)


__all__ = ["Int64", "MapBuilder", "empty_like"]
