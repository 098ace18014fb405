from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.ntfs_record import Run, fixed, listed_records, parse_record
from snapscan.maps.registry import map_volume
from snapscan.maps.volumes import find_volumes
from snapscan.model.mapping import MapLimits
from snapscan.model.owner import OwnerKind
from snapscan.model.volume import Segment, Volume, VolumeReader

MIB = 1 << 20
pytestmark = pytest.mark.images


@pytest.fixture
def make(blank: Callable[..., Path], run_tool: Callable[..., str], source_tree: Path, mounted: Any) -> Callable[..., Path]:
    def run(*options: str, deleted: dict[str, bytes] | None = None, mount: str = "streams_interface=windows") -> Path:
        image = blank("ntfs.img", 64 * MIB)
        run_tool("mkfs.ntfs", "-q", "-F", "-f", *options, image)
        with mounted(image, "ntfs-3g", "-o", mount) as root:
            shutil.copytree(source_tree, root, dirs_exist_ok=True)
            for path, content in (deleted or {}).items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            os.link(root / "big", root / "deep" / "hard")
            with (root / "fragments").open("wb", buffering=0) as file, (root / "other").open("wb", buffering=0) as other:
                for k in range(400):
                    file.write(b"%04d" % k * 1024)
                    other.write(b"other" * 2000)
            for path in deleted or {}:
                (root / path).unlink()
        return image

    return run


@pytest.mark.parametrize("options", [(), ("-c", "512"), ("-c", "65536"), ("-s", "4096", "-c", "4096")], ids=str)
def test_every_file_of_the_tree_is_found_with_its_bytes(
    options: tuple[str, ...], make: Any, map_file: Any, source_tree: Path, digests_of: Any
) -> None:
    mapped, contents = map_file(make(*options))
    expected = digests_of(source_tree)
    found = contents.digests()
    assert {path: found.get(path) for path in expected} == expected
    assert set(found) - set(expected) == {"deep/hard", "fragments", "other"}
    assert (mapped.gaps, mapped.notes) == ((), ())
    assert contents.read(contents.owner_of("/fragments")) == b"".join(b"%04d" % k * 1024 for k in range(400))


def test_small_content_that_crosses_a_sector_of_its_record_is_read_right(make: Any, map_file: Any, source_tree: Path) -> None:
    image = make()
    _, contents = map_file(image)
    owner = contents.owner_of("/deep/er/and/deeper/file.env")
    extents = contents.owners.extents(owner)
    # 500 bytes cross a sector of the record: two pieces of content, and two bytes from the update sequence between them
    assert len(extents) == 3 and extents[1].end - extents[1].start == 2
    assert contents.read(owner) == (source_tree / "deep/er/and/deeper/file.env").read_bytes()


def test_streams_and_names_with_a_colon_are_told(make: Any, map_file: Any, mounted: Any) -> None:
    image = make()
    with mounted(image, "ntfs-3g", "-o", "streams_interface=windows") as root:
        (root / "small:hidden").write_bytes(b"alternate" * 2)
        (root / "small:large").write_bytes(b"alternate" * 2000)
    with mounted(image, "ntfs-3g", "-o", "streams_interface=none") as root:
        (root / "with:colon").write_bytes(b"a name, not a stream")
    _, contents = map_file(image)
    assert contents.read(contents.owner_of("/with:colon")) == b"a name, not a stream"
    for name, content in (("/small:hidden", b"alternate" * 2), ("/small:large", b"alternate" * 2000)):
        owner = contents.owner_of(name)
        assert contents.owners.record(owner).kind is OwnerKind.ATTRIBUTE
        assert contents.read(owner) == content


def test_deleted_files_are_told_by_path_and_place(make: Any, map_file: Any) -> None:
    deleted = {"Users/bob/web.config": b"resident and gone", "Users/bob/large.bin": bytes(range(256)) * 400}
    image = make(deleted=deleted)
    mapped, _ = map_file(image)
    raw = image.read_bytes()
    for path, content in deleted.items():
        rows = sorted((row for row in mapped.former if row.path == b"/" + path.encode()), key=lambda row: row.offset)
        assert rows, path
        joined = bytearray(len(content))
        for row in rows:
            joined[row.offset : row.offset + row.end - row.start] = raw[row.start : row.end]
            assert (row.source, row.size_bytes) == ("MFT", len(content))
        taken = bytes(joined[: len(content)])
        # clusters that were given to another file since are not claimed
        assert taken == content or any(row.end - row.start < len(content) for row in rows)


def test_bytes_have_one_owner_and_nearly_all_have_one(make: Any, map_file: Any) -> None:
    owners = map_file(make())[0].owners
    assert (owners.start[1:] >= owners.end[:-1]).all()
    assert int((owners.end - owners.start).sum()) >= 0.999 * 64 * MIB
    names = {owners.path(k): owners.record(k).kind for k in range(owners.owners)}
    assert names[b"/$MFT"] is OwnerKind.METADATA and names[b"/$LogFile"] is OwnerKind.JOURNAL and names[b"/deep"] is OwnerKind.DIRECTORY
    free = next(k for k in range(owners.owners) if owners.record(k).kind is OwnerKind.FREE)
    assert sum(e.end - e.start for e in owners.extents(free)) > 30 * MIB


