"""Every planted secret is found where it was planted, with its right owner, whatever container the disk is in; the image stays as it was."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from formats import FORMATS, convert  # from fixtures/, see conftest.py

pytestmark = pytest.mark.images

BUILD = Path(__file__).parents[2] / "fixtures" / "build.py"
BIG_FORMATS = ("raw", "qcow2", "qcow2-zlib", "qcow2-zstd", "vmdk-stream", "vhdx", "vdi")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def image_of(raw: Path, name: str, folder: Path) -> Path:
    return raw if name == "raw" else convert(raw, folder / f"disk.{name}", name)


def check(recipe, name, build, scanner, wrong, unaccounted, needs, tmp_path) -> None:
    if name != "raw":
        needs("qemu-img")
    raw, manifest = build(recipe)
    image = image_of(raw, name, tmp_path)
    before = digest(image)
    scan = scanner.scan(image)
    assert wrong(manifest, scan) == []
    assert unaccounted(scan) == []
    assert scan.summary["lost"] == scan.summary["unread"] == 0
    assert scan.exit == 1, "there are findings"
    assert digest(image) == before


@pytest.mark.parametrize("name", ["raw", "qcow2"])
def test_every_secret_of_the_small_disk_is_found_with_its_owner(name, build, scanner, wrong, unaccounted, needs, tmp_path):
    check("small", name, build, scanner, wrong, unaccounted, needs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG_FORMATS)
def test_every_secret_of_the_debian_disk_is_found_with_its_owner(name, build, scanner, wrong, unaccounted, needs, tmp_path):
    needs("debootstrap", "mount")
    check("debian", name, build, scanner, wrong, unaccounted, needs, tmp_path)


@pytest.mark.parametrize("point", [0.5, 2, 3, 5, 8, 11, 14])
def test_a_case_whose_foreman_was_killed_knows_all_once_it_is_resumed(point, build, scanner, wrong, unaccounted, tmp_path):
    """Killed while sweeping, while hits get their names, while archives are opened."""
    raw, manifest = build("small")
    killed = scanner.kill("foreman", [point], raw, tmp_path / "case")
    if killed.returncode == 0:
        pytest.fail(f"the scan had ended before point {point}")
    scan = scanner.scan(raw, resume=tmp_path / "case")
    assert wrong(manifest, scan) == []
    assert unaccounted(scan) == []
    assert scan.summary["views"]["pending"] == 0


@pytest.mark.parametrize("point", [0.5, 2, 5, 8])
def test_a_worker_killed_once_costs_no_secret(point, build, scanner, wrong, unaccounted, tmp_path):
    raw, manifest = build("small")
    done = scanner.kill("worker", [point], raw, tmp_path / "case")
    assert done.returncode == 0, done.stderr
    assert "left 0" in done.stdout
    scan = scanner.scan(raw, resume=tmp_path / "case")
    assert unaccounted(scan) == []
    lost = [view["locator"] for view in scan.of("view") if view["outcome"] == "lost"]
    assert len(lost) <= 1, "one death costs one view at most"
    assert [line for line in wrong(manifest, scan) if not any(locator.split("!")[0].rpartition("/")[2] in line for locator in lost)] == []


def test_the_demo_disk_of_the_readme_shows_all_it_holds(build, scanner, wrong):
    raw, manifest = build("demo")
    assert wrong(manifest, scanner.scan(raw)) == []


def test_a_recipe_built_twice_gives_the_same_bytes(build, tmp_path):
    raw, manifest = build("small")
    image = tmp_path / "again.raw"
    subprocess.run([sys.executable, BUILD, "small", image], check=True, capture_output=True)
    assert json.loads(image.with_name("again.raw.manifest.json").read_text()) == manifest
    assert digest(image) == digest(raw)


def test_all_formats_that_qemu_writes_are_known_to_the_recipes():
    assert set(BIG_FORMATS) - {"raw"} <= set(FORMATS)
