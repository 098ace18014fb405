from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from snapscan.model.errors import SourceError, StructureFault, UnsupportedFormat
from snapscan.model.space import read_bytes
from snapscan.spaces.ewf import segment_name

CHUNK = 32768


def section(kind: bytes, at: int, body: bytes, *, last: bool = False, following: int | None = None) -> bytes:
    """One section at file offset `at`, followed by the next one (libewf's format description, 3.1)."""
    size = 76 + len(body)
    following = at if last else (at + size if following is None else following)
    head = kind.ljust(16, b"\0") + struct.pack("<QQ", following, size) + bytes(40)
    return head + struct.pack("<I", zlib.adler32(head)) + body


def write_image(path: Path, content: bytes, *, segments: int = 1, circle: bool = False) -> list[Path]:
    """An E01 made by hand: every second chunk compressed, the chunks shared out over the segments."""
    chunks = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)]
    paths = []
    for number in range(1, segments + 1):
        mine = chunks[(number - 1) * len(chunks) // segments : number * len(chunks) // segments]
        out = bytearray(b"EVF\x09\x0d\x0a\xff\x00\x01" + struct.pack("<HH", number, 0))
        if number == 1:
            out += section(b"header", len(out), zlib.compress(b"1\nmain\nc\tn\n\n\n"))
            volume = struct.pack("<IIIIQ", 1, len(chunks), CHUNK // 512, 512, len(content) // 512)
            out += section(b"volume", len(out), volume.ljust(1052, b"\0"))
        base = len(out) + 76
        data, entries = bytearray(), []
        for index, chunk in enumerate(mine):
            packed = index % 2 == 0
            entries.append((base + len(data)) | (1 << 31 if packed else 0))
            data += zlib.compress(chunk) if packed else chunk + struct.pack("<I", zlib.adler32(chunk))
        out += section(b"sectors", len(out), bytes(data))
        head = struct.pack("<I4xQ4x", len(entries), 0)
        table = head + struct.pack("<I", zlib.adler32(head)) + struct.pack(f"<{len(entries)}I", *entries)
        table += struct.pack("<I", zlib.adler32(table[24:]))
        at = len(out)
        out += section(b"table", at, table, following=13 if circle else None)
        out += section(b"done" if number == segments else b"next", len(out), b"", last=True)
        segment = path.with_name(segment_name(path.name, number))
        segment.write_bytes(out)
        paths.append(segment)
    return paths


@pytest.fixture
def content():
    chance = random.Random(4)
    return b"".join(chance.choice([bytes(CHUNK), chance.randbytes(CHUNK)]) for _ in range(40)) + chance.randbytes(512 * 9)


@pytest.mark.parametrize("segments", [1, 3])
def test_an_image_is_read_over_all_its_segments(tmp_path, opened, assert_reads_as, content, segments):
    paths = write_image(tmp_path / "disk.E01", content, segments=segments)
    space = opened(tmp_path / "disk.E01")
    assert space.snapshot.kind == "ewf"
    assert_reads_as(space, content)
    assert [stamp.path for stamp in space.stamps()] == [str(path) for path in paths]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_missing_segment_is_refused_and_nothing_shifts(tmp_path, opened, content, lost):
    paths = write_image(tmp_path / "disk.E01", content, segments=3)
    paths[lost].unlink()
    with pytest.raises(SourceError) as caught:
        opened(tmp_path / "disk.E01")
    assert caught.value.reference == "part-missing"


def test_a_later_segment_is_refused_with_a_hint(tmp_path, opened, content):
    write_image(tmp_path / "disk.E01", content, segments=2)
    with pytest.raises(UnsupportedFormat) as caught:
        opened(tmp_path / "disk.E02")
    assert ".E01" in caught.value.hint


def test_sections_in_a_circle_are_refused(tmp_path, opened, content):
    write_image(tmp_path / "disk.E01", content, circle=True)
    with pytest.raises(SourceError, match="circle"):
        opened(tmp_path / "disk.E01")


def test_a_damaged_chunk_is_a_fault_and_its_neighbours_are_read(tmp_path, opened, content, edited):
    (path,) = write_image(tmp_path / "disk.E01", content)
    space = opened(path)
    first = path.read_bytes().index(b"sectors") + 76
    edited(path, first + 3, b"\xff\xff\xff\xff\xff")
    with pytest.raises(StructureFault):
        read_bytes(space, 0, 512)
    assert read_bytes(space, CHUNK, CHUNK) == content[CHUNK : 2 * CHUNK]


def test_a_truncated_image_is_refused(tmp_path, opened, content):
    (path,) = write_image(tmp_path / "disk.E01", content)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SourceError):
        opened(path)


@pytest.mark.parametrize(
    ("number", "name"), [(1, "d.E01"), (99, "d.E99"), (100, "d.EAA"), (101, "d.EAB"), (126, "d.EBA"), (775, "d.EZZ"), (776, "d.FAA")]
)
def test_segments_are_numbered_as_the_format_says(number, name):
    assert segment_name("d.E01", number) == name


@pytest.mark.images
@pytest.mark.skipif(shutil.which("ewfacquire") is None, reason="ewf-tools is not installed")
def test_an_image_of_ewfacquire_is_read(tmp_path, opened, assert_reads_as):
    content = os.urandom(3 << 20) + bytes(1 << 20)
    (tmp_path / "disk.raw").write_bytes(content)
    words = ["ewfacquire", "-u", "-t", str(tmp_path / "disk"), "-c", "fast", "-S", "1MiB", "-f", "encase6", str(tmp_path / "disk.raw")]
    subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    space = opened(tmp_path / "disk.E01")
    assert len(space.stamps()) > 1
    assert_reads_as(space, content)
