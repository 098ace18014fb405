"""The superblock of an XFS volume. Source: the Linux kernel's fs/xfs/libxfs/xfs_format.h; all numbers are big-endian."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Super(NamedTuple):
    """Sizes in bytes or in blocks, as the name says; `*_log` are powers of two."""

    block_bytes: int
    blocks: int
    log_start: int
    root: int
    group_blocks: int
    groups: int
    log_blocks: int
    sector_bytes: int
    inode_bytes: int
    block_log: int
    inodes_per_block_log: int
    group_log: int
    directory_bytes: int
    has_type: bool
    version: int
    incompatible: int
    own_inodes: frozenset[int]
    """Bitmaps of the realtime device, and quotas."""


def parse_super(raw: bytes) -> Super | None:
    """The superblock in the first 512 bytes; None for other bytes or impossible sizes."""
    if raw[:4] != b"XFSB" or len(raw) < 512:
        return None
    block_bytes, blocks = struct.unpack_from(">IQ", raw, 4)
    log_start, root = struct.unpack_from(">QQ", raw, 48)
    group_blocks, groups, _, log_blocks, version, sector_bytes, inode_bytes, inodes_per_block = struct.unpack_from(">IIIIHHHH", raw, 84)
    block_log, _, inode_log, per_block_log, group_log = raw[120:125]
    directory_log = raw[192]
    own_inodes = frozenset({*struct.unpack_from(">QQ", raw, 64), *struct.unpack_from(">QQ", raw, 160), *struct.unpack_from(">Q", raw, 232)})
    features2, _, _, _, incompatible = struct.unpack_from(">IIIII", raw, 200)
    version &= 15
    sane = (
        9 <= block_log <= 16 and block_bytes == 1 << block_log and inode_bytes == 1 << inode_log and 256 <= inode_bytes <= 2048
        and inodes_per_block == 1 << per_block_log == block_bytes // inode_bytes and 512 <= sector_bytes <= 32768
        and group_blocks and groups and group_log <= 31 and group_blocks <= 1 << group_log and directory_log + block_log <= 16
    )  # fmt: skip
    if not sane:
        return None
    has_type = bool(incompatible & 1) if version == 5 else bool(features2 & 0x200)
    return Super(
        block_bytes, blocks, log_start, root, group_blocks, groups, log_blocks, sector_bytes, inode_bytes, block_log,
        per_block_log, group_log, block_bytes << directory_log, has_type, version, incompatible if version == 5 else 0, own_inodes,
    )  # fmt: skip
