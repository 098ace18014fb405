"""The one writer of a case.

What a task found is stored in one transaction with its ledger rows, and replaces what an earlier, interrupted try of the same task left:
a run that was killed at any moment is continued by giving its unfinished tasks out again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from snapscan.model.errors import StoreError
from snapscan.model.finding import Hit, Severity, Sighting
from snapscan.model.ledger import LedgerRow, joined_rows
from snapscan.model.rule import Rule
from snapscan.model.snapshot import SnapshotRef, SourceSpec, SourceStamp
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap, VolumeMap
from snapscan.store import database
from snapscan.store.queries import Reader
from snapscan.store.rows import (
    GAP_COLUMNS,
    HIT_COLUMNS,
    LEDGER_COLUMNS,
    MAGIC_COLUMNS,
    SIGHTING_COLUMNS,
    VIEW_COLUMNS,
    Row,
    gap_rows,
    hit_rows,
    insert,
    json_text,
    ledger_rows,
    sighting_rows,
    view_rows,
)

_OF_A_TASK = ("hit", "magic", "sighting", "ledger", "gap", "note", "proof")


class Task(msgspec.Struct, frozen=True):
    """One piece of work as the store knows it: `id` is unique in the case and the same in a resumed run."""

    id: str
    kind: str
    space: int = 0
    done: bool = False


class Store(Reader):
    """A case, opened for writing by this process alone. All methods raise StoreError, `store-write` when the disk is full or the file locked.

    Not for use in a forked child: a worker that must read calls `Store.open_read_only` itself.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: int) -> None:
        super().__init__(folder, connection)
        self._lock = lock

    @classmethod
    def create(cls, folder: Path, **meta: object) -> Self:
        """A new case in `folder`, which is made (0700) or empty; `meta` as for `set_meta`. Raises StoreError `case-exists`."""
        database.create_folder(folder)
        store = cls.open(folder)
        store.set_meta(**meta)
        return store

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Go on with a case. Raises StoreError `store-missing`, `store-locked`, `store-newer`, `store-damaged`."""
        if not (folder / database.DATABASE).is_file():
            raise StoreError("store-missing", f"{folder} is not a case: it holds no {database.DATABASE}")
        lock = database.lock(folder)
        try:
            return cls(folder, database.connect_writer(folder), lock)
        except BaseException:
            os.close(lock)
            raise

    @staticmethod
    def open_read_only(folder: Path) -> Reader:
        """Read a case, also while another process writes it: every call sees the transactions that ended before it."""
        return Reader(folder, database.connect_reader(folder))

    def close(self) -> None:
        database.close_writer(self.connection)
        os.close(self._lock)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def set_meta(self, **values: object) -> None:
        """Set facts of the run; a value is anything that JSON can hold, or a record. The known keys are in RunInfo (model/runview.py)."""
        with self._transaction("store facts of the run"):
            rows = [(key, json_text(value)) for key, value in values.items()]
            self.connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", rows)

    def add_rules(self, rules: Iterable[Rule]) -> None:
        """Keep what a report says of the rules that are used."""
        with self._transaction("store the rules"):
            rows: list[Row] = [(r.id, r.name, r.kind, int(Severity[r.severity.upper()]), r.why, r.fix) for r in rules]
            insert(self.connection, "INSERT OR REPLACE INTO rule (id, name, kind, severity, why, fix) VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_space(self, snapshot: SnapshotRef, spec: SourceSpec, stamps: Sequence[SourceStamp], size_bytes: int, *, state: str = "") -> int:
        """A further space of the case; returns its number, from 1 on."""
        row: Row = (json_text(snapshot), state, json_text(spec), json_text(tuple(stamps)), size_bytes)
        with self._transaction("store a space"):
            insert(self.connection, "INSERT INTO space (snapshot, state, spec, stamps, size_bytes) VALUES (?, ?, ?, ?, ?)", [row])
            return int(self.connection.execute("SELECT max(id) FROM space").fetchone()[0])

    def set_volume_map(self, space: int, volumes: VolumeMap) -> None:
        """What the look at the partition tables found. Its gaps and notes are stored too, as those of no task."""
        with self._transaction("store the volumes"):
            self.connection.execute("UPDATE space SET volume_map = ? WHERE id = ?", (json_text(volumes), space))
            self._add_gaps(gap_rows(volumes.gaps, space, 0))
            self._add_notes(volumes.notes, space, 0)

    def mark_pending(self, tasks: Iterable[Task]) -> None:
        """Announce tasks; one that is known already stays as it is."""
        with self._transaction("announce tasks"):
            rows: list[Row] = [(t.id, t.kind, t.space) for t in tasks]
            insert(self.connection, "INSERT INTO task (id, kind, space, state) VALUES (?, ?, ?, 'pending') ON CONFLICT (id) DO NOTHING", rows)

    def add_task_result(
        self,
        task_id: str,
        *,
        space: int,
        hits: Iterable[Hit] = (),
        ledger: Iterable[LedgerRow] = (),
        magics: Iterable[tuple[int, str]] = (),
        sightings: Iterable[Sighting] = (),
        views: Iterable[ViewRow] = (),
        gaps: Iterable[Gap] = (),
        notes: Iterable[str] = (),
        proofs: Iterable[tuple[str, str]] = (),
        first: bool = True,
        last: bool = True,
    ) -> None:
        """Store what a task found, in one transaction.

        The `first` part of a result takes away all that the store holds of this task; further parts add to it; the `last` part
        makes the task done. A result in one part is both. A task that was not announced is announced here.
        """
        with self._transaction(f"store the result of task {task_id}"):
            task = self._task(task_id, space)
            if first:
                self._forget(task)
            self._add_hits(hits, task, space)
            self._add_magics(magics, task, space)
            self._add_sightings(sightings, task, space)
            self._add_ledger(ledger_rows(ledger, space, task), space)
            self._add_views(view_rows(views, space, task))
            self._add_gaps(gap_rows(gaps, space, task))
            self._add_notes(notes, space, task)
            rows: list[Row] = [(space, path, package, task) for path, package in proofs]
            insert(self.connection, "INSERT OR REPLACE INTO proof (space, path, package, task) VALUES (?, ?, ?, ?)", rows)
            if last:
                self.connection.execute("UPDATE task SET state = 'done' WHERE number = ?", (task,))

    def add_sightings(self, task_id: str, space: int, sightings: Iterable[Sighting]) -> None:
        """Sightings of a task, in place of those that it gave before; the rest of its result and its state stay."""
        with self._transaction(f"store the sightings of task {task_id}"):
            task = self._task(task_id, space)
            self.connection.execute("DELETE FROM sighting WHERE task = ?", (task,))
            self._add_sightings(sightings, task, space)

    def finish(self, task_id: str) -> None:
        """The task is done: a resumed run does not give it out again."""
        with self._transaction(f"finish task {task_id}"):
            self.connection.execute("UPDATE task SET state = 'done' WHERE id = ?", (task_id,))

    def add_ledger(self, space: int, rows: Iterable[LedgerRow]) -> None:
        """Ledger rows that belong to no task (absent and excluded ranges)."""
        with self._transaction("store ledger rows"):
            self._add_ledger(ledger_rows(rows, space, 0), space)

    def add_views(self, space: int, views: Iterable[ViewRow], *, task_id: str = "") -> None:
        """Views as they are found (`pending`) and as they end; a view that has ended never becomes pending again."""
        with self._transaction("store views"):
            self._add_views(view_rows(views, space, self._task(task_id, space) if task_id else 0))

    def add_gaps(self, space: int, gaps: Iterable[Gap]) -> None:
        with self._transaction("store gaps"):
            self._add_gaps(gap_rows(gaps, space, 0))

    def add_notes(self, space: int, notes: Iterable[str]) -> None:
        with self._transaction("store notes"):
            self._add_notes(notes, space, 0)

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        with database.writing(f"{self.folder}: {what}"):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk may have ended it already
                    self.connection.execute("ROLLBACK")
                raise

    def _task(self, task_id: str, space: int) -> int:
        row = self.connection.execute("SELECT number FROM task WHERE id = ?", (task_id,)).fetchone()
        if row is None:
            row = self.connection.execute(
                "INSERT INTO task (id, kind, space, state) VALUES (?, '', ?, 'pending') RETURNING number", (task_id, space)
            ).fetchone()
        return int(row[0])

    def _forget(self, task: int) -> None:
        for table in _OF_A_TASK:
            self.connection.execute(f"DELETE FROM {table} WHERE task = ?", (task,))
        # A view that another task announced, and this one ended, is named again by this task's new result.
        self.connection.execute("DELETE FROM view WHERE task = ?", (task,))
        self.connection.execute("UPDATE task SET state = 'pending' WHERE number = ?", (task,))

    def _add_hits(self, hits: Iterable[Hit], task: int, space: int) -> None:
        rows = hit_rows(hits, task, self._next_number("hit", task), space)
        insert(self.connection, f"INSERT INTO hit ({HIT_COLUMNS}) VALUES ({_marks(HIT_COLUMNS)})", rows)

    def _add_magics(self, magics: Iterable[tuple[int, str]], task: int, space: int) -> None:
        rows: list[Row] = [(task, number, space, start, kind) for number, (start, kind) in enumerate(magics, self._next_number("magic", task))]
        insert(self.connection, f"INSERT INTO magic ({MAGIC_COLUMNS}) VALUES ({_marks(MAGIC_COLUMNS)})", rows)

    def _add_sightings(self, sightings: Iterable[Sighting], task: int, space: int) -> None:
        rows = sighting_rows(sightings, task, self._next_number("sighting", task), space)
        insert(self.connection, f"INSERT INTO sighting ({SIGHTING_COLUMNS}) VALUES ({_marks(SIGHTING_COLUMNS)})", rows)

    def _next_number(self, table: str, task: int) -> int:
        return int(self.connection.execute(f"SELECT coalesce(max(number) + 1, 0) FROM {table} WHERE task = ?", (task,)).fetchone()[0])

    def _add_ledger(self, rows: list[Row], space: int) -> None:
        try:
            insert(self.connection, f"INSERT INTO ledger ({LEDGER_COLUMNS}) VALUES ({_marks(LEDGER_COLUMNS)})", rows)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
                raise
            raise StoreError("ledger-overlap", f"space {space}: two ledger rows begin at one place", hint="please report this") from error
        if rows:
            self._check_ledger(space, min(int(str(row[1])) for row in rows), max(int(str(row[2])) for row in rows))

    def _check_ledger(self, space: int, start: int, end: int) -> None:
        """No two rows may speak of one byte: the identity of the ledger is a promise, and a second outcome would hide the first."""
        near = self.connection.execute(
            "SELECT start, end, outcome, reason FROM ledger WHERE space = :space AND start < :end AND start >= "
            "coalesce((SELECT max(start) FROM ledger WHERE space = :space AND start < :start), 0) ORDER BY start",
            {"space": space, "start": start, "end": end},
        )
        try:
            joined_rows(LedgerRow(*row) for row in near)
        except ValueError as error:
            raise StoreError("ledger-overlap", f"space {space}: {error}", hint="please report this") from error

    def _add_views(self, rows: list[Row]) -> None:
        changes = ", ".join(f"{name} = excluded.{name}" for name in ("stored_bytes", "decoded_bytes", "outcome", "reason", "detail", "task"))
        insert(
            self.connection,
            f"INSERT INTO view ({VIEW_COLUMNS}) VALUES ({_marks(VIEW_COLUMNS)}) "
            f"ON CONFLICT (space, locator, kind) DO UPDATE SET {changes} WHERE view.outcome = 'pending' OR excluded.outcome <> 'pending'",
            rows,
        )

    def _add_gaps(self, rows: list[Row]) -> None:
        insert(self.connection, f"INSERT OR IGNORE INTO gap ({GAP_COLUMNS}) VALUES ({_marks(GAP_COLUMNS)})", rows)

    def _add_notes(self, notes: Iterable[str], space: int, task: int) -> None:
        rows: list[Row] = [(space, text, task) for text in notes]
        insert(self.connection, "INSERT OR IGNORE INTO note (space, text, task) VALUES (?, ?, ?)", rows)


def _marks(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))
