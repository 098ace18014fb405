from __future__ import annotations

import random
import struct

import pytest

from snapscan.maps.ext_superblock import backup_offsets, parse_superblock, recognise_ext


def superblock(**fields: tuple[str, int, int]) -> bytes:
    """A small ext4's superblock, with (format, offset, value) laid over it."""
    raw = bytearray(1024)
    base = {
        "inodes": ("<I", 0, 16), "blocks": ("<I", 4, 64), "first": ("<I", 0x14, 1), "blocks_per_group": ("<I", 0x20, 8192),
        "clusters_per_group": ("<I", 0x24, 8192), "inodes_per_group": ("<I", 0x28, 16), "magic": ("<H", 0x38, 0xEF53),
        "revision": ("<I", 0x4C, 1), "first_inode": ("<I", 0x54, 11), "inode_bytes": ("<H", 0x58, 256), "incompat": ("<I", 0x60, 0x42),
    }  # fmt: skip
    for form, offset, value in (base | fields).values():
        struct.pack_into(form, raw, offset, value)
    return bytes(raw)


def test_a_sound_superblock_is_read() -> None:
    found = parse_superblock(superblock())
    assert found is not None
    assert (found.block_bytes, found.blocks, found.groups, found.kind) == (1024, 64, 1, "ext4")


@pytest.mark.parametrize(
    "field",
    [
        ("<H", 0x38, 0xEF54),
        ("<I", 0x18, 7),
        ("<I", 0x20, 0),
        ("<I", 0x20, 8),
        ("<I", 0x20, 0xFFFFFFFF),
        ("<I", 0x28, 0),
        ("<I", 0, 0xFFFFFFFF),
        ("<H", 0x58, 100),
        ("<H", 0x58, 2048),
        ("<I", 0x14, 0xFFFFFFFF),
        ("<I", 4, 0),
        ("<I", 0x60, 0x8),
    ],
)
def test_numbers_that_no_kernel_mounts_are_refused(field: tuple[str, int, int]) -> None:
    assert parse_superblock(superblock(changed=field)) is None


def test_noise_is_not_recognised() -> None:
    chance = random.Random(9)
    for _ in range(300):
        head = bytearray(chance.randbytes(2048))
        head[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
        assert recognise_ext(bytes(head)) is None
    assert recognise_ext(b"short") is None


def test_unknown_features_are_told() -> None:
    found = parse_superblock(superblock(incompat=("<I", 0x60, 0x42 | 1 << 25)))
    assert found is not None and found.unknown_features == 1 << 25


def test_superblocks_lie_in_powers_of_three_five_and_seven() -> None:
    found = parse_superblock(superblock(ro=("<I", 0x64, 1)))
    assert found is not None
    assert [g for g in range(60) if found.has_superblock(g)] == [0, 1, 3, 5, 7, 9, 25, 27, 49]


def test_backups_are_looked_for_where_mke2fs_puts_them() -> None:
    assert {8193 * 1024, 16384 * 2048, 32768 * 4096} <= set(backup_offsets())
