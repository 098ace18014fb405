"""Spaces for the map tests (a file or some bytes, without the containers of snapscan.spaces), and looks at what a map says."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from snapscan.maps.registry import map_volume
from snapscan.maps.volumes import find_volumes
from snapscan.model.errors import MediaFault
from snapscan.model.mapping import MapLimits, Mapped
from snapscan.model.owner import OwnerKind, OwnerMap, RowFlag
from snapscan.model.snapshot import SnapshotRef, SourceStamp
from snapscan.model.space import Range, read_bytes
from snapscan.model.volume import Segment, Volume, VolumeReader


class BytesSpace:
    """Bytes in memory; reads that touch a range of `faults` raise, `patches` lie over what is there."""

    def __init__(self, content: bytes, faults: tuple[Range, ...] = ()) -> None:
        self.content = content
        self.faults = faults
        self.patches: dict[int, bytes] = {}
        self.size_bytes = len(content)
        self.snapshot = SnapshotRef("raw", "test", "test", self.size_bytes)

    def stored_ranges(self) -> Iterator[Range]:
        yield Range(0, self.size_bytes)

    def read_into(self, offset: int, view: memoryview) -> None:
        assert offset >= 0 and offset + len(view) <= self.size_bytes
        if any(offset < fault.end and fault.start < offset + len(view) for fault in self.faults):
            raise MediaFault("bad-sector", "a test's bad sector", offset=offset, length=len(view))
        self.fill(offset, view)
        for place, new in self.patches.items():
            low, high = max(place, offset), min(place + len(new), offset + len(view))
            if low < high:
                view[low - offset : high - offset] = new[low - place : high - place]

    def fill(self, offset: int, view: memoryview) -> None:
        view[:] = self.content[offset : offset + len(view)]

    def stamps(self) -> tuple[SourceStamp, ...]:
        return ()

    def close(self) -> None:
        pass


class FileSpace(BytesSpace):
    """A raw image on disk, or a piece of claimed size without any file."""

    def __init__(self, path: Path, faults: tuple[Range, ...] = ()) -> None:
        super().__init__(b"", faults)
        self.file = path.open("rb", buffering=0)
        self.size_bytes = os.fstat(self.file.fileno()).st_size

    def fill(self, offset: int, view: memoryview) -> None:
        assert os.preadv(self.file.fileno(), [view], offset) == len(view)

    def close(self) -> None:
        self.file.close()


@pytest.fixture
def bytes_space() -> Callable[..., BytesSpace]:
    return BytesSpace


@pytest.fixture
def file_space() -> Iterator[Callable[..., FileSpace]]:
    opened: list[FileSpace] = []

    def open_file(path: Path, faults: tuple[Range, ...] = ()) -> FileSpace:
        opened.append(FileSpace(path, faults))
        return opened[-1]

    yield open_file
    for space in opened:
        space.close()


@pytest.fixture
def run_tool() -> Callable[..., str]:
    """Run a program and return its output; its own words are in the failure if it fails."""

    def run(*command: object, given: str | bytes | None = None) -> str:
        given = given.encode() if isinstance(given, str) else given
        done = subprocess.run([str(word) for word in command], input=given, capture_output=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr.decode('utf-8', 'replace')}{done.stdout.decode('utf-8', 'replace')}"
        return done.stdout.decode("utf-8", "replace")

    return run


@pytest.fixture
def blank(tmp_path: Path) -> Callable[..., Path]:
    """A sparse file of a size."""

    def make(name: str, size_bytes: int) -> Path:
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size_bytes)
        return path

    return make


class Contents:
    """What a map says of each live file: path -> sha256 of the bytes its extents lead to."""

    def __init__(self, space: BytesSpace, owners: OwnerMap) -> None:
        self.space = space
        self.owners = owners

    def read(self, owner: int) -> bytes:
        """An owner's bytes: holes and unwritten parts are zeros, what lies behind its size is left out."""
        size = self.owners.record(owner).size_bytes
        content = bytearray(size)
        for extent in self.owners.extents(owner):
            length = min(extent.end - extent.start, size - extent.owner_offset)
            if length > 0 and not extent.flags & RowFlag.UNWRITTEN:
                content[extent.owner_offset : extent.owner_offset + length] = read_bytes(self.space, extent.start, length)
        return bytes(content)

    def digests(self, *kinds: OwnerKind) -> dict[str, str]:
        """By path without its leading slash; every hard link counts."""
        wanted = kinds or (OwnerKind.FILE,)
        found = {}
        for owner in range(self.owners.owners):
            if self.owners.record(owner).kind in wanted:
                digest = hashlib.sha256(self.read(owner)).hexdigest()
                found |= {path[1:].decode("utf-8", "surrogateescape"): digest for path in self.owners.paths(owner)}
        return found

    def owner_of(self, path: str) -> int:
        return next(k for k in range(self.owners.owners) if path.encode() in self.owners.paths(k))


