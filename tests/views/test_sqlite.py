from __future__ import annotations

import gzip
import random
import sqlite3
import struct
import time
import tracemalloc
from pathlib import Path

import pytest

from snapscan.views import sqlite_tree
from snapscan.views.registry import recognise
from snapscan.views.sqlite import Sqlite, SqliteWal
from snapscan.views.walk import walk


@pytest.fixture
def database(tmp_path):
    """Run statements in a new database, give the file's bytes."""

    def _database(*statements, page_size: int = 4096, encoding: str = "UTF-8") -> bytes:
        path: Path = tmp_path / "test.db"
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute(f"PRAGMA encoding='{encoding}'")
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
        connection.close()
        return path.read_bytes()

    return _database


PEOPLE = "CREATE TABLE people (id INTEGER PRIMARY KEY, login TEXT, [pass word] VARCHAR(20), age INT, weight REAL)"


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_rows_are_lines_of_column_and_value(look, database, encoding, page_size):
    rows = [("INSERT INTO people VALUES (?,?,?,?,?)", (n, f"user{n}", f"wört{n}", -n, n / 4 + 0.1)) for n in range(1, 3000)]
    seen = look(database(PEOPLE, "BEGIN", *rows, "COMMIT", page_size=page_size, encoding=encoding))
    expected = "".join(f"id={n}\tlogin=user{n}\tpass word=wört{n}\tage={-n}\tweight={n / 4 + 0.1!r}\n" for n in range(1, 3000))
    assert seen.named[b"people"].decode() == expected
    assert set(seen.named) == {b"sqlite_schema", b"people"}
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("opened", "", "")


def test_a_value_cut_by_overflow_pages_is_given_in_one_piece(look, database):
    long = "".join(random.Random(1).choices("abcdefghij", k=300_000))
    seen = look(database("CREATE TABLE t (a, b)", ("INSERT INTO t VALUES (?, ?)", (long, b"\x00\xff" + long.encode())), page_size=1024))
    assert seen.named[b"t"] == b"a=" + long.encode() + b"\tb=\x00\xff" + long.encode() + b"\n"
    assert seen.longest_part <= 1 << 20


def test_a_setting_s_value_stands_behind_its_key(look, database):
    seen = look(
        database(
            "CREATE TABLE settings (id INTEGER PRIMARY KEY, name TEXT, value TEXT)",
            "INSERT INTO settings VALUES (7, 'api_token', 'abc'), (8, 'empty', NULL)",
        )
    )
    assert seen.named[b"settings"] == b"id=7\tapi_token=abc\nid=8\tempty=\n"


def test_a_table_without_rowid_is_read_in_the_order_it_is_stored(look, database):
    rows = [("INSERT INTO t VALUES (?,?,?)", (n, f"k{n:05}", n * n)) for n in range(2000)]
    seen = look(database("CREATE TABLE t (n INT, k TEXT, s INT, PRIMARY KEY (k)) WITHOUT ROWID", "BEGIN", *rows, "COMMIT", page_size=512))
    lines = seen.named[b"t"].splitlines()
    assert sorted(lines) == [b"k=k%05d\tn=%d\ts=%d" % (n, n, n * n) for n in range(2000)]


def test_an_added_column_and_indexes_do_not_matter(look, database):
    seen = look(
        database(
            "CREATE TABLE t (a)",
            "CREATE INDEX i ON t (a)",
            "INSERT INTO t VALUES ('x')",
            "ALTER TABLE t ADD COLUMN b",
            "INSERT INTO t VALUES ('y', 'z')",
        )
    )
    assert seen.named[b"t"] == b"a=x\na=y\tb=z\n" and set(seen.named) == {b"sqlite_schema", b"t"}


def test_a_blob_that_is_a_view_is_opened(look, database):
    inner = gzip.compress(b"hidden " * 9000, 0)
    seen = look(database("CREATE TABLE t (a, b)", ("INSERT INTO t VALUES ('x', ?)", (inner,)), page_size=512))
    blob = ("sqlite", b"t/1.b")
    assert seen.named[b"t"] == b"a=x\n"
    assert seen.members[(blob,)] == inner and seen.members[(blob, ("gzip", b""))] == b"hidden " * 9000


def test_rows_of_a_dropped_table_are_free(look, database):
    rows = [("INSERT INTO gone VALUES (?)", (f"value {n}",)) for n in range(500)]
    seen = look(database("PRAGMA secure_delete=OFF", "CREATE TABLE gone (a)", "CREATE TABLE stays (a)", "BEGIN", *rows, "COMMIT", "DROP TABLE gone"))
    assert b"value 499\n" in seen.named[b"free"] and seen.fate.outcome == "opened"


def test_a_truncated_database_gives_the_rows_that_are_there(look, database):
    rows = [("INSERT INTO t VALUES (?)", (f"value {n}",)) for n in range(5000)]
    data = database("CREATE TABLE t (a)", "BEGIN", *rows, "COMMIT", page_size=512)
    seen = look(data[: len(data) // 2])
    assert seen.named[b"free" if b"free" in seen.named else b"t"].count(b"value") > 2000
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "truncated")


def test_an_unreadable_page_costs_its_own_rows(look, database, make_reader):
    rows = [("INSERT INTO t VALUES (?)", (f"value {n}",)) for n in range(5000)]
    data = database("CREATE TABLE t (a)", "BEGIN", *rows, "COMMIT")
    seen = look(make_reader(data, 8192, 12288))
    assert 3000 < sum(text.count(b"value") for text in seen.members.values()) < 5000
    assert seen.fate.reason == "damaged"


def test_loops_of_pages_end(look, database):
    rows = [("INSERT INTO t VALUES (?)", ("x" * 5000,)) for _ in range(30)]
    data = bytearray(database("CREATE TABLE t (a)", "BEGIN", *rows, "COMMIT", page_size=512))
    count = len(data) // 512
    for number in range(2, count):
        page = (number - 1) * 512
        if data[page] not in (5, 13):
            struct.pack_into(">I", data, page, number)
        elif data[page] == 5:
            struct.pack_into(">I", data, page + 8, 2)
    seen = look(bytes(data), seconds=5)
    assert seen.fate.reason == "damaged"


def test_a_row_that_claims_gigabytes_is_cut(look, database, monkeypatch):
    monkeypatch.setattr(sqlite_tree, "LONGEST_PAYLOAD", 10_000)
    seen = look(database("CREATE TABLE t (a)", ("INSERT INTO t VALUES (?)", ("y" * 50_000,))))
    assert 9_000 < seen.named[b"t"].count(b"y") < 14_500
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "memory-limit")


