from __future__ import annotations

import os
import random
import shutil
import subprocess
import zlib

import pytest

from snapscan.views.zlib_stream import Zlib

KEY = (("zlib", b""),)


@pytest.mark.parametrize("level", range(10))
def test_a_stream_is_given_whole(look, text, level):
    seen = look(zlib.compress(text, level))
    assert seen.members == {KEY: text} and seen.whole[KEY]
    assert (seen.fate.outcome, seen.fate.detail) == ("opened", "")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs the git program")
@pytest.mark.parametrize("level", ["", "-c core.compression=0", "-c core.compression=9"])
def test_a_loose_object_of_git_is_named_by_its_type(look, tmp_path, text, level):
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, env=environment)
    for content in (b"x", b"short content", text, b""):
        command = ["git", "-C", str(tmp_path), *level.split(), "hash-object", "-w", "--stdin"]
        name = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True, env=environment).stdout.decode().strip()
        path = tmp_path / ".git" / "objects" / name[:2] / name[2:]
        assert look(path.read_bytes()).members == {(("zlib", b"blob"),): content}
        path.unlink()


def test_bytes_behind_the_stream_are_noted(look):
    seen = look(zlib.compress(b"content") + b"behind" * 200)
    assert seen.members == {KEY: b"content"} and seen.fate.detail == "1200 bytes follow the zlib stream"


def test_a_wrong_checksum_is_damage_after_all_was_given(look, text):
    data = bytearray(zlib.compress(text))
    data[-1] ^= 1
    seen = look(bytes(data))
    assert seen.members == {KEY: text} and (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_a_cut_stream_gives_what_is_there(look, text):
    data = zlib.compress(text)
    seen = look(data[: len(data) // 2])
    assert text.startswith(seen.members[KEY]) and len(seen.members[KEY]) > len(text) // 3
    assert seen.fate.reason == "truncated"


def test_chance_is_not_recognised():
    dice = random.Random(8)
    heads = [bytes([0x78, second]) + dice.randbytes(510) for second in (0x01, 0x5E, 0x9C, 0xDA) for _ in range(3000)]
    assert not any(Zlib().recognise(head) for head in heads)
    assert not any(Zlib().recognise(head[:20]) for head in heads)
