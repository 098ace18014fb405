"""The README's first command, run as a stranger would: in a fresh copy of the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def readme_output() -> list[str]:
    """The lines of output that the README shows, without those that differ from run to run."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("$ snapscan scan demo.img\n")[1].split("```")[0]
    return [line for line in block.splitlines() if line.strip() and line != "..." and not re.search(r"\d+\.\d s$|@0x", line)]


@pytest.mark.images
@pytest.mark.slow
def test_demo_installs_makes_a_disk_and_prints_what_the_readme_shows(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, files):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    done = subprocess.run(["bash", "scripts/demo"], cwd=copy, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for line in readme_output():
        assert line in done.stdout, line
