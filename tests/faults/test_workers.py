"""Workers that crash, hang, are killed or run out of memory in the middle: the ledger stays exact, everything else is found."""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from snapscan.detect.chunk import Chunk
from snapscan.detect.engine import Engine, Scanned
from snapscan.model.policy import SCAN_DEFAULTS, RunPolicy, load_policy
from snapscan.model.runview import RunView
from snapscan.model.units import KIB, MIB
from snapscan.run.scan import ScanOptions, ScanResult, scan
from snapscan.store.queries import run_view
from snapscan.store.store import Store

STEP = 16 * KIB
SIZE = 4 * MIB
TRIGGER = b"*** trigger ***"
BAD = 1 * MIB + 300 * KIB

RULES = """
- id: canary.token
  name: Canary
  kind: secret
  severity: high
  pattern: '\\bcnry_([0-9a-f]{16})\\b'
  value: 1
  why: A test.
  fix: None.
  references: ['https://example.com']
  examples: ['cnry_${hex:16}']
  counter_examples: ['cnry_']
"""


def token(number: int) -> bytes:
    """16 hexadecimal digits that look random, as a secret does."""
    return hashlib.sha256(b"%d" % number).hexdigest()[:16].encode()


class Faulty(Engine):
    """An engine that does something terrible when it meets the trigger in bytes that it owns."""

    deed: Callable[[], None]

    def scan(self, chunk: Chunk) -> Scanned:
        if TRIGGER in bytes(chunk.view[chunk.low : chunk.high]):
            type(self).deed()
        return super().scan(chunk)


def image(folder: Path, *, trigger: bool = True) -> Path:
    data = bytearray(b"." * SIZE)
    for number, at in enumerate(range(0, SIZE, STEP)):
        data[at + 8 : at + 31] = b" cnry_" + token(number) + b" "
    if trigger:
        data[BAD : BAD + len(TRIGGER)] = TRIGGER
    path = folder / "disk.img"
    path.write_bytes(data)
    return path


def policy(**limits: object) -> RunPolicy:
    return load_policy(None, {"limits.task_bytes": 512 * KIB, **{f"limits.{k}": v for k, v in limits.items()}}, base=SCAN_DEFAULTS)


def rules(folder: Path) -> Path:
    path = folder / "rules" / "canary.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(RULES)
    return path


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: Callable[[], None], **limits: object) -> ScanResult:
    monkeypatch.setattr(Faulty, "deed", staticmethod(deed), raising=False)
    monkeypatch.setattr("snapscan.run.setup.Engine", Faulty)
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    options = ScanOptions(case=tmp_path / "case", workers=2, policy=policy(**limits), rules=(rules(tmp_path),), key_file=key, rule_cache=False)
    return scan([image(tmp_path)], options)


def canaries(result: ScanResult) -> list[int]:
    return sorted(place.sighting.space_offset for finding in result.view.findings if finding.rule.id == "canary.token" for place in finding.sightings)


def expected(without: tuple[int, int] | None = None) -> list[int]:
    places = [at + 9 + 5 for at in range(0, SIZE, STEP)]
    return [p for p in places if without is None or not without[0] <= p - 5 < without[1]]


def segfault() -> None:
    ctypes.string_at(0)


def hang() -> None:
    ctypes.CDLL(None).sleep(600)


def kill_while_logging() -> None:
    for number in range(200):
        logging.getLogger("snapscan.test").warning("line %d", number)
    os.kill(os.getpid(), signal.SIGKILL)


def eat_memory() -> None:
    kept = []
    while True:
        kept.append(bytearray(64 * MIB))


DEEDS = [(segfault, "worker-crashed"), (kill_while_logging, "worker-crashed"), (eat_memory, "out-of-memory"), (hang, "worker-hung")]


