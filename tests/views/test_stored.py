from __future__ import annotations

import pytest

from snapscan.views.cursor import Cursor
from snapscan.views.parts import PART_BYTES
from snapscan.views.stored import sliced, stored
from snapscan.views.verdict import Ended


def test_content_comes_in_pieces_of_a_part(make_reader):
    data = bytes(range(256)) * 4000
    for pieces in (list(stored(Cursor(make_reader(data)), len(data))), list(sliced(data))):
        assert b"".join(pieces) == data and max(map(len, pieces)) <= PART_BYTES
    assert list(sliced(b"")) == []


def test_content_that_is_missing_is_truncation_after_what_is_there(make_reader):
    pieces = stored(Cursor(make_reader(b"12345")), 10)
    assert next(pieces) == b"12345"
    with pytest.raises(Ended, match="truncated"):
        next(pieces)
