from __future__ import annotations

import time

import pytest

from snapscan.views.pdf_text import shown_text


def test_escapes_are_undone():
    assert shown_text(rb"BT /F 1 Tf (a\(b\) \101\n\\ \q) Tj ET") == b"a(b) A\n\\ q\n"


def test_content_without_text_is_empty():
    assert shown_text(b"q 1 0 0 1 0 0 cm /Im1 Do Q") == b""
    assert shown_text(b"the BT of a note (not a page)") == b""


@pytest.mark.parametrize("unit", [b"(", b"\\(", b"((", b")", b"<", b"<6", b"(a", b"()", b"-1 ", b"(\\", b"1.", b"' "])
def test_dense_input_takes_time_that_grows_with_its_length(unit):
    begun = time.monotonic()
    shown_text(b"BT Tf Tj " + unit * ((1 << 18) // len(unit)) + b" ET")
    assert time.monotonic() - begun < 5
