"""One opening of a SQLite database or log: its tables as members, and the rows of pages that no tree leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.view import Member
from snapscan.views.names import Names, shown
from snapscan.views.parts import parts
from snapscan.views.sqlite_pages import Pages, WalPages
from snapscan.views.sqlite_record import Columns, Damaged, as_text, decode, line
from snapscan.views.sqlite_schema import columns_of
from snapscan.views.sqlite_tree import Cell, Trees, is_leaf_of_rows
from snapscan.views.stored import sliced
from snapscan.views.verdict import Verdict

Recognise = Callable[[bytes], bool]
"""Whether a BLOB's first bytes begin a view."""

_SCHEMA = Columns((b"type", b"name", b"tbl_name", b"rootpage", b"sql"))
_MOST_TABLES = 20_000
_LEAST_INNER_BYTES = 16
_HEAD_BYTES = 512
_LONG_ROW_BYTES = 4096
_MOST_KNOWN_ROWS = 500_000


class Table(NamedTuple):
    """One row of the schema."""

    name: bytes
    root: int
    columns: Columns


class Blob(NamedTuple):
    """Where a BLOB that begins a view is: it is read again when its turn comes."""

    cell: Cell
    column: int


class Database:
    """One opening of one database or log. `known` collects digests of the rows given, where rows may come again."""

    def __init__(self, kind: str, pages: Pages, verdict: Verdict, inner: Recognise, known: set[int] | None = None) -> None:
        self.trees = Trees(pages, verdict)
        self._kind = kind
        self._header = pages.header
        self._verdict = verdict
        self._inner = inner
        self._names = Names()
        self._known = known

    def members(self) -> Iterator[Member]:
        """The schema, then the tables it lists."""
        tables: list[Table] = []
        chunks = self._schema(tables)
        yield from self.member(b"sqlite_schema", chunks)
        for _ in chunks:  # the receiver may have closed the member
            if not self._verdict.decoded(0):
                return
        for table in tables:
            if self._verdict.stopped:
                return
            blobs: list[Blob] = []
            yield from self.member(table.name, self._rows(table, blobs))
            for blob in blobs:
                if self._verdict.stopped:
                    return
                yield from self._blob(table, blob)

    def member(self, name: bytes, chunks: Iterator[bytes]) -> Iterator[Member]:
        """The member of `chunks`, unless they are all empty."""
        for chunk in chunks:
            if chunk:
                if self._verdict.member():
                    content = parts(chain((chunk,), chunks), self._verdict, f"{shown(name)}: ")
                    yield Member(ViewStep(self._kind, self._names.unique(name)), content)
                return
            if not self._verdict.decoded(0):
                return

    def unreached(self, pages: int) -> Iterator[bytes]:
        """Rows of the pages, 1 to `pages`, that no tree led to."""
        for number in range(1, pages + 1):
            page = b"" if number in self.trees.seen else self.trees.load(number)
            if is_leaf_of_rows(number, page, self._header.usable_bytes):
                yield from self._lines(self.trees.cells(number, page), Columns())
            elif number % 64 == 0:
                yield b""

    def frames(self, pages: WalPages) -> Iterator[bytes]:
        """Rows of all frames that were not given yet."""
        for frame, number in enumerate(pages.numbers):
            try:
                page = pages.at(frame)
            except ReadFault as fault:
                self._verdict.fault("damaged", f"sqlite: frame {frame}: {fault.message}")
                continue
            if is_leaf_of_rows(number, page, self._header.usable_bytes):
                yield from self._lines(self.trees.cells(number, page), Columns())
            else:
                yield b""

    def _schema(self, tables: list[Table]) -> Iterator[bytes]:
        for number, page in self.trees.leaves(1):
            cells = self.trees.cells(number, page) if page else iter(())
            yield from self._lines(self._noted(cells, tables), _SCHEMA)

    def _noted(self, cells: Iterator[Cell], tables: list[Table]) -> Iterator[Cell]:
        """`cells` one by one: each may be as big as a payload can be."""
        for cell in cells:
            table = _table(cell, self._header.encoding)
            if table is not None and len(tables) < _MOST_TABLES:
                tables.append(table)
            elif table is not None:
                self._verdict.fault("memory-limit", f"sqlite: more than {_MOST_TABLES} tables")
            yield cell

    def _rows(self, table: Table, blobs: list[Blob]) -> Iterator[bytes]:
        for number, page in self.trees.leaves(table.root):
            yield from self._lines(self.trees.cells(number, page) if page else iter(()), table.columns, blobs)

    def _lines(self, cells: Iterator[Cell], columns: Columns, blobs: list[Blob] | None = None) -> Iterator[bytes]:
        """The rows of one page as text, joined; a long row in slices of its own."""
        pair = columns.pair()
        joined: list[bytes] = []
        for cell in cells:
            if len(cell.payload) > _LONG_ROW_BYTES:
                yield b""  # the clock is looked at: all cells of a page may lead to one chain
            if self._known is not None and self._is_known(cell):
                continue
            try:
                values = decode(cell.payload)
            except Damaged as damage:
                self._verdict.fault("damaged", f"sqlite: page {cell.page}: {damage}")
                continue
            if blobs is not None:
                for column, value in enumerate(values):
                    if type(value) is bytes and self._is_view(value, blobs):
                        blobs.append(Blob(cell._replace(payload=b""), column))
                        values[column] = None
            text = line(values, cell.rowid, columns, self._header.encoding, pair)
            if len(text) > _LONG_ROW_BYTES:
                yield b"".join(joined)
                joined = []
                yield from sliced(text)
            else:
                joined.append(text)
        yield b"".join(joined)

    def _is_known(self, cell: Cell) -> bool:
        known = self._known
        assert known is not None
        digest = hash((cell.rowid, cell.payload))
        if digest in known:
            return True
        if len(known) < _MOST_KNOWN_ROWS:
            known.add(digest)
        return False

    def _is_view(self, value: bytes, blobs: list[Blob]) -> bool:
        return len(value) >= _LEAST_INNER_BYTES and len(blobs) < self._verdict.budget.limits.members and self._inner(value[:_HEAD_BYTES])

    def _blob(self, table: Table, blob: Blob) -> Iterator[Member]:
        page = self.trees.load(blob.cell.page)
        if not page or not self._verdict.member():
            return
        again = self.trees.again(blob.cell, page)
        value = decode(again.payload)[blob.column]
        assert type(value) is bytes
        column = table.columns.names[blob.column] if blob.column < len(table.columns.names) else b"%d" % blob.column
        name = b"%s/%d.%s" % (table.name, again.rowid or 0, column)
        yield Member(ViewStep(self._kind, self._names.unique(name)), parts(sliced(value), self._verdict, f"{shown(name)}: "), len(value))


def _table(cell: Cell, encoding: int) -> Table | None:
    """The table that a row of the schema describes; None for an index, a trigger, a view, a virtual table, and for nonsense."""
    try:
        values = decode(cell.payload)
    except Damaged:
        return None
    if len(values) < 5 or as_text(values[0], encoding) != b"table":
        return None
    root = values[3]
    if type(root) is not int or root <= 1:
        return None
    return Table(as_text(values[1], encoding), root, columns_of(as_text(values[4], encoding)))
