"""The superblock of ext2, ext3 and ext4: which features, how many blocks, where the groups lie.

Field places and feature bits are those of the Linux kernel's documentation, "ext4 Data Structures and Algorithms", Super Block.
"""

from __future__ import annotations

import struct
import uuid
from enum import IntFlag

import msgspec

SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_BYTES = 1024
_MAGIC = 0xEF53
_BLOCKS_PER_GROUP_LEAST = 256  # mke2fs refuses fewer; a hostile 8 would make a million groups of a small volume


class Compat(IntFlag):
    HAS_JOURNAL = 0x4
    RESIZE_INODE = 0x10
    SPARSE_SUPER2 = 0x200
    FAST_COMMIT = 0x400


class Incompat(IntFlag):
    COMPRESSION = 0x1
    FILETYPE = 0x2
    RECOVER = 0x4
    JOURNAL_DEVICE = 0x8
    META_BG = 0x10
    EXTENTS = 0x40
    BITS_64 = 0x80
    MMP = 0x100
    FLEX_BG = 0x200
    EA_INODE = 0x400
    DIRDATA = 0x1000
    CSUM_SEED = 0x2000
    LARGEDIR = 0x4000
    INLINE_DATA = 0x8000
    ENCRYPT = 0x10000
    CASEFOLD = 0x20000


class RoCompat(IntFlag):
    SPARSE_SUPER = 0x1
    HUGE_FILE = 0x8
    GDT_CSUM = 0x10
    DIR_NLINK = 0x20
    EXTRA_ISIZE = 0x40
    BIGALLOC = 0x200
    METADATA_CSUM = 0x400


_KNOWN_INCOMPAT = (1 << 18) - 1 & ~(0x1 | 0x8 | 0x20 | 0x800 | 0x1000)
_EXT4_INCOMPAT = 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_EXT4_RO_COMPAT = 0x8 | 0x10 | 0x20 | 0x40 | 0x200 | 0x400


class Superblock(msgspec.Struct, frozen=True):
    """What the map needs of a superblock; sizes in bytes where the name says so, else in filesystem blocks or counts."""

    block_bytes: int
    blocks: int
    first_data_block: int
    blocks_per_cluster: int
    blocks_per_group: int
    inodes: int
    inodes_per_group: int
    inode_bytes: int
    first_inode: int
    descriptor_bytes: int
    reserved_descriptor_blocks: int
    first_meta_group: int
    backup_groups: tuple[int, int]
    compat: int
    incompat: int
    ro_compat: int
    journal_inode: int
    last_orphan: int
    mmp_block: int
    system_inodes: frozenset[int]
    """Quota and orphan-file inodes: files of the filesystem itself, in no directory."""
    uuid: str
    label: str

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first_data_block) // self.blocks_per_group)

    @property
    def kind(self) -> str:
        if self.incompat & _EXT4_INCOMPAT or self.ro_compat & _EXT4_RO_COMPAT:
            return "ext4"
        return "ext3" if self.compat & Compat.HAS_JOURNAL else "ext2"

    @property
    def unknown_features(self) -> int:
        """Incompatible features that this reader does not know; a map made in spite of them may be wrong."""
        return self.incompat & ~_KNOWN_INCOMPAT

    @property
    def has_uninit(self) -> bool:
        """Whether group flags and unused counts mean anything."""
        return bool(self.ro_compat & (RoCompat.GDT_CSUM | RoCompat.METADATA_CSUM))

    @property
    def descriptors_per_block(self) -> int:
        return self.block_bytes // self.descriptor_bytes

    def has_superblock(self, group: int) -> bool:
        """Whether the group begins with a copy of the superblock."""
        if group == 0:
            return True
        if self.compat & Compat.SPARSE_SUPER2:
            return group in self.backup_groups
        if not self.ro_compat & RoCompat.SPARSE_SUPER or group == 1:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def group_start(self, group: int) -> int:
        return self.first_data_block + group * self.blocks_per_group


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def parse_superblock(raw: bytes) -> Superblock | None:
    """The superblock in 1024 bytes, None where they are not one that a kernel would mount (size relations are checked, the checksum is not)."""
    if len(raw) < SUPERBLOCK_BYTES or _u16(raw, 0x38) != _MAGIC:
        return None
    log_block, log_cluster = _u32(raw, 0x18), _u32(raw, 0x1C)
    if log_block > 6:
        return None
    block_bytes = 1024 << log_block
    revision = _u32(raw, 0x4C)
    compat, incompat, ro_compat = struct.unpack_from("<III", raw, 0x5C) if revision else (0, 0, 0)
    bigalloc = bool(ro_compat & RoCompat.BIGALLOC)
    if bigalloc and not log_block <= log_cluster <= 20:
        return None
    wide = bool(incompat & Incompat.BITS_64)
    label = raw[0x78:0x88].split(b"\0")[0].decode("utf-8", "replace") if revision else ""
    system = {_u32(raw, at) for at in (0x240, 0x244, 0x26C, 0x280)} if revision else set()
    found = Superblock(
        block_bytes=block_bytes,
        blocks=_u32(raw, 4) | (_u32(raw, 0x150) << 32 if wide else 0),
        first_data_block=_u32(raw, 0x14),
        blocks_per_cluster=1 << (log_cluster - log_block) if bigalloc else 1,
        blocks_per_group=_u32(raw, 0x20),
        inodes=_u32(raw, 0),
        inodes_per_group=_u32(raw, 0x28),
        inode_bytes=_u16(raw, 0x58) if revision else 128,
        first_inode=_u32(raw, 0x54) if revision else 11,
        descriptor_bytes=_u16(raw, 0xFE) if wide else 32,
        reserved_descriptor_blocks=_u16(raw, 0xCE) if revision else 0,
        first_meta_group=_u32(raw, 0x104),
        backup_groups=struct.unpack_from("<II", raw, 0x24C),
        compat=compat,
        incompat=incompat,
        ro_compat=ro_compat,
        journal_inode=_u32(raw, 0xE0) if compat & Compat.HAS_JOURNAL else 0,
        last_orphan=_u32(raw, 0xE8),
        mmp_block=struct.unpack_from("<Q", raw, 0x168)[0] if incompat & Incompat.MMP else 0,
        system_inodes=frozenset(system - {0}),
        uuid=str(uuid.UUID(bytes=raw[0x68:0x78])) if revision else "",
        label=label,
    )
    return found if _plausible(found) else None


