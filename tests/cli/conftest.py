"""The command as a user runs it, and small trees with planted secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from snapscan.detect.examples import fill


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def snapscan(tmp_path: Path):
    """Runs the command in a folder of its own, with a home of its own; what it prints must never be a traceback."""
    home = tmp_path / "home"
    home.mkdir()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(cache), "XDG_DATA_HOME": str(home), "NO_COLOR": "1"}

    def run(*arguments: object, cwd: Path = tmp_path) -> Done:
        command = [sys.executable, "-m", "snapscan", *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False, timeout=120)
        out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        assert "Traceback" not in out + err, err
        assert "error: bug" not in err, err
        return Done(done.returncode, out, err)

    return run


@pytest.fixture
def records(snapscan, tmp_path: Path):
    """Scans sources and gives the JSONL records by kind, and the exit code."""

    def scan(*arguments: object) -> tuple[dict[str, list[dict]], int]:
        done = snapscan("scan", *arguments, "--format", "jsonl", "--output", "out.jsonl", "--progress", "off", "--workers", 2)
        found: dict[str, list[dict]] = {}
        path = tmp_path / "out.jsonl"
        for line in path.read_text().splitlines() if path.exists() else []:
            record = json.loads(line)
            found.setdefault(record["record"], []).append(record)
        return found, done.code

    return scan


@pytest.fixture
def token() -> str:
    return fill("ghp_${github_checksum:30}", "cli tests").decode()


@pytest.fixture
def tree(tmp_path: Path, token: str) -> Path:
    """A folder with one secret in plain sight."""
    folder = tmp_path / "tree"
    (folder / "srv").mkdir(parents=True)
    (folder / "srv" / "app.env").write_text(f"NAME=app\nGITHUB_TOKEN={token}\n")
    (folder / "readme.txt").write_text("nothing here\n")
    return folder
