from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.ext_deleted import Piece, newest_only
from snapscan.model.mapping import Mapped

MIB = 1 << 20


def flushed(root: Path) -> None:
    """Write out this filesystem alone: os.sync would wait for the whole machine."""
    subprocess.run(["sync", "-f", str(root)], check=True)


SHAPES = {
    "ext4": ["-t", "ext4", "-b", "4096"],
    "1k-blocks-no-checksums": ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit"],
    "ext3": ["-t", "ext3", "-b", "1024"],
    "inline-data": ["-t", "ext4", "-b", "4096", "-O", "inline_data"],
    "bigalloc": ["-t", "ext4", "-b", "1024", "-O", "bigalloc", "-C", "4096"],
}


def numbered(label: str, length: int) -> bytes:
    """Content in which every piece says where it belongs."""
    return b"".join(b"<%s %07d>\n" % (label.encode(), at) for at in range(length // (len(label) + 11)))


def formerly(mapped: Mapped, content: bytes, label: str) -> set[tuple[bytes, int, str]]:
    """What is said of the places of a deleted file's bytes: path, the difference between said and true offset, source."""
    found = set()
    piece = b"<%s 00" % label.encode()
    at = content.find(piece)
    while at >= 0:
        true = int(content[at + len(label) + 2 : at + len(label) + 9]) * (len(label) + 11)
        found |= {(f.path, f.offset + at - f.start - true, f.source) for f in mapped.former if f.start <= at < f.end}
        at = content.find(piece, at + 1)
    return found


@pytest.mark.images
@pytest.mark.parametrize("shape", SHAPES)
def test_a_removed_files_bytes_have_its_former_path_and_offset(
    shape: str, blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, map_file: Any
) -> None:
    image = blank("ext.img", 64 * MIB)
    run_tool("mke2fs", "-q", "-F", *SHAPES[shape], image)
    with mounted(image) as root:
        (root / "srv" / "app").mkdir(parents=True)
        (root / "gone" / "below").mkdir(parents=True)
        for k in range(40):
            (root / "srv" / "app" / f"neighbour{k}").write_bytes(b"n" * 3000)
        (root / "srv" / "app" / "settings.env").write_bytes(numbered("one", 36_000))
        (root / "gone" / "below" / "two.txt").write_bytes(numbered("two", 18_000))
        flushed(root)
        (root / "srv" / "app" / "settings.env").unlink()
        shutil.rmtree(root / "gone")
        flushed(root)
        for k in range(4):  # inode numbers of what is gone are used again
            (root / f"late{k}").mkdir()
        flushed(root)
    mapped, _ = map_file(image)
    content = image.read_bytes()
    assert formerly(mapped, content, "one") == {(b"/srv/app/settings.env", 0, "journal")}
    assert formerly(mapped, content, "two") == {(b"/gone/below/two.txt", 0, "journal")}
    assert {f.size_bytes for f in mapped.former if f.path == b"/gone/below/two.txt"} == {len(numbered("two", 18_000))}


@pytest.mark.images
def test_an_inode_that_still_names_its_blocks_gives_them_with_the_name_from_the_directory(
    blank: Callable[..., Path], run_tool: Callable[..., str], map_file: Any, tmp_path: Path
) -> None:
    for kind in ("ext2", "ext4"):
        tree = tmp_path / kind
        (tree / "etc").mkdir(parents=True)
        for name in ("a-first", "secret.key", "z-last"):
            (tree / "etc" / name).write_bytes(numbered(name, 30_000))
        image = blank(f"{kind}.img", 16 * MIB)
        run_tool("mke2fs", "-q", "-F", "-t", kind, "-b", "1024", "-d", tree, image)
        run_tool("debugfs", "-w", "-R", "rm /etc/secret.key", image)
        mapped, _ = map_file(image)
        assert formerly(mapped, image.read_bytes(), "secret.key") == {(b"/etc/secret.key", 0, "inode-table")}


@pytest.mark.images
@pytest.mark.parametrize("shape", ["ext4", "ext3"])
def test_no_path_is_wrong_when_inodes_and_blocks_were_used_again(
    shape: str, blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, map_file: Any
) -> None:
    image = blank("ext.img", 96 * MIB)
    run_tool("mke2fs", "-q", "-F", *SHAPES[shape], "-b", "4096", image)
    chance = random.Random(3)
    with mounted(image) as root:
        for turn in range(12):
            for k in range(12):
                folder = root / f"d{k}" / f"r{turn % 3}"
                folder.mkdir(parents=True, exist_ok=True)
                for _ in range(5):
                    path = folder / f"f{chance.randrange(30)}"
                    label = b"<" + os.fsencode("/" + str(path.relative_to(root))) + b">"
                    path.write_bytes(label.ljust(64, b".") * chance.randrange(1, 300))
                for _ in range(5):
                    (root / f"d{chance.randrange(12)}" / f"r{chance.randrange(3)}" / f"f{chance.randrange(30)}").unlink(missing_ok=True)
            shutil.rmtree(root / f"d{chance.randrange(12)}")
            flushed(root)
    mapped, _ = map_file(image)
    content = image.read_bytes()
    said = [(f.path, content[at : at + 64].partition(b">")[0][1:]) for f in mapped.former for at in range(f.start, f.end, 4096)]
    assert len(said) > 100
    # a block may have been freed, allocated to a file that was never written out, and freed again: bytes and inode differ then
    wrong = [(path, label) for path, label in said if path != label and not path.startswith(b"/?inode")]
    assert len(wrong) <= len(said) // 50
    assert sum(path == label for path, label in said) >= len(said) * 9 // 10


@pytest.mark.images
def test_live_files_are_nobodys_former_content(blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, map_file: Any) -> None:
    image = blank("ext.img", 64 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", image)
    with mounted(image) as root:
        for k in range(50):
            (root / f"file{k}").write_bytes(numbered("live", 9000))
        flushed(root)
        (root / "file7").rename(root / "other-name")
    mapped, _ = map_file(image)
    assert formerly(mapped, image.read_bytes(), "live") == set()


def piece(start: int, end: int, number: int, sequence: int) -> Piece:
    return Piece(start, end, 0, number, 1, 1000, sequence)


def test_of_several_files_that_had_a_block_the_last_one_counts() -> None:
    left = newest_only([piece(10, 20, 5, 3), piece(12, 14, 6, 9), piece(13, 25, 7, 4), piece(30, 31, 8, 1)])
    assert [(p.start, p.end, p.number, p.logical) for p in left] == [(10, 12, 5, 0), (12, 14, 6, 0), (14, 25, 7, 1), (30, 31, 8, 0)]


def test_many_claims_on_one_place_are_settled_in_time() -> None:
    left = newest_only([piece(0, 1000, k, k) for k in range(5000)])
    assert [(p.start, p.end, p.number) for p in left] == [(0, 1000, 4999)]
