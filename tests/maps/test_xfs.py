from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.xfs_inode import Extent, block_entries, parse_extents, parse_inode, short_entries
from snapscan.model.mapping import MapLimits
from snapscan.model.owner import OwnerKind, RowFlag

MIB = 1 << 20
CROWD = 3000
"""Names in one folder: more than fit a directory block of 64 KiB."""
pytestmark = pytest.mark.images

SHAPES = {
    "default": [],
    "large-directory-blocks": ["-n", "size=64k"],
    "small-blocks": ["-b", "size=1024", "-n", "size=8k"],
    "large-inodes": ["-i", "size=2048"],
    "version-4": ["-m", "crc=0,finobt=0", "-n", "ftype=0"],
    "features": ["-m", "reflink=1,rmapbt=1,bigtime=1", "-i", "nrext64=1"],
}


@pytest.fixture
def make(blank: Callable[..., Path], run_tool: Callable[..., str], source_tree: Path, mounted: Any) -> Callable[..., Path]:
    """An XFS image that holds the source tree, and some more of what only a kernel can make."""

    def run(*options: str) -> Path:
        image = blank("xfs.img", 320 * MIB)
        try:
            run_tool("mkfs.xfs", "-q", "-f", *options, image)
        except AssertionError:
            pytest.skip(f"this mkfs.xfs has no {options}")
        with mounted(image) as root:
            shutil.copytree(source_tree, root, dirs_exist_ok=True)
            os.link(root / "big", root / "deep" / "hard")
            (root / "link").symlink_to("small")
            (root / "crowd").mkdir()
            for k in range(CROWD):
                (root / "crowd" / f"a name to fill directory blocks with, number {k}").touch()
            with (root / "preallocated").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, MIB)
            with (root / "fragments").open("wb", buffering=0) as file:
                for k in range(900):  # every other block: more extents than an inode holds
                    file.seek(k * 8192)
                    file.write(b"%04d" % k * 1024)
                    if k % 64 == 0:
                        os.fsync(file.fileno())
        return image

    return run


@pytest.mark.parametrize("shape", SHAPES)
def test_every_file_of_the_tree_is_found_with_its_bytes(shape: str, make: Any, map_file: Any, source_tree: Path, digests_of: Any) -> None:
    mapped, contents = map_file(make(*SHAPES[shape]))
    expected = digests_of(source_tree)
    found = contents.digests()
    assert {path: found.get(path) for path in expected} == expected
    crowd = {f"crowd/a name to fill directory blocks with, number {k}" for k in range(CROWD)}
    assert set(found) - set(expected) == {"deep/hard", "preallocated", "fragments"} | crowd
    assert (mapped.gaps, mapped.notes) == ((), ())
    assert found["deep/hard"] == expected["big"]
    fragments = contents.read(contents.owner_of("/fragments"))
    assert fragments == b"".join((b"%04d" % k * 1024).ljust(8192, b"\0") for k in range(900))[: 899 * 8192 + 4096]


@pytest.mark.parametrize("options", [("-n", "ftype=0"), ("-n", "size=16k,ftype=1"), ("-b", "size=1024", "-n", "size=4096")], ids=str)
def test_format_of_version_4_is_read_from_an_image_made_without_a_kernel(
    options: tuple[str, ...], blank: Any, run_tool: Any, map_file: Any, source_tree: Path, tmp_path: Path
) -> None:
    names = [f"a-name-of-some-length-to-fill-blocks-{k}" for k in range(400)]
    lines = ["boot", "0 0", "d--755 0 0", f"big ---600 7 7 {source_tree / 'big'}", "folder d--755 0 0"]
    lines += [f"{name} ---644 0 0 {source_tree / 'sector'}" for name in names]
    (tmp_path / "prototype").write_text("\n".join([*lines, "$", "$", ""]))
    image = blank("xfs.img", 320 * MIB)
    run_tool("mkfs.xfs", "-q", "-f", "-m", "crc=0,finobt=0", *options, "-p", tmp_path / "prototype", image)
    mapped, contents = map_file(image)
    expected = {"big": source_tree / "big"} | {f"folder/{name}": source_tree / "sector" for name in names}
    assert contents.digests() == {path: hashlib.sha256(source.read_bytes()).hexdigest() for path, source in expected.items()}
    record = mapped.owners.record(contents.owner_of("/big"))
    assert (record.mode & 0o7777, record.uid) == (0o600, 7)
    assert mapped.gaps == ()


