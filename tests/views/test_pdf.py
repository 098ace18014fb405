from __future__ import annotations

import base64
import gzip
import random
import zlib

import pytest

from snapscan.views.pdf import Pdf

PAGE = b"BT /F1 12 Tf 72 700 Td [(pass)-20(word)30( = )-300(\\(x\\051)] TJ 0 -14 Td (second line) Tj T* <6869> Tj ET\n"


def stream(number: int, data: bytes, entries: bytes = b"/Filter /FlateDecode", line_end: bytes = b"\n") -> bytes:
    return b"%d 0 obj\n<< /Length %d %s >>\nstream%s" % (number, len(data), entries, line_end) + data + b"\nendstream\nendobj\n"


def document(*objects: bytes, trailer: bytes = b"trailer\n<< /Size 1 >>\nstartxref\n9\n%%EOF\n") -> bytes:
    return b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"".join(objects) + trailer


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_text_of_a_page_is_joined(look, line_end):
    seen = look(document(stream(4, zlib.compress(PAGE), line_end=line_end)))
    assert seen.named == {b"4": b"password = (x)\nsecond line\nhi\n"}
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


@pytest.mark.parametrize(
    ("entries", "pack"),
    [
        (b"/Filter/FlateDecode", zlib.compress),
        (b"/Filter [ /FlateDecode ]", zlib.compress),
        (b"/Filter /Fl", zlib.compress),
        (b"/Filter [/ASCII85Decode /FlateDecode]", lambda data: base64.a85encode(zlib.compress(data), wrapcol=70) + b"~>"),
        (b"/Filter [/ASCIIHexDecode /FlateDecode]", lambda data: zlib.compress(data).hex().encode() + b">"),
        (b"/Filter /ASCII85Decode", lambda data: base64.a85encode(data) + b"~>"),
        (b"/Filter /ASCIIHexDecode", lambda data: data.hex().upper().encode() + b" >"),
    ],
)
def test_every_chain_of_filters_is_undone(look, entries, pack):
    content = b"<< /Title (a) /Author (b) >> " * 500
    data = document(stream(1, b"plain text", b""), stream(7, pack(content), b"/Type /ObjStm " + entries), stream(8, zlib.compress(b"behind")))
    assert look(data).named == {b"7": content, b"8": b"behind"}


def test_an_attached_archive_is_opened(look):
    seen = look(document(stream(3, zlib.compress(gzip.compress(b"deep")), b"/Type /EmbeddedFile /Filter /FlateDecode")))
    assert seen.members[(("pdf", b"3"), ("gzip", b""))] == b"deep"


def test_former_versions_of_an_object_are_given_too(look):
    data = document(stream(3, zlib.compress(b"before"))) + stream(3, zlib.compress(b"after")) + b"startxref\n0\n%%EOF"
    assert look(data).named == {b"3": b"before", b"3#2": b"after"}


def test_streams_far_apart_and_over_block_borders_are_found(look):
    for gap in (262_100, 262_110, 262_130, 262_150):
        data = document(stream(1, zlib.compress(b"one")), b"%" * gap + b"\n", stream(2, zlib.compress(b"two")))
        assert look(data).named == {b"1": b"one", b"2": b"two"}, gap


def test_images_and_fonts_are_left_out(look):
    picture = stream(1, zlib.compress(b"pixels" * 100), b"/Subtype /Image /Filter /FlateDecode")
    assert look(document(picture, stream(2, b"\xff\xd8", b"/Filter /DCTDecode"))).members == {}


def test_an_encrypted_file_is_refused(look):
    data = document(stream(1, b"\x01\x02scrambled"), trailer=b"trailer << /Encrypt 9 0 R >>\nstartxref\n5\n%%EOF")
    assert (look(data).fate.outcome, look(data).fate.reason) == ("refused", "encrypted")
    table = b"5 0 obj << /Type /XRef /Encrypt 9 0 R /Length 4000 >>\nstream\n" + bytes(4000) + b"\nendstream\n"
    at = len(document(stream(1, b"x"), trailer=b""))
    data = document(stream(1, b"x"), table, trailer=b"startxref\n%d\n%%%%EOF" % at)
    assert look(data).fate.reason == "encrypted"


def test_damage_costs_its_own_stream(look):
    bad = bytearray(zlib.compress(b"bad" * 1000 + random.Random(1).randbytes(500)))
    bad[200] ^= 0xFF
    seen = look(document(stream(1, bytes(bad)), stream(2, b"no zlib"), stream(3, zlib.compress(b"good"))))
    assert seen.named[b"3"] == b"good" and (seen.fate.outcome, seen.fate.reason) == ("partly", "damaged")


def test_a_bomb_stops_within_the_budget(look, counting):
    seen = look(document(stream(1, zlib.compress(bytes(30 << 20)))), sink=counting, ratio_floor_bytes=8 << 20, ratio=20)
    assert seen.fate.reason == "expansion-limit" and counting.decoded_bytes <= 9 << 20


def test_random_damage_never_raises(look):
    dice = random.Random(4)
    good = document(stream(1, zlib.compress(PAGE * 9)), stream(2, base64.a85encode(zlib.compress(PAGE)) + b"~>", b"/Filter[/A85/Fl]"))
    for _ in range(400):
        data = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(8, len(data))] = dice.choice(b"<>/() \n\x00\xff~0z")
        look(bytes(data[: dice.randrange(50, len(data))] if dice.random() < 0.3 else data))


def test_recognition_wants_a_version():
    assert Pdf().recognise(b"%PDF-1.4\n") and not Pdf().recognise(b"%PDF-x") and not Pdf().recognise(b"%!PS")
