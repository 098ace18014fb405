from __future__ import annotations

import struct

import pytest

from snapscan.model.errors import SourceError, StructureFault, UnsupportedFormat
from snapscan.model.space import read_bytes
from snapscan.spaces.vhdx import FILE_PARAMETERS, METADATA, crc32c

MIB = 1 << 20
KIB = 1 << 10


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C in RFC 3720, B.4, and in every catalogue of CRCs


@pytest.mark.images
@pytest.mark.parametrize("options", ["block_size=1M", "block_size=8M", "block_size=1M,subformat=fixed"])
def test_a_disk_written_out_of_order_is_read_right_by_reads_that_cross_blocks(disks, opened, assert_reads_as, options):
    path = disks.create("disk.vhdx", "vhdx", "-o", options, share=0.3)
    assert_reads_as(opened(path), disks.truth(path))


@pytest.mark.images
def test_a_disk_with_entries_for_sector_bitmaps_in_its_block_table_is_read(disks, opened):
    """With blocks of 1 MiB every 4,097th entry is one: the disk must be larger than 4 GiB."""
    path = disks.create("disk.vhdx", "vhdx", "-o", "block_size=1M", size_bytes=5 << 30, seed=None)
    disks.write(path, "vhdx", "write -P 5 4400M 64k\nwrite -P 6 1M 64k\nwrite -P 7 4095M 1M\nwrite -P 8 4096M 1M\nquit\n")
    space = opened(path)
    assert [tuple(r) for r in space.stored_ranges()] == [(MIB, 2 * MIB), (4095 * MIB, 4097 * MIB), (4400 * MIB, 4401 * MIB)]
    assert read_bytes(space, 4400 * MIB - 3, 6) == b"\0\0\0\5\5\5"
    assert read_bytes(space, 4096 * MIB - 3, 6) == b"\7\7\7\x08\x08\x08"


def headers_changed(content: bytearray, at: int, data: bytes) -> bytearray:
    """Both headers with other bytes and the right checksum."""
    for start in (64 * KIB, 128 * KIB):
        content[start + at : start + at + len(data)] = data
        bare = bytes(content[start : start + 4]) + bytes(4) + bytes(content[start + 8 : start + 4 * KIB])
        content[start + 4 : start + 8] = struct.pack("<I", crc32c(bare))
    return content


@pytest.mark.images
def test_a_log_that_was_not_replayed_is_refused(disks, opened):
    path = disks.create("disk.vhdx", "vhdx", seed=None)
    path.write_bytes(headers_changed(bytearray(path.read_bytes()), 48, b"\x11" * 16))
    with pytest.raises(UnsupportedFormat) as caught:
        opened(path)
    assert caught.value.reference == "vhdx-log-not-replayed"


@pytest.mark.images
def test_a_differencing_disk_is_refused_and_not_zeros(disks, opened):
    path = disks.create("disk.vhdx", "vhdx", seed=None)
    content = bytearray(path.read_bytes())
    region = content.index(METADATA.bytes_le, 192 * KIB)
    metadata = struct.unpack_from("<Q", content, region + 16)[0]
    item = content.index(FILE_PARAMETERS.bytes_le, metadata)
    struct.pack_into("<I", content, metadata + struct.unpack_from("<I", content, item + 16)[0] + 4, 2)
    path.write_bytes(content)
    with pytest.raises(UnsupportedFormat) as caught:
        opened(path)
    assert caught.value.reference == "differencing-unsupported"


@pytest.mark.images
@pytest.mark.parametrize("damage", ["header", "region", "metadata", "short"])
def test_damaged_tables_are_refused(disks, opened, edited, damage):
    path = disks.create("disk.vhdx", "vhdx", seed=None)
    if damage == "header":
        edited(path, 64 * KIB + 100, b"x")
        edited(path, 128 * KIB + 100, b"x")
    elif damage == "region":
        edited(path, 192 * KIB + 8, struct.pack("<I", 0xFFFFFFFF))
    elif damage == "metadata":
        at = path.read_bytes().index(b"metadata", 256 * KIB)
        edited(path, at + 10, struct.pack("<H", 0xFFFF))
    else:
        path.write_bytes(path.read_bytes()[: 300 * KIB])
    with pytest.raises(SourceError):
        opened(path)


@pytest.mark.images
def test_a_truncated_disk_gives_right_bytes_or_a_fault(disks, opened):
    path = disks.create("disk.vhdx", "vhdx", "-o", "block_size=1M", share=1.0)
    truth = disks.truth(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    space = opened(path)
    faults = 0
    for offset in range(0, len(truth), 65536):
        try:
            assert read_bytes(space, offset, 65536) == truth[offset : offset + 65536]
        except StructureFault:
            faults += 1
    assert 0 < faults < len(truth) // 65536
