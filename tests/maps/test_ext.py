from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snapscan.maps.ext import map_ext, recognise_ext
from snapscan.maps.ext_extents import EXTENT_MAGIC
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind, OwnerMap, OwnerState, RowFlag
from snapscan.model.space import Range
from snapscan.model.volume import Segment, Volume, VolumeReader

MIB = 1 << 20
pytestmark = pytest.mark.images

SHAPES = {
    "ext4": ["-t", "ext4", "-b", "4096"],
    "1k-blocks": ["-t", "ext4", "-b", "1024"],
    "64k-blocks": ["-t", "ext4", "-b", "65536", "-O", "^has_journal"],
    "ext2": ["-t", "ext2", "-b", "1024"],
    "ext2-first-revision": ["-t", "ext2", "-r", "0", "-b", "1024"],
    "ext3": ["-t", "ext3", "-b", "1024"],
    "128-byte-inodes": ["-t", "ext4", "-I", "128"],
    "inline-data": ["-t", "ext4", "-b", "4096", "-O", "inline_data"],
    "inline-data-in-1k-inodes": ["-t", "ext4", "-b", "4096", "-I", "1024", "-O", "inline_data"],
    "meta-bg": ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"],
    "meta-bg-32-bit": ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^64bit"],
    "bigalloc": ["-t", "ext4", "-b", "1024", "-O", "bigalloc", "-C", "8192"],
    "bigalloc-4k": ["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "16384"],
    "casefold": ["-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"],
    "32-bit": ["-t", "ext4", "-O", "^64bit"],
    "no-checksums": ["-t", "ext4", "-O", "^metadata_csum,^uninit_bg"],
    "uninit-groups": ["-t", "ext4", "-O", "^metadata_csum,uninit_bg"],
    "sparse-super-2": ["-t", "ext4", "-b", "1024", "-O", "sparse_super2"],
    "checksum-seed": ["-t", "ext4", "-O", "metadata_csum_seed"],
    "no-flex-groups": ["-t", "ext4", "-b", "1024", "-O", "^flex_bg"],
    "every-superblock": ["-t", "ext2", "-b", "1024", "-O", "^sparse_super,^resize_inode"],
    "quota-and-mmp": ["-t", "ext4", "-O", "quota,project,mmp", "-E", "quotatype=usrquota:grpquota:prjquota"],
    "fast-commit-and-orphan-file": ["-t", "ext4", "-O", "fast_commit,orphan_file"],
}


@pytest.fixture(scope="module")
def odd_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with sizes around every border, names of every byte, holes, deep folders, links and attributes."""
    root = tmp_path_factory.mktemp("tree")
    chance = random.Random(5)

    def write(name: bytes, content: bytes) -> Path:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    for size in (0, 1, 59, 60, 61, 100, 150, 160, 900, 1000, 4096, 5000, 70_000, 1_500_000):
        write(b"sizes/%d" % size, chance.randbytes(size))
    for k in range(500):
        write(b"many/a-file-with-a-rather-long-name-%d" % k, b"%d" % k * chance.randrange(1, 20))
    for byte in set(range(1, 256)) - {ord("/")}:
        write(b"odd/x" + bytes([byte]), bytes([byte]) * 10)
    write(b"odd/" + b"n" * 255, b"longest")
    write(b"d/" * 60 + b"deep", b"deep")
    with write(b"holes", b"").open("r+b") as sparse:
        for k in range(300):  # more extents than an inode holds
            sparse.seek(k * 20_000)
            sparse.write(chance.randbytes(100))
    for name, target in (("short", "to"), ("fifty-nine", "m" * 59), ("sixty", "m" * 60), ("long", "/" + "l" * 200)):
        (root / f"link-{name}").symlink_to(target)
    os.link(root / "sizes" / "1000", root / "hard")
    return root


@pytest.fixture
def make(blank: Callable[..., Path], run_tool: Callable[..., str], odd_tree: Path) -> Callable[..., Path]:
    def run(*options: str, size_bytes: int = 64 * MIB) -> Path:
        image = blank("ext.img", size_bytes)
        run_tool("mke2fs", "-q", "-F", "-d", odd_tree, *options, image)
        return image

    return run


def expected_of(root: Path) -> dict[bytes, str]:
    """Path -> sha256 of each file and link target below `root`."""
    found = {}
    for path in root.rglob("*"):
        if path.is_symlink() or path.is_file():
            content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            found[os.fsencode(path)[len(os.fsencode(root)) :]] = hashlib.sha256(content).hexdigest()
    return found


def found_in(contents: Any) -> dict[bytes, str]:
    owners: OwnerMap = contents.owners
    kinds = (OwnerKind.FILE, OwnerKind.SYMLINK)
    listed = [k for k in range(owners.owners) if owners.record(k).kind in kinds]
    return {path: hashlib.sha256(contents.read(k)).hexdigest() for k in listed for path in owners.paths(k)}


def bytes_of(owners: OwnerMap, kind: OwnerKind) -> int:
    rows = owners.kind[owners.owner] == kind
    return int((owners.end[rows] - owners.start[rows]).sum())


def unowned(owners: OwnerMap, size_bytes: int) -> int:
    reach = np.concatenate(([0], np.maximum.accumulate(owners.end)))
    return int(np.maximum(np.append(owners.start, size_bytes) - reach, 0).sum())


def foreground_overlaps(owners: OwnerMap) -> int:
    front = owners.flags & RowFlag.BACKGROUND == 0
    start, end = owners.start[front], owners.end[front]
    return int((start[1:] < np.maximum.accumulate(end)[:-1]).sum())


def dumped(run_tool: Callable[..., str], image: Path, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+)", run_tool("dumpe2fs", "-h", image), re.M)
    assert found
    return int(found[1])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_file_has_its_paths_and_bytes_and_every_byte_an_owner(
    shape: str, make: Any, map_file: Any, odd_tree: Path, run_tool: Callable[..., str]
) -> None:
    image = make(*SHAPES[shape], size_bytes=(256 if shape == "64k-blocks" else 64) * MIB)
    mapped, contents = map_file(image)
    assert mapped.gaps == () and mapped.notes == ()
    assert found_in(contents) == expected_of(odd_tree)
    owners = mapped.owners
    assert foreground_overlaps(owners) == 0
    size_bytes = dumped(run_tool, image, "Block count") * dumped(run_tool, image, "Block size")
    assert unowned(owners, size_bytes) == 0
    free_bytes = dumped(run_tool, image, "Free blocks") * dumped(run_tool, image, "Block size")
    # bigalloc counts free clusters in blocks, and all of them here
    assert bytes_of(owners, OwnerKind.FREE) == free_bytes
    assert mapped.former == ()


def test_extents_are_those_that_debugfs_prints(make: Any, map_file: Any, run_tool: Callable[..., str]) -> None:
    for options in (["-t", "ext4", "-b", "1024"], ["-t", "ext2", "-b", "1024"]):
        image = make(*options)
        _, contents = map_file(image)
        for path in ("/holes", "/sizes/1500000", "/many", "/sizes/0"):
            printed = [int(word) for word in run_tool("debugfs", "-R", f"blocks {path}", image).split()]
            extents = contents.owners.extents(contents.owner_of(path))
            ours = {block for e in extents for block in range(e.start // 1024, e.end // 1024)}
            index = {b for b in printed if b not in ours}
            assert ours <= set(printed)
            # debugfs prints index blocks too: those are metadata of ours
            assert all(contents.owners.record(contents.owners.claims(b * 1024)[0].owner).kind == OwnerKind.METADATA for b in index)


def test_hard_links_are_names_of_one_owner(make: Any, map_file: Any) -> None:
    _, contents = map_file(make("-t", "ext4"))
    assert contents.owners.paths(contents.owner_of("/hard")) == [b"/hard", b"/sizes/1000"]


def test_mode_owner_and_time_are_the_inodes(make: Any, map_file: Any, run_tool: Callable[..., str]) -> None:
    image = make("-t", "ext4")
    run_tool("debugfs", "-w", "-R", "sif /hard mode 0100640", image)
    run_tool("debugfs", "-w", "-R", "sif /hard uid 70000", image)
    run_tool("debugfs", "-w", "-R", "sif /hard mtime @5000000000", image)
    _, contents = map_file(image)
    record = contents.owners.record(contents.owner_of("/hard"))
    assert (record.mode, record.uid, record.size_bytes, record.mtime) == (0o100640, 70_000, 1000, 5_000_000_000)


def test_fragments_preallocation_and_bytes_behind_the_end_are_rows(
    blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, map_file: Any
) -> None:
    image = blank("ext.img", 64 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", image)
    with mounted(image) as root:
        names = [f"part{k}" for k in range(3)]
        for turn in range(1200):
            for k, name in enumerate(names):
                with (root / name).open("ab") as file:
                    file.write(b"%d.%04d." % (k, turn) * 128)
                    if turn % 6 == 0:
                        os.fsync(file.fileno())
        with (root / "reserved").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 300_000)
            file.seek(100_000)
            file.write(b"q" * 5000)
        run_tool("fallocate", "-n", "-l", "200000", root / names[0])
        expected = {os.fsencode("/" + p.name): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.iterdir() if p.is_file()}
    mapped, contents = map_file(image)
    assert found_in(contents) == expected
    assert mapped.gaps == ()
    reserved = contents.owners.extents(contents.owner_of("/reserved"))
    assert sum(e.end - e.start for e in reserved if e.flags & RowFlag.UNWRITTEN) >= 290_000
    assert unowned(mapped.owners, 64 * MIB) == 0 and foreground_overlaps(mapped.owners) == 0
    assert len(contents.owners.extents(contents.owner_of("/part1"))) > 4


def test_an_extended_attribute_goes_by_its_files_name(blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, map_file: Any) -> None:
    image = blank("ext.img", 64 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "ea_inode,^has_journal", image)
    values = {"user.in-inode": b"small-value-in-inode", "user.block": b"value-in-a-block-" * 100, "user.inode": b"value-in-an-inode" * 400}
    with mounted(image) as root:
        (root / "file").write_bytes(b"content")
        for name, value in values.items():
            os.setxattr(root / "file", name, value)
    _, contents = map_file(image)
    data = image.read_bytes()
    for value in values.values():
        claim = contents.owners.claims(data.index(value[:17]))[0]
        assert contents.owners.record(claim.owner).kind == OwnerKind.ATTRIBUTE
        assert contents.owners.paths(claim.owner) == [b"/file"]


def test_an_encrypted_directory_is_a_gap_and_its_files_are_owners(make: Any, map_file: Any, run_tool: Callable[..., str]) -> None:
    image = make("-t", "ext4", "-O", "encrypt")
    for path, flags in (("/many", "0x80800"), ("/d", "0x80800"), ("/d/d", "0x80800")):
        run_tool("debugfs", "-w", "-R", f"sif {path} flags {flags}", image)
    mapped, contents = map_file(image)
    assert sorted((gap.reason, gap.where) for gap in mapped.gaps) == [("encrypted-file", "/d"), ("encrypted-file", "/many")]
    names = [contents.owners.path(k) for k in range(contents.owners.owners)]
    assert sum(name.startswith(b"/many/") for name in names) == 500


def mapped_bytes(content: bytes, bytes_space: Any, limits: MapLimits | None = None, faults: tuple[Range, ...] = ()) -> Mapped:
    space = bytes_space(content, faults)
    volume = Volume("part:1", (Segment(0, 0, len(content)),), "ext4")
    return map_ext(VolumeReader(space, volume), volume, limits or MapLimits(seconds=20))


def named(mapped: Mapped) -> set[bytes]:
    return {path for k in range(mapped.owners.owners) for path in mapped.owners.paths(k)}


def test_a_destroyed_superblock_is_replaced_by_a_backup(make: Any, bytes_space: Any) -> None:
    for options in (["-b", "1024"], ["-b", "2048"], ["-b", "1024", "-O", "bigalloc", "-C", "16384"]):
        whole = make("-t", "ext4", *options, size_bytes=(200 if "bigalloc" in options else 64) * MIB).read_bytes()
        mapped = mapped_bytes(whole[:1024] + bytes(1024) + whole[2048:], bytes_space)
        assert named(mapped) == named(mapped_bytes(whole, bytes_space))
        assert any("superblock is damaged" in note for note in mapped.notes)


def test_destroyed_descriptors_are_replaced_by_a_backup(make: Any, bytes_space: Any) -> None:
    for extra in (["-O", "^meta_bg"], ["-O", "meta_bg,^resize_inode"]):
        whole = make("-t", "ext4", "-b", "1024", *extra).read_bytes()
        mapped = mapped_bytes(whole[:2048] + bytes(1024) + whole[3072:], bytes_space)
        assert named(mapped) == named(mapped_bytes(whole, bytes_space))
        assert any("descriptors are damaged" in note for note in mapped.notes)


def test_nothing_but_noise_is_a_gap(bytes_space: Any) -> None:
    mapped = mapped_bytes(random.Random(1).randbytes(MIB), bytes_space)
    assert [gap.reason for gap in mapped.gaps] == ["unmapped"] and mapped.owners.rows == 0


def test_a_truncated_volume_keeps_what_it_holds_and_says_so(make: Any, bytes_space: Any) -> None:
    whole = make("-t", "ext4", "-b", "1024").read_bytes()
    mapped = mapped_bytes(whole[: 20 * MIB], bytes_space)
    assert b"/hard" in named(mapped)
    assert any(gap.reason == "unmapped" and gap.start == 20 * MIB for gap in mapped.gaps)


def test_a_bad_sector_in_an_inode_table_costs_its_inodes_only(make: Any, bytes_space: Any, run_tool: Callable[..., str]) -> None:
    image = make("-t", "ext4", "-b", "1024")
    listing = run_tool("dumpe2fs", image)
    table = re.search(r"Inode table at (\d+)", listing)
    assert table
    at = (int(table[1]) + 20) * 1024
    whole = image.read_bytes()
    mapped = mapped_bytes(whole, bytes_space, faults=(Range(at, at + 512),))
    assert [(gap.reason, gap.start, gap.end) for gap in mapped.gaps] == [("unmapped", at, at + 1024)]
    lost = named(mapped_bytes(whole, bytes_space)) - named(mapped)
    assert len(lost) <= 4 + 60  # four inodes, one of which may be a folder with folders below


def test_a_bad_sector_in_a_block_bitmap_makes_nothing_free(make: Any, bytes_space: Any, run_tool: Callable[..., str]) -> None:
    image = make("-t", "ext4", "-b", "1024", "-O", "^flex_bg,^uninit_bg,^metadata_csum")
    bitmap = re.search(r"Group 1:.*?Block bitmap at (\d+)", run_tool("dumpe2fs", image), re.S)
    assert bitmap
    at = int(bitmap[1]) * 1024
    whole = image.read_bytes()
    mapped, sound = (mapped_bytes(whole, bytes_space, faults=faults) for faults in ((Range(at, at + 512),), ()))
    assert [(gap.reason, gap.where) for gap in mapped.gaps] == [("unmapped", "block bitmap of group 1")]
    assert bytes_of(mapped.owners, OwnerKind.FREE) <= bytes_of(sound.owners, OwnerKind.FREE)
    assert named(mapped) == named(sound)


def test_limits_end_the_map_with_a_gap(make: Any, bytes_space: Any) -> None:
    whole = make("-t", "ext4", "-b", "1024").read_bytes()
    for limits in (MapLimits(inodes=10), MapLimits(seconds=0.0)):
        mapped = mapped_bytes(whole, bytes_space, limits)
        assert any(gap.reason == "unmapped" and "limit" in gap.detail for gap in mapped.gaps)


def test_a_directory_inside_itself_does_not_hang(make: Any, map_file: Any, run_tool: Callable[..., str]) -> None:
    image = make("-t", "ext4")
    run_tool("debugfs", "-w", "-R", "link /d /d/d/again", image)
    _, contents = map_file(image)
    assert any(path.endswith(b"/d/again") for k in range(contents.owners.owners) for path in contents.owners.paths(k))


def test_an_unlinked_file_that_was_still_open_is_deleted_and_has_no_path(make: Any, map_file: Any, run_tool: Callable[..., str]) -> None:
    image = make("-t", "ext4")
    run_tool("debugfs", "-w", "-R", "sif /sizes/5000 links_count 0", image)
    run_tool("debugfs", "-w", "-R", "unlink /sizes/5000", image)
    _, contents = map_file(image)
    dead = [k for k in range(contents.owners.owners) if contents.owners.record(k).state == OwnerState.DELETED]
    assert [(contents.owners.record(k).size_bytes, contents.owners.paths(k)) for k in dead] == [(5000, [])]


@pytest.mark.parametrize("shape", ["1k-blocks", "ext2", "inline-data", "bigalloc"])
def test_damage_anywhere_in_the_metadata_never_raises(shape: str, make: Any, survives_damage: Any, run_tool: Callable[..., str]) -> None:
    image = make(*SHAPES[shape], size_bytes=24 * MIB)
    table = re.search(r"Inode table at (\d+)", run_tool("dumpe2fs", image))
    assert table
    block_bytes = dumped(run_tool, image, "Block size")
    places = [(1024, 1024), (2 * max(block_bytes, 1024) if block_bytes == 1024 else block_bytes, 512), (int(table[1]) * block_bytes, 200_000)]
    survives_damage(image.read_bytes(), "ext4", places, 40)


def test_a_table_of_noise_with_claims_of_everything_ends_soon(make: Any, bytes_space: Any, run_tool: Callable[..., str]) -> None:
    image = make("-t", "ext4", "-b", "1024", size_bytes=24 * MIB)
    table = re.search(r"Inode table at (\d+)", run_tool("dumpe2fs", image))
    assert table
    content = bytearray(image.read_bytes())
    at = int(table[1]) * 1024
    chance = random.Random(3)
    root = b"".join(word.to_bytes(2, "little") for word in (EXTENT_MAGIC, 4, 4, 0, 0, 0))
    for k in range(12, 600):
        places = [(chance.randrange(1 << 16).to_bytes(4, "little"), chance.randrange(1, 100).to_bytes(4, "little")) for _ in range(4)]
        extents = b"".join(logical + b"\xff\x7f\0\0" + physical for logical, physical in places)
        mode = chance.choice((0x41FF, 0x81FF)).to_bytes(2, "little")
        inode = bytearray(chance.randbytes(128))
        inode[0:2], inode[26:28], inode[32:36], inode[40:100] = mode, b"\1\0", b"\0\0\x08\0", root + extents
        content[at + k * 256 : at + k * 256 + 128] = inode
    mapped = mapped_bytes(bytes(content), bytes_space, MapLimits(seconds=15))
    assert mapped.owners.rows > 0
    assert not any("limit" in gap.detail for gap in mapped.gaps)


def test_kinds_are_told_apart_by_features(make: Any) -> None:
    kinds = {shape: recognise_ext(make(*SHAPES[shape], "-L", "my-label").read_bytes()[:2048]) for shape in ("ext2", "ext3", "ext4")}
    assert {shape: found and (found[0], found[2]) for shape, found in kinds.items()} == {kind: (kind, "my-label") for kind in kinds}
    assert recognise_ext(bytes(2048)) is None


def test_overlay_folders_have_their_containers_names(blank: Callable[..., Path], run_tool: Callable[..., str], map_file: Any, tmp_path: Path) -> None:
    storage = tmp_path / "tree" / "var" / "lib" / "docker"
    mounts = storage / "image" / "overlay2" / "layerdb" / "mounts" / "c0ffee"
    for folder in (mounts, storage / "containers" / "c0ffee", storage / "overlay2" / "upper" / "diff"):
        folder.mkdir(parents=True)
    (mounts / "mount-id").write_bytes(b"upper")
    (storage / "containers" / "c0ffee" / "config.v2.json").write_bytes(b'{"Name": "/front", "Config": {"Image": "shop/web:2.1"}}')
    image = blank("ext.img", 16 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", tmp_path / "tree", image)
    mapped, _ = map_file(image)
    assert mapped.containers["/var/lib/docker/overlay2/upper"] == "container front (shop/web:2.1)"


def test_a_hashed_directory_of_two_levels_gives_every_name(
    blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, map_file: Any
) -> None:
    image = blank("ext.img", 64 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-N", "40000", image)
    with mounted(image) as root:
        (root / "big").mkdir()
        (root / "big" / "file").touch()
        for k in range(16_000):
            os.link(root / "big" / "file", root / "big" / f"{k:05}-{'x' * 60}")
    levels = re.search(r"Indirect levels: (\d)", run_tool("debugfs", "-R", "htree_dump /big", image))
    assert levels and levels[1] != "0"
    mapped, contents = map_file(image)
    assert len(contents.owners.paths(contents.owner_of("/big/file"))) == 16_001
    assert mapped.notes == ()
