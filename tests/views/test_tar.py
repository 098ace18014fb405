from __future__ import annotations

import io
import shutil
import subprocess
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapscan.model.view import Budget, Outcome, ViewLimits
from snapscan.views.tar import Tar

FUNCTION_FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
needs_tar = pytest.mark.skipif(shutil.which("tar") is None, reason="needs the tar program")


def archive(members, form=tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as target:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return out.getvalue()


def with_checksum(header: bytes) -> bytes:
    total = sum(header[:148]) + sum(header[156:]) + 8 * 0x20
    return header[:148] + b"%06o\0 " % total + header[156:]


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_each_format_gives_each_member(look, text, form):
    members = [("a", text), ("folder/b", b"hello"), ("empty", b""), ("exact", b"x" * 512), ("n" * 90 + "/" + "m" * 90, b"long name")]
    seen = look(archive(members, form))
    assert seen.named == {name.encode(): content for name, content in members}
    assert all(seen.whole.values())
    assert (seen.fate.outcome, seen.fate.reason, seen.fate.decoded_bytes) == ("opened", "", sum(len(content) for _, content in members))
    assert seen.longest_part <= 1 << 20


@needs_tar
@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "pax"])
def test_the_tar_program_s_archives_are_read(look, tmp_path, text, form):
    root = tmp_path / "root"
    root.mkdir()
    (root / "text").write_bytes(text)
    (root / "empty").write_bytes(b"")
    (root / "same").hardlink_to(root / "text")
    (root / "link").symlink_to("text")
    (root / "folder").mkdir()
    names = ["folder", "empty", "text", "same", "link"]
    data = subprocess.run(["tar", f"--format={form}", "-C", root, "-cf", "-", *names], check=True, stdout=subprocess.PIPE).stdout
    seen = look(data)
    assert seen.named == {b"text": text, b"empty": b""}
    assert seen.fate.outcome == "opened"


@needs_tar
@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_long_and_odd_names_come_back_exactly(look, tmp_path, form):
    odd = bytes(byte for byte in range(1, 256) if byte != 0x2F)[:200]
    deep = b"/".join([b"d" * 120] * 4) + b"/" + odd
    place = bytes(tmp_path) + b"/" + deep
    path = tmp_path
    for part in deep.split(b"/")[:-1]:
        path = path / part.decode()
        path.mkdir()
    with open(place, "wb") as stream:
        stream.write(b"content")
    data = subprocess.run(["tar", f"--format={form}", "-C", tmp_path, "-cf", "-", "d" * 120], check=True, stdout=subprocess.PIPE).stdout
    assert look(data).named == {deep: b"content"}


@needs_tar
@pytest.mark.parametrize("form", ["gnu", "pax", "oldgnu"])
def test_a_sparse_member_is_given_as_it_is_stored(look, tmp_path, form):
    with open(tmp_path / "sparse", "wb") as stream:
        for number in range(60):
            stream.seek(number * 100_000)
            stream.write(b"island %d " % number * 100)
    (tmp_path / "after").write_bytes(b"behind")
    data = subprocess.run(["tar", f"--format={form}", "-S", "-C", tmp_path, "-cf", "-", "sparse", "after"], check=True, stdout=subprocess.PIPE).stdout
    seen = look(data)
    assert list(seen.named) == [b"sparse", b"after"]
    assert seen.named[b"after"] == b"behind"
    assert all(b"island %d island" % number in seen.named[b"sparse"] for number in range(60))
    assert len(seen.named[b"sparse"]) < 400_000
    assert seen.fate.outcome == "opened"


def test_a_size_in_base_256_is_read(look):
    header = bytearray(archive([("a", b"content")], tarfile.USTAR_FORMAT))
    header[124:136] = b"\x80" + (7).to_bytes(11, "big")
    header[:512] = with_checksum(bytes(header[:512]))
    assert look(bytes(header)).named == {b"a": b"content"}


@pytest.mark.parametrize("size", [b"\x80" + (2**63).to_bytes(11, "big"), b"\x80" + b"\xff" * 11, b"77777777777\0"])
def test_a_huge_size_ends_at_the_end_of_what_is_stored(look, size):
    data = bytearray(archive([("a", b"content"), ("b", b"more")], tarfile.USTAR_FORMAT))
    data[124:136] = size
    data[:512] = with_checksum(bytes(data[:512]))
    seen = look(bytes(data))
    assert seen.named == {b"a": bytes(data[512:])}
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "truncated")


