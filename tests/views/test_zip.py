from __future__ import annotations

import io
import lzma
import shutil
import struct
import subprocess
import zipfile
import zlib

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapscan.model.view import Budget, Outcome, ViewLimits
from snapscan.views.zip import Zip

FUNCTION_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


class Stream(io.RawIOBase):
    """A sink that cannot seek: zipfile writes sizes behind the data, as `zip -` does."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += data
        return len(data)


def archive(members, method=zipfile.ZIP_DEFLATED, *, streamed=False, force_zip64=False, comment=b"") -> bytes:
    out = Stream() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as target:
        target.comment = comment
        for name, content in members:
            with target.open(zipfile.ZipInfo(name) if method == 0 else _info(name, method), "w", force_zip64=force_zip64) as stream:
                stream.write(content)
    return bytes(out.data) if isinstance(out, Stream) else out.getvalue()


def _info(name, method):
    info = zipfile.ZipInfo(name)
    info.compress_type = method
    return info


def by_hand(name: bytes, stored: bytes, content: bytes, method: int) -> bytes:
    """A whole archive of one member, compressed by other means."""
    checksum = zlib.crc32(content)
    common = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, checksum, len(stored), len(content), len(name), 0)
    local = b"PK\x03\x04" + common + name + stored
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


@pytest.mark.parametrize("streamed", [False, True], ids=["seekable", "streamed"])
@pytest.mark.parametrize("method", METHODS)
def test_each_method_gives_each_member(look, text, method, streamed):
    seen = look(archive([("a", text), ("folder/b", b"hello"), ("empty", b"")], method, streamed=streamed))
    assert seen.named == {b"a": text, b"folder/b": b"hello", b"empty": b""}
    assert all(seen.whole.values())
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("opened", "", "")
    assert seen.longest_part <= 1 << 20


@pytest.mark.parametrize(
    ("method", "pack"),
    [(93, zstandard.compress), (20, zstandard.compress), (95, lzma.compress)],
    ids=["zstd", "zstd as it was first numbered", "xz"],
)
def test_newer_methods_give_their_member(look, text, method, pack):
    seen = look(by_hand(b"a", pack(text), text, method))
    assert seen.named == {b"a": text} and seen.fate.outcome == "opened"


def test_a_method_we_cannot_decode_is_unsupported_and_the_rest_is_given(look):
    data = bytearray(archive([("old.txt", b"12345"), ("new.txt", b"67890")]))
    for place in (8, data.index(b"PK\x01\x02") + 10):
        data[place : place + 2] = struct.pack("<H", 9)
    seen = look(bytes(data))
    assert seen.named[b"new.txt"] == b"67890"
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "unsupported")
    assert "old.txt: zip: compression method 9 deflate64" in seen.fate.detail


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs the zip program")
def test_the_zip_program_s_archives_are_read_and_its_encrypted_members_named(look, tmp_path, text):
    (tmp_path / "plain.txt").write_bytes(text)
    (tmp_path / "locked.txt").write_bytes(b"locked content " * 100)
    run = {"cwd": tmp_path, "check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["zip", "-q", "a.zip", "plain.txt"], **run)
    subprocess.run(["zip", "-q", "-P", "not-a-real-password", "a.zip", "locked.txt"], **run)
    seen = look((tmp_path / "a.zip").read_bytes())
    assert seen.named == {b"plain.txt": text}
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("partly", "encrypted", "locked.txt")


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs the zip program")
def test_an_archive_streamed_by_the_zip_program_is_read(look, tmp_path, text):
    (tmp_path / "plain.txt").write_bytes(text)
    data = subprocess.run(["zip", "-q", "-", "plain.txt"], cwd=tmp_path, check=True, stdout=subprocess.PIPE).stdout
    assert look(data).named == {b"plain.txt": text}
    cut = data[: data.index(b"PK\x01\x02")]
    assert look(cut).named == {b"plain.txt": text}


def test_only_encrypted_members_are_a_refused_view(look):
    data = bytearray(archive([("a", b"1"), ("b", b"2")], 0))
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(magic)
        while start >= 0:
            data[start + place] |= 1
            start = data.find(magic, start + 1)
    seen = look(bytes(data))
    assert seen.members == {}
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("refused", "encrypted", "a (also: encrypted 1 more)")


def test_zip64_fields_are_read(look, text):
    data = bytearray(archive([("a", text), ("b", b"x")], force_zip64=True))
    end = data.rindex(b"PK\x05\x06")
    total, size, offset = struct.unpack_from("<HII", data, end + 10)
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, total, total, size, offset)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    struct.pack_into("<HHII", data, end + 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    seen = look(bytes(data[:end]) + record + locator + bytes(data[end:]))
    assert seen.named == {b"a": text, b"b": b"x"} and seen.fate.outcome == "opened"
    assert look(bytes(data[:end])).named == {b"a": text, b"b": b"x"}, "by local headers, whose sizes are zip64 too"


def test_names_of_odd_bytes_come_back_exactly(look):
    name = bytes(byte for byte in range(1, 256) if byte != 0x2F)
    assert look(by_hand(name, b"content", b"content", 0)).named == {name: b"content"}
    assert look(by_hand(b"../../etc/passwd\0\n", b"content", b"content", 0)).named == {b"../../etc/passwd\0\n": b"content"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_used_twice_leads_to_two_members(look):
    seen = look(archive([("a", b"old"), ("a", b"new"), ("a#2", b"other")]))
    assert seen.named == {b"a": b"old", b"a#2": b"new", b"a#2#2": b"other"}


def test_a_wrong_checksum_is_damage_after_all_was_given(look, text):
    data = bytearray(archive([("a", text), ("b", b"fine")]))
    for place in (14, data.index(b"PK\x01\x02") + 16):
        data[place] ^= 1
    seen = look(bytes(data))
    assert seen.named == {b"a": text, b"b": b"fine"}
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.detail) == ("partly", "damaged", "a: zip: the checksum is wrong")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("streamed", [False, True], ids=["seekable", "streamed"])
def test_an_archive_cut_anywhere_never_raises_and_gives_what_is_there(look, method, streamed):
    contents = {b"a": b"first " * 20, b"b": b"second " * 20, b"c": b"third " * 20}
    data = archive([(name.decode(), content) for name, content in contents.items()], method, streamed=streamed)
    starts = [place for place in range(len(data)) if data.startswith(b"PK\x03\x04", place)] + [data.index(b"PK\x01\x02")]
    for cut in range(31, len(data)):
        seen = look(data[:cut])
        whole = sum(cut >= end for end in starts[1:])
        assert list(seen.named.items())[:whole] == list(contents.items())[:whole], cut
        for name, content in seen.named.items():
            # Where only a descriptor would tell the end, a cut descriptor cannot be told from content.
            assert contents[name].startswith(content.partition(b"P")[0]), cut
            assert not seen.whole[(("zip", name),)] or content == contents[name], cut
        if cut < starts[-1]:
            assert seen.fate.reason in ("truncated", "damaged"), cut


def test_a_damaged_directory_gives_the_members_by_their_headers(look):
    members = [(f"m{number}", b"content %d" % number) for number in range(5)]
    data = bytearray(archive(members))
    third = data.index(b"PK\x01\x02")
    for _ in range(2):
        third = data.index(b"PK\x01\x02", third + 1)
    data[third : third + 4] = b"XXXX"
    seen = look(bytes(data))
    assert seen.named == {name.encode(): content for name, content in members}
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")
    assert "2 of 5 entries" in seen.fate.detail


def test_a_member_that_the_directory_leaves_out_is_given_too(look):
    hidden, listed = archive([("hidden", b"old secret")]), archive([("listed", b"new")])
    local = hidden[: hidden.index(b"PK\x01\x02")]
    data = bytearray(local + listed)
    start = data.index(b"PK\x01\x02", len(local))
    struct.pack_into("<I", data, start + 42, len(local))
    struct.pack_into("<I", data, data.index(b"PK\x05\x06") + 16, start)
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as same:
        assert same.namelist() == ["listed"] and same.read("listed") == b"new"
    seen = look(bytes(data))
    assert seen.named == {b"listed": b"new", b"hidden": b"old secret"} and seen.fate.outcome == "opened"


def test_bytes_behind_the_archive_and_a_long_comment_do_no_harm(look):
    data = archive([("a", b"1"), ("b", b"2")], comment=b"PK\x05\x06" * 1000)
    assert look(data).fate.outcome == "opened"
    seen = look(data + bytes(200_000))
    assert seen.named == {b"a": b"1", b"b": b"2"}
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


def test_archives_laid_end_to_end_give_the_members_of_both(look):
    seen = look(archive([("a", b"1")]) + archive([("b", b"2")], streamed=True))
    assert seen.named == {b"a": b"1", b"b": b"2"} and seen.fate.outcome == "opened"


def test_the_directory_of_a_stored_inner_archive_is_not_taken_for_the_outer_one(look):
    inner = archive([("secret.txt", b"content")])
    outer = archive([("inner.zip", inner), ("more", b"x" * 100)], 0)
    seen = look(outer[: outer.index(b"PK\x03\x04", outer.index(inner) + len(inner))])
    assert seen.members == {
        (("zip", b"inner.zip"),): inner,
        (("zip", b"inner.zip"), ("zip", b"secret.txt")): b"content",
    }
    assert seen.fate.reason == "truncated"


def test_damage_inside_a_member_gives_what_precedes_it_and_the_members_behind(look, text):
    data = bytearray(archive([("a", text), ("b", b"fine")]))
    middle = data.index(b"PK\x03\x04", 4) // 2
    data[middle : middle + 64] = b"\xff" * 64
    seen = look(bytes(data))
    assert seen.named[b"b"] == b"fine"
    assert len(seen.named[b"a"]) > len(text) // 3
    assert text.startswith(seen.named[b"a"][: len(text) // 3])
    assert seen.fate.reason == "damaged"


def test_overlapping_entries_are_bounded_by_the_budget(look, text):
    single = by_hand(b"a", zlib.compress(text, wbits=-15), text, 8)
    start = single.index(b"PK\x01\x02")
    entry = single[start : single.index(b"PK\x05\x06")]
    count = 2000
    data = single[:start] + entry * count + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(entry) * count, start, 0)
    seen = look(data, decoded_bytes=16 << 20)
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "expansion-limit")
    assert (16 << 20) <= seen.fate.decoded_bytes <= (16 << 20) + (256 << 10)


@pytest.mark.parametrize("streamed", [False, True], ids=["seekable", "streamed"])
@pytest.mark.parametrize("cut", [False, True], ids=["with directory", "by local headers"])
def test_a_receiver_may_leave_a_member_before_its_end(make_reader, text, streamed, cut):
    data = archive([("a", text), ("b", text), ("c", b"last")], streamed=streamed)
    data = data[: data.index(b"PK\x01\x02")] if cut else data
    found = []
    for member in Zip().open(make_reader(data), Budget(ViewLimits(), len(data)), Outcome()):
        found.append((member.step.member, next(member.parts).data[:4] if member.step.member != b"b" else b""))
        member.parts.close()
    assert found == [(b"a", text[:4]), (b"b", b""), (b"c", b"last")]


def test_more_members_than_allowed_stop_the_view(look):
    seen = look(archive([(str(number), b"x") for number in range(100)]), members=40)
    assert len(seen.members) == 40
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "member-limit")


def test_a_limit_outweighs_an_encrypted_member(look):
    data = bytearray(archive([("locked", b"1" * 50), ("big", bytes(1 << 20))]))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    seen = look(bytes(data), decoded_bytes=1 << 19)
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "expansion-limit")
    assert "encrypted 1" in seen.fate.detail


def test_an_lzma_member_with_a_huge_dictionary_is_refused(look):
    packed = lzma.compress(b"content", format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 4096}])
    seen = look(by_hand(b"a", struct.pack("<HHBI", 9, 5, 0x5D, 0xFFFFFFF0) + packed, b"content", 14))
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "memory-limit")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, 0, 0, 1, 0), True),
        (b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 64, 0, 8, 0, 0, 0, 0, 0, 1, 0), False),
        (b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 777, 0, 0, 0, 0, 0, 1, 0), False),
        (b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, 0, 0, 0, 0), False),
        (b"PK\x03\x04", False),
        (b"", False),
    ],
)
def test_recognition_looks_at_version_method_and_name(head, expected):
    assert Zip().recognise(head) is expected


@FUNCTION_FIXTURES
@given(contents=st.lists(st.binary(max_size=500), min_size=1, max_size=6), method=st.sampled_from(METHODS), streamed=st.booleans())
def test_whatever_was_packed_comes_back(look, contents, method, streamed):
    members = [(f"name{number}", content) for number, content in enumerate(contents)]
    outermost = {names[0][1]: data for names, data in look(archive(members, method, streamed=streamed)).members.items() if len(names) == 1}
    assert outermost == {name.encode(): content for name, content in members}


@FUNCTION_FIXTURES
@given(damage=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8), method=st.sampled_from(METHODS))
def test_random_damage_never_raises(look, damage, method):
    data = bytearray(archive([("a", b"first " * 50), ("b", archive([("inner", b"x" * 99)])), ("c", b"")], method))
    for place, value in damage:
        data[place % len(data)] = value
    look(bytes(data), seconds=5)
