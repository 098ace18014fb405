from __future__ import annotations

import os
import random
import struct
import time
import zlib

import numpy as np
import pytest

from snapscan.model.errors import EncryptedVolume, ParentRefused, SnapscanError, SourceError, StructureFault, UnsupportedFormat
from snapscan.model.snapshot import SourceSpec
from snapscan.model.space import Range, read_bytes
from snapscan.spaces.chain import Source
from snapscan.spaces.file import SourceFile, open_descriptor
from snapscan.spaces.qcow2 import open_qcow2
from snapscan.spaces.registry import open_kind, open_space

MIB = 1 << 20
pytestmark = pytest.mark.images


@pytest.mark.parametrize(
    "options",
    [
        "cluster_size=64k",
        "cluster_size=512",
        "cluster_size=2M",
        "compat=0.10",
        "refcount_bits=1",
        "extended_l2=on,cluster_size=16k",
        "extended_l2=on,cluster_size=128k",
        "extended_l2=on,cluster_size=2M",
        "preallocation=metadata",
        "lazy_refcounts=on",
    ],
)
def test_an_image_written_out_of_order_reads_as_qemu_reads_it(disks, opened, assert_reads_as, options):
    path = disks.create("disk.qcow2", "qcow2", "-o", options)
    reference = disks.create("reference.raw", "raw")
    assert disks.truth(path) == reference.read_bytes()
    space = opened(path)
    assert_reads_as(space, reference.read_bytes())
    assert space.snapshot.kind == "qcow2"


@pytest.mark.parametrize(
    "options", ["compression_type=zlib", "compression_type=zstd", "compression_type=zlib,cluster_size=4k", "extended_l2=on", "cluster_size=2M"]
)
def test_compressed_clusters_are_read(disks, opened, assert_reads_as, options):
    reference = disks.create("reference.raw", "raw")
    path = disks.convert(reference, "disk.qcow2", "qcow2", "-c", "-o", options)
    disks.write(path, "qcow2", "write -P 77 1000000 123000\nquit\n")
    assert_reads_as(opened(path), disks.truth(path))


def test_zero_clusters_hide_the_backing_file(disks, opened, assert_reads_as):
    disks.create("base.qcow2", "qcow2", share=1.0)
    path = disks.create("over.qcow2", "qcow2", "-b", "base.qcow2", "-F", "qcow2", size_bytes=None, seed=None)
    disks.write(path, "qcow2", "write -z 1M 1M\nwrite -z -u 4M 64k\nquit\n")
    truth = disks.truth(path)
    assert not any(truth[MIB : 2 * MIB])
    assert_reads_as(opened(path), truth)


def test_zero_subclusters_hide_the_backing_file(disks, opened, assert_reads_as):
    disks.create("base.qcow2", "qcow2", share=1.0)
    path = disks.create("over.qcow2", "qcow2", "-o", "extended_l2=on,cluster_size=64k", "-b", "base.qcow2", "-F", "qcow2", size_bytes=None, seed=None)
    disks.write(path, "qcow2", "write -z 6k 4k\nwrite -P 3 100k 2k\nwrite -z 131072 1M\nquit\n")
    assert_reads_as(opened(path), disks.truth(path))


@pytest.mark.parametrize("raw", ["on", "off"])
def test_a_data_file_beside_the_image_is_read(disks, opened, assert_reads_as, raw):
    path = disks.create("disk.qcow2", "qcow2", "-o", f"data_file={disks.folder}/disk.data,data_file_raw={raw}")
    space = opened(path)
    assert_reads_as(space, disks.truth(path))
    assert [stamp.path for stamp in space.stamps()] == [str(path), str(disks.folder / "disk.data")]


@pytest.mark.parametrize(("kind", "name"), [("qcow2", "qcow2"), ("raw", "raw"), ("vmdk", "vmdk"), ("vhd", "vpc"), ("vdi", "vdi"), ("vhdx", "vhdx")])
def test_a_backing_file_is_read_in_the_declared_format(disks, opened, assert_reads_as, kind, name):
    options = ("-o", "force_size=on") if kind == "vhd" else ()
    disks.create("base", kind, *options)
    path = disks.create("over.qcow2", "qcow2", "-b", "base", "-F", name, size_bytes=None, seed=8, share=0.2)
    assert_reads_as(opened(path), disks.truth(path))


def test_an_overlay_larger_than_its_backing_reads_zeros_beyond(disks, opened, assert_reads_as):
    disks.create("base.qcow2", "qcow2")
    path = disks.create("over.qcow2", "qcow2", "-b", "base.qcow2", "-F", "qcow2", size_bytes=20 * MIB + 512, seed=8, share=0.2)
    assert_reads_as(opened(path), disks.truth(path))


