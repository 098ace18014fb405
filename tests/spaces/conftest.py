"""Disk images written out of order, as a guest writes them, and the comparison of a space with what qemu-img makes of the same image.

`qemu-img convert` writes blocks in order, which hides errors of layout: the images here are written by qemu-io with commands in random order,
the same commands for the raw reference and for each container.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from snapscan.model.snapshot import SourceSpec
from snapscan.model.space import Space, read_bytes
from snapscan.spaces.registry import open_space

MIB = 1 << 20
DISK_BYTES = 12 * MIB

QEMU_NAMES = {"vhd": "vpc"}


def commands(seed: int, size_bytes: int = DISK_BYTES, share: float = 0.6) -> str:
    """A qemu-io script that fills a share of a disk's 64 KiB blocks, some of them in part, in random order."""
    chance = random.Random(seed)
    lines = []
    for block in chance.sample(range(0, size_bytes - 65535, 65536), int(size_bytes / 65536 * share)):
        length = chance.choice([4096, 8192, 65536, 65536, 65536])
        lines.append(f"write -P {chance.randrange(1, 256)} {block + chance.choice([0, 0, 0, 65536 - length])} {length}")
    return "\n".join(lines) + "\nquit\n"


def run(*words: str | Path, text: str | None = None) -> str:
    return subprocess.run([str(word) for word in words], input=text, text=True, check=True, capture_output=True).stdout


class Disks:
    """Makes images in one folder. `truth` is what qemu says that an image holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str, kind: str, *options: str, size_bytes: int | None = DISK_BYTES, seed: int | None = 7, share: float = 0.6) -> Path:
        path = self.folder / name
        size = [str(size_bytes)] if size_bytes is not None else []
        run("qemu-img", "create", "-q", "-f", QEMU_NAMES.get(kind, kind), *options, path, *size)
        if seed is not None:
            self.write(path, kind, commands(seed, size_bytes or DISK_BYTES, share))
        return path

    def write(self, path: Path, kind: str, script: str) -> None:
        run("qemu-io", "-t", "unsafe", "-f", QEMU_NAMES.get(kind, kind), path, text=script)

    def convert(self, source: Path, name: str, kind: str, *options: str) -> Path:
        run("qemu-img", "convert", *options, "-O", QEMU_NAMES.get(kind, kind), source, self.folder / name)
        return self.folder / name

    def qemu_img(self, *words: str | Path) -> str:
        return run("qemu-img", *words)

    def truth(self, path: Path, *options: str) -> bytes:
        out = self.folder / "truth.raw"
        run("qemu-img", "convert", *options, "-O", "raw", path, out)
        return out.read_bytes()


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    return Disks(tmp_path)


@pytest.fixture
def opened() -> Iterator[Callable[..., Space]]:
    """Opens a path as a space, and closes it after the test."""
    spaces: list[Space] = []

    def open_path(path: Path, kind: str = "", parents_from: tuple[Path, ...] = ()) -> Space:
        space = open_space(SourceSpec(str(path), kind, tuple(map(str, parents_from))))
        spaces.append(space)
        return space

    yield open_path
    for space in spaces:
        space.close()


@pytest.fixture
def assert_reads_as() -> Callable[[Space, bytes], None]:
    """A space has exactly these bytes, by reads of many places and lengths, by `gather`, and its stored ranges hold all that is not zero."""

    def check(space: Space, wanted: bytes) -> None:
        assert space.size_bytes == len(wanted) == space.snapshot.size_bytes
        chance = random.Random(11)
        wrong = []
        for _ in range(120):
            offset = chance.randrange(len(wanted))
            length = min(chance.choice([1, 511, 4096, 70_000, 3 * MIB]), len(wanted) - offset)
            if read_bytes(space, offset, length) != wanted[offset : offset + length]:
                wrong.append((offset, length))
        assert wrong == []
        whole = read_bytes(space, 0, len(wanted))
        assert whole == wanted
        assert_ranges_cover(space, wanted)
        offsets = np.unique(np.random.default_rng(3).integers(0, len(wanted), 3000))
        gathered = space.gather(offsets)  # type: ignore[attr-defined]  # beside the protocol: every space of this package has it
        assert (gathered == np.frombuffer(wanted, dtype=np.uint8)[offsets]).all()

    return check


def assert_ranges_cover(space: Space, wanted: bytes) -> None:
    covered = np.zeros(len(wanted), dtype=bool)
    last = -1
    for start, end in space.stored_ranges():
        assert last < start < end <= len(wanted), "rising, disjoint, not touching, inside"
        covered[start:end] = True
        last = end
    assert not np.frombuffer(wanted, dtype=np.uint8)[~covered].any()


@pytest.fixture
def edited() -> Callable[[Path, int, bytes], None]:
    """Overwrites bytes of a file; a negative place counts from its end."""

    def edit(path: Path, at: int, data: bytes) -> None:
        content = bytearray(path.read_bytes())
        at = at if at >= 0 else len(content) + at
        content[at : at + len(data)] = data
        path.write_bytes(content)

    return edit
