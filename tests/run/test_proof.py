"""A hit in a file that its package shipped just so counts for little; one changed byte, and it counts in full."""

from __future__ import annotations

import hashlib
from pathlib import Path

from snapscan.detect.examples import fill
from snapscan.model.finding import Confidence
from snapscan.run.scan import ScanOptions, scan


def system(folder: Path) -> dict[str, bytes]:
    """A root with one package of two files that hold tokens, and a file of the user's own."""
    files = {name: fill("token ghp_${github_checksum:30} end\n", name) for name in ("usr/share/acme/a", "usr/share/acme/b", "srv/own")}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    info = folder / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info / "acme.md5sums").write_text(
        "".join(f"{hashlib.md5(content).hexdigest()}  {name}\n" for name, content in files.items() if name.startswith("usr"))
    )
    return files


def test_only_what_is_unchanged_is_the_vendors(tmp_path: Path) -> None:
    root = tmp_path / "root"
    system(root)
    with (root / "usr/share/acme/b").open("ab") as file:
        file.write(b"a line of the user's\n")
    result = scan([root], ScanOptions(case=tmp_path / "case", workers=1))
    found = {f.sightings[0].sighting.path: (f.confidence, [e.check for e in f.sightings[0].sighting.evidence]) for f in result.view.findings}
    assert found["/usr/share/acme/a"][0] == Confidence.LOW and "package" in found["/usr/share/acme/a"][1]
    assert found["/usr/share/acme/b"][0] == Confidence.HIGH
    assert found["/srv/own"][0] == Confidence.HIGH
    assert result.exit == 1


def test_secret_of_a_package_that_also_lies_elsewhere_counts_in_full(tmp_path: Path) -> None:
    root = tmp_path / "root"
    files = system(root)
    (root / "srv/copy").write_bytes(files["usr/share/acme/a"])
    result = scan([root], ScanOptions(case=tmp_path / "case", workers=1))
    by_paths = {tuple(place.sighting.path for place in f.sightings): f.confidence for f in result.view.findings}
    assert by_paths[("/srv/copy", "/usr/share/acme/a")] == Confidence.HIGH
    assert by_paths[("/usr/share/acme/b",)] == Confidence.LOW
