"""B-trees of SQLite (file format, sections 1.6 and 1.7): cells of a page, payloads with their overflow chains, all pages of a tree.

Every page number, pointer and size is the file's claim: a page is visited once, a chain is no longer than its payload, a payload no longer
than a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from snapscan.model.errors import ReadFault
from snapscan.model.units import MIB
from snapscan.views.sqlite_pages import Pages
from snapscan.views.sqlite_record import Damaged, varint
from snapscan.views.verdict import Verdict

INNER_INDEX, INNER_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13

LONGEST_PAYLOAD = 64 * MIB
"""A row is assembled in memory; SQLite itself allows 1 GB by default, 2 GB at most."""

_FILE_HEADER_BYTES = 100
_DEEPEST = 20
"""BTCURSOR_MAX_DEPTH: SQLite calls deeper trees corrupt."""


class Cell(NamedTuple):
    """One row. `rowid` is None in an index tree, `page` and `pointer` lead back to the cell."""

    rowid: int | None
    payload: bytes
    page: int
    pointer: int


class Trees:
    """Reads trees of one database; faults go to `verdict`, pages that were seen are remembered."""

    def __init__(self, pages: Pages, verdict: Verdict) -> None:
        self._pages = pages
        self._verdict = verdict
        self.seen: set[int] = set()
        self.missing = False
        """A page was asked for that is not there: damage in a database, ordinary in a log."""

    def leaves(self, root: int) -> Iterator[tuple[int, bytes]]:
        """(number, page) of every page of the tree that holds rows, in key order; (0, b"") where nothing is given, as a sign of life."""
        waiting = [(root, 1)]
        while waiting:
            number, depth = waiting.pop()
            page = b"" if number in self.seen else self.load(number)
            if not page:
                if number not in self.seen:
                    self.missing = True
                yield 0, b""
                continue
            self.seen.add(number)
            start = header_place(number)
            kind = page[start]
            if kind in (LEAF_TABLE, LEAF_INDEX):
                yield number, page
            elif kind in (INNER_TABLE, INNER_INDEX):
                children = [int.from_bytes(page[pointer : pointer + 4], "big") for pointer in self.pointers(number, page)]
                children.append(int.from_bytes(page[start + 8 : start + 12], "big"))
                if depth >= _DEEPEST:
                    self._verdict.fault("damaged", f"sqlite: page {number} is too deep in its tree")
                    children = []
                waiting += ((child, depth + 1) for child in reversed(children))
                yield (number, page) if kind == INNER_INDEX else (0, b"")
            else:
                self._verdict.fault("damaged", f"sqlite: page {number} is no page of a tree")
                yield 0, b""

    def load(self, number: int) -> bytes:
        """A page, b"" when it is not there or cannot be read, which is then a fault."""
        try:
            return self._pages.page(number)
        except ReadFault as fault:
            self._verdict.fault("damaged", f"sqlite: page {number}: {fault.message}")
            return b""

    def pointers(self, number: int, page: bytes) -> list[int]:
        """Places of the cells in a page; those outside of it are a fault and left out."""
        start = header_place(number)
        first = start + (8 if page[start] in (LEAF_TABLE, LEAF_INDEX) else 12)
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        end = first + 2 * count
        usable = self._pages.header.usable_bytes
        if end > usable:
            self._verdict.fault("damaged", f"sqlite: page {number} claims {count} cells")
            return []
        places = [int.from_bytes(page[place : place + 2], "big") for place in range(first, end, 2)]
        good = [place for place in places if end <= place < usable - 1]
        if len(good) < count:
            self._verdict.fault("damaged", f"sqlite: page {number} has {count - len(good)} cells outside of it")
        return good

    def cells(self, number: int, page: bytes) -> Iterator[Cell]:
        """The rows of a page."""
        kind = page[header_place(number)]
        for pointer in self.pointers(number, page):
            try:
                yield self.cell(number, page, pointer, kind)
            except Damaged as damage:
                self._verdict.fault("damaged", f"sqlite: page {number}: {damage}")

    def cell(self, number: int, page: bytes, pointer: int, kind: int) -> Cell:
        """The row at `pointer`, its overflow included. Raises Damaged."""
        usable = self._pages.header.usable_bytes
        at = pointer + 4 if kind == INNER_INDEX else pointer
        size, at = varint(page, at)
        rowid = None
        if kind == LEAF_TABLE:
            rowid, at = varint(page, at)
            rowid = rowid - (1 << 64) if rowid >> 63 else rowid
        most = usable - 35 if kind == LEAF_TABLE else (usable - 12) * 64 // 255 - 23
        if size <= most:
            if at + size > usable:
                raise Damaged("a cell goes on past the page")
            return Cell(rowid, page[at : at + size], number, pointer)
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = local if local <= most else least
        if at + local + 4 > usable:
            raise Damaged("a cell goes on past the page")
        overflow = int.from_bytes(page[at + local : at + local + 4], "big")
        return Cell(rowid, page[at : at + local] + self._overflow(overflow, size - local), number, pointer)

    def again(self, cell: Cell, page: bytes) -> Cell:
        """A cell that was read before from the same page, with its payload."""
        return self.cell(cell.page, page, cell.pointer, page[header_place(cell.page)])

    def _overflow(self, number: int, size: int) -> bytes:
        if size > LONGEST_PAYLOAD:
            self._verdict.fault("memory-limit", f"sqlite: a row of {size} bytes is cut")
            size = LONGEST_PAYLOAD
        usable = self._pages.header.usable_bytes
        chunks = []
        visited = set()
        while size > 0:
            page = b"" if number in visited else self.load(number)
            if not page:
                self.missing = True
                break
            visited.add(number)
            chunk = page[4 : min(4 + size, usable)]
            chunks.append(chunk)
            size -= len(chunk)
            number = int.from_bytes(page[:4], "big")
        return b"".join(chunks)


def header_place(number: int) -> int:
    """Where the tree's header is in a page: page 1 begins with the file's."""
    return _FILE_HEADER_BYTES if number == 1 else 0


def is_leaf_of_rows(number: int, page: bytes, usable: int) -> bool:
    """Whether a page that no tree leads to still has the form of a table's leaf (1.6)."""
    start = header_place(number)
    if not page or page[start] != LEAF_TABLE:
        return False
    free = int.from_bytes(page[start + 1 : start + 3], "big")
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    content = int.from_bytes(page[start + 5 : start + 7], "big") or 65_536
    return count > 0 and start + 8 + 2 * count <= content <= usable and free < usable and page[start + 7] <= 60