def test_an_overlay_smaller_than_its_backing_ends_where_it_says(disks, opened, assert_reads_as):
    disks.create("base.qcow2", "qcow2")
    path = disks.create("over.qcow2", "qcow2", "-b", "base.qcow2", "-F", "qcow2", size_bytes=5 * MIB - 512, seed=None)
    assert_reads_as(opened(path), disks.truth(path))


def test_a_chain_of_ten_is_read_and_stamped(disks, opened, assert_reads_as):
    disks.create("0.qcow2", "qcow2")
    for number in range(1, 10):
        disks.create(f"{number}.qcow2", "qcow2", "-b", f"{number - 1}.qcow2", "-F", "qcow2", size_bytes=None, seed=number, share=0.05)
    space = opened(disks.folder / "9.qcow2")
    assert_reads_as(space, disks.truth(disks.folder / "9.qcow2"))
    assert [stamp.path.rsplit("/", 1)[1] for stamp in space.stamps()] == [f"{number}.qcow2" for number in range(9, -1, -1)]


def test_a_backing_file_declared_raw_is_raw_although_it_begins_like_qcow2(disks, opened, assert_reads_as):
    inner = disks.create("base.img", "qcow2")
    path = disks.create("over.qcow2", "qcow2", "-b", "base.img", "-F", "raw", size_bytes=None, seed=None)
    space = opened(path)
    assert read_bytes(space, 0, 4) == b"QFI\xfb"
    assert_reads_as(space, disks.truth(path))
    assert space.size_bytes == -(-inner.stat().st_size // 512) * 512


def test_a_backing_file_without_a_format_is_refused_and_not_probed(disks, opened, edited):
    disks.create("base.qcow2", "qcow2", seed=None)
    path = disks.create("over.qcow2", "qcow2", "-b", "base.qcow2", "-F", "qcow2", size_bytes=None, seed=None)
    at = path.read_bytes().index(b"\xe2\x79\x2a\xca")
    edited(path, at, b"\x12\x34\x56\x78")
    with pytest.raises(ParentRefused, match="which format") as caught:
        opened(path)
    assert caught.value.reference == "parent-refused" and "rebase" in caught.value.hint


def test_a_backing_format_that_we_do_not_know_is_refused(disks, opened, edited):
    disks.create("base.qcow2", "qcow2", seed=None)
    path = disks.create("over.qcow2", "qcow2", "-b", "base.qcow2", "-F", "qcow2", size_bytes=None, seed=None)
    at = path.read_bytes().index(b"\xe2\x79\x2a\xca")
    edited(path, at + 8, b"nbd\0\0")
    with pytest.raises(ParentRefused):
        opened(path)


def test_a_missing_backing_file_is_refused_and_not_zeros(disks, opened):
    base = disks.create("base.qcow2", "qcow2")
    path = disks.create("over.qcow2", "qcow2", "-b", "base.qcow2", "-F", "qcow2", size_bytes=None, seed=None)
    base.unlink()
    with pytest.raises(ParentRefused) as caught:
        opened(path)
    assert caught.value.reference == "parent-missing"


def test_internal_snapshots_are_noted_and_can_be_opened(disks, opened, assert_reads_as):
    path = disks.create("disk.qcow2", "qcow2", seed=1)
    disks.qemu_img("snapshot", "-c", "one", path)
    disks.write(path, "qcow2", "write -P 9 0 3M\nquit\n")
    disks.qemu_img("resize", "-q", path, "16M")
    disks.write(path, "qcow2", "write -P 8 13M 1M\nquit\n")
    active = opened(path)
    assert_reads_as(active, disks.truth(path))
    assert any("1 internal snapshots" in note for note in active.notes)
    source = Source(SourceFile(open_descriptor(str(path)), str(path)), (str(disks.folder),), open_kind)
    state = open_qcow2(source, "one")
    truth = disks.truth(path, "-l", "snapshot.name=one")  # as long as the active state; the snapshot was taken of 12 MiB
    assert_reads_as(state, truth[: 12 * MIB])
    state.close()


def test_an_unknown_state_is_refused(disks):
    path = disks.create("disk.qcow2", "qcow2", seed=None)
    source = Source(SourceFile(open_descriptor(str(path)), str(path)), (str(disks.folder),), open_kind)
    with pytest.raises(SourceError, match="no internal snapshot"):
        open_qcow2(source, "nothing")
    source.file.close()


@pytest.mark.parametrize(("method", "name"), [(1, "AES"), (2, "LUKS"), (9, "method 9")])
def test_an_encrypted_image_is_refused_by_name(disks, opened, edited, method, name):
    path = disks.create("disk.qcow2", "qcow2", seed=None)
    edited(path, 32, struct.pack(">I", method))
    with pytest.raises(EncryptedVolume, match=name):
        opened(path)


# Damage and lies


def header(size: int = MIB, *, cluster_bits: int = 16, l1_entries: int = 1, l1_at: int = 0x10000, version: int = 3, incompatible: int = 0) -> bytes:
    fixed = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQ", version, 0, 0, cluster_bits, size, 0, l1_entries, l1_at, 0, 0, 0, 0)
    return fixed + struct.pack(">QQQII", incompatible, 0, 0, 4, 104) + bytes(8)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"size": 1 << 63}, SourceError),
        ({"size": (1 << 64) - 1}, SourceError),
        ({"size": 1 << 60, "l1_entries": 0xFFFFFFFF}, SourceError),
        ({"size": 1 << 60, "cluster_bits": 21, "l1_entries": 0xFFFFFFFF}, SourceError),
        ({"l1_entries": 0}, SourceError),
        ({"l1_at": 1 << 62}, SourceError),
        ({"l1_at": 0x10007}, SourceError),
        ({"l1_at": (1 << 64) - 8}, SourceError),
        ({"cluster_bits": 8}, SourceError),
        ({"cluster_bits": 22}, SourceError),
        ({"cluster_bits": 0xFFFFFFFF}, SourceError),
        ({"version": 1}, UnsupportedFormat),
        ({"version": 4}, UnsupportedFormat),
        ({"incompatible": 1 << 5}, UnsupportedFormat),
        ({"incompatible": 1 << 63}, UnsupportedFormat),
        ({"incompatible": 4}, ParentRefused),
        ({"incompatible": 16, "cluster_bits": 9}, SourceError),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, changes, error):
    path = tmp_path / "disk.qcow2"
    path.write_bytes(header(**changes).ljust(0x20000, b"\0"))
    with pytest.raises(error):
        open_space(SourceSpec(str(path)))


