from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.volumes import find_volumes
from snapscan.model.space import Range
from snapscan.model.volume import Segment

MIB = 1 << 20
Tool = Callable[..., str]
Blank = Callable[..., Path]
Opener = Callable[..., Any]

pytestmark = pytest.mark.images


def put(image: Path, offset: int, content: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def with_filesystems(image: Path, blank: Blank, run_tool: Tool, places: dict[str, int]) -> None:
    """Put small filesystems at byte offsets of an image."""
    for kind, offset in places.items():
        part = blank(f"part-{kind}", 8 * MIB)
        command = {"ext4": ["mke2fs", "-q", "-F", "-t", "ext4"], "vfat": ["mkfs.vfat"], "swap": ["mkswap"], "ntfs": ["mkfs.ntfs", "-q", "-F", "-f"]}
        run_tool(*command[kind], part)
        put(image, offset, part.read_bytes())


@pytest.fixture
def gpt_image(blank: Blank, run_tool: Tool) -> Path:
    image = blank("disk.img", 40 * MIB)
    run_tool("sgdisk", "-n1:2048:+8M", "-n3:18432:+8M", "-n4:34816:0", image)
    with_filesystems(image, blank, run_tool, {"ext4": MIB, "vfat": 9 * MIB, "swap": 17 * MIB})
    return image


def test_gpt_partitions_are_whole_and_named_by_table_index(gpt_image: Path, file_space: Opener, run_tool: Tool) -> None:
    found = find_volumes(file_space(gpt_image))
    assert [(v.step, v.filesystem) for v in found.volumes] == [("part:1", "ext4"), ("part:3", "fat"), ("part:4", "swap")]
    # sgdisk's last sector is inclusive: 34 sectors at the end belong to the backup table
    assert found.volumes[2].segments == (Segment(0, 17 * MIB, 40 * MIB - 33 * 512 - 17 * MIB),)
    assert found.volumes[0].segments == (Segment(0, MIB, 8 * MIB),)
    assert found.disk_id.upper() in run_tool("sgdisk", "-p", gpt_image)
    assert (found.gaps, found.notes) == ((), ())
    assert found.tables == (Range(0, 34 * 512), Range(40 * MIB - 33 * 512, 40 * MIB))


@pytest.mark.parametrize("damage", ["signature", "header", "entries", "first-mebibyte"])
def test_damaged_primary_gpt_is_replaced_by_the_backup_with_a_note(gpt_image: Path, file_space: Opener, damage: str) -> None:
    before = find_volumes(file_space(gpt_image))
    places = {"signature": (512, bytes(8)), "header": (540, b"\x77"), "entries": (1024 + 40, b"\x77"), "first-mebibyte": (0, bytes(MIB))}
    put(gpt_image, *places[damage])
    found = find_volumes(file_space(gpt_image))
    assert found.volumes == before.volumes
    assert found.disk_id == before.disk_id
    assert found.notes == ("gpt: the primary table is damaged, the backup was used",)


def test_gpt_with_both_headers_zeroed_is_a_gap(gpt_image: Path, file_space: Opener) -> None:
    put(gpt_image, 512, bytes(512))
    put(gpt_image, 40 * MIB - 512, bytes(512))
    found = find_volumes(file_space(gpt_image))
    assert [v.step for v in found.volumes] == [""]
    assert [(gap.reason, gap.detail[:4]) for gap in found.gaps] == [("unmapped", "gpt:")]


def test_gpt_with_both_entry_checksums_wrong_is_used_with_a_note(gpt_image: Path, file_space: Opener) -> None:
    put(gpt_image, 1024 + 56, b"X")
    put(gpt_image, 40 * MIB - 33 * 512 + 56, b"Y")
    found = find_volumes(file_space(gpt_image))
    assert [v.step for v in found.volumes] == ["part:1", "part:3", "part:4"]
    assert "checksum does not hold" in found.notes[0]


def test_gpt_on_a_medium_that_grew_finds_the_backup_by_the_primary_header(gpt_image: Path, file_space: Opener) -> None:
    before = find_volumes(file_space(gpt_image))
    with gpt_image.open("r+b") as file:
        file.truncate(60 * MIB)
    put(gpt_image, 1024 + 40, b"\x77")
    assert find_volumes(file_space(gpt_image)).volumes == before.volumes


def test_truncated_disk_cuts_the_last_partition_and_says_so(gpt_image: Path, file_space: Opener) -> None:
    with gpt_image.open("r+b") as file:
        file.truncate(20 * MIB)
    found = find_volumes(file_space(gpt_image))
    assert found.volumes[-1].segments == (Segment(0, 17 * MIB, 3 * MIB),)
    assert [(gap.reason, gap.where) for gap in found.gaps] == [("unmapped", "part:4")]
    assert "behind the end" in found.notes[0]


def test_gpt_with_4096_byte_sectors(blank: Blank, run_tool: Tool, file_space: Opener, tmp_path: Path) -> None:
    image = blank("disk.img", 40 * MIB)
    device = run_tool("losetup", "-f", "--show", "-b", "4096", image).strip()
    try:
        run_tool("sfdisk", "-q", device, given="label: gpt\nstart=256,size=2048\nstart=2304,size=2048\n")
    finally:
        run_tool("losetup", "-d", device)
    with_filesystems(image, blank, run_tool, {"ext4": MIB, "ntfs": 9 * MIB})
    found = find_volumes(file_space(image))
    assert [(v.step, v.filesystem, v.segments) for v in found.volumes] == [
        ("part:1", "ext4", (Segment(0, MIB, 8 * MIB),)),
        ("part:2", "ntfs", (Segment(0, 9 * MIB, 8 * MIB),)),
    ]
    put(image, 4096, bytes(8))
    assert find_volumes(file_space(image)).volumes == found.volumes


MBR_SCRIPT = "label: dos\nstart=2048,size=16384,type=83\nstart=20480,type=5\nstart=22528,size=16384,type=83\nstart=40960,size=16384,type=82\n"


def test_mbr_with_logical_partitions(blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 40 * MIB)
    run_tool("sfdisk", "-q", image, given=MBR_SCRIPT)
    with_filesystems(image, blank, run_tool, {"ext4": MIB, "ntfs": 11 * MIB, "swap": 20 * MIB})
    found = find_volumes(file_space(image))
    assert [(v.step, v.filesystem, v.segments[0].space_start, v.size_bytes) for v in found.volumes] == [
        ("part:1", "ext4", MIB, 8 * MIB),
        ("part:5", "ntfs", 11 * MIB, 8 * MIB),
        ("part:6", "swap", 20 * MIB, 8 * MIB),
    ]
    assert len(found.tables) == 3 and found.tables[0] == Range(0, 512)
    assert f"0x{found.disk_id}" in run_tool("sfdisk", "-d", image)


def test_mbr_with_4096_byte_sectors_is_told_by_where_filesystems_begin(blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 40 * MIB)
    device = run_tool("losetup", "-f", "--show", "-b", "4096", image).strip()
    try:
        run_tool("sfdisk", "-q", device, given="label: dos\nstart=256,size=2048,type=83\n")
    finally:
        run_tool("losetup", "-d", device)
    with_filesystems(image, blank, run_tool, {"ext4": MIB})
    found = find_volumes(file_space(image))
    assert [(v.step, v.filesystem, v.segments) for v in found.volumes] == [("part:1", "ext4", (Segment(0, MIB, 8 * MIB),))]


def test_chain_of_logical_partitions_that_loops_ends(blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 40 * MIB)
    run_tool("sfdisk", "-q", image, given=MBR_SCRIPT)
    put(image, 20480 * 512 + 462 + 8, struct.pack("<I", 0))  # the link to the second record: back to the first
    found = find_volumes(file_space(image))
    assert [v.step for v in found.volumes] == ["part:1", "part:5"]
    put(image, 20480 * 512 + 462 + 8, struct.pack("<I", 7))
    assert "no extended boot record" in find_volumes(file_space(image)).notes[-1]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["mke2fs", "-q", "-F", "-t", "ext2"], "ext2"),
        (["mkfs.xfs", "-q", "-f"], "xfs"),
        (["mkfs.btrfs", "-q", "-f"], "btrfs"),
        (["mkfs.ntfs", "-q", "-F", "-f"], "ntfs"),
        (["mkfs.vfat"], "fat"),
        (["mkfs.vfat", "-F", "32"], "fat"),
        (["mkfs.exfat"], "exfat"),
        (["mkfs.f2fs", "-q"], "f2fs"),
        (["mkswap"], "swap"),
    ],
)
def test_bare_filesystem_without_a_table_is_the_whole_space(command: list[str], kind: str, blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 320 * MIB)
    run_tool(*command, image)
    found = find_volumes(file_space(image))
    assert [(v.step, v.filesystem, v.size_bytes) for v in found.volumes] == [("", kind, 320 * MIB)]
    uuid = run_tool("blkid", "-p", "-s", "UUID", "-o", "value", image).strip()
    assert found.volumes[0].uuid == uuid == found.disk_id


