from __future__ import annotations

import struct

import pytest

from snapscan.model.errors import SourceError, StructureFault, UnsupportedFormat
from snapscan.model.space import read_bytes

MIB = 1 << 20
pytestmark = pytest.mark.images


@pytest.mark.parametrize("options", ["force_size=on", "subformat=fixed,force_size=on"])
def test_a_disk_written_out_of_order_reads_as_qemu_reads_it(disks, opened, assert_reads_as, options):
    path = disks.create("disk.vhd", "vhd", "-o", options)
    reference = disks.create("reference.raw", "raw")
    space = opened(path)
    assert space.snapshot.kind == "vhd"
    assert_reads_as(space, reference.read_bytes())


def test_blocks_that_were_never_written_are_absent(disks, opened):
    path = disks.create("disk.vhd", "vhd", "-o", "force_size=on", seed=None)
    disks.write(path, "vhd", "write -P 1 7M 4k\nquit\n")
    assert [tuple(r) for r in opened(path).stored_ranges()] == [(6 * MIB, 8 * MIB)]


def signed(footer: bytes) -> bytes:
    """The footer with the right checksum."""
    bare = footer[:64] + bytes(4) + footer[68:]
    return footer[:64] + struct.pack(">I", ~sum(bare) & 0xFFFFFFFF) + footer[68:]


def test_a_differencing_disk_is_refused_and_not_zeros(disks, opened, edited):
    path = disks.create("child.vhd", "vhd", "-o", "force_size=on", seed=None)
    footer = path.read_bytes()[-512:]
    footer = signed(footer[:60] + struct.pack(">I", 4) + footer[64:])
    edited(path, -512, footer)
    edited(path, 0, footer)
    with pytest.raises(UnsupportedFormat) as caught:
        opened(path)
    assert caught.value.reference == "differencing-unsupported"


@pytest.mark.parametrize(("at", "value"), [(48, 1 << 63), (48, (1 << 64) - 512), (48, 1 << 50), (16, 1 << 62), (16, 7)])
def test_a_footer_that_lies_is_refused(disks, opened, edited, at, value):
    path = disks.create("disk.vhd", "vhd", "-o", "force_size=on", seed=None)
    footer = path.read_bytes()[-512:]
    edited(path, -512, signed(footer[:at] + struct.pack(">Q", value) + footer[at + 8 :]))
    with pytest.raises(SourceError):
        opened(path)


@pytest.mark.parametrize(("at", "value"), [(16, 1 << 62), (28, 0), (28, 0xFFFFFFFF), (32, 0), (32, 3), (32, 1 << 31)])
def test_a_header_that_lies_is_refused(disks, opened, edited, at, value):
    path = disks.create("disk.vhd", "vhd", "-o", "force_size=on", seed=None)
    edited(path, 512 + at, struct.pack(">Q" if at == 16 else ">I", value))
    if (at, value) == (28, 0xFFFFFFFF):  # more entries than are needed harm nobody
        assert opened(path).size_bytes == 12 * MIB
        return
    with pytest.raises(SourceError):
        opened(path)


def test_a_truncated_dynamic_disk_is_read_by_the_copy_of_its_footer(disks, opened):
    path = disks.create("disk.vhd", "vhd", "-o", "force_size=on", share=1.0)
    truth = disks.truth(path, "-f", "vpc")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    space = opened(path)
    assert any("footer" in note for note in space.notes)
    faults = 0
    for offset in range(0, len(truth), 65536):
        try:
            assert read_bytes(space, offset, 65536) == truth[offset : offset + 65536]
        except StructureFault:
            faults += 1
    assert 0 < faults < len(truth) // 65536


def test_a_vhd_without_any_footer_is_refused(tmp_path, opened):
    (tmp_path / "disk.vhd").write_bytes(b"conectix" + bytes(5000))
    with pytest.raises(SourceError):
        opened(tmp_path / "disk.vhd")