@pytest.mark.parametrize("length", [4, 40, 71, 103, 0x10000, 0x10007])
def test_a_file_that_ends_before_its_tables_is_refused(tmp_path, length):
    path = tmp_path / "disk.qcow2"
    path.write_bytes(header().ljust(0x20000, b"\0")[:length])
    with pytest.raises(SourceError):
        open_space(SourceSpec(str(path)))


def test_a_second_table_outside_the_file_makes_its_clusters_stored_and_unreadable(tmp_path, opened):
    path = tmp_path / "disk.qcow2"
    path.write_bytes((header(1 << 30, l1_entries=2).ljust(0x10000, b"\0") + struct.pack(">QQ", 0, 1 << 40)).ljust(0x20000, b"\0"))
    space = opened(path)
    half = 1 << 29
    assert list(space.stored_ranges()) == [Range(half, 2 * half)]
    assert read_bytes(space, half - 512, 512) == bytes(512)
    with pytest.raises(StructureFault):
        read_bytes(space, half, 1)


@pytest.mark.parametrize("place", [1 << 40, 0x30200, 0x50000])
def test_a_cluster_outside_the_file_or_misplaced_is_stored_and_unreadable(tmp_path, opened, place):
    path = tmp_path / "disk.qcow2"
    tables = struct.pack(">Q", 0x20000).ljust(0x10000, b"\0") + struct.pack(">QQ", place, 0x40000).ljust(0x10000, b"\0")
    path.write_bytes(header(1 << 20).ljust(0x10000, b"\0") + tables + b"\x11" * 0x20000)
    space = opened(path)
    assert list(space.stored_ranges()) == [Range(0, 0x20000)]
    with pytest.raises(StructureFault) as caught:
        read_bytes(space, 100, 100)
    assert caught.value.offset == 100
    assert read_bytes(space, 0x10000, 0x10000) == b"\x11" * 0x10000
    assert read_bytes(space, 0x20000, 512) == bytes(512)