def test_cells_that_all_lead_to_one_long_chain_do_not_take_memory_or_time(look, database, counting):
    data = bytearray(database("CREATE TABLE t (a)", ("INSERT INTO t VALUES (?)", (bytes(20 << 20),)), page_size=65536))
    page = 65536
    assert data[page] == 13
    pointer = data[page + 8 : page + 10]
    data[page + 3 : page + 5] = (8000).to_bytes(2, "big")
    data[page + 8 : page + 8 + 16_000] = pointer * 8000
    tracemalloc.start()
    begun = time.monotonic()
    seen = look(bytes(data), sink=counting, seconds=1)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.fate.reason in ("time-limit", "expansion-limit") and time.monotonic() - begun < 4
    assert peak_bytes < 200 << 20


def test_limits_stop_a_database(look, database):
    data = database("CREATE TABLE t (a)", "CREATE TABLE u (a)", ("INSERT INTO t VALUES (?)", ("y" * 5000,)), ("INSERT INTO u VALUES (1)",))
    assert look(data, decoded_bytes=1000).fate.reason == "expansion-limit"
    assert look(data, members=1).fate.reason == "member-limit"
    assert look(data, seconds=-1).fate.reason == "time-limit"


@pytest.fixture
def log(tmp_path):
    """The write-ahead log of a database that is still open."""

    def _log(*statements, checkpoint_at: int = -1) -> bytes:
        path: Path = tmp_path / "wal.db"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        for number, statement in enumerate(statements):
            connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
            if number == checkpoint_at:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = Path(f"{path}-wal").read_bytes()
        connection.close()
        return data

    return _log


def test_a_log_with_the_schema_gives_named_tables_and_each_row_once(look, log):
    long = "z" * 30_000
    data = log("CREATE TABLE t (a, secret)", *[("INSERT INTO t VALUES (?, ?)", (f"row {n}", long if n == 5 else "s")) for n in range(50)])
    seen = look(data)
    assert seen.named[b"t"] == b"".join(b"a=row %d\tsecret=%s\n" % (n, long.encode() if n == 5 else b"s") for n in range(50))
    assert b"row" not in seen.named.get(b"frames", b"")
    assert seen.fate.outcome == "opened"


def test_a_log_keeps_former_versions_of_rows(look, log):
    seen = look(log("CREATE TABLE t (a)", "INSERT INTO t VALUES ('before')", "UPDATE t SET a='after'"))
    assert seen.named[b"t"] == b"a=after\n" and seen.named[b"frames"] == b"before\n"


def test_a_log_without_the_schema_gives_rows(look, log):
    data = log(
        "PRAGMA encoding='UTF-16le'", "CREATE TABLE t (a)", "INSERT INTO t VALUES ('wide text')", "INSERT INTO t VALUES ('more')", checkpoint_at=2
    )
    seen = look(data)
    assert seen.named == {b"frames": b"wide text\nmore\n"}


@pytest.mark.parametrize("wal", [False, True])
def test_damage_never_raises(database, log, make_reader, tmp_path, counting, wal):
    from snapscan.model.view import Budget, ViewLimits

    dice = random.Random(11)
    statements = [
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b)",
        "CREATE TABLE w (k PRIMARY KEY, v) WITHOUT ROWID",
        *[("INSERT INTO t VALUES (?, ?)", (n, gzip.compress(b"g" * n) if n % 7 else "x" * 50 * n)) for n in range(40)],
        *[("INSERT INTO w VALUES (?, ?)", (f"{n}", n)) for n in range(40)],
    ]
    good = log(*statements) if wal else database(*statements, page_size=512)
    for _ in range(250):
        data = bytearray(good)
        for _ in range(dice.randint(1, 12)):
            data[dice.randrange(len(data)) if dice.random() < 0.7 else dice.randrange(600)] = dice.choice((0, 1, 0xFF, dice.randrange(256)))
        cut = bytes(data[: dice.randrange(512, len(data))] if dice.random() < 0.3 else data)
        walk(make_reader(cut), cut[:512], (), Budget(ViewLimits(seconds=5), len(cut)), counting, spool_folder=tmp_path)


def test_recognition_looks_at_page_size_and_constants(database, log):
    data = database("CREATE TABLE t (a)")
    wal = log("CREATE TABLE t (a)")
    assert Sqlite(bool).recognise(data[:512]) and SqliteWal(bool).recognise(wal[:512])
    assert recognise(data[:512]).kind == "sqlite" and recognise(wal[:512]).kind == "sqlite-wal"
    assert not Sqlite(bool).recognise(data[:16] + b"\x01\x01" + data[18:512])
    assert not Sqlite(bool).recognise(data[:21] + b"\x41" + data[22:512])
    assert not Sqlite(bool).recognise(data[:99]) and not SqliteWal(bool).recognise(wal[:31])
    assert not SqliteWal(bool).recognise(wal[:8] + b"\0\0\x10\x01" + wal[12:])
