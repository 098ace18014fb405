from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from snapscan.model.errors import MediaFault, SourceChanged, StoreError
from snapscan.model.owner import OwnerKind, OwnerMap
from snapscan.model.snapshot import SourceSpec
from snapscan.model.space import Range, read_bytes
from snapscan.spaces.folder import FolderSpace
from snapscan.spaces.listing import walk
from snapscan.spaces.registry import open_space

MIB = 1 << 20


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a" / "one").write_bytes(b"11111")
    (root / "a" / "deep" / "two").write_bytes(b"22")
    (root / "a-b").write_bytes(b"3" * 70_000)
    (root / "a.nothing").write_bytes(b"")
    (root / os.fsdecode(b"z\xff\n")).write_bytes(b"bytes")
    return root


def laid_out(root: Path) -> bytes:
    files = sorted(os.fsencode(str(path.relative_to(root))) for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return b"".join((root / os.fsdecode(name)).read_bytes() + b"\0" for name in files)


def test_files_lie_end_to_end_in_the_order_of_their_paths_with_a_byte_between(tree, opened, assert_reads_as):
    space = opened(tree)
    assert space.snapshot.kind == "folder" and space.snapshot.label == "root"
    assert space.listing.paths == [b"a-b", b"a.nothing", b"a/deep/two", b"a/one", b"z\xff\n"]
    assert_reads_as(space, laid_out(tree))


def test_the_byte_between_two_files_is_absent(tree, opened):
    ranges = list(opened(tree).stored_ranges())
    assert ranges[0] == Range(0, 70_000)
    assert ranges[1:] == [Range(70_002, 70_004), Range(70_005, 70_010), Range(70_011, 70_016)]


def test_an_empty_folder_is_an_empty_space(tmp_path, opened):
    (tmp_path / "root").mkdir()
    space = opened(tmp_path / "root")
    assert space.size_bytes == 0 and list(space.stored_ranges()) == [] and space.owner_map().owners == 1


def test_links_are_not_followed(tree, opened, tmp_path):
    (tmp_path / "secret").write_bytes(b"SECRET")
    (tree / "link").symlink_to(tmp_path / "secret")
    (tree / "loop").symlink_to(tree)
    (tree / "up").symlink_to("..")
    space = opened(tree)
    assert b"SECRET" not in read_bytes(space, 0, space.size_bytes)
    assert len(space.listing.paths) == 5


def test_a_file_replaced_by_a_link_is_not_followed(tree, opened, tmp_path):
    (tmp_path / "secret").write_bytes(b"SECRE")
    space = opened(tree)
    (tree / "a" / "one").unlink()
    (tree / "a" / "one").symlink_to(tmp_path / "secret")
    with pytest.raises(MediaFault):
        read_bytes(space, 70_005, 5)


def test_what_has_no_bytes_of_its_own_is_named(tree, opened):
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "sock"))
        space = opened(tree)
    assert [tuple(item) for item in space.skipped] == [(b"pipe", "fifo"), (b"sock", "socket")]
    assert len(space.listing.paths) == 5


def test_proc_is_named_and_not_walked(opened):
    space = opened(Path("/proc"))
    assert space.size_bytes == 0
    assert space.skipped and space.skipped[0].path == b"" and "proc" in space.skipped[0].reason


@pytest.mark.parametrize("change", ["grown", "touched", "gone", "replaced", "a directory now"])
def test_a_file_that_changed_since_the_listing_is_a_fault_at_its_place(tree, opened, change):
    space = opened(tree)
    path = tree / "a" / "one"
    if change == "grown":
        path.write_bytes(b"1" * 6)
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
        if change == "replaced":
            path.write_bytes(b"11111")
        elif change == "a directory now":
            path.mkdir()
    with pytest.raises(MediaFault) as caught:
        read_bytes(space, 0, space.size_bytes)
    assert caught.value.reference == "file-changed"
    assert (caught.value.offset, caught.value.length) == (70_005, 5)
    assert read_bytes(space, 70_002, 2) == b"22"


