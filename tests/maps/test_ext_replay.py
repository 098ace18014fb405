from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.ext import map_ext
from snapscan.maps.ext_journal import JOURNAL_MAGIC, BlockType, block_head
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind
from snapscan.model.volume import Segment, Volume, VolumeReader

MIB = 1 << 20


def flushed(root: Path) -> None:
    """Write out this filesystem alone: os.sync would wait for the whole machine."""
    subprocess.run(["sync", "-f", str(root)], check=True)


pytestmark = pytest.mark.images

SHAPES = {
    "checksums-3": ["-t", "ext4", "-b", "4096"],
    "1k-blocks": ["-t", "ext4", "-b", "1024"],
    "no-checksums": ["-t", "ext4", "-O", "^metadata_csum", "-b", "4096"],
    "32-bit": ["-t", "ext4", "-O", "^metadata_csum,^64bit", "-b", "1024"],
    "ext3": ["-t", "ext3", "-b", "1024"],
    "inline-data": ["-t", "ext4", "-O", "inline_data", "-b", "4096"],
}


def work(root: Path) -> None:
    """Files come, go and move over many transactions; blocks that were metadata are freed and used again (revocations)."""
    for turn in range(6):
        for k in range(12):
            folder = root / f"folder{turn}" / f"sub{k}"
            folder.mkdir(parents=True)
            for n in range(8):
                (folder / f"file{n}").write_bytes(b"%d %d %d\n" % (turn, k, n) * (40 * n))
        flushed(root)
        if turn:
            shutil.rmtree(root / f"folder{turn - 1}" / "sub3")
            (root / f"folder{turn - 1}" / "sub4" / "file1").rename(root / f"moved{turn}")
            for k in range(5, 9):
                shutil.rmtree(root / f"folder{turn - 1}" / f"sub{k}")
        file = os.open(root / f"synced{turn}", os.O_WRONLY | os.O_CREAT)
        os.write(file, b"\xc0\x3b\x39\x98" + b"a block that begins like the journal's own" * 40)
        os.fsync(file)
        os.close(file)


@pytest.fixture
def crashed(blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, tmp_path: Path) -> Callable[..., Path]:
    """The image of a machine that lost its power while it was writing."""

    def run(*options: str, mount_options: str = "loop") -> Path:
        image = blank("live.img", 64 * MIB)
        run_tool("mke2fs", "-q", "-F", *options, image)
        with mounted(image, "mount", "-o", mount_options) as root:
            work(root)
            shutil.copyfile(image, tmp_path / "crashed.img")
        return tmp_path / "crashed.img"

    return run


def mapped_file(path: Path, file_space: Any) -> Mapped:
    space = file_space(path)
    volume = Volume("part:1", (Segment(0, 0, space.size_bytes),), "ext4")
    return map_ext(VolumeReader(space, volume), volume, MapLimits(seconds=30))


def picture(mapped: Mapped) -> dict[tuple[int, str], Any]:
    """Names, sizes and extents of every file, directory and link, and the free space."""
    found: dict[tuple[int, str], Any] = {}
    owners = mapped.owners
    for k in range(owners.owners):
        record = owners.record(k)
        if record.kind in (OwnerKind.FILE, OwnerKind.DIRECTORY, OwnerKind.SYMLINK, OwnerKind.FREE):
            found[record.inode, record.kind.word] = (owners.paths(k), record.size_bytes, [tuple(e) for e in owners.extents(k)])
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_a_dirty_journal_gives_the_map_that_recovery_would(
    shape: str, crashed: Any, tmp_path: Path, run_tool: Callable[..., str], file_space: Any
) -> None:
    image = crashed(*SHAPES[shape])
    recovered = tmp_path / "recovered.img"
    shutil.copyfile(image, recovered)
    run_tool("e2fsck", "-E", "journal_only", "-y", recovered)
    mapped = mapped_file(image, file_space)
    assert any("the journal was not empty" in note for note in mapped.notes)
    assert mapped.gaps == ()
    assert picture(mapped) == picture(mapped_file(recovered, file_space))


def test_a_block_that_begins_like_the_journal_is_restored(crashed: Any, file_space: Any, tmp_path: Path, run_tool: Callable[..., str]) -> None:
    image = crashed("-t", "ext4", "-b", "4096", mount_options="loop,data=journal")
    recovered = tmp_path / "recovered.img"
    shutil.copyfile(image, recovered)
    run_tool("e2fsck", "-E", "journal_only", "-y", recovered)
    assert picture(mapped_file(image, file_space)) == picture(mapped_file(recovered, file_space))