@pytest.mark.parametrize(("deed", "reason"), DEEDS, ids=[deed.__name__ for deed, _ in DEEDS])
def test_fault_costs_its_64_kib_and_nothing_else(deed: Callable[[], None], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, monkeypatch, deed, task_seconds=0.6 if deed is hang else 60, worker_memory_bytes=600 * MIB)
    (space,) = result.view.spaces
    lost = [row for row in space.ledger if row.outcome == "lost"]
    assert [(row.start, row.end, row.reason) for row in lost] == [(BAD // (64 * KIB) * 64 * KIB, (BAD // (64 * KIB) + 1) * 64 * KIB, reason)]
    assert space.totals.total == space.size_bytes == SIZE
    assert space.totals.swept == SIZE - 64 * KIB
    assert canaries(result) == expected((lost[0].start, lost[0].end))
    assert not result.view.verdict.complete
    assert result.exit == 1


def test_fault_in_one_view_costs_that_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(5):
        text = TRIGGER if number == 2 else b"cnry_" + token(number)
        (folder / f"{number}.gz").write_bytes(gzip.compress(b"x " + text + b" x"))
    monkeypatch.setattr(Faulty, "deed", staticmethod(segfault), raising=False)
    monkeypatch.setattr("snapscan.run.setup.Engine", Faulty)
    result = scan([folder], ScanOptions(case=tmp_path / "case", workers=2, policy=policy(), rules=(rules(tmp_path),), rule_cache=False))
    outcomes = {entry.row.locator.split("!")[0][-7:-3]: (entry.row.outcome, entry.row.reason) for entry in result.view.views}
    assert sorted(outcomes.values()) == [("lost", "worker-crashed")] + [("opened", "")] * 4
    assert len([f for f in result.view.findings if f.rule.id == "canary.token"]) == 4
    assert result.view.pending_tasks == 0


KILLER = textwrap.dedent(
    """
    import os, signal, sys
    from snapscan.run import driver as module
    results = int(sys.argv[1])
    saved = module.Driver._save
    def save(self, action):
        saved(self, action)
        self.count = getattr(self, "count", 0) + 1
        if self.count == results:
            os.kill(os.getpid(), signal.SIGKILL)
    module.Driver._save = save
    from snapscan.cli.main import run
    sys.argv = ["snapscan", *sys.argv[2:]]
    sys.exit(run())
    """
)
"""The command, whose foreman is killed right after the n-th result is stored."""


def killed_and_resumed(tmp_path: Path, source: Path, results: int) -> RunView:
    (tmp_path / "key").write_bytes(bytes(32))
    arguments = ["--rules", str(rules(tmp_path)), "--key-file", "key", "--progress", "off", "--workers", "2"]
    start = [sys.executable, "-c", KILLER, str(results), "scan", str(source), "--case", "case"]
    killed = subprocess.run([*start, *arguments], cwd=tmp_path, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    report = subprocess.run([sys.executable, "-m", "snapscan", "report", "case", "--format", "jsonl"], cwd=tmp_path, capture_output=True, check=False)
    assert b'"complete":false' in report.stdout
    resumed = subprocess.run(
        [sys.executable, "-m", "snapscan", "scan", "--resume", "case", *arguments], cwd=tmp_path, capture_output=True, check=False
    )
    assert resumed.returncode == 1, resumed.stderr
    with Store.open_read_only(tmp_path / "case") as store:
        view = run_view(store)
    assert view.pending_tasks == 0
    assert all(entry.row.outcome == "opened" for entry in view.views)
    return view


def test_killed_run_is_resumed_to_its_end(tmp_path: Path) -> None:
    """The foreman itself is killed in the middle of the sweep; `--resume` completes the case, each canary once."""
    (tmp_path / "snapscan.yml").write_text("limits: {task_bytes: 64KiB}\n")
    view = killed_and_resumed(tmp_path, image(tmp_path, trigger=False), 20)
    places = sorted(place.sighting.space_offset for finding in view.findings if finding.rule.id == "canary.token" for place in finding.sightings)
    assert places == expected()
    assert view.spaces[0].totals.swept == SIZE


@pytest.mark.parametrize("results", [2, 4, 5, 6])
def test_run_killed_among_its_views_opens_each_in_the_end(results: int, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03}.gz").write_bytes(gzip.compress(b"x cnry_" + token(number) + b" x"))
    view = killed_and_resumed(tmp_path, folder, results)
    assert len(view.views) == 200
    assert len([finding for finding in view.findings if finding.rule.id == "canary.token"]) == 200


def test_interrupt_leaves_a_usable_incomplete_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()

    def interrupt() -> None:
        os.kill(parent, signal.SIGINT)

    result = run(tmp_path, monkeypatch, interrupt)
    assert result.exit == 130
    assert not result.view.verdict.complete
    assert result.view.run.interrupted
    assert canaries(result)


def test_changed_source_is_refused_on_resume_and_said_at_the_end(tmp_path: Path) -> None:
    from snapscan.model.errors import SourceChanged

    path = image(tmp_path, trigger=False)
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    options = ScanOptions(case=tmp_path / "case", workers=1, policy=policy(), key_file=key, rule_cache=False)
    scan([path], options)
    with path.open("r+b") as file:
        file.write(b"!")
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChanged):
        scan([], ScanOptions(case=tmp_path / "case", resume=True, workers=1, policy=policy(), key_file=key, rule_cache=False))