def test_a_small_file_that_claims_an_exabyte_is_opened_in_bounded_time_and_memory(tmp_path, opened):
    entries = 1 << 21  # for 2^60 bytes in clusters of 2 MiB: one second table named again and again
    cluster = 2 * MIB
    path = tmp_path / "disk.qcow2"
    with path.open("wb") as out:
        out.write(header(1 << 60, cluster_bits=21, l1_entries=entries, l1_at=cluster))
        out.seek(cluster)
        out.write(struct.pack(">Q", 10 * cluster) * entries)
        out.seek(10 * cluster)
        out.write(struct.pack(">Q", 11 * cluster) * (cluster // 8))
        out.truncate(12 * cluster)
    began = time.monotonic()
    space = opened(path)
    assert list(space.stored_ranges()) == [Range(0, 1 << 60)]
    assert time.monotonic() - began < 3
    with pytest.raises(StructureFault):
        read_bytes(space, 1 << 59, 4096)


def test_a_truncated_image_gives_right_bytes_or_a_fault(disks, opened):
    path = disks.create("disk.qcow2", "qcow2", share=1.0)
    truth = disks.truth(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    space = opened(path)
    faults = 0
    for offset in range(0, len(truth), 65536):
        try:
            assert read_bytes(space, offset, 65536) == truth[offset : offset + 65536]
        except StructureFault:
            faults += 1
    assert 0 < faults < len(truth) // 65536
    assert sum(r.length for r in space.stored_ranges()) == len(truth)


def test_damaged_compressed_clusters_are_faults(disks, opened):
    reference = disks.create("reference.raw", "raw", share=1.0)
    path = disks.convert(reference, "disk.qcow2", "qcow2", "-c")
    content = bytearray(path.read_bytes())
    chance = random.Random(5)
    for _ in range(400):
        content[chance.randrange(0x50000, len(content))] ^= 0xFF
    path.write_bytes(content)
    space = opened(path)
    outcomes = set()
    for offset in range(0, space.size_bytes, 65536):
        try:
            read_bytes(space, offset, 65536)
            outcomes.add("read")
        except StructureFault as fault:
            assert fault.offset == offset
            outcomes.add("fault")
    assert outcomes == {"read", "fault"}


def test_a_compressed_cluster_that_swells_is_cut_at_its_cluster(tmp_path, opened):
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    bomb = packer.compress(bytes(64 * MIB)) + packer.flush()
    sectors = len(bomb) // 512
    entry = 1 << 62 | sectors << (62 - 8) | 0x30000
    tables = struct.pack(">Q", 0x20000).ljust(0x10000, b"\0") + struct.pack(">Q", entry).ljust(0x10000, b"\0")
    path = tmp_path / "disk.qcow2"
    path.write_bytes(header(1 << 20).ljust(0x10000, b"\0") + tables + bomb)
    assert read_bytes(opened(path), 0, 0x10000) == bytes(0x10000)


@pytest.mark.parametrize(("bit", "word"), [(1, "dirty"), (2, "corrupt")])
def test_dirty_and_corrupt_marks_are_noted(tmp_path, opened, bit, word):
    path = tmp_path / "disk.qcow2"
    path.write_bytes(header(incompatible=bit).ljust(0x20000, b"\0"))
    assert any(word in note for note in opened(path).notes)


def test_noise_in_the_tables_never_ends_in_anything_but_our_errors(disks):
    path = disks.create("disk.qcow2", "qcow2", share=0.3)
    content = path.read_bytes()
    for seed in range(40):
        chance = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(60):
            damaged[chance.randrange(0, 0x60000 if chance.random() < 0.7 else 112)] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice([len(damaged), chance.randrange(200, len(damaged))])])
        try:
            space = open_space(SourceSpec(str(path)))
            for start, end in list(space.stored_ranges())[:200]:
                assert 0 <= start < end <= space.size_bytes
                read_bytes(space, start, min(end - start, 100_000))
            space.close()
        except SnapscanError:
            continue


def test_a_disk_of_no_bytes_is_an_empty_space(tmp_path, opened):
    path = tmp_path / "disk.qcow2"
    path.write_bytes(header(0).ljust(0x20000, b"\0"))
    space = opened(path)
    assert space.size_bytes == 0 and list(space.stored_ranges()) == [] and len(space.gather(np.zeros(0, dtype=np.int64))) == 0


def test_a_table_that_can_no_longer_be_read_makes_its_clusters_stored(tmp_path, opened):
    path = tmp_path / "disk.qcow2"
    path.write_bytes((header(1 << 20).ljust(0x10000, b"\0") + struct.pack(">Q", 0x20000)).ljust(0x40000, b"\0"))
    space = opened(path)
    os.truncate(path, 0x20000)
    assert list(space.stored_ranges()) == [Range(0, 1 << 20)]
    with pytest.raises(StructureFault):
        read_bytes(space, 0x50000, 512)
    assert space.gather(np.array([5, 70_000])).tolist() == [0, 0]
