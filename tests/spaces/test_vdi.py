from __future__ import annotations

import random
import struct

import pytest

from snapscan.model.errors import SnapscanError, SourceError, StructureFault, UnsupportedFormat
from snapscan.model.snapshot import SourceSpec
from snapscan.model.space import read_bytes
from snapscan.spaces.registry import open_space

MIB = 1 << 20
pytestmark = pytest.mark.images


def test_a_disk_written_out_of_order_is_read_right_by_reads_over_many_blocks(disks, opened, assert_reads_as):
    path = disks.create("disk.vdi", "vdi", share=0.3)
    assert_reads_as(opened(path), disks.truth(path))


def test_blocks_that_were_never_written_are_absent(disks, opened, assert_reads_as):
    path = disks.create("disk.vdi", "vdi", seed=None)
    disks.write(path, "vdi", "write -P 1 7M 4k\nwrite -P 2 3M 4k\nquit\n")
    space = opened(path)
    assert [tuple(r) for r in space.stored_ranges()] == [(3 * MIB, 4 * MIB), (7 * MIB, 8 * MIB)]
    assert_reads_as(space, disks.truth(path))


def test_a_differencing_image_is_refused_and_not_zeros(disks, opened, edited):
    path = disks.create("child.vdi", "vdi", seed=None)
    edited(path, 76, struct.pack("<I", 4))
    with pytest.raises(UnsupportedFormat) as caught:
        opened(path)
    assert caught.value.reference == "differencing-unsupported"


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (368, struct.pack("<Q", 1 << 63)),
        (376, struct.pack("<I", 0)),
        (376, struct.pack("<I", 1 << 31)),
        (376, struct.pack("<I", 3)),
        (384, struct.pack("<I", 0)),
        (384, struct.pack("<I", 0xFFFFFFFF)),
        (340, struct.pack("<I", 0xFFFFFFF0)),
        (68, struct.pack("<I", 0)),
    ],
)
def test_a_header_that_lies_is_refused(disks, opened, edited, at, value):
    path = disks.create("disk.vdi", "vdi", seed=None)
    edited(path, at, value)
    with pytest.raises(SourceError):
        opened(path)


def test_a_truncated_image_gives_right_bytes_or_a_fault(disks, opened):
    path = disks.create("disk.vdi", "vdi", share=1.0)
    truth = disks.truth(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 1000])
    space = opened(path)
    faults = 0
    for offset in range(0, len(truth), 65536):
        try:
            assert read_bytes(space, offset, 65536) == truth[offset : offset + 65536]
        except StructureFault:
            faults += 1
    assert 0 < faults < len(truth) // 65536
    assert any("truncated" in note for note in space.notes)


@pytest.mark.parametrize(("name", "kind"), [("disk.vdi", "vdi"), ("disk.vhdx", "vhdx"), ("disk.vhd", "vhd")])
def test_noise_never_ends_in_anything_but_our_errors(disks, name, kind):
    path = disks.create(name, kind, share=0.2)
    content = path.read_bytes()
    places = [*range(0, 1024), *range(65536, 65700), *range(196608, 196800), *range(MIB * 2, MIB * 2 + 500), *range(len(content) - 512, len(content))]
    for seed in range(40):
        chance = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(12):
            damaged[chance.choice(places) % len(content)] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice([len(damaged), len(damaged), chance.randrange(600, len(damaged))])])
        try:
            space = open_space(SourceSpec(str(path), kind))
            for start, end in list(space.stored_ranges())[:20]:
                read_bytes(space, start, min(end - start, 100_000))
            space.close()
        except SnapscanError:
            continue
