from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps import dissect_fs
from snapscan.maps.registry import map_volume
from snapscan.maps.volume_file import VolumeFile
from snapscan.model.mapping import MapLimits
from snapscan.model.space import Range
from snapscan.model.volume import Segment, Volume, VolumeReader

MIB = 1 << 20


@pytest.fixture
def ufs(tmp_path: Path, run_tool: Callable[..., str], source_tree: Path) -> Callable[..., Path]:
    def run(*options: str) -> Path:
        run_tool("makefs", "-t", "ffs", "-s", "64m", *options, tmp_path / "ufs.img", source_tree)
        return tmp_path / "ufs.img"

    return run


@pytest.mark.images
@pytest.mark.parametrize("options", [("-o", "version=1"), ("-o", "version=2"), ("-o", "version=2,bsize=32768,fsize=4096")], ids=str)
def test_every_file_of_a_ufs_is_found_with_its_bytes(options: tuple[str, ...], ufs: Any, map_file: Any, source_tree: Path, digests_of: Any) -> None:
    mapped, contents = map_file(ufs(*options))
    assert contents.digests() == digests_of(source_tree)
    assert (mapped.gaps, mapped.notes) == ((), ())


@pytest.mark.images
def test_squashfs_names_all_files_and_places_those_that_are_not_compressed(
    tmp_path: Path, run_tool: Any, map_file: Any, source_tree: Path, digests_of: Any
) -> None:
    run_tool("mksquashfs", source_tree, tmp_path / "plain.img", "-quiet", "-no-progress", "-noD", "-noF", "-no-fragments")
    mapped, contents = map_file(tmp_path / "plain.img")
    assert contents.digests() == digests_of(source_tree)
    assert mapped.gaps == ()
    (source_tree / "text").write_bytes(b"compress me " * 50_000)
    run_tool("mksquashfs", source_tree, tmp_path / "packed.img", "-quiet", "-no-progress")
    mapped, contents = map_file(tmp_path / "packed.img")
    assert set(contents.digests()) == set(digests_of(source_tree))
    assert [gap.reason for gap in mapped.gaps] == ["unmapped"]
    assert contents.read(contents.owner_of("/page")) == bytes(4096)  # in a shared fragment: no place is claimed


@pytest.mark.images
def test_big_endian_ufs_is_a_gap(ufs: Any, map_file: Any) -> None:
    mapped, _ = map_file(ufs("-B", "be"))
    assert [gap.reason for gap in mapped.gaps] == ["unmapped"]


@pytest.mark.images
def test_damaged_volumes_never_raise(ufs: Any, survives_damage: Any, tmp_path: Path, run_tool: Any, source_tree: Path) -> None:
    image = ufs("-o", "version=2").read_bytes()
    survives_damage(image, "ufs", [(65536, 1376), (65536 + 8192, 400_000), (0, 4 * MIB)], rounds=20)
    run_tool("mksquashfs", source_tree, tmp_path / "squash.img", "-quiet", "-no-progress", "-noI")
    image = (tmp_path / "squash.img").read_bytes()
    survives_damage(image, "squashfs", [(4, 92), (len(image) - 60_000, 60_000)], rounds=20)


@pytest.mark.parametrize("kind", ["apfs", "ufs", "vmfs", "squashfs"])
def test_bytes_of_another_kind_are_a_gap(kind: str, bytes_space: Any) -> None:
    for content in (bytes(2 * MIB), b"\xff" * (2 * MIB), b"NXSB" * 100_000):
        volume = Volume("part:1", (Segment(0, 0, len(content)),), kind)
        mapped = map_volume(VolumeReader(bytes_space(content), volume), volume, MapLimits(seconds=10))
        assert [(gap.reason, gap.where) for gap in mapped.gaps] == [("unmapped", "part:1")]


def test_missing_package_is_a_gap_with_the_pip_line(bytes_space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(dissect_fs, "import_module", missing)
    volume = Volume("", (Segment(0, 0, 4096),), "apfs")
    mapped = map_volume(VolumeReader(bytes_space(bytes(4096)), volume), volume, MapLimits())
    assert [(gap.reason, gap.detail) for gap in mapped.gaps] == [("unmapped", "pip install dissect.apfs")]


def test_volume_file_reads_exact_lengths_and_turns_faults_into_oserror(bytes_space: Any) -> None:
    content = bytes(range(256)) * 64
    space = bytes_space(content, (Range(8000, 8001),))
    volume = Volume("", (Segment(0, 100, 5000), Segment(5000, 6000, 6000)))
    whole = content[100:5100] + content[6000:12000]
    file = io.BufferedReader(VolumeFile(VolumeReader(space, volume)), 512)
    assert file.read(4000) == whole[:4000] and file.tell() == 4000
    file.seek(-10, io.SEEK_END)
    assert file.read(100) == whole[-10:] and file.read(1) == b""
    file.seek(20_000)
    assert file.read(5) == b""
    file.seek(4990)
    assert file.read(20) == whole[4990:5010]
    file.seek(6990)
    with pytest.raises(OSError, match="cannot be read"):
        file.read(100)
    with pytest.raises(OSError, match="before the beginning"):
        VolumeFile(VolumeReader(space, volume)).seek(-1)
