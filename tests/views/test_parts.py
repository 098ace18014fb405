from __future__ import annotations

from collections.abc import Iterator

import pytest

from snapscan.model.errors import MediaFault
from snapscan.model.view import Budget, Outcome, ViewLimits
from snapscan.views.parts import PART_BYTES, parts
from snapscan.views.verdict import Ended, Verdict


def verdict(**limits) -> Verdict:
    return Verdict(Budget(ViewLimits(**limits), 1), Outcome())


def test_tiny_chunks_are_joined_and_the_last_part_is_marked():
    given = list(parts(iter([b"x" * 1000] * 1000), verdict()))
    assert b"".join(part.data for part in given) == b"x" * 1_000_000
    assert [part.last for part in given] == [False] * 3 + [True]
    assert all(PART_BYTES <= len(part.data) < PART_BYTES + 1000 for part in given[:-1])


def test_a_short_first_chunk_does_not_make_a_short_first_part():
    given = list(parts(iter([b"x", b"y" * PART_BYTES, b"z"]), verdict()))
    assert [len(part.data) for part in given] == [PART_BYTES + 1, 1]


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
def test_an_empty_member_is_one_empty_part(chunks):
    given = list(parts(iter(chunks), verdict()))
    assert [(part.data, part.last) for part in given] == [(b"", True)]


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (Ended("truncated", "cut"), "truncated", "m: cut"),
        (MediaFault("media-error", "refused", offset=0, length=1), "damaged", "m: refused"),
    ],
)
def test_a_member_that_ends_early_has_no_last_part(error, reason, detail):
    def chunks() -> Iterator[bytes]:
        yield b"good"
        raise error

    judge = verdict()
    given = list(parts(chunks(), judge, "m: "))
    assert [(part.data, part.last) for part in given] == [(b"good", False)]
    assert (judge.outcome.outcome, judge.outcome.reason, judge.outcome.detail) == ("partly", reason, detail)


def test_the_chunk_that_reaches_the_limit_is_given_and_no_more_is_asked_for():
    source = iter([b"x" * 100] * 10)
    judge = verdict(decoded_bytes=250)
    given = list(parts(source, judge))
    assert [(len(part.data), part.last) for part in given] == [(300, False)]
    assert len(list(source)) == 7
    assert judge.stopped and judge.outcome.reason == "expansion-limit" and judge.outcome.decoded_bytes == 300


def test_signs_of_life_look_at_the_clock():
    judge = verdict(seconds=-1)
    assert list(parts(iter([b"", b"x"]), judge)) == []
    assert judge.outcome.reason == "time-limit"
