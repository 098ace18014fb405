from __future__ import annotations

import shutil
import struct
import subprocess

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapscan.views.zstd import Zstd

KEY = (("zstd", b""),)
FUNCTION_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
SKIPPABLE = b"\x53\x2a\x4d\x18" + struct.pack("<I", 5) + b"12345"


def packed(data: bytes, **options) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True, **options).compress(data)


def run_of_zeros(blocks: int, window_byte: int = 0x38) -> bytes:
    """A frame whose blocks of 4 bytes decode to 128 KiB each."""
    block = ((128 << 10) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window_byte]) + block * blocks + b"\x01\0\0"


@pytest.mark.parametrize("level", [1, 3, 19])
def test_one_frame_is_given_whole(look, text, level):
    seen = look(packed(text[:500_000], level=level))
    assert seen.members == {KEY: text[:500_000]} and seen.whole[KEY]
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("opened", "", "")
    assert seen.longest_part <= 1 << 20


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd program")
@pytest.mark.parametrize("options", [[], ["--no-check"], ["-19"], ["--long=27"], ["--fast=5"]], ids=" ".join)
def test_the_zstd_program_s_output_is_read(look, text, options):
    data = subprocess.run(["zstd", "-q", "-c", *options], input=text, stdout=subprocess.PIPE, check=True).stdout
    assert look(data).members == {KEY: text}


def test_frames_laid_end_to_end_are_one_and_skippable_ones_are_left_out(look, text):
    pieces = [packed(text[start : start + 50_000]) for start in range(0, len(text), 50_000)]
    seen = look(SKIPPABLE + SKIPPABLE.join(pieces) + SKIPPABLE + packed(b""))
    assert seen.members == {KEY: text}
    assert (seen.fate.outcome, seen.fate.detail) == ("opened", "")


def test_bytes_behind_the_last_frame_are_noted(look):
    seen = look(packed(b"content") + b"garbage")
    assert seen.members == {KEY: b"content"}
    assert (seen.fate.outcome, seen.fate.detail) == ("opened", "7 bytes follow the last zstd frame")


def test_a_stream_flushed_at_every_line_is_given_in_parts_of_a_useful_size(look, text):
    compressor = zstandard.ZstdCompressor().compressobj()
    lines = text[:200_000].splitlines(keepends=True)
    data = b"".join(compressor.compress(line) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for line in lines) + compressor.flush()
    seen = look(data)
    assert seen.members == {KEY: text[:200_000]} and seen.parts == 1


def test_a_window_above_the_limit_is_refused(look):
    data = bytearray(packed(b"content" * 100_000, level=1))
    assert not data[4] & 0x20, "a frame with a window of its own"
    data[5] = (30 - 10) << 3
    seen = look(bytes(data))
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "memory-limit")
    assert seen.fate.detail == f"zstd: a window of {1 << 30} bytes"


def test_a_single_segment_as_big_as_it_claims_is_refused(look):
    data = b"\x28\xb5\x2f\xfd\xe0" + (2**63).to_bytes(8, "little") + b"\x01\0\0"
    assert look(data).fate.reason == "memory-limit"


def test_a_frame_that_needs_a_dictionary_is_unsupported(look):
    dictionary = zstandard.ZstdCompressionDict(b"some words that come again and again " * 20, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    trained = zstandard.train_dictionary(2000, [b"sample %d of some words" % number * 5 for number in range(500)])
    assert dictionary.dict_id() == 0 and trained.dict_id()
    seen = look(zstandard.ZstdCompressor(dict_data=trained).compress(b"sample of some words"))
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "unsupported")


def test_a_wrong_checksum_is_damage_after_all_was_given(look, text):
    data = bytearray(packed(text))
    data[-1] ^= 1
    seen = look(bytes(data))
    assert seen.members == {KEY: text}
    assert (seen.fate.outcome, seen.fate.reason, seen.whole[KEY]) == ("partly", "damaged", False)


def test_a_stream_cut_anywhere_gives_every_block_before(look, text):
    data = packed(text)
    for cut in [*range(6, 40), len(data) // 2, len(data) - 5, len(data) - 1]:
        seen = look(data[:cut])
        given_bytes = len(seen.members[KEY])
        assert seen.members[KEY] == text[:given_bytes]
        assert given_bytes >= len(text) * cut // len(data) - (300 << 10)
        assert seen.fate.reason == "truncated", cut


def test_a_bomb_of_runs_stops_within_the_budget(look, counting):
    bomb = run_of_zeros(40_000)
    seen = look(bomb, sink=counting)
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "expansion-limit")
    assert seen.fate.decoded_bytes == counting.decoded_bytes <= 2000 * len(bomb) + (256 << 10)


def test_recognition_looks_behind_short_skippable_frames():
    frame = packed(b"x")
    assert Zstd().recognise(frame) and Zstd().recognise(SKIPPABLE * 3 + frame)
    assert not Zstd().recognise(SKIPPABLE)
    assert not Zstd().recognise(frame[:4] + bytes([frame[4] | 8]) + frame[5:])
    assert not Zstd().recognise(b"\x50\x2a\x4d\x18" + struct.pack("<I", 0xFFFFFFF8) + frame)
    assert not Zstd().recognise(b"")


@FUNCTION_FIXTURES
@given(content=st.binary(max_size=3000), cut=st.integers(6, 5000), place=st.integers(0, 5000))
def test_whatever_was_packed_comes_back_and_damage_never_raises(look, content, cut, place):
    data = bytearray(packed(content))
    assert next(iter(look(bytes(data)).members.values())) == content
    if cut < len(data):
        assert look(bytes(data[:cut])).fate.reason == "truncated"
    data[place % len(data)] ^= 0x10
    seen = look(bytes(data))
    if seen.fates and not seen.fate.reason:
        assert list(seen.members.values()) == [content]
