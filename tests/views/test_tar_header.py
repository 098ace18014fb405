from __future__ import annotations

import tarfile

import pytest

from snapscan.views.tar_header import checksum_holds, number, parse, pax_records


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"00000000017\0", 15),
        (b"         17 ", 15),
        (b"17\0garbage!!", 15),
        (b"\0" * 12, 0),
        (b" " * 12, 0),
        (b"\x80" + (2**70).to_bytes(11, "big"), 2**70),
        (b"\xff" * 12, None),
        (b"0000000001x\0", None),
        (b"-1\0", None),
        (b"99\0", None),
    ],
)
def test_numbers_are_octal_or_base_256(field, expected):
    assert number(field) == expected


def test_headers_of_the_standard_library_are_parsed():
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT):
        info = tarfile.TarInfo("folder/" * 10 + "name\udcff")
        info.size = 12345
        block = info.tobuf(form, "utf-8", "surrogateescape")
        assert checksum_holds(block)
        header = parse(block)
        assert header is not None
        assert (header.name, header.size_bytes, header.type) == (b"folder/" * 10 + b"name\xff", 12345, b"0")


def test_a_prefix_is_put_before_the_name_in_ustar_only():
    info = tarfile.TarInfo("p" * 100 + "/" + "n" * 90)
    block = info.tobuf(tarfile.USTAR_FORMAT)
    assert parse(block).name == b"p" * 100 + b"/" + b"n" * 90
    assert parse(block[:257] + b"ustar  \0" + block[265:]).name == b"n" * 90


def test_a_sum_of_signed_bytes_is_taken_too():
    block = bytearray(tarfile.TarInfo("n\udcff\udcfe").tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape"))
    signed = sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:]) + 8 * 0x20
    block[148:156] = b"%06o\0 " % signed
    assert checksum_holds(bytes(block))
    block[148:156] = b"%06o\0 " % (signed + 1)
    assert not checksum_holds(bytes(block))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {}),
        (b"12 path=abc\n", {b"path": b"abc"}),
        (b"13 path=a\nbc\n9 size=1\n", {b"path": b"a\nbc", b"size": b"1"}),
        (b"9 size=1\n9 size=2\n", {b"size": b"2"}),
        (b"9 size=1\n99 path=short\n", {b"size": b"1"}),
        (b"0 \n", {}),
        (b"nonsense", {}),
        (b"99999999999999999999 x=1\n", {}),
        (b"\xb2 x=1\n", {}),
    ],
)
def test_records_are_read_up_to_the_first_that_is_malformed(data, expected):
    assert pax_records(data) == expected
