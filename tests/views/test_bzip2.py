from __future__ import annotations

import bz2
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapscan.views.bzip2 import Bzip2

KEY = (("bzip2", b""),)
FUNCTION_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def test_one_stream_is_given_whole(look, text):
    seen = look(bz2.compress(text))
    assert seen.members == {KEY: text} and seen.whole[KEY]
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("opened", "", "")
    assert seen.longest_part <= 1 << 20


def test_streams_laid_end_to_end_are_one(look, text):
    seen = look(b"".join(bz2.compress(text[start : start + 300_000], 1) for start in range(0, len(text), 300_000)) + bz2.compress(b""))
    assert seen.members == {KEY: text} and seen.fate.outcome == "opened"


@pytest.mark.skipif(shutil.which("bzip2") is None, reason="needs the bzip2 program")
def test_the_bzip2_program_s_output_is_read(look, text):
    data = subprocess.run(["bzip2", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout
    assert look(data).members == {KEY: text}


def test_bytes_behind_the_last_stream_are_noted(look):
    seen = look(bz2.compress(b"content") + b"BZh garbage")
    assert seen.members == {KEY: b"content"}
    assert (seen.fate.outcome, seen.fate.detail) == ("opened", "11 bytes follow the last bzip2 stream")


def test_an_empty_stream_is_opened(look):
    seen = look(bz2.compress(b""))
    assert seen.members == {KEY: b""} and seen.whole[KEY]


def test_a_stream_cut_in_the_middle_gives_every_block_before(look, text):
    data = bz2.compress(text, 1)
    seen = look(data[: len(data) // 2])
    assert text.startswith(seen.members[KEY])
    assert len(seen.members[KEY]) > len(text) // 2 - 150_000, "a block is at most 100 kB and its run-length"
    assert not seen.whole[KEY]
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "truncated")


def test_damage_gives_every_block_before(look, text):
    data = bytearray(bz2.compress(text, 1))
    data[len(data) // 2] ^= 0xFF
    seen = look(bytes(data))
    given_bytes = len(seen.members[KEY])
    safe_bytes = len(text) // 2 - 150_000
    assert given_bytes > safe_bytes and seen.members[KEY][:safe_bytes] == text[:safe_bytes]
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_a_bomb_stops_within_the_budget(look, counting):
    bomb = bz2.compress(bytes(200 << 20))
    assert len(bomb) < 1000
    seen = look(bomb, sink=counting, ratio_floor_bytes=8 << 20)
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "expansion-limit")
    assert seen.fate.decoded_bytes == counting.decoded_bytes <= (8 << 20) + (256 << 10)


def test_recognition_needs_level_and_block():
    data = bz2.compress(b"x")
    assert Bzip2().recognise(data) and Bzip2().recognise(bz2.compress(b""))
    assert not Bzip2().recognise(data[:9])
    assert not Bzip2().recognise(b"BZh0" + data[4:])
    assert not Bzip2().recognise(b"BZh9 is a string")


@FUNCTION_FIXTURES
@given(content=st.binary(max_size=3000), cut=st.integers(10, 5000))
def test_whatever_was_packed_comes_back_and_a_cut_never_raises(look, content, cut):
    data = bz2.compress(content)
    assert next(iter(look(data).members.values())) == content
    if cut < len(data):
        assert look(data[:cut]).fate.reason == "truncated"
