"""Filesystems that announce themselves by a PC boot sector: NTFS, FAT, exFAT, ReFS and BitLocker.

A boot sector ends in the same 55 AA as a partition table, and a table may keep the remains of one; so its fields must make sense.
Sources: Microsoft's FAT specification (fatgen103), exFAT specification 1.00, and libblkid for the others.
"""

from __future__ import annotations

import struct

BITLOCKER_TO_GO = bytes.fromhex("3bd667492e29d84a8399f6a339e3d001")


def recognise_boot_sector(head: bytes, volume_size: int) -> tuple[str, str, str] | None:
    """(kind, uuid, label) as in `recognise`, or None."""
    if len(head) < 512:
        return None
    name = head[3:11]
    if name == b"-FVE-FS-" or (name == b"MSWIN4.1" and head[424:440] == BITLOCKER_TO_GO):
        return "bitlocker", "", ""
    if name == b"ReFS\0\0\0\0":
        return "refs", head[56:64][::-1].hex().upper(), ""
    if head[510:512] != b"\x55\xaa":
        return None
    if name == b"EXFAT   ":
        return ("exfat", _serial(head[100:104]), "") if 9 <= head[108] <= 12 and head[109] <= 25 - head[108] else None
    if name == b"NTFS    ":
        (sector_bytes,) = struct.unpack_from("<H", head, 11)
        return ("ntfs", head[72:80][::-1].hex().upper(), "") if sector_bytes in (256, 512, 1024, 2048, 4096) and head[13] else None
    return _fat(head, volume_size)


def _fat(head: bytes, volume_size: int) -> tuple[str, str, str] | None:
    sector_bytes, per_cluster, reserved, copies, _, few, media, fat_sectors = struct.unpack_from("<HBHBHHBH", head, 11)
    (many, fat32_sectors) = struct.unpack_from("<II", head, 32)
    total = few or many
    sane = (
        sector_bytes in (512, 1024, 2048, 4096)
        and per_cluster
        and per_cluster & (per_cluster - 1) == 0
        and reserved
        and copies in (1, 2)
        and media in (0xF0, *range(0xF8, 0x100))
        and (fat_sectors or fat32_sectors)
        and total * sector_bytes > reserved * sector_bytes
    )
    if not sane:
        return None
    table = reserved * sector_bytes
    # the first entry of the table repeats the media byte: this is what the remains of a boot sector in a partition table lack
    if table < volume_size and len(head) > table + 1 and (head[table] != media or head[table + 1] & 0xF0 != 0xF0):
        return None
    at = 39 if fat_sectors else 67
    if head[at - 1] not in (0x28, 0x29):
        return "fat", "", ""
    label = head[at + 4 : at + 15].decode("ascii", "replace").strip() if head[at - 1] == 0x29 else ""
    return "fat", _serial(head[at : at + 4]), "" if label == "NO NAME" else label


def _serial(raw: bytes) -> str:
    return f"{raw[3]:02X}{raw[2]:02X}-{raw[1]:02X}{raw[0]:02X}"
