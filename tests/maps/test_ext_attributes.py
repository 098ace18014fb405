from __future__ import annotations

import struct

from snapscan.maps.ext_attributes import attributes


def entry(namespace: int, name: bytes, offset: int, length: int, inode: int = 0) -> bytes:
    return (struct.pack("<BBHIII", len(name), namespace, offset, inode, length, 0) + name).ljust(16 + -(-len(name) // 4) * 4, b"\0")


def test_entries_end_at_four_zero_bytes() -> None:
    buffer = entry(1, b"token", 96, 4) + entry(6, b"selinux", 80, 10) + bytes(100)
    found = attributes(buffer, 0, len(buffer), 0)
    assert [(a.namespace, a.name, a.value_start, a.value_bytes) for a in found] == [(1, b"token", 96, 4), (6, b"selinux", 80, 10)]


def test_a_value_outside_is_left_out_and_one_in_an_inode_is_kept() -> None:
    buffer = entry(1, b"outside", 120, 50) + entry(1, b"far", 0, 1 << 20, inode=77) + bytes(40)
    assert [(a.name, a.value_inode) for a in attributes(buffer, 0, len(buffer), 0)] == [(b"far", 77)]


def test_a_name_outside_ends_the_list() -> None:
    buffer = entry(1, b"good", 0, 0) + struct.pack("<BBHIII", 255, 1, 0, 0, 0, 0)
    assert [a.name for a in attributes(buffer, 0, len(buffer), 0)] == [b"good"]