def test_damaged_boot_sector_and_first_record_are_read_from_their_copies(make: Any, map_file: Any, file_space: Any) -> None:
    image = make()
    before = map_file(image)[1].digests()
    table = struct.unpack_from("<Q", image.read_bytes()[:512], 48)[0] * 4096
    with image.open("r+b") as file:
        file.write(bytes(512))
        file.seek(table)
        file.write(bytes(1024))
    space = file_space(image)
    volume = Volume("", (Segment(0, 0, space.size_bytes),), "ntfs")
    mapped = map_volume(VolumeReader(space, volume), volume, MapLimits())
    files = [k for k in range(mapped.owners.owners) if mapped.owners.record(k).kind is OwnerKind.FILE]
    assert {path[1:].decode() for k in files for path in mapped.owners.paths(k)} == set(before)
    assert [(v.step, v.filesystem) for v in find_volumes(space).volumes] == [("", "ntfs")]


def test_compressed_files_are_a_gap(make: Any, map_file: Any, mounted: Any) -> None:
    image = make()
    with mounted(image, "ntfs-3g", "-o", "compression") as root:
        folder = root / "packed"
        folder.mkdir()
        try:
            os.setxattr(folder, "system.ntfs_attrib_be", struct.pack(">I", 0x810))
        except OSError:
            pytest.skip("this driver does not take attributes")
        (folder / "file").write_bytes(b"compress me " * 20_000)
    assert [gap.detail for gap in map_file(image)[0].gaps] == ["ntfs: 1 compressed streams are not decoded"]


def test_damaged_volume_never_raises(make: Any, survives_damage: Any) -> None:
    image = make(deleted={"gone": b"x" * 5000}).read_bytes()
    records = [(at, 400) for at in range(0, len(image), 1024) if image[at : at + 4] == b"FILE"]
    survives_damage(image, "ntfs", [(0, 80), *records[:12] * 8, *records])


def record(attributes: bytes, flags: int = 1) -> bytes:
    """A record of 1 KiB with right update sequences."""
    raw = bytearray(1024)
    struct.pack_into("<4sHHQHHHHII", raw, 0, b"FILE", 48, 3, 0, 1, 1, 56, flags, 56 + len(attributes), 1024)
    raw[56 : 56 + len(attributes)] = attributes
    raw[48:50] = b"\x07\x00"
    for k in (1, 2):
        raw[48 + 2 * k : 50 + 2 * k] = raw[512 * k - 2 : 512 * k]
        raw[512 * k - 2 : 512 * k] = b"\x07\x00"
    return bytes(raw)


def stream(runs: bytes, *, first: int = 0) -> bytes:
    length = (64 + len(runs) + 8) // 8 * 8
    head = struct.pack("<IIBBHHHQQHH4xQQQ", 0x80, length, 1, 0, 64, 0, 0, first, 0, 64, 0, 4096, 4096, 4096)
    return (head + runs).ljust(length, b"\0")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x11\x05\x10\x11\x03\xf8", [Run(0, 16, 5), Run(5, 8, 3)]),
        (b"\x11\x05\x10\x01\x04\x11\x01\x01", [Run(0, 16, 5), Run(5, -1, 4), Run(9, 17, 1)]),
        (b"\x31\x05\x00\x00\x01", [Run(0, 65536, 5)]),
        (b"\x18" + b"\xff" * 7 + b"\x7f\x01", [Run(0, 1, 2**63 - 1)]),
        (b"\x11\x00\x10", []),
        (b"\x11\xff\x10", []),
        (b"\xff" * 20, []),
        (b"\x44\x01", []),
    ],
)
def test_mapping_pairs_are_unpacked_and_nonsense_ends_them(raw: bytes, expected: list[Run]) -> None:
    content = fixed(record(stream(raw) + b"\xff\xff\xff\xff\0\0\0\0"))
    assert content is not None
    assert [list(s.runs) for s in parse_record(content).streams] == [expected]


def test_torn_records_are_refused() -> None:
    good = record(b"\xff\xff\xff\xff")
    assert fixed(good) is not None
    assert fixed(good[:510] + b"\x01\x02" + good[512:]) is None
    assert fixed(b"BAAD" + good[4:]) is None
    assert fixed(good[:4] + b"\xff\xff\xff\xff" + good[8:]) is None
    assert fixed(good[:6] + b"\x00\x00" + good[8:]) is None


def test_attribute_list_names_the_records_of_a_kind_once_each_in_order() -> None:
    def entry(kind: int, number: int, length: int = 32) -> bytes:
        return struct.pack("<IHBBQQH", kind, length, 0, 26, 0, number | 1 << 48, 0).ljust(length, b"\0")

    assert listed_records(entry(0x80, 7) + entry(0x30, 8) + entry(0x80, 9), 0x80) == [7, 9]
    assert listed_records(entry(0x80, 7, 0) + entry(0x80, 9), 0x80) == []
