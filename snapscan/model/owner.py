"""Who owns which bytes: numpy columns, written once by a map task, memory-mapped by every worker.

Rows are byte ranges of the *space*, never rounded to blocks. An owner's bytes behind its size are its slack; a row marked unwritten
holds bytes that the guest cannot read. Names are parent and bytes; a path is put together only for an owner that somebody asks for.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MEMBERS_MOST = 16
"""Owners that are kept for one byte; a hostile image may claim a block a million times."""
FAR = 2**63 - 1
"""An offset behind every byte of every space."""
PATH_DEPTH_MOST = 4096
PATH_BYTES_MOST = 64 * 1024
"""A longer path begins with `/?long`; the longest that a guest can open is 4 KiB on Linux, 96 KiB of UTF-8 on Windows with every letter wide."""
PATHS_KEPT = 4096
"""Directories whose path is remembered; all are forgotten when there are more, so that a hostile tree can not take the memory."""


class OwnerKind(IntEnum):
    """What an owner is; the word in a report is the name in lower case with hyphens."""

    UNKNOWN = 0
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    METADATA = 4
    JOURNAL = 5
    FREE = 6
    GAP = 7
    SWAP = 8
    PARTITION_TABLE = 9
    ATTRIBUTE = 10
    """Extended attributes or an alternate stream: belongs to a file, is not its content."""
    ENCRYPTED = 11

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")


class OwnerState(IntEnum):
    LIVE = 0
    DELETED = 1
    STALE = 2


class RowFlag(IntFlag):
    UNWRITTEN = 1
    BACKGROUND = 2
    """Gives way where another row claims the same bytes (an inode table under the inline data inside it)."""


UNWRITTEN = int(RowFlag.UNWRITTEN)
"""The flag as a plain number, for loops: an enum's `&` takes half a microsecond."""


class OwnerRecord(NamedTuple):
    """One owner's columns. `mtime` in seconds since 1970, `size_bytes` as the guest sees it."""

    kind: OwnerKind
    state: OwnerState
    inode: int
    mode: int
    uid: int
    mtime: int
    size_bytes: int


class Extent(NamedTuple):
    """Bytes `start .. end` of the space are the owner's bytes from `owner_offset` on."""

    start: int
    end: int
    owner_offset: int
    flags: int


class Claim(NamedTuple):
    """One owner of one byte."""

    owner: int
    owner_offset: int
    flags: int


Int64 = NDArray[np.int64]

_ROW_COLUMNS = {"start": np.int64, "end": np.int64, "owner": np.int32, "offset": np.int64, "flags": np.uint8, "by_owner": np.int32}
_OWNER_COLUMNS = {
    "kind": np.uint8,
    "state": np.uint8,
    "mode": np.uint16,
    "uid": np.uint32,
    "inode": np.uint64,
    "mtime": np.int64,
    "size": np.uint64,
    "row_first": np.int64,
    "name_first": np.int64,
}
_NAME_COLUMNS = {"name_parent": np.int32, "name_start": np.int64, "name_length": np.uint16}
_CUT_COLUMNS = {"cut_start": np.int64, "cut_end": np.int64, "cut_first": np.int64, "cut_row": np.int32}


