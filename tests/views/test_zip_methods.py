from __future__ import annotations

import lzma
import struct

import pytest

from snapscan.views.cursor import Cursor
from snapscan.views.verdict import Ended
from snapscan.views.zip_methods import decode_member
from snapscan.views.zip_records import LZMA_END_MARK, Entry

CONTENT = b"0123456789" * 5000


def entry(method: int, flags: int = 0) -> Entry:
    return Entry(b"name", method, flags, 0, 0, len(CONTENT), 0)


@pytest.mark.parametrize("method", [1, 6, 9, 97, 98, 99, 12345])
def test_methods_without_a_decoder_are_unsupported(make_reader, method):
    with pytest.raises(Ended) as caught:
        list(decode_member(entry(method), Cursor(make_reader(b"data")), 1 << 20))
    assert caught.value.reason == "unsupported" and str(method) in caught.value.detail


def test_lzma_ends_by_its_mark_or_by_the_size_in_the_header(make_reader):
    # The standard library writes the end mark; cut off, only the size says where the end is.
    stream = lzma.compress(CONTENT, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}])
    data = struct.pack("<HHBI", 9, 5, 0x5D, 1 << 16) + stream
    for flags in (0, LZMA_END_MARK):
        assert b"".join(decode_member(entry(14, flags), Cursor(make_reader(data)), 1 << 20)) == CONTENT
    with pytest.raises(Ended):
        list(decode_member(entry(14, LZMA_END_MARK), Cursor(make_reader(data[:-8])), 1 << 20))


@pytest.mark.parametrize("head", [b"", b"\x09\x00\x05\x00\xff\0\0\1\0", b"\x09\x00\x06\x00\x5d\0\0\1\0", b"\x09\x00\x05\x00\xe0\0\0\1\0data"])
def test_lzma_properties_out_of_range_are_damage_or_truncation(make_reader, head):
    with pytest.raises(Ended) as caught:
        list(decode_member(entry(14), Cursor(make_reader(head)), 1 << 20))
    assert caught.value.reason in ("damaged", "truncated", "unsupported")
