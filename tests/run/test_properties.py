"""The promises about maps: they add names and findings, and never take one away; a sweep finds what a pass over the files finds."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapscan.detect.chunk import whole
from snapscan.detect.rules import builtin_rule_folders, load_rules
from snapscan.maps.space_map import SpaceMap
from snapscan.model.finding import Hit
from snapscan.model.owner import OwnerKind, OwnerState
from snapscan.model.owner_builder import MapBuilder
from snapscan.model.policy import Limits
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.volume import Segment, Volume, VolumeMap
from snapscan.run.attribute import sightings_of
from snapscan.run.scan import ScanOptions, scan
from snapscan.run.setup import Setup, cache_folder

SIZE = 10_000
SNAPSHOT = SnapshotRef("raw", "x", "disk.img", SIZE)

rows = st.lists(
    st.tuples(st.integers(-50, SIZE + 50), st.integers(0, 3000), st.integers(0, 7), st.integers(-20, 5000), st.integers(0, 3)), max_size=25
)
owners = st.lists(st.tuples(st.sampled_from(OwnerKind), st.sampled_from(OwnerState), st.integers(0, 4000)), min_size=1, max_size=8)
names = st.lists(st.tuples(st.integers(-1, 9), st.integers(-1, 9), st.binary(min_size=1, max_size=4)), max_size=20)
volumes = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)), min_size=1, max_size=3)
hits = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 200)), max_size=20)


@settings(max_examples=300, deadline=None)
@given(rows=rows, owners=owners, names=names, volumes=volumes, hits=hits)
def test_findings_under_a_random_map_contain_those_under_none(rows, owners, names, volumes, hits) -> None:
    found = VolumeMap(
        tuple(Volume(f"part:{n}", (Segment(0, start, min(length, SIZE - start)),), "ext4") for n, (start, length) in enumerate(volumes))
    )
    maps = {}
    for number, volume in enumerate(found.volumes):
        builder = MapBuilder()
        for kind, state, size in owners:
            builder.owner(kind, state=state, size_bytes=size)
        for start, length, owner, offset, flags in rows:
            builder.row(start, start + length, owner, offset, flags)
        for owner, parent, name in names:
            builder.name(owner, parent, name)
        builder.root = 0
        maps[number] = builder.finish(volume)
    mapped, bare = SpaceMap(SNAPSHOT, found, maps), SpaceMap(SNAPSHOT, VolumeMap(()), {})
    for start, length in hits:
        hit = Hit("r", start, length, f"{start}-{length}", "…", 1)
        (none,) = sightings_of(hit, bare)
        some = sightings_of(hit, mapped)
        assert some, "a map took a finding away"
        assert {(s.fingerprint, s.rule, s.space_offset, s.length) for s in some} == {(none.fingerprint, none.rule, none.space_offset, none.length)}


class ByFile:
    """The slow way: every file by itself, as a whole, with the same engine."""

    def __init__(self, tmp_path: Path) -> None:
        rules = load_rules(builtin_rule_folders())
        self.engine = Setup(rules, bytes(32), Limits(), cache_folder(), tmp_path).engine()

    def findings(self, tree: Path) -> Iterator[tuple[str, str, str, int]]:
        for folder, _, files in os.walk(tree):
            for name in files:
                path = Path(folder) / name
                if path.is_symlink() or not path.is_file() or not path.stat().st_size:
                    continue
                for hit in self.engine.scan(whole(path.read_bytes())).hits:
                    yield hit.fingerprint, hit.rule, "/" + str(path.relative_to(tree)), hit.start


SECOND_LOOKS = ("pair", "shadow", "yara")
"""What the sweep alone does not find, and a pass over the files with the same engine neither."""


def live_sightings(source: Path, tmp_path: Path) -> set[tuple[str, str, str, int]]:
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    result = scan([source], ScanOptions(case=tmp_path / "case", workers=2, key_file=key))
    found = set()
    for finding in result.view.findings:
        for place in finding.sightings:
            s = place.sighting
            joined = not any(item.outcome == "unjoined" or item.check in SECOND_LOOKS for item in s.evidence)
            if s.owner == "file" and s.owner_state == "live" and "!" not in s.locator and joined:
                found.add((s.fingerprint, s.rule, s.path, s.offset))
    return found


def image_of(tree: Path, path: Path, size: str, *options: str) -> Path:
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", *options, "-d", str(tree), str(path), size], check=True, capture_output=True)
    return path


def test_tree_with_awkward_neighbours(tmp_path: Path) -> None:
    """Files that fill their blocks to the last byte, with tokens at both ends, so that every border matters."""
    from snapscan.detect.examples import fill

    tree = tmp_path / "tree"
    tree.mkdir()
    noise = np.random.default_rng(1)
    for number in range(200):
        token = fill("ghp_${github_checksum:30}", f"awkward {number}")
        letters = bytes(noise.integers(97, 123, 4096 * 2, dtype=np.uint8))
        content = {
            0: token + letters,
            1: letters[: 4096 - len(token)] + token,
            2: letters[:4096],
            3: token,
            4: b" " + token.decode().encode("utf-16-le"),
        }[number % 5]
        (tree / f"{number:03}").write_bytes(content)
    image = image_of(tree, tmp_path / "disk.img", "16M")
    by_file = {item for item in ByFile(tmp_path).findings(tree) if item[1].startswith("github")}
    assert len(by_file) >= 40
    assert {item for item in live_sightings(image, tmp_path) if item[1].startswith("github")} == by_file


@pytest.mark.slow
@pytest.mark.images
@pytest.mark.parametrize("root", ["/usr/share", sysconfig.get_paths()["purelib"]], ids=["debian", "site-packages"])
def test_sweep_finds_what_a_pass_over_the_files_finds(root: str, tmp_path: Path) -> None:
    """On two real trees."""
    tree = Path(root)
    size = sum(p.stat().st_size for p in tree.rglob("*") if p.is_file() and not p.is_symlink())
    image = image_of(tree, tmp_path / "disk.img", f"{size * 2 // (1 << 20) + 200}M", "-N", "400000")
    by_file = set(ByFile(tmp_path).findings(tree))
    assert by_file
    swept = live_sightings(image, tmp_path)
    assert by_file - swept == set(), "the sweep missed something"
    assert swept - by_file == set(), "the sweep made something up"