class OwnerMap:
    """One volume's owners, read-only. Columns are arrays, or memory maps of the files in a folder."""

    def __init__(self, columns: dict[str, NDArray[Any]], blob: NDArray[np.uint8]) -> None:
        self._columns = columns
        self.start: Int64 = columns["start"]
        self.end: Int64 = columns["end"]
        self.owner = columns["owner"]
        self.offset: Int64 = columns["offset"]
        self.flags = columns["flags"]
        self.by_owner = columns["by_owner"]
        self.size = columns["size"]
        self.kind = columns["kind"]
        self.root = int(columns["root"][0])
        """Index of the root directory's owner, -1 where there is none."""
        self._blob = blob
        self._paths: dict[int, bytes] = {}

    @property
    def owners(self) -> int:
        return len(self._columns["kind"])

    @property
    def rows(self) -> int:
        return len(self.start)

    def record(self, owner: int) -> OwnerRecord:
        c = self._columns
        return OwnerRecord(
            OwnerKind(int(c["kind"][owner])), OwnerState(int(c["state"][owner])), int(c["inode"][owner]), int(c["mode"][owner]),
            int(c["uid"][owner]), int(c["mtime"][owner]), int(c["size"][owner]),
        )  # fmt: skip

    def join(self, positions: Int64) -> Int64:
        """The row that holds each position, -1 where none does; a position with several owners gives one of their rows."""
        rows = np.searchsorted(self.start, positions, side="right") - 1
        inside = rows >= 0
        inside[inside] = positions[inside] < self.end[rows[inside]]
        found = np.where(inside, rows, -1)
        cuts = np.searchsorted(self._columns["cut_start"], positions, side="right") - 1
        cut = cuts >= 0
        cut[cut] = positions[cut] < self._columns["cut_end"][cuts[cut]]
        # Where rows overlap, the last one to start may have ended while an earlier one goes on: the cut table knows.
        found[cut] = self._columns["cut_row"][self._columns["cut_first"][cuts[cut]]]
        return found

    def claims(self, position: int) -> list[Claim]:
        """Every owner of one byte; most often one, none in unmapped bytes. Owners are in the order of their index."""
        return self.look(position)[0]

    def next_edge(self, position: int) -> int:
        """The first offset behind `position` at which the owner may be another one; 2**63 - 1 behind the last row."""
        return self.look(position)[1]

    def look(self, position: int) -> tuple[list[Claim], int]:
        """`claims` and `next_edge` in one search."""
        row = int(self.start.searchsorted(position, "right")) - 1
        edge = int(self.start[row + 1]) if row + 1 < len(self.start) else FAR
        rows: list[int] = []
        if row >= 0 and position < int(self.end[row]):
            rows, edge = [row], min(edge, int(self.end[row]))
        starts = self._columns["cut_start"]
        if len(starts):
            cut = int(starts.searchsorted(position, "right")) - 1
            edge = min(edge, int(starts[cut + 1])) if cut + 1 < len(starts) else edge
            if cut >= 0 and position < int(self._columns["cut_end"][cut]):
                first, last = (int(self._columns["cut_first"][cut + i]) for i in (0, 1))
                rows = self._columns["cut_row"][first:last].tolist()
                edge = min(edge, int(self._columns["cut_end"][cut]))
        found = [Claim(int(self.owner[r]), int(self.offset[r]) + position - int(self.start[r]), int(self.flags[r])) for r in rows]
        return (sorted(found) if len(found) > 1 else found), edge

    def extents(self, owner: int) -> list[Extent]:
        """The owner's pieces in the order of its own bytes; what lies between two of them is a hole."""
        first, last = int(self._columns["row_first"][owner]), int(self._columns["row_first"][owner + 1])
        rows = self.by_owner[first:last]
        return [Extent(int(self.start[r]), int(self.end[r]), int(self.offset[r]), int(self.flags[r])) for r in rows.tolist()]

    def names(self, owner: int) -> list[tuple[int, bytes]]:
        """(parent, name) of each hard link, as found; the root of a volume has none."""
        first, last = int(self._columns["name_first"][owner]), int(self._columns["name_first"][owner + 1])
        found = []
        for k in range(first, last):
            at = int(self._columns["name_start"][k])
            name = bytes(self._blob[at : at + int(self._columns["name_length"][k])])
            found.append((int(self._columns["name_parent"][k]), name))
        return found

    def paths(self, owner: int) -> list[bytes]:
        """Every path of the owner, byte-wise smallest first, each with a leading slash. Empty for an owner without a name."""
        return sorted({self._directory(parent) + b"/" + name for parent, name in self.names(owner)})

    def path(self, owner: int) -> bytes:
        return next(iter(self.paths(owner)), b"")

    def _directory(self, owner: int) -> bytes:
        """Path of a directory, empty for the root; a loop or an orphan ends in `/?` with the inode number."""
        known = self._paths.get(owner)
        if known is not None:
            return known
        parts: list[bytes] = []
        seen: set[int] = set()
        length = 0
        at = owner
        while True:
            names = self.names(at) if at >= 0 else []
            if not names:
                if at == self.root and at >= 0:
                    break
                parts.append(b"?inode-%d" % (int(self._columns["inode"][at]) if at >= 0 else 0))
                break
            if at in seen or len(seen) > PATH_DEPTH_MOST:
                parts.append(b"?loop")
                break
            seen.add(at)
            parent, name = min(names, key=lambda item: item[1])
            length += len(name) + 1
            if length > PATH_BYTES_MOST:
                parts.append(b"?long")
                break
            parts.append(name)
            at = parent
        path = b"".join(b"/" + part for part in reversed(parts))
        if len(self._paths) >= PATHS_KEPT:
            self._paths.clear()
        self._paths[owner] = path
        return path

    def children(self, directory: int) -> list[tuple[int, bytes]]:
        """(owner, name) of every entry of a directory, in no order. Time goes with the number of all names: for few directories."""
        found = []
        for row in np.flatnonzero(self._columns["name_parent"] == directory).tolist():
            at = int(self._columns["name_start"][row])
            owner = int(np.searchsorted(self._columns["name_first"], row, side="right")) - 1
            found.append((owner, bytes(self._blob[at : at + int(self._columns["name_length"][row])])))
        return found

    def named(self, wanted: frozenset[bytes]) -> list[int]:
        """Owners that bear one of these names in some directory, in rising order. Time goes with the bytes of all names."""
        starts, lengths = self._columns["name_start"], self._columns["name_length"]
        if not len(starts):
            return []
        order = np.argsort(starts, kind="stable")
        begin = starts[order]
        blob = self._blob.tobytes()
        found: set[int] = set()
        for name in wanted:
            at = blob.find(name)
            while at >= 0:
                k = int(np.searchsorted(begin, at))
                while k < len(begin) and int(begin[k]) == at:
                    row = int(order[k])
                    if int(lengths[row]) == len(name):
                        found.add(int(np.searchsorted(self._columns["name_first"], row, side="right")) - 1)
                    k += 1
                at = blob.find(name, at + 1)
        return sorted(found)

    def save(self, folder: Path) -> None:
        """Write the columns to `folder`, which must exist; read back by `load`."""
        for name, column in self._columns.items():
            np.save(folder / f"{name}.npy", column, allow_pickle=False)
        np.save(folder / "blob.npy", self._blob, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> OwnerMap:
        """Memory-map the columns of a folder that `save` wrote."""
        names = [*_ROW_COLUMNS, *_OWNER_COLUMNS, *_NAME_COLUMNS, *_CUT_COLUMNS, "root"]
        columns = {name: _mapped(folder / f"{name}.npy") for name in names}
        return cls(columns, _mapped(folder / "blob.npy"))


def _mapped(path: Path) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.view(np.ndarray) if len(array) else np.array(array)
