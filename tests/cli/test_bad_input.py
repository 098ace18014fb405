"""Bad input, as a user meets it: a clear error with a hint, or a ledger row, a view, a gap; never a traceback, never exit 0 with bytes unread."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest

MIB = 1 << 20


def image(path: Path, tree: Path, size: str = "8M", *options: str) -> Path:
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), *options, str(path), size], check=True, capture_output=True)
    return path


def qemu(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def summary(found: dict) -> dict:
    (record,) = found["summary"]
    outcomes = ("swept", "absent", "excluded", "unread", "lost")
    assert sum(record[outcome] for outcome in outcomes) == record["size_bytes"]
    return record


def test_missing_source(snapscan) -> None:
    done = snapscan("scan", "no-such.img")
    assert done.code == 4 and "error: not-found" in done.err and "hint:" in done.err


def test_fifo_and_socket_are_refused(snapscan, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "sock"))
    for name in ("pipe", "sock"):
        done = snapscan("scan", name, "--case", f"case-{name}")
        assert done.code == 4 and "hint:" in done.err
    server.close()


def test_fifo_in_a_folder_is_named_and_does_no_harm(records, tree) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "link").symlink_to("/etc/passwd")
    found, code = records(tree)
    assert code == 1 and summary(found)["complete"]


def test_empty_file_and_random_bytes_are_raw(records, tmp_path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "noise").write_bytes(random.Random(1).randbytes(3 * MIB + 17))
    found, code = records("empty", "--case", "a")
    assert code == 0 and summary(found)["size_bytes"] == 0
    found, code = records("noise", "--case", "b")
    assert code == 0 and summary(found)["swept"] == 3 * MIB + 17


@pytest.mark.images
def test_truncated_image_gives_what_is_there_and_says_what_is_not(records, tree, tmp_path, token) -> None:
    raw = image(tmp_path / "disk.raw", tree)
    qemu("convert", "-O", "qcow2", raw, tmp_path / "disk.qcow2")
    data = (tmp_path / "disk.qcow2").read_bytes()
    (tmp_path / "cut.qcow2").write_bytes(data[: len(data) * 2 // 3])
    found, code = records("cut.qcow2")
    record = summary(found)
    assert record["unread"] > 0 and not record["complete"]
    assert code in (1, 3)
    assert found["ledger"]


@pytest.mark.images
def test_truncated_raw_disk_has_a_gap(records, tree, tmp_path) -> None:
    raw = image(tmp_path / "disk.raw", tree)
    with raw.open("r+b") as file:
        file.truncate(3 * MIB)
    found, code = records("disk.raw")
    assert code in (1, 3) and not summary(found)["complete"]


@pytest.mark.images
@pytest.mark.parametrize("what", ["superblock", "inodes", "descriptors", "directory"])
def test_damaged_filesystem_costs_names_never_bytes(what: str, records, tree, tmp_path, token) -> None:
    raw = image(tmp_path / "disk.raw", tree)
    data = bytearray(raw.read_bytes())
    noise = random.Random(what)
    if what == "superblock":
        data[1024:2048] = noise.randbytes(1024)
    elif what == "descriptors":
        data[2048:4096] = noise.randbytes(2048)
    elif what == "inodes":
        at = struct.unpack_from("<I", data, 2048 + 8)[0] * 1024
        data[at + 1024 : at + 9000] = noise.randbytes(9000 - 1024)
    else:
        at = data.find(b"app.env") - 40
        data[at : at + 900] = noise.randbytes(900)
    raw.write_bytes(data)
    found, code = records("disk.raw")
    assert code == 1
    assert [row["rule"] for row in found["finding"]] == ["github.token"]
    assert summary(found)["unread"] == 0


@pytest.mark.images
@pytest.mark.parametrize("name", ["/etc/shadow", "../../../etc/shadow", "https://example.com/base.img", "link.img", "json:{}"])
def test_backing_file_that_names_something_of_this_machine_is_refused(name: str, snapscan, tmp_path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "link.img").symlink_to("/etc/shadow")
    qemu("create", "-q", "-f", "qcow2", folder / "disk.qcow2", "1M")
    qemu("rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", name, folder / "disk.qcow2") if not name.startswith(("https", "json")) else plant_backing(
        folder / "disk.qcow2", name
    )
    done = snapscan("scan", folder / "disk.qcow2")
    assert done.code == 4 and "parent-" in done.err and "hint:" in done.err
    assert "root:" not in done.out + done.err


def plant_backing(path: Path, name: str) -> None:
    """Write a backing file name into a qcow2 header by hand: qemu-img would try to open it."""
    qemu("create", "-q", "-f", "raw", path.with_name("base"), "1M")
    qemu("rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "base", path)
    data = bytearray(path.read_bytes())
    offset, _ = struct.unpack_from(">QI", data, 8)
    data[offset : offset + len(name)] = name.encode()
    struct.pack_into(">I", data, 16, len(name))
    path.write_bytes(data)


def test_vmdk_parent_of_this_machine_is_refused(snapscan, tmp_path) -> None:
    (tmp_path / "disk.vmdk").write_text(
        '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=00000001\ncreateType="monolithicFlat"\nparentFileNameHint="/etc/shadow"\n'
        'RW 2048 FLAT "disk-flat.vmdk" 0\n'
    )
    (tmp_path / "disk-flat.vmdk").write_bytes(bytes(MIB))
    done = snapscan("scan", "disk.vmdk")
    assert done.code == 4 and "parent-" in done.err


@pytest.mark.parametrize("size", [2**63, 2**63 - 1, 2**62])
def test_claimed_sizes_take_no_memory(size: int, records, tmp_path) -> None:
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, size, 0, 1, 65536, 131072, 1, 0, 0, 0, 0, 0, 4, 104)
    (tmp_path / "big.qcow2").write_bytes(header.ljust(3 * 65536, b"\0"))
    found, code = records("big.qcow2")
    assert code in (3, 4)
    if found:
        assert not summary(found)["complete"]


def test_bombs_are_refused_within_the_budget(records, tree, tmp_path) -> None:
    (tmp_path / "snapscan.yml").write_text("limits: {view: {decoded_bytes: 64MiB, ratio_floor_bytes: 1MiB, ratio: 100}}\n")
    bomb = tree / "zeros.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        for _ in range(128):
            file.write(bytes(MIB))
    found, code = records(tree, "--policy", "snapscan.yml")
    (view,) = found["view"]
    assert (view["outcome"], view["reason"]) == ("partly", "expansion-limit")
    assert code == 1 and not summary(found)["complete"]


def test_damaged_and_encrypted_archives_pass_by_default_and_are_listed(records, tmp_path) -> None:
    folder = tmp_path / "clean"
    folder.mkdir()
    whole = gzip.compress(random.Random(2).randbytes(50_000))
    (folder / "cut.gz").write_bytes(whole[:30_000])
    found, code = records(folder)
    assert code == 0
    assert [(row["outcome"], row["reason"]) for row in found["view"]] == [("partly", "truncated")]


def test_names_of_odd_bytes_are_reported_on_one_line(records, tmp_path, token) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    name = bytes(sorted(set(range(1, 256)) - {0x2F}))
    (folder / os.fsdecode(name)).write_text(token)
    found, code = records(folder)
    assert code == 1
    (sighting,) = found["sighting"]
    from snapscan.model.locator import parse

    assert parse(sighting["locator"]).path == name


def test_full_output_disk_ends_with_5_and_loses_nothing_that_was_stored(snapscan, tree, tmp_path) -> None:
    assert os.getuid() == 0, "needs root for a small tmpfs"
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "none", str(small)], check=True)
    try:
        for number in range(3000):
            (tree / f"file-{number}-with-a-long-name-to-fill-the-map").write_text("x")
        done = snapscan("scan", tree, "--case", small / "case", "--progress", "off")
        assert done.code == 5, done.err
        assert "hint:" in done.err
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.images
def test_image_is_not_changed_by_a_scan(records, tree, tmp_path) -> None:
    import hashlib

    raw = image(tmp_path / "disk.raw", tree)
    before = hashlib.sha256(raw.read_bytes()).digest(), raw.stat().st_mtime_ns
    records("disk.raw")
    assert (hashlib.sha256(raw.read_bytes()).digest(), raw.stat().st_mtime_ns) == before


def test_tools_are_there() -> None:
    for tool in ("mke2fs", "qemu-img"):
        assert shutil.which(tool), f"{tool} is missing: apt-get install e2fsprogs qemu-utils"
