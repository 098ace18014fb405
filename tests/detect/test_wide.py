"""The gate never misses a run of wide text, and its halves know their places."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snapscan.detect.wide import RUN_LEAST, Region, half, is_wide, wide_regions

LENGTHS = st.integers(RUN_LEAST, 60)


@given(before=st.integers(0, 9000), length=LENGTHS, encoding=st.sampled_from(["utf-16-le", "utf-16-be"]), filler=st.sampled_from([0, 0x41, 0xFF]))
def test_run_of_wide_text_is_never_missed(before: int, length: int, encoding: str, filler: int) -> None:
    text = ("Pa55word" * 8)[:length].encode(encoding)
    data = bytes([filler]) * before + text + bytes([filler]) * 700
    regions = wide_regions(memoryview(data))
    parity = before % 2 if encoding == "utf-16-le" else (before + 1) % 2
    assert any(r.low <= before and before + len(text) <= r.high and r.parity == parity for r in regions)


def test_plain_text_zeros_and_noise_are_not_wide() -> None:
    import random

    noise = random.Random(1).randbytes(1 << 16)
    assert wide_regions(memoryview(b"plain text, nothing wide\n" * 3000)) == []
    assert wide_regions(memoryview(bytes(1 << 16))) == []
    assert wide_regions(memoryview(noise)) == []


@given(data=st.binary(max_size=200), parity=st.sampled_from([0, 1]))
def test_half_names_the_places_of_its_bytes(data: bytes, parity: int) -> None:
    text = half(memoryview(data), Region(len(data) // 3, len(data), parity))
    assert text.first % 2 == parity
    assert [data[text.first + 2 * k] for k in range(len(text.data))] == list(text.data)
    assert len(text.data) >= (len(data) - len(data) // 3) // 2


def test_short_and_empty_views_have_no_wide_text() -> None:
    for length in range(24):
        assert wide_regions(memoryview(bytes(length))) == []


def test_wide_means_a_nul_between_every_two_characters() -> None:
    data = memoryview("token".encode("utf-16-le") + b"x")
    assert is_wide(data, 0, 5)
    assert not is_wide(memoryview(b"t\0oXk\0"), 0, 3)
