from __future__ import annotations

import os
import random
import re
import struct

import pytest

from snapscan.model.errors import ParentRefused, SnapscanError, SourceError, StructureFault, UnsupportedFormat
from snapscan.model.snapshot import SourceSpec
from snapscan.model.space import Range, read_bytes
from snapscan.spaces.registry import open_space

MIB = 1 << 20
pytestmark = pytest.mark.images


def descriptor(*extents: str, content_id: str = "12345678", parent_id: str = "ffffffff", hint: str = "", create_type: str = "custom") -> str:
    parent = f'parentFileNameHint="{hint}"\n' if hint else ""
    head = f'# Disk DescriptorFile\nversion=1\nCID={content_id}\nparentCID={parent_id}\ncreateType="{create_type}"\n{parent}'
    return head + "\n# Extent description\n" + "\n".join(extents) + '\n\n# The Disk Data Base\nddb.adapterType = "ide"\n'


@pytest.mark.parametrize(
    "options", ["subformat=monolithicSparse", "subformat=twoGbMaxExtentSparse", "subformat=monolithicFlat", "subformat=twoGbMaxExtentFlat"]
)
def test_a_disk_written_out_of_order_reads_as_qemu_reads_it(disks, opened, assert_reads_as, options):
    path = disks.create("disk.vmdk", "vmdk", "-o", options)
    reference = disks.create("reference.raw", "raw")
    assert disks.truth(path) == reference.read_bytes()
    assert_reads_as(opened(path), reference.read_bytes())


def test_a_stream_optimized_disk_is_read(disks, opened, assert_reads_as):
    reference = disks.create("reference.raw", "raw", size_bytes=12 * MIB + 512 * 9)
    path = disks.convert(reference, "disk.vmdk", "vmdk", "-o", "subformat=streamOptimized")
    assert_reads_as(opened(path), disks.truth(path))


def test_a_stream_optimized_disk_whose_directory_is_only_at_its_end_is_read(disks, opened, assert_reads_as, edited):
    reference = disks.create("reference.raw", "raw")
    path = disks.convert(reference, "disk.vmdk", "vmdk", "-o", "subformat=streamOptimized")
    content = path.read_bytes()
    marker = struct.pack("<QII", 1, 0, 3).ljust(512, b"\0")
    path.write_bytes(content + marker + content[:512] + bytes(512))
    edited(path, 56, b"\xff" * 8)
    assert disks.truth(path) == reference.read_bytes()
    assert_reads_as(opened(path), reference.read_bytes())


def test_a_split_disk_of_several_extents_is_read(disks, opened, assert_reads_as):
    pieces = []
    for number, size in enumerate((3 * MIB, 65536 * 3, 5 * MIB)):
        flat = disks.create(f"p{number}.raw", "raw", size_bytes=size, seed=number)
        pieces.append(flat.read_bytes())
        disks.convert(flat, f"p{number}.vmdk", "vmdk")
    lines = [f'RW {len(piece) // 512} SPARSE "p{number}.vmdk"' for number, piece in enumerate(pieces)]
    path = disks.folder / "disk.vmdk"
    path.write_text(descriptor(*lines, create_type="twoGbMaxExtentSparse"))
    assert_reads_as(opened(path), b"".join(pieces))


def test_zeroed_grains_hide_the_parent(disks, opened, assert_reads_as):
    disks.create("base.vmdk", "vmdk", share=1.0)
    path = disks.create("over.vmdk", "vmdk", "-o", "zeroed_grain=on", "-b", "base.vmdk", "-F", "vmdk", size_bytes=None, seed=None)
    disks.write(path, "vmdk", "write -z 1M 1M\nwrite -P 3 5M 100k\nquit\n")
    truth = disks.truth(path)
    assert not any(truth[MIB : 2 * MIB])
    assert_reads_as(opened(path), truth)


