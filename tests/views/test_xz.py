from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapscan.views.xz import Xz

KEY = (("xz", b""),)
FUNCTION_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


@pytest.mark.parametrize("check", [lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256])
def test_each_kind_of_checksum_is_read(look, text, check):
    seen = look(lzma.compress(text[:300_000], check=check, preset=1))
    assert seen.members == {KEY: text[:300_000]} and seen.whole[KEY]
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("opened", "", "")


@pytest.mark.skipif(shutil.which("xz") is None, reason="needs the xz program")
def test_the_xz_program_s_output_of_many_blocks_is_read(look, text):
    data = subprocess.run(["xz", "-1", "-T2", "--block-size=300KiB", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout
    seen = look(data)
    assert seen.members == {KEY: text} and seen.longest_part <= 1 << 20


def test_streams_with_padding_between_them_are_one(look):
    seen = look(lzma.compress(b"first,") + bytes(8) + lzma.compress(b"second,") + lzma.compress(b"third"))
    assert seen.members == {KEY: b"first,second,third"}
    assert seen.fate.outcome == "opened"


def test_bytes_behind_the_last_stream_are_noted(look):
    seen = look(lzma.compress(b"content") + b"garbage")
    assert seen.members == {KEY: b"content"}
    assert (seen.fate.outcome, seen.fate.detail) == ("opened", "7 bytes follow the last xz stream")


def test_a_stream_cut_in_the_middle_gives_what_precedes(look, text):
    data = lzma.compress(text, preset=1)
    seen = look(data[: len(data) // 2])
    assert text.startswith(seen.members[KEY]) and len(seen.members[KEY]) > len(text) // 3
    assert (seen.fate.outcome, seen.fate.reason, seen.whole[KEY]) == ("partly", "truncated", False)


def test_a_wrong_checksum_is_damage_after_all_but_a_byte_was_given(look):
    content = b"0123456789" * 100
    data = bytearray(lzma.compress(content, check=lzma.CHECK_CRC32))
    # Behind the block: its checksum of 4 bytes, the index (here 8 bytes and its checksum of 4), the footer of 12.
    index_bytes = (struct.unpack("<I", data[-8:-4])[0] + 1) * 4
    data[-12 - index_bytes - 4] ^= 1
    seen = look(bytes(data))
    assert content.startswith(seen.members[KEY]) and len(seen.members[KEY]) >= len(content) - 1
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_a_huge_dictionary_is_refused_before_it_is_allocated(look):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20}]
    small = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(b"content" * 1000, filters=small))
    # The dictionary's size is one byte of the block header: 2 << (n / 2 + 11) for even n.
    size_byte = data.index(b"\x21\x01", 12) + 2
    data[size_byte] = 34
    header_end = 12 + (data[12] + 1) * 4
    data[header_end - 4 : header_end] = struct.pack("<I", zlib.crc32(data[12 : header_end - 4]))
    assert filters[0]["dict_size"] == 2 << (34 // 2 + 11)
    seen = look(bytes(data))
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.decoded_bytes) == ("refused", "memory-limit", 0)
    assert look(bytes(data), window_bytes=1 << 30).members == {KEY: b"content" * 1000}


def test_a_bomb_stops_within_the_budget(look, counting):
    seen = look(lzma.compress(bytes(64 << 20), preset=0), sink=counting, decoded_bytes=8 << 20)
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "expansion-limit")
    assert counting.decoded_bytes <= (8 << 20) + (256 << 10)


def test_recognition_needs_the_header_s_checksum():
    data = lzma.compress(b"x")
    assert Xz().recognise(data[:12])
    assert not Xz().recognise(data[:11])
    assert not Xz().recognise(data[:7] + b"\x02" + data[8:])
    assert not Xz().recognise(lzma.compress(b"x", format=lzma.FORMAT_ALONE))


@FUNCTION_FIXTURES
@given(content=st.binary(max_size=3000), cut=st.integers(12, 5000), place=st.integers(0, 5000))
def test_whatever_was_packed_comes_back_and_damage_never_raises(look, content, cut, place):
    data = bytearray(lzma.compress(content, preset=1))
    assert next(iter(look(bytes(data)).members.values())) == content
    if cut < len(data):
        seen = look(bytes(data[:cut]))
        assert seen.fate.reason == "truncated"
    data[place % len(data)] ^= 0x10
    seen = look(bytes(data))
    if seen.fates and not seen.fate.reason:
        assert list(seen.members.values()) == [content]