@pytest.fixture
def map_file(file_space: Callable[..., FileSpace]) -> Callable[..., tuple[Mapped, Contents]]:
    """Map the first volume of an image."""

    def run(path: Path, limits: MapLimits | None = None) -> tuple[Mapped, Contents]:
        space = file_space(path)
        volume = find_volumes(space).volumes[0]
        mapped = map_volume(VolumeReader(space, volume), volume, limits or MapLimits())
        return mapped, Contents(space, mapped.owners)

    return run


@pytest.fixture
def survives_damage(bytes_space: Callable[..., BytesSpace]) -> Callable[..., None]:
    """Map an image many times with bytes of its metadata changed; fails if a map raises or leaves the space."""

    def run(image: bytes, kind: str, places: list[tuple[int, int]], rounds: int = 60) -> None:
        chance = random.Random(rounds)
        volume = Volume("", (Segment(0, 0, len(image)),), kind)
        for turn in range(rounds):
            space = bytes_space(image)
            for _ in range(1 + turn % 8):
                start, length = chance.choice(places)
                space.patches[start + chance.randrange(length)] = chance.choice((chance.randbytes(1), chance.randbytes(8), b"\xff" * 8, bytes(4)))
            mapped = map_volume(VolumeReader(space, volume), volume, MapLimits(seconds=20.0, inodes=200_000))
            if mapped.owners.rows:
                assert int(mapped.owners.start.min()) >= 0 and int(mapped.owners.end.max()) <= len(image)
            for owner in range(0, mapped.owners.owners, 97):
                mapped.owners.paths(owner)

    return run


@pytest.fixture
def source_tree(tmp_path: Path) -> Path:
    """A small tree with what filesystems differ in: empty, small, big, sparse and fragmented files, odd names, deep folders, links."""
    root = tmp_path / "tree"
    chance = random.Random(7)
    for name, size in {"empty": 0, "small": 11, "sector": 700, "page": 4096, "big": 3_000_001, "deep/er/and/deeper/file.env": 500}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))
    many = root / "many"
    many.mkdir()
    for k in range(300):
        (many / f"a file with a rather long name, number {k}").write_bytes(b"%d" % k)
    (root / "näme with späces").write_bytes(b"umlaut")
    with (root / "sparse").open("wb") as file:
        for k in range(6):
            file.seek(k * 300_000)
            file.write(chance.randbytes(5000))
    return root


@pytest.fixture
def digests_of() -> Callable[[Path], dict[str, str]]:
    def run(root: Path) -> dict[str, str]:
        return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file() and not p.is_symlink()}

    return run


@pytest.fixture
def mounted(tmp_path: Path, run_tool: Callable[..., str]) -> Callable[..., AbstractContextManager[Path]]:
    """Mount an image (as a `device` for programs that want one) on a folder for writing; skips the test where this machine cannot."""

    @contextmanager
    def mount(image: Path, *command: str, device: bool = False) -> Iterator[Path]:
        folder = tmp_path / "mounted"
        folder.mkdir(exist_ok=True)
        source = run_tool("losetup", "-f", "--show", image).strip() if device else str(image)
        words = [*(command or ("mount", "-o", "loop")), source, str(folder)]
        done = subprocess.run(words, capture_output=True, check=False) if shutil.which(words[0]) else None
        try:
            if done is None or done.returncode:
                pytest.skip(f"this machine cannot mount it: {' '.join(words[:2])}")
            try:
                yield folder
            finally:
                run_tool("umount", folder)
        finally:
            if device:
                run_tool("losetup", "-d", source)

    return mount
