from __future__ import annotations

import os
import subprocess

import pytest

from snapscan.model.errors import MediaFault, NotFound
from snapscan.model.space import Range, read_bytes


def test_a_file_is_read_as_it_is(tmp_path, opened, assert_reads_as):
    content = os.urandom(3_000_001)
    (tmp_path / "disk.img").write_bytes(content)
    assert_reads_as(opened(tmp_path / "disk.img"), content)


def test_holes_are_absent(tmp_path, opened, assert_reads_as):
    path = tmp_path / "disk.img"
    with path.open("wb") as out:
        out.truncate(8 << 20)
        out.seek(2 << 20)
        out.write(b"\xaa" * 65536)
    space = opened(path)
    assert list(space.stored_ranges()) == [Range(2 << 20, (2 << 20) + 65536)]
    assert_reads_as(space, path.read_bytes())


def test_an_empty_file_is_an_empty_space(tmp_path, opened):
    (tmp_path / "disk.img").write_bytes(b"")
    space = opened(tmp_path / "disk.img")
    assert space.size_bytes == 0 and list(space.stored_ranges()) == [] and read_bytes(space, 0, 10) == b""


def test_a_file_that_shrinks_is_a_media_fault_and_not_old_bytes(tmp_path, opened):
    path = tmp_path / "disk.img"
    path.write_bytes(b"x" * 100_000)
    space = opened(path)
    os.truncate(path, 50_000)
    with pytest.raises(MediaFault) as caught:
        read_bytes(space, 40_000, 20_000)
    assert (caught.value.offset, caught.value.length) == (40_000, 20_000)
    assert read_bytes(space, 0, 50_000) == b"x" * 50_000


@pytest.mark.parametrize("first", [0, 1])
def test_numbered_parts_are_one_space(tmp_path, opened, assert_reads_as, first):
    content = os.urandom(700_000)
    for number in range(4):
        (tmp_path / f"disk.img.{number + first:03d}").write_bytes(content[number * 200_000 : (number + 1) * 200_000])
    space = opened(tmp_path / f"disk.img.{first:03d}")
    assert_reads_as(space, content)
    assert [stamp.size_bytes for stamp in space.stamps()] == [200_000, 200_000, 200_000, 100_000]


def test_a_fault_in_a_later_part_has_the_offset_of_the_space(tmp_path, opened):
    for number in (1, 2):
        (tmp_path / f"d.{number:03d}").write_bytes(b"x" * 1000)
    space = opened(tmp_path / "d.001")
    os.truncate(tmp_path / "d.002", 10)
    with pytest.raises(MediaFault) as caught:
        read_bytes(space, 500, 1000)
    assert caught.value.offset == 1000


def test_a_gap_in_the_numbers_is_refused(tmp_path, opened):
    for number in (1, 2, 4):
        (tmp_path / f"d.{number:03d}").write_bytes(b"x")
    with pytest.raises(NotFound, match=r"d\.003"):
        opened(tmp_path / "d.001")


def test_a_first_part_alone_is_a_file_like_any_other(tmp_path, opened):
    (tmp_path / "d.001").write_bytes(b"abc")
    assert read_bytes(opened(tmp_path / "d.001"), 0, 3) == b"abc"


@pytest.mark.images
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a loop device")
def test_a_block_device_has_its_size_and_is_all_stored(tmp_path, opened, assert_reads_as):
    content = os.urandom(1 << 20)
    (tmp_path / "disk.img").write_bytes(content)
    made = subprocess.run(["losetup", "-f", "--show", "-r", str(tmp_path / "disk.img")], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    try:
        space = opened(made.stdout.strip())
        assert list(space.stored_ranges()) == [Range(0, 1 << 20)]
        assert_reads_as(space, content)
        space.close()
    finally:
        subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


@pytest.mark.images
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a loop device")
def test_a_container_on_a_block_device_is_read(disks, opened, assert_reads_as):
    path = disks.create("disk.qcow2", "qcow2")
    truth = disks.truth(path)
    made = subprocess.run(["losetup", "-f", "--show", "-r", str(path)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    try:
        space = opened(made.stdout.strip())
        assert space.snapshot.kind == "qcow2"
        assert_reads_as(space, truth)
        space.close()
    finally:
        subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


def test_the_stamp_tells_the_file_and_its_time(tmp_path, opened):
    path = tmp_path / "disk.img"
    path.write_bytes(b"abc")
    (stamp,) = opened(path).stamps()
    status = path.stat()
    assert (stamp.path, stamp.inode, stamp.size_bytes, stamp.mtime_ns) == (str(path), status.st_ino, 3, status.st_mtime_ns)
