"""MD RAID members (Linux include/uapi/linux/raid/md_p.h): where the array's data lies on this member.

Formats 1.1 and 1.2 keep their superblock in front, 1.0 and 0.90 at the end. Only mirrors can be read from one member.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from uuid import UUID

from snapscan.maps.partition import Readable, peek
from snapscan.model.units import SECTOR_BYTES

MAGIC = 0xA92B4EFC


class Member(NamedTuple):
    """`start .. end` of the member hold the array's data; of a mirror they are the array. `name` is its name or UUID."""

    level: int
    start: int
    end: int
    uuid: str
    name: str

    @property
    def is_mirror(self) -> bool:
        return self.level == 1


def read_member(source: Readable) -> Member | None:
    """The member's superblock, wherever its format puts it; None where there is none."""
    sectors = source.size_bytes // SECTOR_BYTES
    for at in (0, 4096, ((sectors - 16) & ~7) * SECTOR_BYTES):
        raw = peek(source, at, 256)
        if raw and struct.unpack_from("<II", raw) == (MAGIC, 1) and struct.unpack_from("<Q", raw, 144)[0] * SECTOR_BYTES == at:
            return _version_1(raw, source.size_bytes)
    raw = peek(source, (source.size_bytes & ~0xFFFF) - 0x10000, 4096)
    return _version_0(raw, source.size_bytes) if raw and struct.unpack_from("<II", raw) == (MAGIC, 0) else None


def _version_1(raw: bytes, size_bytes: int) -> Member:
    (level,) = struct.unpack_from("<i", raw, 72)
    (array_sectors,) = struct.unpack_from("<Q", raw, 80)
    data_offset, data_size = struct.unpack_from("<QQ", raw, 128)
    start = min(data_offset * SECTOR_BYTES, size_bytes)
    length = min(array_sectors or data_size, data_size) * SECTOR_BYTES
    uuid = str(UUID(bytes=raw[16:32]))
    name = raw[32:64].split(b"\0")[0].decode("utf-8", "replace").rpartition(":")[2]
    return Member(level, start, min(start + length, size_bytes), uuid, name or uuid)


def _version_0(raw: bytes, size_bytes: int) -> Member:
    level, size_kib = struct.unpack_from("<iI", raw, 28)
    uuid = str(UUID(bytes=raw[20:24] + raw[52:64]))
    return Member(level, 0, min(size_kib * 1024, size_bytes), uuid, uuid)
