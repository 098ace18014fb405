"""SQLite 3 databases and their write-ahead logs: each table as lines of `column=value`, after https://www.sqlite.org/fileformat2.html.

The raw bytes of short ASCII rows are found by the sweep; what it cannot see is a value cut by overflow pages, UTF-16, and a column's name
beside its value. Rows of pages that no tree leads to (dropped tables, damaged trees) are the member `free`. Indexes repeat what
tables hold and are left out. A BLOB that is itself a view is a member of its own, `table/rowid.column`.
"""

from __future__ import annotations

from collections.abc import Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.sqlite_database import Database, Recognise
from snapscan.views.sqlite_pages import WAL_HEADER_BYTES, WAL_MAGICS, WAL_VERSION, FilePages, WalPages, is_page_size, parse_header
from snapscan.views.verdict import Verdict

_HEAD_BYTES = 512


class Sqlite:
    """See the module's head."""

    kind = "sqlite"

    def __init__(self, inner: Recognise) -> None:
        self._inner = inner

    def recognise(self, head: bytes) -> bool:
        """The magic, a page size that exists, and the three payload fractions, which are constants."""
        return parse_header(head) is not None

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """A member for each table with rows, those of BLOBs behind it, `free` last."""
        verdict = Verdict(budget, outcome)
        try:
            header = parse_header(reader.read(0, _HEAD_BYTES))
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)
            return
        if header is None:
            verdict.fault("damaged", "sqlite: no header")
            return
        pages = FilePages(reader, header)
        database = Database(self.kind, pages, verdict, self._inner)
        yield from database.members()
        if not verdict.stopped:
            yield from database.member(b"free", database.unreached(pages.count))
        if header.pages > pages.count:
            verdict.fault("truncated", f"sqlite: {pages.count} of {header.pages} pages are there")
        elif database.trees.missing:
            verdict.fault("damaged", "sqlite: pages are asked for that are not there, or twice")


class SqliteWal:
    """See the module's head. Tables are named where the log holds the schema; rows of all other pages, and former versions, are in `frames`."""

    kind = "sqlite-wal"

    def __init__(self, inner: Recognise) -> None:
        self._inner = inner

    def recognise(self, head: bytes) -> bool:
        """Magic, version, and a page size that exists (4.1)."""
        return (
            len(head) >= WAL_HEADER_BYTES
            and head[:4] in WAL_MAGICS
            and int.from_bytes(head[4:8], "big") == WAL_VERSION
            and is_page_size(int.from_bytes(head[8:12], "big"))
        )

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """Each row is given once, however many frames repeat it."""
        verdict = Verdict(budget, outcome)
        try:
            pages = WalPages(reader, int.from_bytes(reader.read(0, WAL_HEADER_BYTES)[8:12], "big"))
            while pages.index_next():
                if not verdict.decoded(0):
                    return
            database = Database(self.kind, pages, verdict, self._inner, known=set())
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)
            return
        if pages.page_is_there(1):
            yield from database.members()
        if not verdict.stopped:
            yield from database.member(b"frames", database.frames(pages))
        if pages.frames < pages.stored_frames:
            verdict.fault("memory-limit", f"sqlite: {pages.stored_frames} frames, {pages.frames} were looked at")
