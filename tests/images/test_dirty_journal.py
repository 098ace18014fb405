"""A disk copied under a running machine: what its filesystem had only committed to the journal has its names all the same."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from mounting import mounted  # from fixtures/, see conftest.py
from tools import run

from snapscan.detect.examples import fill
from snapscan.detect.redact import Fingerprinter

pytestmark = pytest.mark.images

MIB = 1 << 20


def write_through(path, data: bytes) -> None:
    """Written and committed: fsync ends in the journal, the inode tables and directories in their own places stay old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(path.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


@pytest.fixture
def disk(tmp_path, needs):
    """(copy of the disk made while it was mounted, secrets by path)"""
    from ext4 import Ext4

    needs("mke2fs", "debugfs", "mount", "losetup")
    if os.geteuid():
        pytest.fail("needs root for a loop mount", pytrace=False)
    image = tmp_path / "live.raw"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    secrets = {}
    for number in range(6):
        token = fill("ghp_${github_checksum:30}", f"newest {number}")
        secrets[f"/srv/app{number}/credentials-{number}.env"] = token
    copy = tmp_path / "copied.raw"
    with mounted(Ext4(image, 0, 64 * MIB), "commit=600") as root:
        write_through(root / "srv" / "old.txt", b"old\n")
        os.sync()
        for path, token in secrets.items():
            write_through(root / path.lstrip("/"), b"GITHUB_TOKEN=" + token + b"\n")
        shutil.copyfile(image, copy)
    return copy, secrets


def without_replay(image, path: str) -> bool:
    """Whether the filesystem knows the path when its journal is not looked at; debugfs never looks."""
    said = subprocess.run(["debugfs", "-R", f"stat {path}", image], capture_output=True, text=True, check=True)
    return "Inode:" in said.stdout


def test_the_newest_files_of_a_running_disk_have_their_names(disk, scanner, unaccounted):
    image, secrets = disk
    assert "needs_recovery" in run("dumpe2fs", "-h", image)
    hidden = [path for path in secrets if not without_replay(image, path)]
    assert hidden, "the copy shows every file without its journal: it proves nothing"
    scan = scanner.scan(image)
    fingerprints = Fingerprinter(scanner.key_file.read_bytes())
    for path, token in secrets.items():
        seen = [s for s in scan.of("sighting") if s["fingerprint"] == fingerprints.of("github.token", token)]
        assert ("file", "live", path) in {(s["owner"], s["owner_state"], s["path"]) for s in seen}, seen
    assert unaccounted(scan) == []
    assert not [gap for gap in scan.summary["gaps"] if gap["reason"] == "unmapped"]


def test_a_dirty_journal_that_is_damaged_costs_names_and_no_secret(disk, scanner, unaccounted):
    """The journal's own superblock is noise: names that stood only in the journal are lost, which is said; every secret is found."""
    image, secrets = disk
    from ext4 import Ext4

    first = Ext4(image, 0, 64 * MIB).blocks("<8>")[0]
    with image.open("r+b") as file:
        file.seek(first)
        file.write(b"\xa5" * 4096)
    scan = scanner.scan(image)
    fingerprints = Fingerprinter(scanner.key_file.read_bytes())
    found = {s["fingerprint"] for s in scan.of("sighting")}
    assert {fingerprints.of("github.token", token) for token in secrets.values()} <= found
    assert "dirty-log" in {gap["reason"] for gap in scan.summary["gaps"]}
    assert not scan.summary["complete"]
    assert unaccounted(scan) == []