def test_preallocated_bytes_are_unwritten_and_links_are_told(make: Any, map_file: Any) -> None:
    mapped, contents = map_file(make())
    owners = mapped.owners
    extents = owners.extents(contents.owner_of("/preallocated"))
    assert sum(e.end - e.start for e in extents) == MIB and {e.flags for e in extents} == {RowFlag.UNWRITTEN}
    link = contents.owner_of("/link")
    assert owners.record(link).kind is OwnerKind.SYMLINK and contents.read(link) == b"small"
    assert owners.path(contents.owner_of("/deep")) == b"/deep" and owners.root >= 0


def test_bytes_have_one_owner_and_nearly_all_have_one(make: Any, map_file: Any) -> None:
    owners = map_file(make())[0].owners
    covered = int((owners.end - owners.start).sum())
    assert (owners.start[1:] >= owners.end[:-1]).all()
    assert covered >= 0.999 * 320 * MIB
    free = next(k for k in range(owners.owners) if owners.record(k).kind is OwnerKind.FREE)
    assert sum(e.end - e.start for e in owners.extents(free)) > 200 * MIB


def test_free_space_agrees_with_the_superblock(make: Any, map_file: Any, run_tool: Any) -> None:
    image = make()
    owners = map_file(image)[0].owners
    free = next(k for k in range(owners.owners) if owners.record(k).kind is OwnerKind.FREE)
    said = int(run_tool("xfs_db", "-r", "-c", "sb 0", "-c", "print fdblocks", image).split("=")[1])
    groups = run_tool("xfs_db", "-r", *(w for k in range(4) for w in ("-c", f"agf {k}", "-c", "print flcount")), image)
    lists = sum(int(line.split("=")[1]) for line in groups.splitlines())
    assert sum(e.end - e.start for e in owners.extents(free)) == (said - lists) * 4096


def test_log_that_was_not_replayed_is_a_gap(make: Any, map_file: Any, mounted: Any, tmp_path: Path) -> None:
    image = make()
    copy = tmp_path / "copy.img"
    with mounted(image) as root:
        (root / "new").write_bytes(b"x" * 10_000)
        os.sync()
        shutil.copyfile(image, copy)
    assert [gap.reason for gap in map_file(copy)[0].gaps] == ["dirty-log"]
    assert map_file(image)[0].gaps == ()


def test_limits_end_the_map_with_a_gap_and_keep_what_was_found(make: Any, map_file: Any) -> None:
    mapped, _ = map_file(make(), MapLimits(inodes=200))
    assert [gap.detail for gap in mapped.gaps] == ["stopped after 200 inodes"]
    assert mapped.owners.owners > 5


def test_damaged_volume_never_raises(make: Any, survives_damage: Any) -> None:
    image = make("-l", "size=64m").read_bytes()
    places = [(0, 512), (4096, 512), (512, 1024)]
    places += [
        (at, 4096)
        for at in range(0, len(image), 4096)
        if image[at : at + 4] in (b"AB3B", b"IAB3", b"BMA3", b"XDB3", b"XDD3") or image[at : at + 2] == b"IN"
    ]
    survives_damage(image, "xfs", places, rounds=40)


def test_records_that_do_not_fit_give_nothing() -> None:
    assert parse_inode(b"") is None and parse_inode(b"IN" + bytes(10)) is None and parse_inode(bytes(512)) is None
    assert short_entries(b"\xff\x00\x00\x00\x00\x80\x04\x00\x00abcd", has_type=True) == []
    assert short_entries(b"", has_type=True) == []
    assert block_entries(b"XDB3" + bytes(60) + b"\xff\xff\x00\x00" + bytes(444), has_type=True) == []
    assert block_entries(b"XDD3" + b"\xff" * 508, has_type=True) == []
    assert block_entries(b"junk" * 128, has_type=False) == []


def test_packed_extent_is_unpacked_as_the_kernel_packs_it() -> None:
    # unwritten, file block 5, block 0x123456789, 77 blocks
    high = 1 << 63 | 5 << 9 | 0x123456789 >> 43
    low = (0x123456789 & (1 << 43) - 1) << 21 | 77
    raw = high.to_bytes(8, "big") + low.to_bytes(8, "big")
    assert parse_extents(raw * 3, 2) == [Extent(5, 0x123456789, 77, True)] * 2