def test_a_delta_reads_through_to_its_parent(disks, opened, assert_reads_as):
    disks.create("base.vmdk", "vmdk")
    path = disks.create("delta.vmdk", "vmdk", "-b", "base.vmdk", "-F", "vmdk", size_bytes=None, seed=8, share=0.2)
    space = opened(path)
    assert_reads_as(space, disks.truth(path))
    assert len(space.stamps()) == 2 and space.snapshot.parent.startswith("cid-")


def test_a_delta_of_split_extents_reads_its_parent_at_the_right_place(disks, opened, assert_reads_as):
    base = disks.create("base.vmdk", "vmdk", size_bytes=8 * MIB)
    truth = disks.truth(base)
    content_id = base.read_bytes().split(b"\nCID=", 1)[1].split(b"\n", 1)[0].decode()
    for number in range(2):
        disks.create(f"d{number}.vmdk", "vmdk", size_bytes=4 * MIB, seed=None)
    disks.write(disks.folder / "d1.vmdk", "vmdk", "write -P 5 1M 64k\nquit\n")
    path = disks.folder / "delta.vmdk"
    lines = [f'RW 8192 SPARSE "d{number}.vmdk"' for number in range(2)]
    path.write_text(descriptor(*lines, parent_id=content_id, hint="base.vmdk", create_type="twoGbMaxExtentSparse"))
    assert_reads_as(opened(path), truth[: 5 * MIB] + b"\5" * 65536 + truth[5 * MIB + 65536 :])


def test_a_parent_that_was_written_to_since_is_refused(disks, opened):
    base = disks.create("base.vmdk", "vmdk")
    path = disks.create("delta.vmdk", "vmdk", "-b", "base.vmdk", "-F", "vmdk", size_bytes=None, seed=None)
    base.write_bytes(re.sub(rb"\nCID=[0-9a-f]+\n", b"\nCID=deadbeef\n", base.read_bytes(), count=1)[: base.stat().st_size])
    with pytest.raises(ParentRefused, match="deadbeef") as caught:
        opened(path)
    assert caught.value.reference == "parent-changed"


def test_a_missing_parent_is_refused_and_not_zeros(disks, opened):
    base = disks.create("base.vmdk", "vmdk")
    path = disks.create("delta.vmdk", "vmdk", "-b", "base.vmdk", "-F", "vmdk", size_bytes=None, seed=None)
    base.unlink()
    with pytest.raises(ParentRefused) as caught:
        opened(path)
    assert caught.value.reference == "parent-missing"


def test_a_delta_without_a_name_for_its_parent_is_refused(tmp_path, opened):
    (tmp_path / "f.raw").write_bytes(bytes(4096))
    (tmp_path / "d.vmdk").write_text(descriptor('RW 8 FLAT "f.raw" 0', parent_id="00000001"))
    with pytest.raises(ParentRefused) as caught:
        opened(tmp_path / "d.vmdk")
    assert caught.value.reference == "parent-missing"


def test_a_flat_extent_begins_at_its_start_sector(tmp_path, opened, assert_reads_as):
    data = os.urandom(4 * MIB)
    (tmp_path / "flat.vmdk").write_bytes(data)
    (tmp_path / "disk.vmdk").write_text(descriptor('RW 2048 FLAT "flat.vmdk" 4096'))
    assert_reads_as(opened(tmp_path / "disk.vmdk"), data[2 * MIB : 3 * MIB])


def test_a_zero_extent_keeps_what_follows_in_its_place(tmp_path, opened, assert_reads_as):
    data = os.urandom(4 * MIB)
    (tmp_path / "flat.vmdk").write_bytes(data)
    lines = ('RW 2048 FLAT "flat.vmdk" 0', "RW 2048 ZERO", 'RDONLY 1000 FLAT "flat.vmdk" 2048')
    (tmp_path / "disk.vmdk").write_text(descriptor(*lines))
    space = opened(tmp_path / "disk.vmdk")
    assert_reads_as(space, data[:MIB] + bytes(MIB) + data[MIB : MIB + 512_000])
    assert list(space.stored_ranges()) == [Range(0, MIB), Range(2 * MIB, 2 * MIB + 512_000)]


