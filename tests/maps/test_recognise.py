from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from snapscan.maps.recognise import HEAD_BYTES, Recognised, recognise

MIB = 1 << 20


def head_with(*pieces: tuple[int, bytes]) -> bytes:
    head = bytearray(HEAD_BYTES)
    for offset, content in pieces:
        head[offset : offset + len(content)] = content
    return bytes(head)


BY_HAND = {
    "apfs": [(32, b"NXSB")],
    "bcache": [(4120, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"))],
    "bitlocker": [(3, b"-FVE-FS-")],
    "erofs": [(1024, b"\xe2\xe1\xf5\xe0")],
    "hfs+": [(1024, b"H+\0\x04")],
    "iso9660": [(32769, b"CD001")],
    "jffs2": [(0, struct.pack("<HHI", 0x1985, 0x2003, 12))],
    "jfs": [(32768, b"JFS1")],
    "md": [(4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0")],
    "refs": [(3, b"ReFS\0\0\0\0")],
    "reiserfs": [(65536 + 52, b"ReIsEr2Fs")],
    "swap": [(4086, b"S1SUSPEND\0")],
    "ufs": [(8192 + 1372, struct.pack("<I", 0x011954))],
    "vmfs": [(MIB, b"\x0d\xd0\x01\xc0")],
    "zfs": [(0x21000, struct.pack("<Q", 0x00BAB10C))],
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_magic_in_its_place_is_recognised_and_elsewhere_is_not(kind: str) -> None:
    pieces = BY_HAND[kind]
    assert recognise(head_with(*pieces), 1 << 30).kind == kind
    assert recognise(head_with(*((offset + 4, content) for offset, content in pieces)), 1 << 30).kind == ""


@pytest.mark.images
@pytest.mark.parametrize(
    ("command", "kind", "label"),
    [
        (("mke2fs", "-q", "-F", "-t", "ext4", "-L", "mine"), "ext4", "mine"),
        (("mkfs.xfs", "-q", "-f", "-L", "mine"), "xfs", "mine"),
        (("mkfs.btrfs", "-q", "-f", "-L", "mine"), "btrfs", "mine"),
        (("mkfs.vfat", "-n", "MINE"), "fat", "MINE"),
        (("mkswap", "-L", "mine"), "swap", "mine"),
        (("mkfs.cramfs",), "cramfs", ""),
    ],
)
def test_made_filesystem_is_recognised_with_its_label(
    command: tuple[str, ...], kind: str, label: str, blank: Callable[..., Path], run_tool: Callable[..., str], source_tree: Path
) -> None:
    image = blank("disk.img", 320 * MIB)
    if kind == "cramfs":
        run_tool(*command, source_tree / "deep", image)
    else:
        run_tool(*command, image)
    with image.open("rb") as file:
        found = recognise(file.read(HEAD_BYTES), 320 * MIB)
    assert (found.kind, found.label) == (kind, label)


def test_nothing_is_recognised_in_zeros_noise_or_too_little() -> None:
    noise = random.Random(3).randbytes(HEAD_BYTES)
    for head in (bytes(HEAD_BYTES), noise, b"", b"\0", b"LUKS", b"XFSB", b"\x55\xaa" * 256):
        assert recognise(head, 1 << 30) == Recognised()


def test_labels_that_are_not_text_are_replaced_not_raised() -> None:
    found = recognise(head_with((0, b"XFSB"), (108, b"\xff\xfe\x80 name")), 1 << 30)
    assert found.kind == "xfs" and found.label.endswith("name")
