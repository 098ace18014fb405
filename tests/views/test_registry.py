from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import random
import re
import sqlite3
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard

from snapscan.views.registry import HEAD_BYTES, MAGICS, VIEWS, recognise


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("name", b"content")
    return out.getvalue()


def _tar(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as target:
        info = tarfile.TarInfo("name")
        info.size = 7
        target.addfile(info, io.BytesIO(b"content"))
    return out.getvalue()


def _sqlite(journal: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(sqlite3.connect(f"{folder}/a")) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE t (a)")
        return Path(folder, "a-wal" if journal == "WAL" else "a").read_bytes()


def _pack() -> bytes:
    blob = zlib.compress(b"content")
    return b"PACK" + struct.pack(">II", 2, 1) + bytes([3 << 4 | 7]) + blob + hashlib.sha1(b"").digest()


SAMPLES = {
    "gzip": [gzip.compress(b"content")],
    "zip": [_zip()],
    "xz": [lzma.compress(b"content")],
    "zstd": [zstandard.compress(b"content")],
    "bzip2": [bz2.compress(b"content")],
    "sqlite": [_sqlite("DELETE")],
    "sqlite-wal": [_sqlite("WAL")],
    "git-pack": [_pack()],
    "git-bundle": [b"# v2 git bundle\n" + b"0" * 40 + b" HEAD\n\n" + _pack()],
    "zlib": [zlib.compress(b"blob 7\0content", 1), zlib.compress(b"commit 9\0" + bytes(range(200)) * 9, 1)],
    "ar": [b"!<arch>\n" + b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (b"a", 0, 0, 0, 0o644, 7) + b"content\n"],
    "cpio": [b"070701" + b"%08X" * 13 % (1, 0o100644, 0, 0, 1, 0, 7, 0, 0, 0, 0, 2, 0) + b"a\0content\0"],
    "rpm": [b"\xed\xab\xee\xdb\x03" + bytes(91) + (b"\x8e\xad\xe8\x01" + bytes(12)) * 2 + b"payload"],
    "journal": [b"LPKSHHRH" + bytes(80) + b"\x00\x01" + bytes(400)],
    "regf": [struct.pack("<4sIIQIIIIII", b"regf", 1, 1, 0, 1, 5, 0, 1, 32, 4096) + bytes(8192)],
    "mail": [b"Return-Path: <a@example.org>\nReceived: from a\n"],
    "pdf": [b"%PDF-1.7\n1 0 obj\n<< /Filter /FlateDecode >>\nstream\n" + zlib.compress(b"content")],
    "tar": [_tar(tarfile.USTAR_FORMAT), _tar(tarfile.GNU_FORMAT), _tar(tarfile.PAX_FORMAT)],
}


def test_every_view_has_a_sample_and_a_magic():
    assert [view.kind for view in VIEWS] == list(SAMPLES)
    assert [kind for kind, _, _ in MAGICS] == list(SAMPLES)


@pytest.mark.parametrize("kind", SAMPLES)
def test_content_is_recognised_as_what_it_is_and_as_nothing_else(kind):
    for sample in SAMPLES[kind]:
        assert [view.kind for view in VIEWS if view.recognise(sample[:HEAD_BYTES])] == [kind]
        found = recognise(sample[:HEAD_BYTES])
        assert found is not None and found.kind == kind


@pytest.mark.parametrize(("kind", "pattern", "back_bytes"), MAGICS)
def test_a_magic_leads_back_to_the_start_of_its_view(kind, pattern, back_bytes):
    for sample in SAMPLES[kind]:
        data = b"x" * 777 + sample
        match = re.search(pattern, data, re.DOTALL)
        assert match is not None and match.end() - back_bytes == 777


def test_the_recognition_of_random_and_short_heads_never_raises():
    dice = random.Random(3)
    for samples in SAMPLES.values():
        for sample in samples:
            for length in range(0, 520, 3):
                recognise(sample[: min(length, HEAD_BYTES)])
            for _ in range(300):
                head = bytearray(sample[:HEAD_BYTES])
                head[dice.randrange(len(head))] = dice.randrange(256)
                recognise(bytes(head))


def test_ordinary_content_is_not_recognised():
    dice = random.Random(4)
    for head in (
        b"#!/bin/sh\n" * 60,
        b"\x7fELF" + bytes(508),
        bytes(512),
        b"\xff" * 512,
        dice.randbytes(512),
        b"\x78\x9c" + bytes(510),
        b"x^2 + y^2 = z^2, " * 40,
        zlib.compress(b"content of a stream that is cut")[:-5],
        b"PK",
        b"BZh9",
    ):
        assert recognise(head) is None
