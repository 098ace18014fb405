from __future__ import annotations

import pytest

from snapscan.maps.ext_directory import Entry, entries, shown_name


def record(inode: int, length: int, name: bytes) -> bytes:
    """A directory entry of `length` bytes in all; lengths of 64 KiB are stored as the kernel does."""
    stored = 65535 if length == 65536 else length
    return (inode.to_bytes(4, "little") + stored.to_bytes(2, "little") + bytes([len(name), 1]) + name).ljust(min(length, 65536), b"\0")


def read(block: bytes) -> tuple[list[Entry], bool]:
    found: list[Entry] = []
    return found, entries(block, 0, len(block), found)


def test_live_entries_come_without_dots_and_deleted_ones() -> None:
    block = record(2, 12, b".") + record(2, 12, b"..") + record(11, 24, b"file") + record(0, 16, b"gone") + record(12, 960, b"\xff\n")
    assert read(block) == ([(11, b"file"), (12, b"\xff\n")], True)


def test_the_index_blocks_of_a_hashed_directory_look_empty() -> None:
    root = record(2, 12, b".") + record(2, 1012, b"..")[:12] + b"\0\0\0\0\x01\x08\0\0" + bytes(range(200)) + bytes(792)
    assert read(root[:1024]) == ([], True)
    node = record(0, 1024, b"")[:8] + bytes(range(250)) * 4 + bytes(16)
    assert read(node[:1024]) == ([], True)


def test_a_record_as_long_as_a_64k_block_is_understood() -> None:
    assert read(record(7, 65536, b"only")) == ([(7, b"only")], True)


@pytest.mark.parametrize(
    "bad",
    [record(5, 4, b"")[:8], record(5, 2000, b"name")[:64], record(5, 16, b"a-name-longer-than-the-record")[:64], b"\x05\0\0\0\0\0\0\0"],
)
def test_a_broken_chain_ends_and_keeps_what_came_before(bad: bytes) -> None:
    found, whole = read((record(9, 16, b"first") + bad).ljust(256, b"\0"))
    assert (found, whole) == ([(9, b"first")], False)


def test_room_behind_an_entry_is_reported_where_it_holds_something() -> None:
    rooms: list[tuple[int, int]] = []
    block = (record(9, 16, b"first") + record(8, 48, b"second")[:16] + record(7, 32, b"deleted")).ljust(64, b"\0")
    entries(block, 0, 64, [], lambda start, end: rooms.append((start, end)))
    assert rooms == [(32, 64)]


def test_a_name_is_one_part_of_a_path() -> None:
    assert shown_name(b"../../etc/shadow", False) == b"..?..?etc?shadow"
    assert shown_name(b"\x00/\xff\xff", True) == b"AC___w"