def test_an_extent_smaller_than_a_read_is_served(tmp_path, opened, assert_reads_as):
    data = os.urandom(4096)
    (tmp_path / "flat.vmdk").write_bytes(data)
    (tmp_path / "disk.vmdk").write_text(descriptor(*[f'RW 1 FLAT "flat.vmdk" {n}' for n in (3, 0, 7)]))
    assert_reads_as(opened(tmp_path / "disk.vmdk"), data[1536:2048] + data[:512] + data[3584:])


def test_a_flat_extent_shorter_than_described_is_stored_and_a_fault(tmp_path, opened):
    (tmp_path / "flat.vmdk").write_bytes(b"x" * 1024)
    (tmp_path / "disk.vmdk").write_text(descriptor('RW 8 FLAT "flat.vmdk" 0'))
    space = opened(tmp_path / "disk.vmdk")
    assert list(space.stored_ranges()) == [Range(0, 4096)]
    assert read_bytes(space, 0, 1024) == b"x" * 1024
    with pytest.raises(StructureFault):
        read_bytes(space, 1000, 100)


@pytest.mark.parametrize(
    "line",
    ['RW 8 VMFSRDM "f.raw"', 'RW 8 VMFSRAW "f.raw"', 'RW 8 SESPARSE "f.raw"', 'NOACCESS 8 FLAT "f.raw" 0', 'RW 8 SPARSE "s.vmdk" 63'],
)
def test_an_extent_that_we_do_not_read_is_refused_and_not_left_out(disks, opened, line):
    (disks.folder / "f.raw").write_bytes(bytes(4096))
    disks.create("s.vmdk", "vmdk", seed=None)
    (disks.folder / "disk.vmdk").write_text(descriptor('RW 8 FLAT "f.raw" 0', line))
    with pytest.raises(UnsupportedFormat):
        opened(disks.folder / "disk.vmdk")


@pytest.mark.parametrize("line", ["RW FLAT", 'RW -8 FLAT "f.raw" 0', 'RW 8 FLAT "f.raw', 'rw 8 FLAT "f.raw" 0', "RW 99999999999999999999 ZERO"])
def test_an_extent_that_cannot_be_understood_is_refused_and_not_left_out(tmp_path, opened, line):
    (tmp_path / "f.raw").write_bytes(bytes(4096))
    (tmp_path / "disk.vmdk").write_text(descriptor('RW 8 FLAT "f.raw" 0', line))
    with pytest.raises(SourceError) as caught:
        opened(tmp_path / "disk.vmdk")
    assert caught.value.reference == "damaged-container"


