from __future__ import annotations

import gzip
import random
import shutil
import subprocess

import pytest

from snapscan.views.cpio import Cpio


def newc(*members: tuple[bytes, bytes], mode: int = 0o100644) -> bytes:
    out = b""
    for name, content in (*members, (b"TRAILER!!!", b"")):
        fields = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return out


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs the cpio program")
@pytest.mark.parametrize("form", ["newc", "crc", "odc"])
def test_the_cpio_program_s_archives_are_read(look, tmp_path, text, form):
    (tmp_path / "folder").mkdir()
    contents = {b"folder/big": text, b"one": b"1", b"four": b"4444", b"a name": b"55555"}
    for name, content in contents.items():
        (tmp_path / name.decode()).write_bytes(content)
    (tmp_path / "link").symlink_to("one")
    names = b"\n".join([b"folder", b"link", *contents]) + b"\n"
    data = subprocess.run(["cpio", "-o", "--quiet", "-H", form], input=names, cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout
    seen = look(data)
    assert seen.named == contents
    assert (seen.fate.outcome, seen.fate.detail) == ("opened", "")


def test_an_initial_ram_disk_of_several_archives_is_read_to_the_bottom(look):
    early = newc((b"kernel/microcode", b"early")) + bytes(512 - 276 % 512)
    seen = look(early + newc((b"second", b"2")) + bytes(8) + gzip.compress(newc((b"etc/passwd", b"root:x:0:0"))))
    assert seen.named[b"kernel/microcode"] == b"early" and seen.named[b"second"] == b"2"
    assert next(names for names in seen.members if names[-1] == ("cpio", b"etc/passwd"))[1] == ("gzip", b"")
    assert {fate.outcome for fate in seen.fates} == {"opened"}


def test_cut_and_damaged_archives_say_so(look):
    data = newc((b"a", b"first"), (b"b", b"second" * 50))
    for cut in range(111, len(data) - 130, 7):
        seen = look(data[:cut])
        assert seen.fate.reason == "truncated", cut
        assert seen.named.get(b"a", b"") in (b"first", b"first"[: max(cut - 112, 0)])
    second = data.index(b"070701", 10)
    seen = look(data[:second] + b"x" + data[second + 1 :])
    assert seen.named == {b"a": b"first"} and (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_sizes_out_of_range_are_truncation(look):
    data = bytearray(newc((b"a", b"first")))
    data[54:62] = b"FFFFFFFF"
    assert look(bytes(data)).fate.reason == "truncated"
    data[94:102] = b"FFFFFFFF"
    assert not Cpio().recognise(bytes(data))


def test_members_stop_at_the_limit(look):
    assert look(newc(*((b"%d" % n, b"x") for n in range(100))), members=30).fate.reason == "member-limit"


def test_random_damage_never_raises(look):
    dice = random.Random(6)
    good = newc((b"a", b"first"), (b"b", b"second" * 50))
    for _ in range(400):
        data = bytearray(good)
        for _ in range(dice.randint(1, 5)):
            data[dice.randrange(len(data))] = dice.choice(b"0189aF\x00\xff-_")
        look(bytes(data))
