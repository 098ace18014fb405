from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.lvm import LogicalVolumes, PhysicalVolume, logical_volumes
from snapscan.maps.lvm_label import Label
from snapscan.maps.volumes import find_volumes
from snapscan.model.space import Range
from snapscan.model.volume import Segment, Volume, VolumeReader

MIB = 1 << 20
EXTENT = 4 * MIB
CHUNK = 64 << 10
FIRST, SECOND = 1 * MIB, 49 * MIB
"""Where the two physical volumes begin in the image of the tests."""

Tool = Callable[..., str]
Opener = Callable[..., Any]

CONFIG = (
    'devices { use_devicesfile=0 filter=["a|/dev/loop|","r|.*|"] } activation { udev_sync=0 udev_rules=0 } '
    "global { use_lvmpolld=0 } backup { backup=0 archive=0 }"
)


@pytest.fixture(scope="module")
def lvm_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two partitions that are physical volumes: `root` linear over both, `data` striped, `far` on the second."""
    import subprocess

    def run(*command: str, given: str = "") -> str:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def lvm(command: str, *words: str) -> None:
        run("lvm", command, "--config", CONFIG, "--driverloaded", "n", *words)

    image = tmp_path_factory.mktemp("lvm") / "disk.img"
    with image.open("wb") as file:
        file.truncate(98 * MIB)
    run("sfdisk", "-q", str(image), given="label: gpt\nstart=1MiB,size=48MiB\nstart=49MiB,size=48MiB\n")
    devices = [run("losetup", "-f", "--show", "-o", str(at), "--sizelimit", str(48 * MIB), str(image)) for at in (FIRST, SECOND)]
    unwritten = ("-an", "-Zn", "-Wn", "-n")
    try:
        lvm("pvcreate", *devices)
        lvm("vgcreate", "vg0", *devices)
        lvm("lvcreate", "-l2", *unwritten, "root", "vg0", devices[0])
        lvm("lvcreate", "-l4", "-i2", "-I64k", *unwritten, "data", "vg0")
        lvm("lvcreate", "-l2", *unwritten, "far", "vg0", devices[1])
        lvm("lvextend", "-l4", "vg0/root", devices[1])
    finally:
        run("losetup", "-d", *devices)
    inner = image.with_name("inner")
    with inner.open("wb") as file:
        file.truncate(4 * EXTENT)
    run("mke2fs", "-q", "-F", "-t", "ext4", str(inner))
    content = inner.read_bytes()
    data_of_first, data_of_second = FIRST + MIB, SECOND + MIB
    with image.open("r+b") as file:
        for place, part in ((data_of_first, content[: 2 * EXTENT]), (data_of_second + 4 * EXTENT, content[2 * EXTENT :])):
            file.seek(place)
            file.write(part)
        for number in range(4 * EXTENT // CHUNK):  # striped: chunks in turn, on extents 2, 3 of the first and 0, 1 of the second
            base = (data_of_first + 2 * EXTENT, data_of_second)[number % 2]
            file.seek(base + number // 2 * CHUNK)
            file.write(struct.pack("<4sI", b"BLK!", number))
    return image


@pytest.mark.images
def test_linear_volume_over_two_physical_ones_holds_its_filesystem(lvm_image: Path, file_space: Opener) -> None:
    found = find_volumes(file_space(lvm_image))
    assert [(v.step, v.filesystem, v.size_bytes) for v in found.volumes] == [
        ("part:1/lvm:vg0-root", "ext4", 4 * EXTENT),
        ("part:1/lvm:vg0-data", "", 4 * EXTENT),
        ("part:2/lvm:vg0-far", "", 2 * EXTENT),
    ]
    assert (found.gaps, found.notes) == ((), ())
    assert VolumeReader(file_space(lvm_image), found.volumes[0]).read(0, 4 * EXTENT) == lvm_image.with_name("inner").read_bytes()


@pytest.mark.images
def test_striped_volume_comes_in_the_order_of_its_chunks(lvm_image: Path, file_space: Opener) -> None:
    space = file_space(lvm_image)
    data = next(v for v in find_volumes(space).volumes if v.step.endswith("data"))
    content = VolumeReader(space, data).read(0, data.size_bytes)
    assert [struct.unpack_from("<4sI", content, at) for at in range(0, len(content), CHUNK)] == [(b"BLK!", k) for k in range(len(content) // CHUNK)]


@pytest.mark.images
def test_metadata_areas_are_tables(lvm_image: Path, file_space: Opener) -> None:
    tables = find_volumes(file_space(lvm_image)).tables
    for place in (FIRST, SECOND):
        assert any(table.start <= place + 4096 and place + MIB <= table.end for table in tables)
        assert any(table.start == place + 512 for table in tables)


@pytest.mark.images
def test_missing_physical_volume_is_a_gap_for_the_volumes_on_it(lvm_image: Path, file_space: Opener, tmp_path: Path) -> None:
    half = tmp_path / "half.img"
    half.write_bytes(lvm_image.read_bytes()[FIRST:SECOND])
    found = find_volumes(file_space(half))
    assert found.volumes == ()
    assert [(gap.reason, gap.where, gap.detail) for gap in found.gaps] == [
        ("unmapped", "lvm:vg0-root", "lvm: a physical volume is missing"),
        ("unmapped", "lvm:vg0-data", "lvm: a physical volume is missing"),
        ("unmapped", "lvm:vg0-far", "lvm: a physical volume is missing"),
    ]


@pytest.mark.images
def test_one_damaged_metadata_area_is_replaced_by_the_other_volume_s_copy(lvm_image: Path, file_space: Opener, tmp_path: Path) -> None:
    before = find_volumes(file_space(lvm_image))
    image = tmp_path / "disk.img"
    image.write_bytes(lvm_image.read_bytes())
    with image.open("r+b") as file:
        file.seek(FIRST + 4096)
        header = file.read(512)
        offset, length = struct.unpack_from("<QQ", header, 40)
        file.seek(FIRST + 4096 + offset + length // 2)
        file.write(b"}}}}}}")
    found = find_volumes(file_space(image))
    assert found.volumes == before.volumes
    assert [(gap.where, gap.detail) for gap in found.gaps] == [("part:1", "lvm: a metadata area is damaged")]


@pytest.mark.images
def test_text_that_wraps_around_its_ring_is_read_whole(lvm_image: Path, file_space: Opener, tmp_path: Path) -> None:
    before = find_volumes(file_space(lvm_image))
    image = tmp_path / "disk.img"
    image.write_bytes(lvm_image.read_bytes())
    with image.open("r+b") as file:
        for place in (FIRST + 4096, SECOND + 4096):
            file.seek(place)
            header = bytearray(file.read(512))
            size, offset, length = struct.unpack_from("<QQQ", header, 32)
            file.seek(place + offset)
            text = file.read(length)
            file.seek(place + 512)
            file.write(bytes(size - 512))
            struct.pack_into("<Q", header, 40, size - 1000)
            for at, part in ((0, bytes(header)), (size - 1000, text[:1000]), (512, text[1000:])):
                file.seek(place + at)
                file.write(part)
    assert length > 1000
    assert find_volumes(file_space(image)).volumes == before.volumes


def group(logical: str, extent_size: str = "8192") -> LogicalVolumes:
    """Logical volumes of a text with physical volumes `pv0` (id of 32 `a`) and `pv1` (32 `b`) of 1 GiB each."""
    text = (
        f'vg {{ id = "g" seqno = 1 extent_size = {extent_size} physical_volumes {{ '
        f'pv0 {{ id = "{"a" * 32}" pe_start = 2048 }} pv1 {{ id = "{"b" * 32}" pe_start = 2048 }} }} logical_volumes {{ {logical} }} }}'
    )
    labels = [Label(name * 32, ((True, text),), (Range(4096, MIB),), False) for name in "ab"]
    physical = [PhysicalVolume(Volume(f"part:{k}", (Segment(0, k << 30, 1 << 30),)), label) for k, label in enumerate(labels)]
    return logical_volumes(physical)


def lv(segments: str, status: str = '"READ", "VISIBLE"', name: str = "lv") -> str:
    return f"{name} {{ status = [{status}] {segments} }} "


def segment(kind: str, rest: str, start: int = 0, count: int = 2) -> str:
    return f'segment1 {{ start_extent = {start} extent_count = {count} type = "{kind}" {rest} }} '


def test_mirror_is_read_by_its_first_whole_image() -> None:
    images = "".join(lv(segment("striped", f'stripes = ["pv{k}", 5]'), '"READ"', f"lv_rimage_{k}") for k in (0, 1))
    found = group(lv(segment("raid1", 'raids = ["lv_rmeta_0", "lv_rimage_0", "lv_rmeta_1", "lv_rimage_1"]')) + images)
    assert [(v.step, v.segments) for v in found.volumes] == [("part:0/lvm:vg-lv", (Segment(0, MIB + 5 * EXTENT, 2 * EXTENT),))]


@pytest.mark.parametrize("kind", ["thin", "cache", "raid5_ls", "vdo", "snapshot", "../../etc"])
def test_segments_without_a_plain_place_are_gaps(kind: str) -> None:
    found = group(lv(segment(kind, 'pool = "p"')))
    assert found.volumes == ()
    assert {gap.reason for gap in found.gaps} == {"unmapped"}
    assert all("/" not in gap.detail for gap in found.gaps)


def test_segments_past_the_physical_volume_are_cut_with_a_gap() -> None:
    found = group(lv(segment("striped", 'stripes = ["pv0", 250]', count=2**40)))
    assert found.volumes[0].segments == (Segment(0, MIB + 250 * EXTENT, (1 << 30) - MIB - 250 * EXTENT),)
    assert [gap.reason for gap in found.gaps] == ["unmapped"]


@pytest.mark.parametrize(
    "logical",
    [
        lv(segment("striped", 'stripe_size = 1 stripes = ["pv0", 0, "pv1", 0]', count=10**15)),
        lv(segment("striped", 'stripe_size = 0 stripes = ["pv0", 0, "pv1", 0]')),
        lv(segment("striped", 'stripes = ["pv0", -3]')),
        lv(segment("striped", "stripes = []")),
        lv(segment("striped", "stripes = [1, 2, 3]")),
        lv(segment("raid1", 'raids = ["x", "lv"]')),
        lv(segment("mirror", 'mirrors = ["lv", 0]')),
        lv(""),
        lv(segment("striped", 'stripes = ["pv0", 0]') + 'segment2 { start_extent = 1 extent_count = 2 type = "striped" stripes = ["pv1", 0] }'),
    ],
)
def test_hostile_segments_are_a_gap_and_no_volume(logical: str) -> None:
    found = group(logical)
    assert found.volumes == ()
    assert [gap.reason for gap in found.gaps] == ["unmapped"]


def test_names_cannot_add_steps_to_a_locator() -> None:
    found = group(lv(segment("striped", 'stripes = ["pv0", 0]'), name="a/part:9"))
    assert [v.step for v in found.volumes] == ["part:0/lvm:vg-a_part_9"]
