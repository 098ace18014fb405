from __future__ import annotations

import gzip
import io
import shutil
import struct
import subprocess
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapscan.views.gzip import Gzip

KEY = (("gzip", b""),)
FUNCTION_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def packed(data: bytes, name: str = "", level: int = 6) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", level, out, mtime=0) as stream:
        stream.write(data)
    return out.getvalue()


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_one_member_is_given_whole(look, text, level):
    seen = look(packed(text, level=level))
    assert seen.members == {KEY: text}
    assert seen.whole[KEY]
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail, seen.fate.decoded_bytes) == ("opened", "", "", len(text))
    assert seen.longest_part <= 1 << 20


def test_the_header_s_name_names_the_member(look):
    assert list(look(packed(b"x", "/srv/db dump.sql")).members) == [(("gzip", b"db dump.sql"),)]


def test_a_name_of_odd_bytes_comes_back_exactly(look):
    name = bytes(range(1, 256))
    data = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + name + b"\0" + packed(b"content")[10:]
    assert look(data).members == {(("gzip", name),): b"content"}


def test_extra_field_comment_and_header_checksum_are_stepped_over(look):
    data = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff" + struct.pack("<H", 300) + bytes(300) + b"n\0" + b"a comment\0" + b"\0\0" + packed(b"content")[10:]
    assert look(data).members == {(("gzip", b"n"),): b"content"}


@pytest.mark.skipif(shutil.which("gzip") is None, reason="needs the gzip program")
def test_the_gzip_program_s_output_is_read(look, text):
    data = subprocess.run(["gzip", "-9", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout
    assert look(data).members == {KEY: text}


def test_members_laid_end_to_end_are_one_stream(look, text):
    data = b"".join(packed(text[start : start + 5000]) for start in range(0, len(text), 5000))
    seen = look(data)
    assert seen.members == {KEY: text}
    assert seen.fate.outcome == "opened"
    assert seen.parts < 20, "tiny members are joined to parts of a useful size"


def test_bytes_behind_the_last_member_are_noted(look):
    seen = look(packed(b"content") + b"garbage")
    assert seen.members == {KEY: b"content"}
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")
    assert seen.fate.detail == "7 bytes follow the last gzip member"


def test_an_empty_member_is_opened(look):
    seen = look(packed(b""))
    assert seen.members == {KEY: b""}
    assert seen.whole[KEY] and seen.fate.outcome == "opened"


@pytest.mark.parametrize("field", [-8, -4])
def test_a_wrong_checksum_or_length_is_damage_after_all_was_given(look, text, field):
    data = bytearray(packed(text))
    data[field] ^= 1
    seen = look(bytes(data))
    assert seen.members == {KEY: text}
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_a_wrong_checksum_does_not_hide_the_members_behind_it(look):
    first = bytearray(packed(b"first,"))
    first[-8] ^= 1
    seen = look(bytes(first) + packed(b"second"))
    assert seen.members == {KEY: b"first,second"}
    assert seen.fate.reason == "damaged"


@pytest.mark.parametrize("before_bytes", [0, 1, 1000, 300_000, 700_001])
def test_all_but_the_byte_right_before_damage_is_given(look, text, before_bytes):
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    stream = compressor.compress(text[:before_bytes]) + compressor.flush(zlib.Z_FULL_FLUSH)
    broken_block = b"\x07"
    seen = look(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stream + broken_block + bytes(64))
    given_bytes = seen.fate.decoded_bytes
    assert max(before_bytes - 1, 0) <= given_bytes <= before_bytes
    assert b"".join(seen.members.values()) == text[:given_bytes]
    assert not any(seen.whole.values())
    assert seen.fate.reason == "damaged"
    assert seen.fate.outcome == ("partly" if given_bytes else "refused")


def test_a_stream_cut_anywhere_gives_what_zlib_gives_and_is_truncated(look):
    data = packed(b"".join(b"%d," % (number * number) for number in range(400)), "name")
    for cut in range(10, len(data)):
        seen = look(data[:cut])
        expected = zlib.decompressobj(-15).decompress(data[15:cut]) if cut > 15 else b""
        assert b"".join(seen.members.values()) == expected, cut
        assert seen.fate.reason == "truncated", cut
        assert seen.fate.outcome == ("partly" if expected else "refused"), cut


def test_a_bad_sector_costs_nothing_before_it(look, make_reader, text):
    data = packed(text, level=0)
    seen = look(make_reader(data, bad_from=1_000_000, bad_to=1_000_512))
    given_bytes = len(seen.members[KEY])
    assert 1_000_000 - 2048 < given_bytes <= 1_000_000
    assert seen.members[KEY] == text[:given_bytes]
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")
    assert "the medium refused" in seen.fate.detail


def test_ten_thousand_empty_members_are_read_in_pieces(look, make_reader):
    reader = make_reader(packed(b"") * 10_000)
    seen = look(reader)
    assert seen.members == {KEY: b""} and seen.fate.outcome == "opened"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\x1f\x8b\x08\x00" + bytes(6), True),
        (b"\x1f\x8b\x08\x1f" + bytes(6), True),
        (b"\x1f\x8b\x08\x20" + bytes(6), False),
        (b"\x1f\x8b\x07\x00" + bytes(6), False),
        (b"\x1f\x8b\x08\x00" + bytes(5), False),
        (b"\x1f\x8b\x08\x00" + bytes(6) + b"\x06", False),
        (b"\x78\x9c" + bytes(20), False),
        (b"", False),
    ],
)
def test_recognition_looks_at_method_flags_and_first_block(head, expected):
    assert Gzip().recognise(head) is expected


@FUNCTION_FIXTURES
@given(content=st.binary(max_size=3000), level=st.integers(0, 9), pieces=st.integers(1, 4))
def test_whatever_was_packed_comes_back(look, content, level, pieces):
    step = len(content) // pieces + 1
    data = b"".join(packed(content[start : start + step], level=level) for start in range(0, max(len(content), 1), step))
    seen = look(data)
    assert next(iter(seen.members.values())) == content and seen.fate.outcome == "opened"


@FUNCTION_FIXTURES
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_harmless(look, place, bit):
    content = b"".join(b"%d," % (number * number) for number in range(400))
    data = bytearray(packed(content, "name"))
    data[place % len(data)] ^= 1 << bit
    seen = look(bytes(data))
    if seen.fates and not seen.fate.reason:
        assert list(seen.members.values()) == [content]