def test_a_negative_size_is_damage_and_the_next_member_is_found(look):
    data = bytearray(archive([("a", b"content"), ("b", b"more")], tarfile.USTAR_FORMAT))
    data[124:136] = b"\xff" * 12
    data[:512] = with_checksum(bytes(data[:512]))
    seen = look(bytes(data))
    assert seen.named == {b"b": b"more"}
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_a_damaged_header_is_said_and_the_members_behind_it_are_found(look, text):
    data = bytearray(archive([("a", b"first"), ("b", text), ("c", b"last")], tarfile.USTAR_FORMAT))
    data[1024 + 3] ^= 0x40
    seen = look(bytes(data))
    assert seen.named == {b"a": b"first", b"c": b"last"}
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")
    assert "no header at 1024" in seen.fate.detail


def test_an_archive_cut_anywhere_never_raises_and_gives_what_is_there(look):
    contents = {b"a": b"first" * 40, b"n" * 150: b"second" * 99, b"c": b""}
    data = archive([(name.decode(), content) for name, content in contents.items()])
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512
    for cut in range(512, end, 7):
        seen = look(data[:cut])
        assert seen.fate.reason == "truncated", cut
        for name, content in seen.named.items():
            assert contents[name].startswith(content), cut
    assert look(data[: end + 512]).fate.outcome == "opened", "one block of zeros is an end"


def test_archives_laid_end_to_end_give_the_members_of_both(look):
    seen = look(archive([("a", b"1")]) + archive([("a", b"2"), ("b", b"3")]))
    assert seen.named == {b"a": b"1", b"a#2": b"2", b"b": b"3"} and seen.fate.outcome == "opened"


def test_a_receiver_may_leave_a_member_before_its_end(make_reader, text):
    data = archive([("a", text), ("b", text), ("c", b"last")])
    found = []
    for member in Tar().open(make_reader(data), Budget(ViewLimits(), len(data)), Outcome()):
        found.append((member.step.member, next(member.parts).data[:4] if member.step.member != b"b" else b""))
    assert found == [(b"a", text[:4]), (b"b", b""), (b"c", b"last")]


def test_a_long_tail_behind_the_end_mark_is_not_read(look, make_reader):
    seen = look(make_reader(archive([("a", b"1")]) + b"\1" * 1000))
    assert seen.named == {b"a": b"1"} and seen.fate.outcome == "opened"


def test_an_endless_chain_of_extended_headers_stops_at_the_member_limit(look):
    extension = archive([("n" * 300, b"")])[:1024]
    seen = look(extension * 3000, members=1000)
    assert seen.members == {}
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "member-limit")


def test_an_extended_header_of_a_gigabyte_is_refused(look):
    header = bytearray(archive([("n" * 300, b"")])[:512])
    header[124:136] = b"%011o\0" % (1 << 30)
    seen = look(with_checksum(bytes(header)) + bytes(4096))
    assert (seen.fate.outcome, seen.fate.reason) == ("refused", "damaged")


def test_a_bad_sector_costs_its_member_s_rest(look, make_reader, text):
    data = archive([("a", b"first"), ("b", text)], tarfile.USTAR_FORMAT)
    seen = look(make_reader(data, bad_from=600_064, bad_to=600_576))
    assert seen.named[b"a"] == b"first"
    assert text.startswith(seen.named[b"b"]) and len(seen.named[b"b"]) > 590_000
    assert (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_recognition_needs_a_checksum_that_holds():
    head = archive([("a", b"")], tarfile.USTAR_FORMAT)[:512]
    assert Tar().recognise(head)
    assert not Tar().recognise(head[:511])
    assert not Tar().recognise(b"b" + head[1:])
    assert not Tar().recognise(bytes(512))
    assert not Tar().recognise(b"")


@FUNCTION_FIXTURES
@given(
    members=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=150), st.binary(max_size=1500), max_size=5
    ),
    form=st.sampled_from(sorted(FORMATS.values())),
)
def test_whatever_was_packed_comes_back(look, members, form):
    members = {name: content for name, content in members.items() if form != tarfile.USTAR_FORMAT or len(name.encode()) <= 100}
    data = archive(members.items(), form)
    if members:
        outermost = {names[0][1]: content for names, content in look(data).members.items() if len(names) == 1}
        assert outermost == {name.encode(): content for name, content in members.items()}


@FUNCTION_FIXTURES
@given(
    damage=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=8), form=st.sampled_from(sorted(FORMATS.values()))
)
def test_random_damage_never_raises(look, damage, form):
    data = bytearray(archive([("a", b"first " * 50), ("n" * 90 + "/b", archive([("inner", b"x" * 99)])), ("c", b"")], form))
    for place, value in damage:
        data[place % len(data)] = value
    look(bytes(data), seconds=5)