@pytest.mark.parametrize("version", ["luks1", "luks2"])
def test_luks_is_a_volume_and_a_gap_with_its_uuid(version: str, blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 40 * MIB)
    cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    run_tool("cryptsetup", "luksFormat", "-q", "--type", version, *cheap, image, "-", given="pass")
    uuid = run_tool("cryptsetup", "luksUUID", image).strip()
    found = find_volumes(file_space(image))
    assert [(v.filesystem, v.uuid) for v in found.volumes] == [("luks", uuid)]
    assert [(gap.reason, gap.where, gap.detail) for gap in found.gaps] == [("encrypted-volume", "", uuid)]


def test_bitlocker_volume_is_told_with_its_guid(bytes_space: Opener) -> None:
    image = bytearray(MIB)
    image[3:11] = b"-FVE-FS-"
    struct.pack_into("<Q", image, 176, 8192)
    image[8192:8200] = b"-FVE-FS-"
    image[8192 + 80 : 8192 + 96] = bytes(range(16))
    found = find_volumes(bytes_space(bytes(image)))
    assert found.volumes[0].filesystem == "bitlocker"
    assert found.gaps[0].detail == "03020100-0504-0706-0809-0a0b0c0d0e0f"


@pytest.mark.parametrize("metadata", ["1.0", "1.1", "1.2", "0.90"])
def test_raid_mirror_is_read_from_one_member(metadata: str, blank: Blank, run_tool: Tool, file_space: Opener, tmp_path: Path) -> None:
    from snapscan.maps.raid import read_member

    image = blank("disk.img", 40 * MIB)
    image.write_bytes(raid_member(metadata, 1))
    inner = blank("inner", 8 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", inner)
    member = read_member(file_space(image))
    assert member is not None and member.is_mirror
    put(image, member.start, inner.read_bytes())
    found = find_volumes(file_space(image))
    assert [v.filesystem for v in found.volumes] == ["ext4"]
    assert found.volumes[0].segments[0].space_start == member.start
    image.write_bytes(raid_member(metadata, 5))
    found = find_volumes(file_space(image))
    assert [(gap.reason, gap.detail) for gap in found.gaps] == [("unmapped", "raid: level 5")]


def raid_member(metadata: str, level: int, size: int = 16 * MIB) -> bytes:
    """A member's superblock by hand: mdadm wants the kernel's driver to write one."""
    image = bytearray(size)
    if metadata == "0.90":
        at = (size & ~0xFFFF) - 0x10000
        struct.pack_into("<5I", image, at, 0xA92B4EFC, 0, 90, 0, 0)
        struct.pack_into("<IiI", image, at + 24, 0, level, 9 * 1024)
        image[at + 52 : at + 64] = b"set-identity"
        return bytes(image)
    at = {"1.0": ((size // 512 - 16) & ~7) * 512, "1.1": 0, "1.2": 4096}[metadata]
    data = 0 if metadata == "1.0" else 2048
    struct.pack_into("<II", image, at, 0xA92B4EFC, 1)
    image[at + 16 : at + 40] = b"set-identity-of-16 host:".ljust(24)[:24]
    image[at + 32 : at + 40] = b"host:md0"
    struct.pack_into("<iIQ", image, at + 72, level, 0, 9 * 2048)
    struct.pack_into("<QQQ", image, at + 128, data, 9 * 2048, at // 512)
    return bytes(image)


def test_overlapping_partitions_are_both_kept_with_a_note(blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 40 * MIB)
    entry = struct.pack("<B3xB3xII", 0, 0x83, 2048, 20480) + struct.pack("<B3xB3xII", 0, 0x83, 8192, 20480) + bytes(32)
    put(image, 446, entry + b"\x55\xaa")
    found = find_volumes(file_space(image))
    assert [v.step for v in found.volumes] == ["part:1", "part:2"]
    assert found.notes == ("part:1 and part:2 overlap",)


def test_filesystem_boot_sector_is_preferred_to_a_table_in_the_same_sector(blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 64 * MIB)
    run_tool("mkfs.vfat", image)
    put(image, 446, struct.pack("<B3xB3xII", 0, 0x83, 2048, 20480) + bytes(48))
    assert [(v.step, v.filesystem) for v in find_volumes(file_space(image)).volumes] == [("", "fat")]


def test_former_boot_sector_under_a_partition_table_is_not_taken_for_a_filesystem(blank: Blank, run_tool: Tool, file_space: Opener) -> None:
    image = blank("disk.img", 64 * MIB)
    run_tool("mkfs.vfat", image)
    put(image, 512, bytes(MIB - 512))  # only the boot sector remains, as below a boot loader
    put(image, 446, struct.pack("<B3xB3xII", 0, 0x83, 2048, 20480) + bytes(48))
    with_filesystems(image, blank, run_tool, {"ext4": MIB})
    assert [(v.step, v.filesystem) for v in find_volumes(file_space(image)).volumes] == [("part:1", "ext4")]


def hostile_gpt(**fields: int) -> bytes:
    """A primary header with chosen fields and right checksums of the header."""
    import zlib

    values = {"count": 128, "entry": 128, "entries": 2, "alternate": 2**64 - 1, "first": 34, "last": 60} | fields
    image = bytearray(MIB)
    struct.pack_into("<16s16sQQ", image, 1024, b"t" * 16, b"u" * 16, values["first"], values["last"])
    crc = zlib.crc32(bytes(image[1024 : 1024 + 128 * 128]))
    header = bytearray(92)
    struct.pack_into(
        "<8sIIIIQQQQ16sQIII", header, 0, b"EFI PART", 0x10000, 92, 0, 0, 1, values["alternate"], 34, 2**63, b"g" * 16,
        values["entries"], values["count"], values["entry"], crc,
    )  # fmt: skip
    struct.pack_into("<I", header, 16, zlib.crc32(bytes(header)))
    image[512 : 512 + 92] = header
    return bytes(image)


@pytest.mark.parametrize(
    "fields",
    [
        {"count": 2**32 - 1},
        {"entry": 0},
        {"entry": 2**32 - 1},
        {"count": 0},
        {"entries": 2**64 - 1},
        {"last": 2**63},
        {"first": 2**63, "last": 2**64 - 1},
        {"first": 50, "last": 40},
        {"first": 0},
        {"alternate": 1},
    ],
    ids=str,
)
def test_hostile_gpt_gives_bounded_volumes_inside_the_space(fields: dict[str, int], bytes_space: Opener) -> None:
    found = find_volumes(bytes_space(hostile_gpt(**fields)))
    assert len(found.volumes) <= 2
    assert all(s.space_start >= 0 and s.space_start + s.length <= MIB for v in found.volumes for s in v.segments)
    assert all(0 <= place.start < place.end <= MIB for place in found.tables)


def test_partition_of_2_to_the_63_is_cut_at_the_end(bytes_space: Opener) -> None:
    found = find_volumes(bytes_space(hostile_gpt(last=2**63)))
    assert [v.segments for v in found.volumes] == [(Segment(0, 34 * 512, MIB - 34 * 512),)]
    assert found.gaps[0].end == 2**63 - 1


@pytest.mark.parametrize("seed", range(24))
def test_random_bytes_with_magics_never_raise(seed: int, bytes_space: Opener) -> None:
    chance = random.Random(seed)
    image = bytearray(chance.randbytes(MIB + 64 * 1024))
    places = [(0, b"LUKS\xba\xbe"), (3, b"NTFS    "), (3, b"-FVE-FS-"), (510, b"\x55\xaa"), (512, b"EFI PART"), (4096, b"EFI PART"),
              (512, b"LABELONE"), (536, b"LVM2 001"), (1080, b"\x53\xef"), (4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0"), (0x10040, b"_BHRfS_M"),
              (4096, b" LVM2 x[5A%r0N*>"), (0, b"XFSB"), (0, b"hsqs")]  # fmt: skip
    for offset, magic in chance.sample(places, 5):
        image[offset : offset + len(magic)] = magic
    if seed % 2:
        for at in range(446, 510, 16):
            image[at] = 0
    found = find_volumes(bytes_space(bytes(image)))
    assert all(s.space_start + s.length <= len(image) for v in found.volumes for s in v.segments)


def test_space_without_bytes_has_no_volumes(bytes_space: Opener) -> None:
    assert find_volumes(bytes_space(b"")).volumes == ()
    assert [v.step for v in find_volumes(bytes_space(b"x")).volumes] == [""]


def test_unreadable_first_sector_still_gives_the_backup_table(gpt_image: Path, file_space: Opener) -> None:
    before = find_volumes(file_space(gpt_image))
    found = find_volumes(file_space(gpt_image, (Range(0, 4096),)))
    assert found.volumes == before.volumes