def _plausible(sb: Superblock) -> bool:
    """The checks that the kernel makes before it trusts the numbers (fs/ext4/super.c)."""
    bits = 8 * sb.block_bytes
    return (
        not sb.incompat & Incompat.JOURNAL_DEVICE
        and sb.first_data_block <= 1
        and sb.blocks > sb.first_data_block
        and 128 <= sb.inode_bytes <= sb.block_bytes
        and sb.inode_bytes & (sb.inode_bytes - 1) == 0
        and 32 <= sb.descriptor_bytes <= 1024
        and sb.descriptor_bytes & (sb.descriptor_bytes - 1) == 0
        and _BLOCKS_PER_GROUP_LEAST <= sb.blocks_per_group <= bits * sb.blocks_per_cluster
        and sb.block_bytes // sb.inode_bytes <= sb.inodes_per_group <= bits
        and sb.groups * sb.inodes_per_group == sb.inodes
        and sb.reserved_descriptor_blocks <= sb.block_bytes // 4
    )


def backup_offsets() -> list[int]:
    """Where copies of the superblock lie when mke2fs chose the group size: groups 1, 3, 5, 7, 9 of each block size, small blocks first.

    With bigalloc a group is longer by the cluster ratio; 16 is the default of mke2fs.
    """
    places = []
    for log_block in (2, 0, 1, 3, 4, 5, 6):
        block_bytes = 1024 << log_block
        for ratio in (1, 16):
            for group in (1, 3, 5, 7, 9):
                first = 1 if block_bytes == 1024 and ratio == 1 else 0
                # 64 KiB blocks: the group is 8 blocks short of 8 * 65536, since a 16-bit count must hold it
                per_group = min(8 * block_bytes, 65528 if log_block >= 3 else 8 * block_bytes) * ratio
                places.append((first + group * per_group) * block_bytes)
    return list(dict.fromkeys(places))


def recognise_ext(head: bytes) -> tuple[str, str, str] | None:
    """(`ext2` | `ext3` | `ext4`, uuid, label) from the first 2048 bytes of a volume; None where they are something else."""
    found = parse_superblock(head[SUPERBLOCK_OFFSET : SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES])
    return (found.kind, found.uuid, found.label) if found else None


def _u16(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 2], "little")


def _u32(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 4], "little")
