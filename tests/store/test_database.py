"""What happens to a case when the world is not kind: a second writer, a full disk, a killed run, another version."""

from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from snapscan.model.errors import Exit, StoreError
from snapscan.model.ledger import LedgerRow
from snapscan.store import database
from snapscan.store.queries import run_view
from snapscan.store.store import Store

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


def in_child(work):
    """Run `work` in a forked process; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001  # a forked child has nobody else to tell
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_only_the_owner_may_look_into_a_case_whatever_the_umask(case, umask, add_space):
    before = os.umask(umask)
    try:
        with Store.create(case) as store:
            add_space(store)
            names = {path.name: mode(path) for path in case.iterdir()}
    finally:
        os.umask(before)
    assert mode(case) == 0o700
    assert names.pop("maps") == 0o700
    assert {"case.sqlite", "case.sqlite-wal", "case.sqlite-shm", "case.lock", "run.log"} == set(names)
    assert set(names.values()) == {0o600}


def test_a_closed_case_is_one_database_file(case):
    Store.create(case).close()
    assert {path.name for path in case.iterdir()} == {"case.sqlite", "case.lock", "run.log", "maps"}


def test_a_case_is_not_made_in_a_folder_that_holds_something(case):
    case.mkdir()
    (case / "notes.txt").write_text("mine")
    with pytest.raises(StoreError) as error:
        Store.create(case)
    assert error.value.reference == "case-exists"
    assert (case / "notes.txt").read_text() == "mine"


def test_every_table_is_strict_and_opens_with_a_sentence():
    schema = Path(database.__file__).with_name("schema.sql").read_text()
    tables = re.findall(r"((?:--[^\n]*\n)*)CREATE TABLE (\w+) \((.*?)\n\)([^;]*);", schema, re.DOTALL)
    assert len(tables) >= 10
    for comment, name, _, tail in tables:
        assert re.match(r"-- [A-Z].*[.)]\n$", comment, re.DOTALL), name
        assert "STRICT" in tail, name


@pytest.mark.parametrize("open_case", [Store.open, Store.open_read_only])
def test_a_case_of_a_newer_version_is_refused(case, open_case):
    Store.create(case).close()
    with sqlite3.connect(case / database.DATABASE) as connection:
        connection.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError) as error:
        open_case(case)
    assert error.value.reference == "store-newer"
    assert error.value.exit_code == Exit.STORE


@pytest.mark.parametrize("open_case", [Store.open, Store.open_read_only])
def test_what_is_not_a_case_is_refused_by_name(tmp_path, open_case):
    def reference(folder):
        with pytest.raises(StoreError) as error:
            open_case(folder)
        return error.value.reference

    assert reference(tmp_path / "nothing") == "store-missing"
    (tmp_path / database.DATABASE).write_bytes(b"no database" * 1000)
    assert reference(tmp_path) == "store-damaged"
    (tmp_path / database.DATABASE).unlink()
    other = sqlite3.connect(tmp_path / database.DATABASE)
    other.execute("CREATE TABLE a (b)")
    other.close()
    assert reference(tmp_path) == "store-missing"


def test_a_second_writer_is_refused_and_a_reader_is_not(store, case):
    def second():
        with pytest.raises(StoreError) as error:
            Store.open(case)
        assert error.value.reference == "store-locked"
        Store.open_read_only(case).close()

    assert in_child(second) == 0


def test_a_worker_reads_whole_transactions_while_the_writer_goes_on(store, case, add_space, hit):
    space = add_space(store)
    ready, told = os.pipe()

    def worker():
        os.write(told, b"x")
        seen = 0
        with Store.open_read_only(case) as reader:
            while seen < 2000:
                now = sum(1 for _ in reader.hits(space))
                assert now % 100 == 0
                assert now >= seen
                assert len(reader.ledger(space)) >= now // 100
                seen = now

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            worker()
            code = 0
        finally:
            os._exit(code)
    os.read(ready, 1)
    for task in range(20):
        hits = [hit(task * 1000 + k) for k in range(100)]
        store.add_task_result(f"t{task}", space=space, hits=hits, ledger=[LedgerRow(task * 1000, task * 1000 + 1000, "swept")])
        time.sleep(0.005)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sum(1 for _ in store.hits(space)) == 2000


def test_a_reader_can_not_write(store, case):
    with Store.open_read_only(case) as reader, pytest.raises(sqlite3.OperationalError):
        reader.connection.execute("DELETE FROM meta")


def test_a_database_that_another_program_holds_is_an_error_with_a_hint(monkeypatch, case):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with Store.create(case) as store:
        other = sqlite3.connect(case / database.DATABASE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as error:
            store.set_meta(a=1)
        other.close()
        assert error.value.reference == "store-write"
        assert "another program" in error.value.hint
        store.set_meta(a=2)
        assert store.meta()["a"] == 2


def fill(store, space, hit):
    """Write until it fails; the number of tasks that were stored."""
    for task in range(10_000):
        try:
            ledger = [LedgerRow(task * 100, task * 100 + 100, "swept")]
            store.add_task_result(f"t{task}", space=space, hits=[hit(task * 100 + k) for k in range(100)], ledger=ledger)
        except StoreError as error:
            assert error.reference == "store-write"
            assert "space" in error.hint
            return task
    raise AssertionError("the disk never got full")


@needs_root
def test_a_full_disk_is_an_error_and_what_was_stored_before_is_kept(tmp_path, add_space, hit):
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], check=True)
    try:
        (mount / "ballast").write_bytes(bytes(200_000))
        store = Store.create(mount / "case")
        space = add_space(store)
        stored = fill(store, space, hit)
        assert stored > 3
        with Store.open_read_only(mount / "case") as reader:
            assert len(reader.ledger(space)) == stored
        (mount / "ballast").unlink()
        store.add_task_result("after", space=space, hits=[hit(1)])
        store.close()
        with Store.open_read_only(mount / "case") as reader:
            assert sum(1 for _ in reader.hits(space)) == stored * 100 + 1
    finally:
        subprocess.run(["umount", mount], check=True)


def test_a_limit_on_the_size_of_a_file_is_an_error_and_what_was_stored_before_is_kept(case, add_space, hit):
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        store = Store.create(case)
        space = add_space(store)
        stored = fill(store, space, hit)
        assert stored > 3
        assert len(store.ledger(space)) == stored

    assert in_child(work) == 0
    with Store.open(case) as store:
        stored = len(store.ledger(1))
        assert stored > 3
        assert sum(1 for _ in store.hits(1)) == stored * 100
        store.add_task_result("after", space=1, hits=[hit(1)])


@needs_root
@pytest.mark.parametrize("killed", [False, True])
def test_a_case_on_a_medium_that_can_not_be_written_is_read(tmp_path, add_space, killed):
    mount = tmp_path / "medium"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], check=True)
    try:

        def work():
            store = Store.create(mount / "case")
            add_space(store)
            if not killed:
                store.close()
            else:
                store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                (mount / "case" / "case.sqlite-wal").unlink()
                (mount / "case" / "case.sqlite-shm").unlink()

        assert in_child(work) == 0
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        with Store.open_read_only(mount / "case") as reader:
            assert len(run_view(reader).spaces) == 1
        with pytest.raises(StoreError) as error:
            Store.open(mount / "case")
        assert error.value.reference == "store-write"
    finally:
        subprocess.run(["umount", mount], check=True)


WRITER = """
import sys
from pathlib import Path
from snapscan.model.finding import Hit
from snapscan.model.ledger import LedgerRow
from snapscan.store.store import Store
with Store.open(Path(sys.argv[1])) as store:
    first = len(store.ledger(1))
    print("ready", flush=True)
    for task in range(first, 100_000):
        hits = [Hit("a.b", task * 1000 + k, 1, "f", "r", 1) for k in range(200)]
        store.add_task_result(f"t{task}", space=1, hits=hits[:100], last=False)
        store.add_task_result(f"t{task}", space=1, hits=hits, ledger=[LedgerRow(task * 1000, task * 1000 + 1000, "swept")])
