"""The SQLite file of a case: opened, locked, checked for its version; its errors turned into ours.

A case folder has mode 0700 and its files 0600 whatever the umask says: `case.sqlite`, `case.lock`, `maps/`, `run.log`.
While a run writes, the file is in WAL mode: readers in other processes see whole transactions and never wait. A case that was closed is one
file in rollback mode, which can be read from a medium that cannot be written.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snapscan.model.errors import StoreError

DATABASE = "case.sqlite"
LOCK = "case.lock"
MAPS = "maps"
LOG = "run.log"

SCHEMA_VERSION = 1
APPLICATION_ID = 0x736E6170  # "snap": tells a case from any other SQLite file
BUSY_SECONDS = 5.0

_HINT_FULL = "free some space, or give another place with --case; the case as it is can be read and resumed"
_HINT_BUSY = "another program holds the case's database; close it and use --resume"
_HINT_PLACE = "check that the folder exists and that you may write in it, or give another place with --case"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn a database or file error inside into StoreError; `what` says what was being done, and to what."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StoreError("store-refused", f"{what}: a record breaks a rule of the store ({error})", hint="please report this") from error
    except sqlite3.Error as error:
        raise _store_error("store-write", what, error) from error
    except OSError as error:
        raise StoreError("store-write", f"{what}: {error.strerror or error}", hint=_HINT_PLACE) from error


@contextmanager
def reading(what: str) -> Iterator[None]:
    """The same for what only reads: `store-read`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error("store-read", what, error) from error


def _store_error(reference: str, what: str, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return StoreError("store-damaged", f"{what}: {error}", hint="scan again into a new case")
    if code in _BUSY:
        hint = _HINT_BUSY
    elif reference == "store-read" or code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        hint = _HINT_PLACE
    else:
        hint = _HINT_FULL
    return StoreError(reference, f"{what}: {error}", hint=hint)


def create_folder(folder: Path) -> None:
    """Make the case folder and its empty files. Raises StoreError `case-exists` if it holds anything."""
    with writing(f"make the case {folder}"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StoreError("case-exists", f"{folder} is not empty", hint="continue it with --resume, or give another place with --case")
        folder.chmod(0o700)
        (folder / MAPS).mkdir(mode=0o700)
        for name in (LOCK, LOG, DATABASE):
            os.close(os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))


def lock(folder: Path) -> int:
    """Hold the case for this process until the descriptor is closed or the process ends. Raises StoreError `store-locked`.

    A record lock, not flock: a worker that was forked does not hold it on after its foreman was killed.
    """
    with writing(f"lock the case {folder}"):
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            os.close(descriptor)
            raise StoreError("store-locked", f"another run writes to {folder}", hint="wait for it to end; a case has one writer") from error
    return descriptor


def connect_writer(folder: Path) -> sqlite3.Connection:
    """The writing connection, in WAL mode; a new file gets the schema. Transactions are begun by the caller."""
    with writing(f"open {folder / DATABASE}"):
        connection = sqlite3.connect(folder / DATABASE, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            if not _is_empty(connection):
                check_version(connection, folder)
            connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL: a killed process loses nothing; a power cut may lose the last transactions, which a resumed run does again.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -32768")
            if _is_empty(connection):
                schema = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
                stamp = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
                connection.executescript(f"BEGIN IMMEDIATE; {stamp} {schema} COMMIT;")
        except BaseException:
            connection.close()
            raise
    return connection


def connect_reader(folder: Path) -> sqlite3.Connection:
    """A connection that can only read. Raises StoreError `store-missing`, `store-newer` or `store-damaged`."""
    path = folder / DATABASE
    if not path.is_file():
        raise StoreError("store-missing", f"{folder} is not a case: it holds no {DATABASE}", hint="give the folder that a scan wrote (NAME.snapscan)")
    with reading(f"open {path}"):
        uri = path.absolute().as_uri() + "?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            try:
                check_version(connection, folder)
            except sqlite3.OperationalError as error:
                # A case left in WAL mode by a killed run, on a medium that cannot be written: without a log beside it nothing is lost.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN or (folder / f"{DATABASE}-wal").exists():
                    raise
                connection.close()
                connection = sqlite3.connect(uri + "&immutable=1", uri=True, isolation_level=None)
                check_version(connection, folder)
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
    return connection


def check_version(connection: sqlite3.Connection, folder: Path) -> None:
    """Raise StoreError unless the database is a case that this version can read."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise StoreError("store-missing", f"{folder / DATABASE} is not the database of a case", hint="give the folder that a scan wrote")
    if version > SCHEMA_VERSION:
        message = f"{folder} was written by a newer version (store {version}, this one reads up to {SCHEMA_VERSION})"
        raise StoreError("store-newer", message, hint="update snapscan")


def close_writer(connection: sqlite3.Connection) -> None:
    """Close; where no reader is at work, leave one plain file behind instead of a file and its log."""
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error:
        pass  # a reader holds the log, or the disk is full: the case is whole either way, the log is folded in by the next writer
    finally:
        connection.close()


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])
