"""Coverage, proven with canaries: a unique token on every 4 KiB and across every 4 KiB border, so across every border of block, chunk, task and
container too. Each is found exactly once, in every container, with any number of workers, after kills and when resumed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from formats import FORMATS, convert  # from fixtures/, see conftest.py

from snapscan.detect.redact import Fingerprinter
from snapscan.gate import judged
from snapscan.model.policy import SCAN_DEFAULTS
from snapscan.report.jsonl import records
from snapscan.store.queries import run_view
from snapscan.store.store import Store

pytestmark = pytest.mark.images

MIB = 1 << 20
PAGE = 4096
SIZE = 16 * MIB
EMPTY = {5, 6, 77, 130, 131, 132, 200}
"""64 KiB stretches that hold nothing: absent in most containers. The disk ends with a token."""

RULE = r"""
- id: test.canary
  name: Canary
  kind: indicator
  severity: info
  confidence: high
  pattern: '\bcnry_[0-9a-f]{16}\b'
  encodings: [ascii]
  why: A token of the tests.
  fix: None needed.
  references: ['https://example.org/']
  examples: ['cnry_${hex:16}']
"""
POLICY = "limits: {task_bytes: 1MiB}\nscope: {views: false}\ngate: {fail_on: high, min_confidence: high}\n"
LENGTH = len("cnry_") + 16


def canaries(size: int, seed: str) -> tuple[bytearray, dict[int, bytes]]:
    """A disk's bytes, and every token in it by its place."""
    chance = random.Random(seed)
    data = bytearray(b" .\n;" * (size // 4))
    placed: dict[int, bytes] = {}
    for page in range(size // PAGE):
        # One inside each page, one across each border (also where a stretch without data begins: then it lies wholly before it).
        for at in (page * PAGE + LENGTH + chance.randrange(PAGE // 2), (page + 1) * PAGE - 1 - page % (LENGTH - 1)):
            if at // 65536 not in EMPTY:
                at = min(at, _limit(at, size) - LENGTH)
                placed[at] = b"cnry_%016x" % chance.getrandbits(64)
    for stretch in EMPTY:
        if (stretch + 1) * 65536 <= size:
            data[stretch * 65536 : (stretch + 1) * 65536] = bytes(65536)
    for at, token in placed.items():
        data[at : at + LENGTH] = token
    return data, placed


def _limit(at: int, size: int) -> int:
    following = at // 65536 + 1
    return following * 65536 if following in EMPTY or following * 65536 >= size else size


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """(raw image, tokens by place)"""
    path = tmp_path_factory.mktemp("canaries") / "disk.raw"
    data, placed = canaries(SIZE, "canaries")
    with path.open("wb") as file:
        for at in range(0, SIZE, 65536):
            file.seek(at)
            if at // 65536 not in EMPTY:
                file.write(data[at : at + 65536])
        file.truncate(SIZE)
    return path, placed


@pytest.fixture
def options(tmp_path) -> list[str | Path]:
    (tmp_path / "canary.yml").write_text(RULE)
    (tmp_path / "policy.yml").write_text(POLICY)
    return ["--rules", tmp_path / "canary.yml", "--policy", tmp_path / "policy.yml"]


@pytest.fixture
def key(scanner) -> Fingerprinter:
    return Fingerprinter(scanner.key_file.read_bytes())


def faults(scan, wanted: dict[object, bytes], key: Fingerprinter, place=lambda sighting: sighting["space_offset"]) -> list[str]:
    """Tokens not found, found twice, or found where they are not."""
    found = Counter((place(s), s["fingerprint"]) for s in scan.of("sighting") if s["rule"] == "test.canary")
    right = {(at, key.of("test.canary", token)) for at, token in wanted.items()}
    twice = [at for (at, _), count in found.items() if count > 1]
    return [
        *(f"not found: {at}" for at, _ in list(right - set(found))[:10]),
        *(f"not there: {at}" for at, _ in list(set(found) - right)[:10]),
        *(f"twice: {at}" for at in twice[:10]),
    ]


def test_there_is_a_token_across_every_border_that_has_data_on_both_sides(disk):
    _, placed = disk
    ends = {at // PAGE for at in placed if at // PAGE != (at + LENGTH - 1) // PAGE}
    for page in range(SIZE // PAGE - 1):
        if not {page // 16, (page + 1) // 16} & EMPTY:
            assert page in ends
    assert max(placed) == SIZE - LENGTH
    assert len(placed) == 2 * (SIZE - len(EMPTY) * 65536) // PAGE


def split(raw: Path, folder: Path) -> Path:
    """Numbered parts whose borders lie on no block."""
    data, size = raw.read_bytes(), 5_000_011
    for number, at in enumerate(range(0, len(data), size), 1):
        (folder / f"disk.{number:03}").write_bytes(data[at : at + size])
    return folder / "disk.001"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", ["raw", "split", *FORMATS])
def test_each_canary_is_found_once_in_every_container(name, workers, disk, options, scanner, key, unaccounted, needs, tmp_path):
    raw, placed = disk
    if name in FORMATS:
        needs("qemu-img")
        image = convert(raw, tmp_path / f"disk.{name}", name)
    else:
        image = split(raw, tmp_path) if name == "split" else raw
    scan = scanner.scan(image, *options, "--workers", str(workers))
    assert faults(scan, placed, key) == []
    assert unaccounted(scan) == []
    summary = scan.summary
    assert summary["size_bytes"] == SIZE
    assert summary["swept"] + summary["absent"] == SIZE
    assert summary["swept"] >= SIZE - len(EMPTY) * 65536


def canary_files(root: Path) -> dict[object, bytes]:
    """Files of odd sizes below `root`, each beginning and ending with a token: tokens by (path, offset)."""
    chance = random.Random("folder")
    wanted: dict[object, bytes] = {}
    for number, size in enumerate([LENGTH, 2 * LENGTH + 1, 4096, 4097, 65536, 1_000_003, MIB, MIB + 1, 2_500_001] * 2):
        path = f"/d{number % 3}/f{number}"
        data = bytearray(b" .\n;" * (size // 4 + 1))[:size]
        for at in {0, size - LENGTH, *range(LENGTH + 1 + number, size - 2 * LENGTH - 1, PAGE)}:
            token = b"cnry_%016x" % chance.getrandbits(64)
            data[at : at + LENGTH] = token
            wanted[path, at] = token
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).write_bytes(data)
    return wanted


@pytest.mark.parametrize("workers", [1, 3])
def test_each_canary_is_found_once_in_a_folder(workers, options, scanner, key, unaccounted, tmp_path):
    root = tmp_path / "tree"
    wanted = canary_files(root)
    scan = scanner.scan(root, *options, "--workers", str(workers))
    assert faults(scan, wanted, key, lambda s: (s["path"], s["offset"])) == []
    assert unaccounted(scan) == []
    assert {s["owner"] for s in scan.of("sighting")} == {"file"}


@pytest.mark.parametrize("point", [0.0, 0.2, 0.6, 1.0, 1.5])
def test_each_canary_is_found_once_when_the_foreman_was_killed_and_the_case_resumed(point, disk, options, scanner, key, unaccounted, tmp_path):
    raw, placed = disk
    killed = scanner.kill("foreman", [point], raw, tmp_path / "case", *options)
    assert killed.returncode == -9, killed.stderr
    scan = scanner.scan(raw, *options, resume=tmp_path / "case")
    assert faults(scan, placed, key) == []
    assert unaccounted(scan) == []
    assert scan.summary["swept"] + scan.summary["absent"] == SIZE
    assert scan.summary["complete"]


def test_each_canary_is_found_once_when_the_foreman_was_killed_three_times(disk, options, scanner, key, unaccounted, tmp_path):
    raw, placed = disk
    assert scanner.kill("foreman", [0.2], raw, tmp_path / "case", *options).returncode == -9
    for _ in range(2):  # killed from outside, at some moment
        line = [sys.executable, "-m", "snapscan", "scan", "--resume", tmp_path / "case", "--key-file", scanner.key_file, *options]
        process = subprocess.Popen(
            [str(word) for word in line], env=scanner.environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(0.7)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    scan = scanner.scan(raw, *options, resume=tmp_path / "case")
    assert faults(scan, placed, key) == []
    assert unaccounted(scan) == []


@pytest.mark.parametrize("point", [0.2, 0.6])
def test_an_interrupted_scan_is_a_usable_case_that_is_not_complete_and_can_be_resumed(point, disk, options, scanner, key, unaccounted, tmp_path):
    raw, placed = disk
    done = scanner.kill("interrupt", [point], raw, tmp_path / "case", *options)
    assert done.stdout.split() == ["left", "0", "exit", "130"], done.stderr
    half = read_back(tmp_path / "case")
    assert unaccounted(half) == []
    assert 0 < half.summary["swept"] < SIZE - len(EMPTY) * 65536
    assert not half.summary["complete"]
    scan = scanner.scan(raw, *options, resume=tmp_path / "case")
    assert faults(scan, placed, key) == []
    assert unaccounted(scan) == []
    assert scan.summary["complete"]


def test_a_resumed_scan_refuses_a_source_that_has_changed(disk, options, scanner, tmp_path):
    raw, _ = disk
    copy = tmp_path / "copy.raw"
    copy.write_bytes(raw.read_bytes())
    assert scanner.kill("foreman", [0.3], copy, tmp_path / "case", *options).returncode == -9
    with copy.open("r+b") as file:
        file.write(b"changed")
    words = ["--resume", tmp_path / "case", "--key-file", scanner.key_file, *options]
    done = scanner.command("scan", *words)
    assert done.returncode == 4, done.stderr
    assert "source-changed" in done.stderr


@pytest.mark.parametrize("point", [0.3, 0.8])
def test_each_canary_of_a_folder_is_found_once_when_the_foreman_was_killed(point, options, scanner, key, unaccounted, tmp_path):
    root = tmp_path / "tree"
    wanted = canary_files(root)
    assert scanner.kill("foreman", [point], root, tmp_path / "case", *options).returncode == -9
    scan = scanner.scan(root, *options, resume=tmp_path / "case")
    assert faults(scan, wanted, key, lambda s: (s["path"], s["offset"])) == []
    assert unaccounted(scan) == []


@pytest.mark.parametrize("mode", ["worker", "all-workers"])
@pytest.mark.parametrize("point", [0.0, 0.3, 0.9])
def test_a_killed_worker_costs_no_canary(mode, point, disk, options, scanner, key, unaccounted, tmp_path):
    """What the worker was on is done again by another."""
    raw, placed = disk
    done = scanner.kill(mode, [point], raw, tmp_path / "case", *options)
    assert done.returncode == 0, done.stderr
    assert "left 0" in done.stdout
    scan = read_back(tmp_path / "case")
    assert faults(scan, placed, key) == []
    assert unaccounted(scan) == []
    assert scan.summary["lost"] == 0
    assert scan.summary["swept"] + scan.summary["absent"] == SIZE


def test_workers_that_are_killed_on_and_on_cost_only_what_the_ledger_says(disk, options, scanner, key, unaccounted, tmp_path):
    raw, placed = disk
    done = scanner.kill("all-workers", [number / 40 for number in range(40)], raw, tmp_path / "case", *options)
    assert done.returncode == 0, done.stderr
    scan = read_back(tmp_path / "case")
    assert unaccounted(scan) == []
    lost = [(row["start"], row["end"]) for row in scan.of("ledger") if row["outcome"] != "swept" and row["outcome"] != "absent"]
    kept = {at: token for at, token in placed.items() if not any(start <= at < end for start, end in lost)}
    assert len(kept) > len(placed) // 2
    # a token that starts in swept bytes is found, one that starts in lost bytes is not
    assert faults(scan, kept, key) == []
    assert scan.summary["complete"] == (not lost)


def read_back(case: Path) -> SimpleNamespace:
    """The finished case, as `report --format jsonl` writes it."""
    with Store.open_read_only(case) as store:
        view = judged(run_view(store), SCAN_DEFAULTS.gate)
    lines = [json.loads(json.dumps(record)) for record in records(view)]
    return SimpleNamespace(records=lines, of=lambda kind: [r for r in lines if r["record"] == kind], summary=lines[-1])