"""


def test_a_run_killed_while_it_writes_leaves_a_case_that_is_whole_and_goes_on(case, add_space):
    with Store.create(case) as store:
        add_space(store, 1 << 40)
    tasks = 0
    for delay in (0.0, 0.01, 0.03, 0.05, 0.1):
        with subprocess.Popen([sys.executable, "-c", WRITER, case], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        with Store.open_read_only(case) as reader:
            done, left = reader.tasks(done=True), reader.tasks(done=False)
            assert len(done) == len(reader.ledger(1)) >= tasks
            assert len(left) <= 1
            assert sum(1 for _ in reader.hits(1)) == len(done) * 200 + len(left) * 100
            assert reader.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            tasks = len(done)
    assert tasks > 0
    with Store.open(case) as store:
        store.set_meta(finished="now")


def test_a_worker_that_outlives_its_killed_foreman_does_not_hold_the_case(case):
    read_end, write_end = os.pipe()
    foreman = os.fork()
    if foreman == 0:
        Store.create(case)
        worker = os.fork()
        if worker == 0:
            os.write(write_end, f"{os.getpid()}\n".encode())
            time.sleep(30)
            os._exit(0)
        time.sleep(30)
        os._exit(0)
    worker = int(os.read(read_end, 20))
    os.kill(foreman, signal.SIGKILL)
    os.waitpid(foreman, 0)
    try:
        Store.open(case).close()
    finally:
        os.kill(worker, signal.SIGKILL)
