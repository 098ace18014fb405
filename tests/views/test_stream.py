from __future__ import annotations

import bz2

import pytest

from snapscan.views.cursor import Cursor
from snapscan.views.stream import STEP_BYTES, Codec, decode
from snapscan.views.verdict import Ended

CODEC = Codec("bzip2", bz2.BZ2Decompressor, (OSError,))


def test_the_cursor_is_left_right_behind_the_stream(make_reader, text):
    data = bz2.compress(text)
    cursor = Cursor(make_reader(b"before" + data + b"behind"), 6)
    chunks = list(decode(CODEC, cursor))
    assert b"".join(chunks) == text and max(map(len, chunks)) <= STEP_BYTES
    assert cursor.read(100) == b"behind"


def test_parameters_that_a_decoder_refuses_are_its_reason(make_reader):
    def refuse():
        raise OSError("no such thing")

    codec = Codec("odd", refuse, (OSError,), reason=lambda error: "unsupported")
    with pytest.raises(Ended) as caught:
        list(decode(codec, Cursor(make_reader(b"data"))))
    assert (caught.value.reason, caught.value.detail) == ("unsupported", "odd: no such thing")


def test_a_decoder_that_spins_is_ended(make_reader):
    class Spinning:
        eof = False
        needs_input = False
        unused_data = b""

        def decompress(self, data: bytes, max_length: int) -> bytes:
            return b""

    with pytest.raises(Ended) as caught:
        list(decode(Codec("spin", Spinning, (OSError,)), Cursor(make_reader(b"data"))))
    assert caught.value.reason == "truncated"


def test_what_a_failing_call_threw_away_is_decoded_again(make_reader):
    class Fragile:
        """Copies its input; fails at the byte `!`, losing what the call had copied."""

        def __init__(self) -> None:
            self.eof = False
            self.unused_data = b""
            self._kept = b""

        @property
        def needs_input(self) -> bool:
            return not self._kept

        def decompress(self, data: bytes, max_length: int) -> bytes:
            self._kept += data
            chunk, self._kept = self._kept[:max_length], self._kept[max_length:]
            if b"!" in chunk:
                raise OSError("!")
            return chunk

    data = b"abcdefgh" * 50_000 + b"the last words!" + b"x" * 1000
    given = b""
    with pytest.raises(Ended):
        for chunk in decode(Codec("fragile", Fragile, (OSError,)), Cursor(make_reader(data))):
            given += chunk
    assert given == data[: data.index(b"!")]
