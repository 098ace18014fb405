from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.fat_directory import dos_time, fat_entries
from snapscan.maps.registry import map_volume
from snapscan.model.mapping import MapLimits
from snapscan.model.space import Range
from snapscan.model.volume import Segment, Volume, VolumeReader

MIB = 1 << 20
pytestmark = pytest.mark.images

SHAPES = {
    "fat12": ("-F", "12", "-s", "16"),
    "fat16": ("-F", "16"),
    "fat32": ("-F", "32"),
    "sectors-4096": ("-S", "4096"),
    "two-sectors": ("-F", "32", "-s", "2"),
}


@pytest.fixture
def make(blank: Callable[..., Path], run_tool: Callable[..., str], source_tree: Path, tmp_path: Path) -> Callable[..., Path]:
    def run(*options: str) -> Path:
        image = blank("fat.img", (16 if "12" in options else 80) * MIB)
        run_tool("mkfs.vfat", *options, image)
        for item in sorted(source_tree.iterdir()):
            run_tool("mcopy", "-s", "-i", image, item, "::")
        for name, content in (("a-deleted-long-name.env", b"gone " * 4000), ("DELETED.TXT", b"short")):
            (tmp_path / name).write_bytes(content)
            run_tool("mcopy", "-i", image, tmp_path / name, "::deep/")
        run_tool("mdel", "-i", image, "::deep/a-deleted-long-name.env", "::deep/DELETED.TXT")
        return image

    return run


@pytest.mark.parametrize("shape", SHAPES)
def test_every_file_of_the_tree_is_found_with_its_bytes(shape: str, make: Any, map_file: Any, source_tree: Path, digests_of: Any) -> None:
    mapped, contents = map_file(make(*SHAPES[shape]))
    expected = digests_of(source_tree)
    assert contents.digests() == expected
    assert (mapped.gaps, mapped.notes) == ((), ())


@pytest.mark.parametrize("shape", SHAPES)
def test_every_byte_has_one_owner(shape: str, make: Any, map_file: Any) -> None:
    image = make(*SHAPES[shape])
    owners = map_file(image)[0].owners
    assert (owners.start[1:] >= owners.end[:-1]).all()
    assert int((owners.end - owners.start).sum()) >= image.stat().st_size - 64 * 1024


def test_file_in_pieces_is_read_in_the_order_of_its_chain(make: Any, map_file: Any, run_tool: Any, tmp_path: Path) -> None:
    image = make("-F", "12", "-s", "16")
    room = b"room" * 2048
    (tmp_path / "room").write_bytes(room)
    for k in range(2000):  # fill the volume, then free every other cluster
        if subprocess.run(["mcopy", "-i", image, tmp_path / "room", f"::many/room{k}"], capture_output=True, check=False).returncode:
            break
    run_tool("mdel", "-i", image, *(f"::many/a file with a rather long name, number {k}" for k in range(0, 300, 2)))
    content = bytes(range(256)) * 4000
    (tmp_path / "pieces").write_bytes(content)
    run_tool("mdel", "-i", image, "::big")
    (tmp_path / "filler").write_bytes(bytes(2_990_000))
    run_tool("mcopy", "-i", image, tmp_path / "filler", "::")
    run_tool("mcopy", "-i", image, tmp_path / "pieces", "::")
    _, contents = map_file(image)
    owner = contents.owner_of("/pieces")
    assert contents.read(owner) == content
    assert len(contents.owners.extents(contents.owner_of("/filler"))) + len(contents.owners.extents(owner)) > 2


def test_deleted_files_are_told_with_their_long_names(make: Any, map_file: Any) -> None:
    image = make("-F", "32")
    former = {row.path: row for row in map_file(image)[0].former}
    row = former[b"/deep/a-deleted-long-name.env"]
    assert image.read_bytes()[row.start : row.end].startswith(b"gone " * 4000)
    assert row.size_bytes == 20_000
    assert image.read_bytes()[former[b"/deep/_ELETED.TXT"].start :].startswith(b"short")


def test_second_table_is_used_where_the_first_cannot_be_read(make: Any, file_space: Any, map_file: Any) -> None:
    image = make("-F", "16")
    whole = map_file(image)[0].owners.rows
    space = file_space(image, (Range(4 * 2048, 4 * 2048 + 512),))
    volume = Volume("", (Segment(0, 0, space.size_bytes),), "fat")
    mapped = map_volume(VolumeReader(space, volume), volume, MapLimits())
    assert mapped.owners.rows == whole
    assert "a metadata block cannot be read" in mapped.notes


def test_chains_and_folders_that_loop_end_with_a_gap(make: Any, map_file: Any) -> None:
    image = make("-F", "16")
    raw = bytearray(image.read_bytes())
    reserved, table_sectors, sector = struct.unpack_from("<H", raw, 14)[0], struct.unpack_from("<H", raw, 22)[0], 512
    for copy in range(2):
        table = (reserved + copy * table_sectors) * sector
        for cluster in range(2, 4000):
            struct.pack_into("<H", raw, table + 2 * cluster, cluster if cluster % 2 else cluster - 1)
    image.write_bytes(raw)
    mapped, _ = map_file(image)
    assert mapped.owners.owners > 10
    assert all(gap.reason == "unmapped" for gap in mapped.gaps)


def test_damaged_volume_never_raises(make: Any, survives_damage: Any) -> None:
    for options in (("-F", "12", "-s", "16"), ("-F", "32")):
        image = make(*options).read_bytes()
        end = image.find(b"A FILE~1")
        survives_damage(image, "fat", [(0, 96), (0, 96), (16384, 4096), (max(end - 4096, 0), 65536), (0, 2 * MIB)])


def test_times_of_any_value_are_times() -> None:
    assert dos_time(0) == 0
    assert dos_time((2026 - 1980) << 25 | 1 << 21 | 1 << 16 | 12 << 11 | 30 << 5 | 5) == 1_767_270_610
    for stamp in (0xFFFFFFFF, 0x01EF0000, 0x0000FFFF, 0x00200000):
        assert isinstance(dos_time(stamp), int)


def test_short_names_keep_their_letters() -> None:
    raw = b"README  TXT\x20\x18" + bytes(19)
    assert [entry.name for entry in fat_entries(raw)] == [b"readme.txt"]
    assert [entry.name for entry in fat_entries(b"\x05BC     " + raw[8:12] + bytes(20))] == ["σBC.TXT".encode()]
    assert list(fat_entries(b"VOLUME     \x08" + bytes(20))) == []
