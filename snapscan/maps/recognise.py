"""Which filesystem, or which other content of a block device, the first bytes announce.

Places and magics are those of util-linux's libblkid (libblkid/src/superblocks/*.c) unless a comment says otherwise. A magic of two bytes
is never believed alone: what stands around it must be sane too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from snapscan.maps.ext_superblock import recognise_ext
from snapscan.maps.recognise_boot import recognise_boot_sector

HEAD_BYTES = (1 << 20) + 4096
"""The head `recognise` wants: VMFS announces itself 1 MiB into its partition, UFS up to 256 KiB, ZFS behind 128 KiB."""


class Recognised(NamedTuple):
    """`kind` is empty where nothing was recognised; `uuid` and `label` are the content's own, empty where it has none."""

    kind: str = ""
    uuid: str = ""
    label: str = ""


def recognise(head: bytes, volume_size: int) -> Recognised:
    """What the volume holds, by its first `HEAD_BYTES` (fewer where it is smaller or unreadable). Never raises."""
    for look in _LOOKS:
        found = look(head)
        if found is not None:
            return found
    boot = recognise_boot_sector(head, volume_size)
    if boot is not None:
        return Recognised(*boot)
    ext = recognise_ext(head)
    if ext is not None:
        return Recognised(*ext)
    return next((found for look in _LATE_LOOKS if (found := look(head)) is not None), Recognised())


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace").strip()


def _uuid(raw: bytes) -> str:
    return str(UUID(bytes=raw)) if len(raw) == 16 and any(raw) else ""


def _luks(head: bytes) -> Recognised | None:
    if head[:6] != b"LUKS\xba\xbe" or len(head) < 512:
        return None
    version = int.from_bytes(head[6:8], "big")
    return Recognised("luks", _text(head[168:208]), _text(head[24:72]) if version == 2 else "")


def _xfs(head: bytes) -> Recognised | None:
    return Recognised("xfs", _uuid(head[32:48]), _text(head[108:120])) if head[:4] == b"XFSB" and len(head) >= 512 else None


def _squashfs(head: bytes) -> Recognised | None:
    return Recognised("squashfs") if head[:4] in (b"hsqs", b"sqsh") and len(head) >= 96 else None


def _cramfs(head: bytes) -> Recognised | None:
    return Recognised("cramfs") if head[:4] in (b"\x45\x3d\xcd\x28", b"\x28\xcd\x3d\x45") and head[16:32] == b"Compressed ROMFS" else None


def _apfs(head: bytes) -> Recognised | None:
    return Recognised("apfs", _uuid(head[72:88])) if head[32:36] == b"NXSB" else None


def _lvm2(head: bytes) -> Recognised | None:
    for at in range(0, 2048, 512):
        if head[at : at + 8] == b"LABELONE" and head[at + 24 : at + 32] == b"LVM2 001":
            start = at + int.from_bytes(head[at + 20 : at + 24], "little")
            return Recognised("lvm2", _text(head[start : start + 32]))
    return None


