from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.model.errors import UsageError
from snapscan.report.base import REPORTERS, reporter, safe_text


@pytest.mark.parametrize("name", ["console", "jsonl"])
def test_a_format_is_found_by_its_word(name):
    assert name in REPORTERS
    assert callable(reporter(name).write)


def test_an_unknown_format_is_refused_with_those_that_are_known():
    with pytest.raises(UsageError) as error:
        reporter("pdf\x1b")
    assert error.value.reference == "unknown-format"
    assert "jsonl" in error.value.hint
    assert "\x1b" not in error.value.message


@given(st.text())
def test_safe_text_is_printable_and_leaves_printable_text_alone(text):
    assert safe_text(text).isprintable()
    if text.isprintable():
        assert safe_text(text) == text


def test_jsonl_is_written_without_loading_a_terminal_library():
    code = "import sys; from snapscan.report.base import reporter; reporter('jsonl'); sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