def test_a_change_while_the_file_is_open_is_seen(tree, opened):
    space = opened(tree)
    assert read_bytes(space, 0, 10) == b"3" * 10
    with (tree / "a-b").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(MediaFault):
        read_bytes(space, 0, 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_unreadable_files_are_faults_and_unreadable_directories_are_named(tree, opened):
    (tree / "a-b").chmod(0)
    (tree / "a" / "deep").chmod(0)
    for folder in [tree, *tree.parents][:5]:
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        space = opened(tree)
        with pytest.raises(MediaFault) as caught:
            read_bytes(space, 0, 10)
        assert caught.value.reference == "file-unreadable"
        assert [item.path for item in space.skipped] == [b"a/deep"]
        assert "directory-unreadable" in space.skipped[0].reason
        assert next(iter(space.stored_ranges())) == Range(0, 70_000)
    finally:
        os.seteuid(0)


def test_holes_of_a_file_are_absent(tree, opened, assert_reads_as):
    with (tree / "a" / "sparse").open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(8 * MIB)
        file.write(b"x" * 4096)
    space = opened(tree)
    assert sum(item.length for item in space.stored_ranges()) < MIB
    assert_reads_as(space, laid_out(tree))


def test_hard_links_are_one_owner_with_several_names(tree, opened):
    os.link(tree / "a" / "one", tree / "other-name")
    space = opened(tree)
    assert space.size_bytes == len(laid_out(tree)) - 6
    owners = space.owner_map()
    row = int(owners.join(np.array([70_005]))[0])
    assert owners.paths(int(owners.owner[row])) == [b"/a/one", b"/other-name"]


def test_the_map_names_the_owner_of_every_byte(tree, opened):
    (tree / "a" / "one").chmod(0o640)
    os.utime(tree / "a" / "one", (1_600_000_000, 1_600_000_000))
    space = opened(tree)
    owners = space.owner_map()
    assert isinstance(owners, OwnerMap)
    found = {}
    for owner in range(owners.owners):
        record = owners.record(owner)
        if record.kind == OwnerKind.FILE:
            found[owners.path(owner)] = b"".join(read_bytes(space, e.start, e.end - e.start) for e in owners.extents(owner))
    assert found == {b"/a-b": b"3" * 70_000, b"/a.nothing": b"", b"/a/deep/two": b"22", b"/a/one": b"11111", b"/z\xff\n": b"bytes"}
    (claim,) = owners.claims(70_006)
    record = owners.record(claim.owner)
    status = (tree / "a" / "one").stat()
    assert claim.owner_offset == 1
    assert (record.mode & 0o777, record.uid, record.mtime, record.inode, record.size_bytes) == (0o640, status.st_uid, 1_600_000_000, status.st_ino, 5)
    assert owners.claims(70_010) == []
    directories = {owners.path(owner) for owner in range(owners.owners) if owners.record(owner).kind == OwnerKind.DIRECTORY}
    assert directories == {b"", b"/a", b"/a/deep", b"/empty"}


def test_two_openings_agree_and_a_changed_tree_has_another_stamp(tree, opened):
    first, second = opened(tree), opened(tree)
    assert first.stamps() == second.stamps()
    (tree / "a" / "one").write_bytes(b"11112")
    assert opened(tree).stamps() != first.stamps()


def test_a_stored_listing_keeps_the_layout_although_the_tree_changes(tree, tmp_path):
    stored = tmp_path / "listing.npz"
    with open_in(tree, stored) as first:
        stamps, size = first.stamps(), first.size_bytes
    assert stored.stat().st_mode & 0o777 == 0o600
    (tree / "0-new").write_bytes(b"new file")
    (tree / "a" / "one").write_bytes(b"longer than before")
    with open_in(tree, stored) as again:
        assert (again.stamps(), again.size_bytes) == (stamps, size)
        assert read_bytes(again, 70_002, 2) == b"22"
        with pytest.raises(MediaFault):
            read_bytes(again, 70_005, 5)


def test_a_stored_listing_keeps_everything(tree, tmp_path):
    os.link(tree / "a" / "one", tree / "other-name")
    os.mkfifo(tree / "pipe")
    stored = tmp_path / "listing.npz"
    open_space(SourceSpec(str(tree)), listing=stored).close()
    loaded = open_space(SourceSpec(str(tree)), listing=stored)
    assert isinstance(loaded, FolderSpace)
    fresh = walk(os.fsencode(tree))
    for name in fresh._fields:
        kept, made = getattr(loaded.listing, name), getattr(fresh, name)
        assert (kept == made).all() if hasattr(made, "dtype") else kept == made, name


def test_a_listing_of_another_folder_or_of_noise_is_refused(tree, tmp_path):
    stored = tmp_path / "listing.npz"
    open_space(SourceSpec(str(tree)), listing=stored).close()
    (tmp_path / "other").mkdir()
    with pytest.raises(SourceChanged):
        open_space(SourceSpec(str(tmp_path / "other")), listing=stored)
    stored.write_bytes(b"noise")
    with pytest.raises(StoreError):
        open_space(SourceSpec(str(tree)), listing=stored)


def test_many_files_are_listed_and_mapped(tmp_path, opened):
    """Every one of 5,000, each an owner. How fast is a matter for a benchmark: a busy machine must not fail a test."""
    for number in range(10):
        folder = tmp_path / "root" / f"d{number}"
        folder.mkdir(parents=True)
        for file in range(500):
            os.close(os.open(folder / f"f{file}", os.O_CREAT | os.O_WRONLY))
    space = opened(tmp_path / "root")
    owners = space.owner_map()
    assert len(space.listing.paths) == 5_000
    assert sum(owners.kind == OwnerKind.FILE) == 5_000


def open_in(tree: Path, listing: Path):
    return closing(open_space(SourceSpec(str(tree)), listing=listing))