def test_an_extent_without_its_descriptor_is_refused_with_a_hint(disks, opened):
    disks.create("disk.vmdk", "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    with pytest.raises(UnsupportedFormat, match="extent") as caught:
        opened(disks.folder / "disk-s001.vmdk")
    assert "small .vmdk" in caught.value.hint


def test_an_se_sparse_extent_is_refused(tmp_path, opened):
    (tmp_path / "x.vmdk").write_bytes(b"\xbe\xba\xfe\xca\0\0\0\0".ljust(4096, b"\0"))
    with pytest.raises(UnsupportedFormat, match="SE sparse"):
        opened(tmp_path / "x.vmdk")


def test_an_esx_copy_on_write_extent_reads_as_qemu_reads_it(disks, opened, assert_reads_as):
    """Made by hand: two tables of 4,096 entries, grains of one sector, in a scattered order."""
    chance = random.Random(2)
    sectors = 6000
    tables = [[0] * 4096, [0] * 4096]
    data = bytearray()
    first_grain = 8 + 2 * 32
    for number, sector in enumerate(chance.sample(range(sectors), 900)):
        tables[sector // 4096][sector % 4096] = first_grain + number
        data += bytes([chance.randrange(1, 256)]) * 512
    head = b"COWD" + struct.pack("<6I", 1, 3, sectors, 1, 4, 2)
    body = b"".join(struct.pack("<4096I", *table) for table in tables)
    directory = struct.pack("<2I", 8, 8 + 32)
    (disks.folder / "disk-delta.vmdk").write_bytes(head.ljust(2048, b"\0") + directory.ljust(2048, b"\0") + body + data)
    path = disks.folder / "disk.vmdk"
    path.write_text(descriptor(f'RW {sectors} VMFSSPARSE "disk-delta.vmdk"', create_type="vmfsSparse"))
    truth = disks.truth(path)
    assert truth.count(b"\0" * 512) < sectors
    assert_reads_as(opened(path), truth)


def sparse_header(*, capacity: int = 24576, grain: int = 128, entries: int = 512, directory: int = 26, compression: int = 0, flags: int = 3) -> bytes:
    head = b"KDMV" + struct.pack("<IIQQQQIQQQ", 1, flags, capacity, grain, 1, 20, entries, 0, directory, 128)
    return head + b"\0\n \r\n" + struct.pack("<H", compression)


@pytest.mark.parametrize(
    "changes",
    [
        {"capacity": 1 << 63},
        {"capacity": (1 << 64) - 1},
        {"capacity": 1 << 52},
        {"grain": 0},
        {"grain": 3},
        {"grain": 1 << 40},
        {"entries": 0},
        {"entries": 0xFFFFFFFF},
        {"directory": 1 << 62},
        {"directory": (1 << 64) - 1},
        {"compression": 9},
    ],
)
def test_a_sparse_header_that_lies_is_refused(disks, opened, edited, changes):
    path = disks.create("disk.vmdk", "vmdk", seed=None)
    edited(path, 0, sparse_header(**changes))
    with pytest.raises(SourceError):
        opened(path)


def test_a_truncated_sparse_disk_gives_right_bytes_or_a_fault(disks, opened):
    path = disks.create("disk.vmdk", "vmdk", share=1.0)
    truth = disks.truth(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    space = opened(path)
    faults = 0
    for offset in range(0, len(truth), 65536):
        try:
            assert read_bytes(space, offset, 65536) == truth[offset : offset + 65536]
        except StructureFault as fault:
            assert fault.offset == offset
            faults += 1
    assert 0 < faults < len(truth) // 65536


def test_a_truncated_stream_without_a_footer_is_refused(disks, opened, edited):
    reference = disks.create("reference.raw", "raw")
    path = disks.convert(reference, "disk.vmdk", "vmdk", "-o", "subformat=streamOptimized")
    edited(path, 56, b"\xff" * 8)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(SourceError, match="not complete"):
        opened(path)


def test_noise_never_ends_in_anything_but_our_errors(disks):
    sparse = disks.create("sparse.vmdk", "vmdk", share=0.3)
    stream = disks.convert(sparse, "stream.vmdk", "vmdk", "-o", "subformat=streamOptimized")
    for path in (sparse, stream):
        content = path.read_bytes()
        for seed in range(40):
            chance = random.Random(seed)
            damaged = bytearray(content)
            for _ in range(40):
                damaged[chance.choice([chance.randrange(512), chance.randrange(512, 11000), chance.randrange(len(content))])] = chance.randrange(256)
            path.write_bytes(damaged[: chance.choice([len(damaged), chance.randrange(600, len(damaged))])])
            try:
                space = open_space(SourceSpec(str(path)))
                for start, end in list(space.stored_ranges())[:100]:
                    assert 0 <= start < end <= space.size_bytes
                    read_bytes(space, start, min(end - start, 100_000))
                space.close()
            except SnapscanError:
                continue
