from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.model.units import GIB, KIB, MIB, parse_seconds, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("512", 512), ("512B", 512), ("64MiB", 64 * MIB), (" 64 mib ", 64 * MIB), ("1.5KiB", 1536), ("2GB", 2 * 10**9), ("1TiB", 1 << 40)],
)
def test_a_size_is_read_as_people_write_it(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 XB", "1e3", "0x10", "1MiB 2", "١"])
def test_what_is_not_a_size_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize(("text", "seconds"), [("30", 30.0), ("30s", 30.0), ("250ms", 0.25), ("2min", 120.0), ("1.5h", 5400.0)])
def test_a_time_is_read_as_people_write_it(text, seconds):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1s2"])
def test_what_is_not_a_time_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match="not a time"):
        parse_seconds(text)


@given(st.integers(0, 2**63 - 1))
def test_a_whole_number_of_bytes_is_never_rounded(size_bytes):
    assert parse_size(str(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (1023, "1023 B"), (KIB, "1.0 KiB"), (1536, "1.5 KiB"), (10 * GIB, "10.0 GiB"), (5 << 40, "5.0 TiB")]
)
def test_a_size_is_printed_for_people(size_bytes, text):
    assert size_text(size_bytes) == text
