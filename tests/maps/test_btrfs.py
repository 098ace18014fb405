from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.btrfs_tree import Chunks, parse_super
from snapscan.model.mapping import MapLimits
from snapscan.model.owner import OwnerKind, RowFlag

MIB = 1 << 20
pytestmark = pytest.mark.images


@pytest.fixture
def from_folder(blank: Callable[..., Path], run_tool: Callable[..., str], source_tree: Path) -> Callable[..., Path]:
    def run(*options: str) -> Path:
        image = blank("btrfs.img", 256 * MIB)
        run_tool("mkfs.btrfs", "-q", "-f", *options, "--rootdir", source_tree, image)
        return image

    return run


@pytest.fixture
def from_kernel(blank: Callable[..., Path], run_tool: Callable[..., str], source_tree: Path, mounted: Any) -> Callable[..., Path]:
    """With subvolumes, snapshots, shared and preallocated extents."""

    def run(*options: str, mount: str = "loop") -> Path:
        image = blank("btrfs.img", 256 * MIB)
        run_tool("mkfs.btrfs", "-q", "-f", *options, image)
        with mounted(image, "mount", "-o", mount) as root:
            shutil.copytree(source_tree, root, dirs_exist_ok=True)
            os.link(root / "big", root / "deep" / "hard")
            (root / "link").symlink_to("small")
            run_tool("btrfs", "subvolume", "create", root / "sub")
            run_tool("cp", "--reflink=always", root / "big", root / "sub" / "clone")
            with (root / "preallocated").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, MIB)
            run_tool("btrfs", "subvolume", "snapshot", root / "sub", root / "deep" / "snapshot")
            (root / "deep" / "snapshot" / "later").write_bytes(b"written after the snapshot")
            with (root / "big").open("r+b") as file:  # the clone keeps the old bytes
                file.seek(MIB)
                file.write(b"changed" * 1000)
        return image

    return run


@pytest.mark.parametrize("options", [(), ("-n", "4096"), ("-m", "single"), ("-M",)], ids=str)
def test_every_file_of_a_folder_is_found_with_its_bytes(
    options: tuple[str, ...], from_folder: Any, map_file: Any, source_tree: Path, digests_of: Any
) -> None:
    mapped, contents = map_file(from_folder(*options))
    assert contents.digests() == digests_of(source_tree)
    assert (mapped.gaps, mapped.notes) == ((), ())


def test_subvolumes_snapshots_and_clones_are_told_with_their_bytes(from_kernel: Any, map_file: Any, source_tree: Path, digests_of: Any) -> None:
    mapped, contents = map_file(from_kernel())
    expected = digests_of(source_tree)
    found = contents.digests()
    assert {path: found.get(path) for path in expected if path != "big"} == {k: v for k, v in expected.items() if k != "big"}
    assert found["sub/clone"] == found["deep/snapshot/clone"] == expected["big"]
    changed = bytearray((source_tree / "big").read_bytes())
    changed[MIB : MIB + 7000] = b"changed" * 1000
    assert contents.read(contents.owner_of("/big")) == bytes(changed)
    assert found["deep/hard"] == found["big"]
    assert contents.read(contents.owner_of("/deep/snapshot/later")) == b"written after the snapshot"
    assert contents.read(contents.owner_of("/link")) == b"small"
    flags = {e.flags for e in mapped.owners.extents(contents.owner_of("/preallocated"))}
    assert flags == {RowFlag.UNWRITTEN}
    assert (mapped.gaps, mapped.notes) == ((), ())


def test_shared_extent_has_all_its_owners(from_kernel: Any, map_file: Any) -> None:
    mapped, contents = map_file(from_kernel())
    owners = mapped.owners
    place = owners.extents(contents.owner_of("/sub/clone"))[0].start
    assert {path for claim in owners.claims(place) for path in owners.paths(claim.owner)} == {
        b"/big", b"/deep/hard", b"/sub/clone", b"/deep/snapshot/clone",
    }  # fmt: skip


