from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from snapscan.views.ar import Ar


def header(name: bytes, size: int) -> bytes:
    return b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 0, 0, 0, 0o644, size)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "none"])
def test_a_debian_package_is_read_to_the_bottom(look, tmp_path, text, compression):
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text("Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n")
    (root / "etc").mkdir()
    (root / "etc" / "config").write_bytes(text)
    done = subprocess.run(["dpkg-deb", "-q", "-b", f"-Z{compression}", str(root), str(tmp_path / "a.deb")], capture_output=True)
    if done.returncode:
        pytest.skip("this dpkg-deb does not know the compression")
    seen = look((tmp_path / "a.deb").read_bytes())
    assert seen.named[b"debian-binary"] == b"2.0\n"
    assert seen.named[b"./etc/config"] == text and b"Package: a" in seen.named[b"./control"]
    assert {fate.outcome for fate in seen.fates} == {"opened"}


@pytest.mark.skipif(shutil.which("ar") is None, reason="needs the ar program")
def test_long_names_of_the_ar_program_are_read(look, tmp_path):
    for name in ("short", "a_name_longer_than_sixteen_bytes", "another_name_longer_than_that"):
        (tmp_path / name).write_text(f"content of {name}")
    subprocess.run(["ar", "rcD", "a.a", "short", "a_name_longer_than_sixteen_bytes", "another_name_longer_than_that"], cwd=tmp_path, check=True)
    named = look((tmp_path / "a.a").read_bytes()).named
    assert named == {name: b"content of " + name for name in (b"short", b"a_name_longer_than_sixteen_bytes", b"another_name_longer_than_that")}


def test_names_of_bsd_stand_before_the_content(look):
    data = b"!<arch>\n" + header(b"#1/8", 15) + b"longname" + b"content\n" + header(b"next", 1) + b"x"
    assert look(data).named == {b"longname": b"content", b"next": b"x"}


def test_cut_and_damaged_archives_say_so(look):
    data = b"!<arch>\n" + header(b"a", 10) + b"0123456789" + header(b"b", 10) + b"0123456789"
    seen = look(data[:-3])
    assert seen.named == {b"a": b"0123456789", b"b": b"0123456"} and seen.fate.reason == "truncated"
    assert look(data[:100]).fate.reason == "truncated"
    seen = look(data.replace(b"`\nb", b"xxb").replace(b"0123456789b", b"0123456789c")[:80] + b"garbage" * 20)
    assert seen.named == {b"a": b"0123456789"} and (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")
    assert look(b"!<arch>\n" + header(b"a", 9_999_999_999)).fate.reason == "truncated"


def test_random_damage_never_raises(look):
    dice = random.Random(6)
    good = b"!<arch>\n" + header(b"//", 20) + b"a_long_name_indeed/\n" + header(b"/0", 5) + b"12345\n" + header(b"#1/4", 9) + b"abcd12345\n"
    for _ in range(400):
        data = bytearray(good)
        for _ in range(dice.randint(1, 5)):
            data[dice.randrange(8, len(data))] = dice.choice(b"0189/ #\x00\xff")
        look(bytes(data))


def test_recognition_looks_at_the_first_header():
    assert Ar().recognise(b"!<arch>\n" + header(b"a", 1) + b"x") and Ar().recognise(b"!<arch>\n")
    assert not Ar().recognise(b"!<arch>\n" + b"text" * 30) and not Ar().recognise(b"!<arch>")
