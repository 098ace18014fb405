from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import subprocess
import zlib

import pytest

from snapscan.model.view import Budget, ViewLimits
from snapscan.views import git, git_pack
from snapscan.views.walk import walk

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs the git program")

WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "1700000000 +0000"))
}


@pytest.fixture
def repository(tmp_path):
    """A repository of 30 versions of one long file, and a call that runs git in it."""

    def run(*arguments: str, data: bytes = b"") -> bytes:
        environment = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        return subprocess.run(
            ["git", "-C", str(tmp_path), *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, env=environment
        ).stdout

    run("init", "-q", ".")
    dice = random.Random(2)
    lines = [b"line %d %d\n" % (n, dice.randrange(10**9)) for n in range(500)]
    for number in range(30):
        lines[dice.randrange(500)] = b"token of version %d\n" % number
        (tmp_path / "file").write_bytes(b"".join(lines))
        (tmp_path / f"small{number}").write_bytes(b"small %d" % number)
        run("add", ".")
        run("commit", "-q", "-m", f"message {number}")
    run("tag", "-a", "v1", "-m", "the tag's words")
    return run


def blobs(run) -> dict[bytes, bytes]:
    names = [line.split()[0] for line in run("cat-file", "--batch-check", "--batch-all-objects").splitlines() if b" blob " in line]
    return {name: run("cat-file", "blob", name.decode()) for name in names}


def packed(run, *options: str) -> bytes:
    return run("pack-objects", "--stdout", "--all", "-q", *options)


@pytest.mark.parametrize(
    "options", [["--delta-base-offset"], [], ["--delta-base-offset", "--depth=200", "--window=50"], ["--window=0"]], ids=" ".join
)
def test_every_object_of_a_pack_is_given(look, repository, options):
    seen = look(packed(repository, *options))
    given = {names[-1][1]: content for names, content in seen.members.items() if not names[-1][1].startswith((b"commits", b"trees", b"tags"))}
    assert given == blobs(repository)
    text = b"".join(content for names, content in seen.members.items() if names[-1][1].startswith((b"commits", b"tags")))
    assert text.count(b"\ncommitter ") == 30 and b"message 29\n" in text and b"the tag's words" in text
    head = repository("rev-parse", "HEAD").strip()
    assert b"commit %s\ntree " % head in text
    assert b"100644 small7" in b"".join(content for names, content in seen.members.items() if names[-1][1].startswith(b"trees"))
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("opened", "", "")


def test_bases_that_left_the_cache_are_read_again(look, repository, monkeypatch):
    monkeypatch.setattr(git_pack, "_CACHE_BYTES", 1)
    seen = look(packed(repository, "--delta-base-offset"))
    assert {name for name in seen.named if len(name) == 40} == set(blobs(repository))


def test_a_bundle_wraps_a_pack(look, repository):
    seen = look(repository("bundle", "create", "-q", "-", "--all"))
    kinds = {tuple(kind for kind, _ in names) for names in seen.members}
    assert kinds == {("git-bundle",), ("git-bundle", "git-pack")}
    assert {name for name in seen.named if len(name) == 40} == set(blobs(repository))


def test_a_thin_pack_gives_what_its_deltas_add(look, repository):
    data = repository("pack-objects", "--stdout", "--revs", "--thin", "-q", data=b"HEAD\n^HEAD~1\n")
    seen = look(data)
    text = b"".join(seen.members.values())
    assert b"small 29" in text and b"message 29" in text
    added = [content for names, content in seen.members.items() if names[-1][1].startswith(b"delta@")]
    assert any(b"9" in content for content in added)
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "unsupported")


def test_a_truncated_pack_gives_the_objects_before(look, repository):
    data = packed(repository, "--delta-base-offset")
    seen = look(data[: len(data) // 2])
    assert b"message" in b"".join(seen.members.values())
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "truncated")


def header(kind: int, size: int) -> bytes:
    out = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        out[-1] |= 0x80
        out.append(size & 0x7F)
        size >>= 7
    return bytes(out)


def pack(*objects: bytes) -> bytes:
    return b"PACK" + struct.pack(">II", 2, len(objects)) + b"".join(objects) + bytes(20)


def test_an_object_too_long_to_hold_is_streamed_and_the_next_is_found(look, monkeypatch):
    monkeypatch.setattr(git, "LONGEST_OBJECT", 1000)
    seen = look(pack(header(3, 300_000) + zlib.compress(b"long  " * 50_000), header(3, 5) + zlib.compress(b"after")))
    assert seen.members[(("git-pack", b"@12"),)] == b"long  " * 50_000
    assert seen.named[hashlib.sha1(b"blob 5\0after").hexdigest().encode()] == b"after"


def test_objects_that_lie_about_their_size_are_damage(look):
    for size in (4, 6):
        assert look(pack(header(3, size) + zlib.compress(b"12345"))).fate.reason == "damaged"
    assert look(pack(header(3, 2**60) + zlib.compress(b"12345"))).fate.reason == "damaged"
    assert look(pack(header(6, 10) + b"\x7f" + zlib.compress(b"12345"))).fate.reason == "damaged"


def test_deltas_that_name_each_other_end(look):
    first, second = b"1" * 20, b"2" * 20
    delta = zlib.compress(b"\x05\x05\x05added")
    seen = look(pack(header(7, 8) + first + delta, header(7, 8) + second + delta))
    assert list(seen.members.values()) == [b"added", b"added"] and seen.fate.reason == "unsupported"


def test_a_delta_that_makes_gigabytes_is_refused(look):
    base = header(3, 5) + zlib.compress(b"12345")
    bomb = b"\x05" + b"\xff\xff\xff\xff\x0f" + b"\x90\x05" * 1000
    delta = header(6, len(bomb)) + bytes([len(base)]) + zlib.compress(bomb)
    seen = look(pack(base, delta))
    assert b"12345" in seen.members.values()
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "memory-limit")


def test_random_damage_never_raises(repository, make_reader, tmp_path, counting):
    dice = random.Random(3)
    folder = tmp_path / "spool"
    folder.mkdir()
    for options in (["--delta-base-offset"], []):
        good = packed(repository, *options)
        for _ in range(150):
            data = bytearray(good)
            for _ in range(dice.randint(1, 6)):
                data[dice.randrange(8, len(data)) if dice.random() < 0.5 else dice.randrange(8, 60)] = dice.randrange(256)
            cut = bytes(data[: dice.randrange(12, len(data))] if dice.random() < 0.3 else data)
            walk(make_reader(cut), cut[:512], (), Budget(ViewLimits(seconds=5), len(cut)), counting, spool_folder=folder)
