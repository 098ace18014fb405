from __future__ import annotations

import pytest

from snapscan.views import git_pack


def test_delta_instructions_out_of_range_are_damage():
    for delta in (b"", b"\x05", b"\x05\x05\x00", b"\x05\x05\x91", b"\x04\x05\x05added", b"\x05\x06\x05added", b"\x05\x02\x90\x05"):
        with pytest.raises(git_pack.Ended):
            git_pack.apply(delta, b"12345")
    assert git_pack.apply(b"\x05\x08\x91\x02\x03\x05added", b"12345") == b"345added"


def test_what_a_delta_adds_is_given_without_its_base():
    assert git_pack.literals(b"\x05\x0b\x91\x02\x03\x05added\x03end") == b"added\nend"
    assert git_pack.literals(b"") == git_pack.literals(b"\x05\x05\x00") == b""
