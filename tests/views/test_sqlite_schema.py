from __future__ import annotations

import sqlite3

import pytest

from snapscan.views.sqlite_record import Columns
from snapscan.views.sqlite_schema import columns_of


@pytest.mark.parametrize(
    ("statement", "names", "alias"),
    [
        ("CREATE TABLE t (a, b)", ["a", "b"], -1),
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, b)", ["id", "b"], 0),
        ("CREATE TABLE t (b, id integer primary key autoincrement)", ["b", "id"], 1),
        ("CREATE TABLE t (id INT PRIMARY KEY, b)", ["id", "b"], -1),
        ("CREATE TABLE t (a, id INTEGER, PRIMARY KEY (id))", ["a", "id"], 1),
        (
            'CREATE TABLE t (a VARCHAR(10, 2) DEFAULT (\'x,y)\'), -- note, (\n [b c] TEXT, "d""e" INT, `f` /* , */ CHECK (f > 0), UNIQUE (a))',
            ["a", "b c", 'd"e', "f"],
            -1,
        ),
        ("CREATE TABLE t (a, b TEXT REFERENCES u(x), CONSTRAINT n FOREIGN KEY (a) REFERENCES u(x))", ["a", "b"], -1),
        ("CREATE TABLE t (a, k, v, PRIMARY KEY (v, k)) WITHOUT ROWID", ["k", "v", "a"], -1),
    ],
)
def test_columns_come_as_records_hold_them(statement, names, alias):
    connection = sqlite3.connect(":memory:")
    if "REFERENCES" in statement:
        connection.execute("CREATE TABLE u (x)")
    connection.execute(statement)
    found = columns_of(statement.encode())
    assert (sorted(found.names), found.rowid_alias) == (sorted(name.encode() for name in names), alias)
    if "WITHOUT" not in statement:
        assert [name.decode() for name in found.names] == [row[1] for row in connection.execute("PRAGMA table_info(t)")]


@pytest.mark.parametrize(
    "statement", [b"", b"CREATE INDEX i ON t", b"CREATE TABLE t (a, (b", b"((((", b"CREATE TABLE t AS SELECT 1", b"\xff\x00(", b"'" * 70_000]
)
def test_odd_statements_have_no_columns(statement):
    assert columns_of(statement) == Columns()
