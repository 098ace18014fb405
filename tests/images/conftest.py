"""Acceptance tests on real images: images made by fixtures/build.py, scans through the command line, and the comparison with what was planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from snapscan.detect.redact import Fingerprinter

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "fixtures"
sys.path.insert(0, str(FIXTURES))

KEY = bytes(range(32))
"""The fingerprint key of these tests."""

Record = dict[str, Any]


def need(*names: str) -> None:
    """A missing program fails the test and names the package: nothing here is passed over in silence."""
    from tools import ToolNotFound
    from tools import need as look

    try:
        look(*names)
    except ToolNotFound as error:
        pytest.fail(str(error), pytrace=False)


@dataclass
class Scan:
    """One finished run of the command."""

    case: Path
    exit: int
    stdout: str
    stderr: str
    records: list[Record] = field(default_factory=list)

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record["record"] == kind]

    @property
    def summary(self) -> Record:
        (summary,) = self.of("summary")
        return summary


class Scanner:
    """Runs `snapscan` as a user would, with a home of its own; the compiled rules are kept between tests."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.key_file = folder / "key"
        self.key_file.write_bytes(KEY)
        self._cache = cache
        self._count = 0

    @property
    def environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        places = {"XDG_CACHE_HOME": self._cache, "XDG_DATA_HOME": self.folder / "data", "PYTHONPATH": REPOSITORY, "TMPDIR": temporary}
        return {**os.environ, **{name: str(place) for name, place in places.items()}}

    def command(self, *words: str | Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "snapscan", *map(str, words)]
        return subprocess.run(line, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False)

    def scan(self, source: Path, *options: str | Path, resume: Path | None = None) -> Scan:
        """A scan into a new case, or going on with one; its JSONL document is read back."""
        self._count += 1
        case = resume or self.folder / f"case{self._count}"
        where = ["--resume", case] if resume else ["--case", case]
        output = self.folder / f"report{self._count}.jsonl"
        words = ("scan", source, *where, "--key-file", self.key_file, "--format", "jsonl", "--output", output, "--progress", "off", *options)
        done = self.command(*words)
        assert "error: bug" not in done.stderr, done.stderr
        assert output.exists(), f"exit {done.returncode}: {done.stderr}"
        records = [json.loads(line) for line in output.read_text().splitlines()]
        return Scan(case, done.returncode, done.stdout, done.stderr, records)

    def kill(self, mode: str, points: list[float], source: Path, case: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
        """A scan by two workers in a process of its own, in which SIGKILL strikes; `options` are those of `scan` that KILLING knows.

        `mode`: foreman, worker (one of them), all-workers, or interrupt (SIGINT for the foreman, as by Ctrl-C). `points`: 0.0 to 1.0 is
        the share of bytes swept; 1 + n the n-th look at the progress after that, while hits get their names and views are opened.
        """
        line = [sys.executable, "-c", KILLING, source, case, self.key_file, mode, ",".join(map(str, points)), *options]
        words = list(map(str, line))
        return subprocess.run(words, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False)


KILLING = """
import os, signal, sys
from pathlib import Path
from snapscan.model.policy import load_policy
from snapscan.run.scan import ScanOptions, scan

source, case, key, mode, points, *words = sys.argv[1:]
points = [float(point) for point in points.split(",")]
given = dict(zip(words[0::2], words[1::2]))
workers = {}

class Killer:
    looks = 0

    def show(self, state):
        done = state.done_bytes / state.stored_bytes if state.stored_bytes else 0.0
        if state.stage == "naming":
            self.looks += 1
            done = 1 + self.looks
        while points and done >= points[0]:
            points.pop(0)
            if mode in ("foreman", "interrupt"):
                os.kill(os.getpid(), signal.SIGKILL if mode == "foreman" else signal.SIGINT)
                continue
            for pid in list(workers.values())[: 1 if mode == "worker" else None]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def close(self, state):
        print("left", len(points))

policy = load_policy(Path(given["--policy"]) if "--policy" in given else None)
rules = (Path(given["--rules"]),) if "--rules" in given else ()
options = ScanOptions(case=Path(case), workers=2, policy=policy, rules=rules, key_file=Path(key))
result = scan([source], options, progress=Killer(), spawned=lambda number, pid: workers.__setitem__(number, pid))
print("exit", int(result.exit))
"""


@pytest.fixture(scope="session")
def rule_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def scanner(tmp_path: Path, rule_cache: Path) -> Scanner:
    return Scanner(tmp_path, rule_cache)


Build = Callable[[str], tuple[Path, Record]]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a recipe, once: (raw image, manifest)."""
    made: dict[str, tuple[Path, Record]] = {}

    def make(recipe: str) -> tuple[Path, Record]:
        if recipe not in made:
            image = tmp_path_factory.mktemp(recipe) / "disk.raw"
            words = [sys.executable, FIXTURES / "build.py", recipe, image]
            done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            made[recipe] = image, json.loads(image.with_name("disk.raw.manifest.json").read_text())
        return made[recipe]

    return make


def wrong_of(manifest: Record, scan: Scan) -> list[str]:
    """What the scan does not say as it was planted, one line a secret. Never a value."""
    places: dict[str, list[Record]] = defaultdict(list)
    for sighting in scan.of("sighting"):
        places[sighting["fingerprint"]].append(sighting)
    fingerprints = Fingerprinter(KEY)
    wrong = []
    for secret in manifest["secrets"]:
        seen = places[fingerprints.of(secret["family"], secret["named_by"].encode("latin-1"))]
        trouble = _trouble(secret, seen)
        if trouble:
            wrong.append(f"{secret['number']} {secret['how']} {secret['rule']} {secret['path']!r}: {trouble}")
    return wrong


def _trouble(secret: Record, seen: list[Record]) -> str:
    if not seen:
        return "not found"
    right = [s for s in seen if s["owner"] == secret["owner"] and s["owner_state"] in secret["owner_states"] and s["path"] == secret["path"]]
    if not right:
        said = sorted({f"{s['owner']} {s['owner_state']} {s['path']!r}" for s in seen})
        return f"wanted {secret['owner']} {'|'.join(secret['owner_states'])}; seen as {'; '.join(said)}"
    if not any(s["rule"] == secret["rule"] for s in right):
        return f"seen under {sorted({s['rule'] for s in right})}"
    # The journal holds copies of inodes with what lies in them, and after data=journal the file's own blocks hold the value too.
    own_places = {id(s) for s in right}  # by identity: a secret on every page has 18,000 places
    elsewhere = [s for s in seen if id(s) not in own_places and s["owner"] != "journal"]
    if elsewhere and secret["how"] != "journal-data":
        return f"also seen as {sorted({(s['rule'], s['owner'], s['owner_state'], s['path']) for s in elsewhere})}"
    own = [s for s in right if s["rule"] == secret["rule"] and "!" not in s["locator"]]
    for name, field_name in (("offsets", "offset"), ("space_offsets", "space_offset")):
        wanted, got = sorted(secret[name]), sorted(s[field_name] for s in own)
        if wanted and wanted != got:
            lost, extra = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
            return f"{name}: {len(wanted)} planted, {len(got)} sightings, not seen {lost[:5]}, not planted {extra[:5]}"
    decoded = sorted(s["offset"] for s in right if s["rule"] == secret["rule"] and "!" in s["locator"])
    if secret["decoded_offsets"] and decoded != secret["decoded_offsets"]:
        return f"decoded offsets: {len(secret['decoded_offsets'])} planted, {len(decoded)} sightings, {len(set(decoded))} of them different"
    if any(e["outcome"] == "unjoined" for s in own for e in s["evidence"]) and secret["owner"] != "free":
        return "marked as running from one owner into another"
    return ""


def ledger_faults(scan: Scan) -> list[str]:
    """Where the ledger does not account for every byte exactly once."""
    faults = []
    rows: dict[str, list[Record]] = defaultdict(list)
    for row in scan.of("ledger"):
        rows[row["space"]].append(row)
    for space, mine in rows.items():
        at = 0
        for row in sorted(mine, key=lambda r: r["start"]):
            if row["start"] != at:
                faults.append(f"{space}: {at} is followed by {row['start']}")
            at = row["end"]
    summary = scan.summary
    total = sum(summary[name] for name in ("swept", "absent", "excluded", "unread", "lost"))
    if total != summary["size_bytes"]:
        faults.append(f"the sums give {total} for {summary['size_bytes']} bytes")
    if sum(mine[-1]["end"] for mine in rows.values()) != summary["size_bytes"]:
        faults.append("the rows do not reach the end")
    return faults


@pytest.fixture
def wrong() -> Callable[[Record, Scan], list[str]]:
    return wrong_of


@pytest.fixture
def unaccounted() -> Callable[[Scan], list[str]]:
    return ledger_faults


@pytest.fixture
def needs() -> Callable[..., None]:
    """`needs("qemu-img")`: fails the test with the package to install where a program is missing."""
    return need