def test_the_image_itself_is_not_written_to(crashed: Any, file_space: Any) -> None:
    image = crashed("-t", "ext4")
    before = image.read_bytes()
    mapped_file(image, file_space)
    assert image.read_bytes() == before


def journal_blocks(image: Path, block_bytes: int, kind: BlockType) -> list[int]:
    """Offsets of the journal's blocks of one type."""
    content = image.read_bytes()
    heads = ((at, block_head(content[at : at + 12])) for at in range(0, len(content), block_bytes))
    return [at for at, head in heads if head and head[0] == kind]


def test_a_damaged_copy_is_left_out_and_said(crashed: Any, file_space: Any) -> None:
    image = crashed("-t", "ext4", "-b", "4096")
    content = bytearray(image.read_bytes())
    descriptor = journal_blocks(image, 4096, BlockType.DESCRIPTOR)[-1]
    content[descriptor + 4096 + 100] ^= 0xFF
    image.write_bytes(content)
    mapped = mapped_file(image, file_space)
    assert [gap.reason for gap in mapped.gaps] == ["dirty-log"]


def test_a_damaged_commit_ends_the_log_before_its_transaction(crashed: Any, file_space: Any) -> None:
    image = crashed("-t", "ext4", "-b", "4096")
    whole = mapped_file(image, file_space)
    content = bytearray(image.read_bytes())
    for commit in journal_blocks(image, 4096, BlockType.COMMIT):
        content[commit + 200] ^= 0xFF
    image.write_bytes(content)
    mapped = mapped_file(image, file_space)
    assert any("checksum is wrong" in note for note in mapped.notes)
    assert picture(mapped) != picture(whole)


def test_fast_commits_are_a_gap(blank: Callable[..., Path], run_tool: Callable[..., str], mounted: Any, tmp_path: Path, file_space: Any) -> None:
    image = blank("live.img", 64 * MIB)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "fast_commit", image)
    with mounted(image) as root:
        (root / "folder").mkdir()
        flushed(root)
        for k in range(3):
            with (root / "folder" / f"file{k}").open("wb") as file:
                file.write(b"content")
                file.flush()
                os.fsync(file.fileno())
        shutil.copyfile(image, tmp_path / "crashed.img")
    content = (tmp_path / "crashed.img").read_bytes()
    if not any(content[at : at + 4] == b"\x09\0\x08\0" for at in range(0, len(content), 4096)):
        pytest.skip("this kernel wrote no fast commits")
    mapped = mapped_file(tmp_path / "crashed.img", file_space)
    assert [gap.reason for gap in mapped.gaps] == ["dirty-log"]


def test_a_journal_on_another_device_is_a_gap(crashed: Any, run_tool: Callable[..., str], file_space: Any) -> None:
    image = crashed("-t", "ext4")
    run_tool("debugfs", "-w", "-c", "-R", "ssv journal_inum 0", image)
    mapped = mapped_file(image, file_space)
    assert ("dirty-log", "the journal is on another device and was not emptied") in {(gap.reason, gap.detail) for gap in mapped.gaps}


def test_noise_in_the_journal_never_raises(crashed: Any, bytes_space: Any) -> None:

    image = crashed("-t", "ext4", "-b", "4096")
    content = image.read_bytes()
    chance = random.Random(4)
    places = [at for kind in (BlockType.DESCRIPTOR, BlockType.SUPERBLOCK_2, BlockType.REVOKE) for at in journal_blocks(image, 4096, kind)]
    volume = Volume("", (Segment(0, 0, len(content)),), "ext4")
    for _ in range(25):
        damaged = bytearray(content)
        for _ in range(8):
            at = chance.choice(places) + chance.randrange(4, 100)
            damaged[at : at + 4] = chance.choice((chance.randbytes(4), b"\xff" * 4, bytes(4)))
        space = bytes_space(bytes(damaged))
        mapped = map_ext(VolumeReader(space, volume), volume, MapLimits(seconds=20))
        assert mapped.owners.rows > 0


def test_magic_is_the_one_of_the_specification() -> None:
    assert JOURNAL_MAGIC == 0xC03B3998
    assert block_head(b"\xc0\x3b\x39\x98\0\0\0\x02\0\0\0\x07") == (2, 7)
    assert block_head(bytes(12)) is None