def _swap(head: bytes) -> Recognised | None:
    """A swap area; one that holds a hibernated system's memory has another word in the same place, and is swap all the same."""
    for page in (4096, 8192, 16384, 65536):
        magic = head[page - 10 : page]
        if magic in (b"SWAPSPACE2", b"SWAP-SPACE", b"LINHIB0001") or magic[:9] in (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND"):
            return Recognised("swap", _uuid(head[1036:1052]), _text(head[1052:1068]))
    return None


def _md(head: bytes) -> Recognised | None:
    """MD RAID with its superblock in front (formats 1.1 and 1.2); those at the end are found by `raid.py`."""
    for at in (0, 4096):
        if head[at : at + 8] == b"\xfc\x4e\x2b\xa9\x01\0\0\0":
            return Recognised("md", _uuid(head[at + 16 : at + 32]), _text(head[at + 32 : at + 64]))
    return None


def _btrfs(head: bytes) -> Recognised | None:
    start = 0x10000
    if head[start + 64 : start + 72] != b"_BHRfS_M":
        return None
    return Recognised("btrfs", _uuid(head[start + 32 : start + 48]), _text(head[start + 0x12B : start + 0x22B]))


def _f2fs(head: bytes) -> Recognised | None:
    return Recognised("f2fs", _uuid(head[1024 + 108 : 1024 + 124])) if head[1024:1028] == b"\x10\x20\xf5\xf2" else None


def _erofs(head: bytes) -> Recognised | None:
    return Recognised("erofs", _uuid(head[1024 + 48 : 1024 + 64])) if head[1024:1028] == b"\xe2\xe1\xf5\xe0" else None


def _hfsplus(head: bytes) -> Recognised | None:
    return Recognised("hfs+") if head[1024:1028] in (b"H+\0\x04", b"HX\0\x05") else None


def _nilfs2(head: bytes) -> Recognised | None:
    return Recognised("nilfs2") if head[1024:1028] == b"\x02\0\0\0" and head[1030:1032] == b"\x34\x34" else None


def _ufs(head: bytes) -> Recognised | None:
    """UFS1 and UFS2 (FreeBSD sys/ufs/ffs/fs.h): magic at 1372 of a superblock at one of three places, in either byte order."""
    for start in (65536, 8192, 262144):
        magic = head[start + 1372 : start + 1376]
        if magic in (b"\x19\x01\x54\x19", b"\x54\x19\x01\x00", b"\x19\x54\x01\x19", b"\x00\x01\x19\x54"):
            identity = head[start + 144 : start + 152]
            return Recognised("ufs", identity.hex() if any(identity) else "", _text(head[start + 680 : start + 712]))
    return None


def _vmfs(head: bytes) -> Recognised | None:
    """The magic of the VMFS volume header, 1 MiB into the partition (observed; also in vmfs-tools, vmfs_volume.h)."""
    return Recognised("vmfs") if head[0x100000:0x100004] == b"\x0d\xd0\x01\xc0" else None


def _zfs(head: bytes) -> Recognised | None:
    for at in range(0x20000, min(len(head), 0x40000), 1024):
        if head[at : at + 8] in (b"\x0c\xb1\xba\0\0\0\0\0", b"\0\0\0\0\0\xba\xb1\x0c"):
            return Recognised("zfs")
    return None


def _iso9660(head: bytes) -> Recognised | None:
    if head[32769:32774] == b"CD001":
        return Recognised("iso9660", "", head[32808:32840].decode("ascii", "replace").strip())
    return Recognised("udf") if head[32769:32774] in (b"BEA01", b"NSR02", b"NSR03") else None


def _jfs(head: bytes) -> Recognised | None:
    return Recognised("jfs") if head[32768:32772] == b"JFS1" else None


def _reiserfs(head: bytes) -> Recognised | None:
    return Recognised("reiserfs") if head[65536 + 52 : 65536 + 58] == b"ReIsEr" else None


def _bcache(head: bytes) -> Recognised | None:
    return Recognised("bcache") if head[4120:4136] == bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81") else None


def _jffs2(head: bytes) -> Recognised | None:
    """A node begins with 0x1985 and its type (linux/jffs2.h); the header's length must be possible too."""
    if len(head) < 12:
        return None
    for order in "<>":
        magic, node, length = struct.unpack_from(f"{order}HHI", head, 0)
        if magic == 0x1985 and node in (0xE001, 0xE002, 0x2003, 0x2004, 0x2006) and 12 <= length < 1 << 20:
            return Recognised("jffs2")
    return None


_LOOKS: tuple[Callable[[bytes], Recognised | None], ...] = (_luks, _xfs, _squashfs, _cramfs, _apfs, _lvm2)
"""Those with a magic that nothing else can hold by chance, at the very start."""

_LATE_LOOKS: tuple[Callable[[bytes], Recognised | None], ...] = (
    _md, _swap, _btrfs, _f2fs, _erofs, _hfsplus, _nilfs2, _ufs, _vmfs, _zfs, _iso9660, _jfs, _reiserfs, _bcache, _jffs2,
)  # fmt: skip