def test_free_space_is_told_and_holds_no_file(from_kernel: Any, map_file: Any) -> None:
    owners = map_file(from_kernel())[0].owners
    free = next(k for k in range(owners.owners) if owners.record(k).kind is OwnerKind.FREE)
    assert sum(e.end - e.start for e in owners.extents(free)) > 200 * MIB
    assert all(owners.claims(e.start)[0].owner == free and len(owners.claims(e.start)) == 1 for e in owners.extents(free))


def test_compressed_extents_are_a_gap_and_their_files_are_named(from_kernel: Any, map_file: Any, mounted: Any) -> None:
    image = from_kernel()
    with mounted(image, "mount", "-o", "loop,compress-force=zstd") as root:
        (root / "packed").write_bytes(b"compress me " * 50_000)
    mapped, contents = map_file(image)
    assert [(gap.reason, "compressed" in gap.detail) for gap in mapped.gaps] == [("unmapped", True)]
    assert mapped.owners.extents(contents.owner_of("/packed")) == []


def test_device_of_a_striped_set_names_its_files_and_says_what_is_missing(blank: Any, run_tool: Any, source_tree: Path, map_file: Any) -> None:
    one, two = blank("one.img", 256 * MIB), blank("two.img", 256 * MIB)
    devices = [run_tool("losetup", "-f", "--show", image).strip() for image in (one, two)]
    try:
        done = subprocess.run(
            ["mkfs.btrfs", "-q", "-f", "-d", "raid0", "-m", "raid1", "--rootdir", str(source_tree), *devices], check=False, capture_output=True
        )
        if done.returncode:
            run_tool("mkfs.btrfs", "-q", "-f", "-d", "raid0", "-m", "raid1", *devices)
    finally:
        run_tool("losetup", "-d", *devices)
    mapped, _ = map_file(one)
    assert mapped.owners.owners > 1


def test_copy_of_the_superblock_is_used(from_folder: Any, map_file: Any, file_space: Any) -> None:
    from snapscan.maps.registry import map_volume
    from snapscan.model.volume import Segment, Volume, VolumeReader

    image = from_folder()
    before = map_file(image)[0].owners.rows
    with image.open("r+b") as file:
        file.seek(65536)
        file.write(bytes(4096))
    space = file_space(image)
    volume = Volume("", (Segment(0, 0, space.size_bytes),), "btrfs")
    assert map_volume(VolumeReader(space, volume), volume, MapLimits()).owners.rows == before


def test_damaged_volume_never_raises(from_folder: Any, survives_damage: Any) -> None:
    image = from_folder().read_bytes()
    identity = image[0x10020:0x10030]
    nodes = [(at, 2048) for at in range(0, len(image), 4096) if image[at + 32 : at + 48] == identity]
    survives_damage(image, "btrfs", [(0x10048, 200), (0x1032B, 256), *nodes])


def test_chunk_map_places_whole_copies_of_this_device_only() -> None:
    import struct

    def chunk(kind: int, *stripes: tuple[int, int]) -> bytes:
        head = struct.pack("<4Q3I2H", 4096, 2, 65536, kind, 4096, 4096, 4096, len(stripes), 1)
        return head + b"".join(struct.pack("<QQ16s", device, place, b"u" * 16) for device, place in stripes)

    chunks = Chunks(device=1)
    chunks.add(8192, chunk(0x1 | 0x20, (1, 100_000), (1, 200_000)))
    chunks.add(0, chunk(0x1 | 0x10, (2, 5000), (1, 7000)))
    chunks.add(16384, chunk(0x1 | 0x8, (1, 300_000), (2, 300_000)))
    assert list(chunks.pieces(4000, 5000)) == [(4000, 96, (11000,)), (8192, 808, (100_000, 200_000))]
    assert list(chunks.pieces(16384, 10)) == [(16384, 10, ())]
    assert list(chunks.pieces(2**63, 2**63)) == []
    assert parse_super(b"") is None and parse_super(bytes(4096)) is None
