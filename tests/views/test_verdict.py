from __future__ import annotations

from snapscan.model.view import Budget, Outcome, ViewLimits
from snapscan.views.verdict import Verdict


def fresh(**limits) -> Verdict:
    return Verdict(Budget(ViewLimits(**limits), 1), Outcome())


def test_the_weightiest_reason_is_named_and_the_others_counted():
    verdict = fresh()
    verdict.fault("encrypted", "a")
    verdict.fault("damaged", "b")
    verdict.fault("encrypted", "c")
    assert (verdict.outcome.reason, verdict.outcome.detail) == ("damaged", "b (also: encrypted 2)")
    verdict.fault("time-limit", "late")
    verdict.fault("truncated", "d")
    assert (verdict.outcome.reason, verdict.outcome.detail) == ("time-limit", "late (also: encrypted 2, damaged 1, truncated 1)")


def test_a_view_that_gave_bytes_is_partly_opened_whether_before_or_after_the_fault():
    before, after, never = fresh(), fresh(), fresh()
    before.decoded(5)
    for verdict in (before, after, never):
        verdict.fault("encrypted", "a")
    after.decoded(5)
    assert [verdict.outcome.outcome for verdict in (before, after, never)] == ["partly", "partly", "refused"]


def test_a_limit_stops_for_good_and_is_counted_once():
    verdict = fresh(members=2)
    assert [verdict.member() for _ in range(5)] == [True, True, False, False, False]
    assert verdict.stopped and "more" not in verdict.outcome.detail
    assert verdict.decoded(1) is False


def test_a_remark_gives_way_to_a_fault():
    verdict = fresh()
    verdict.note("7 bytes follow")
    assert (verdict.outcome.outcome, verdict.outcome.detail) == ("opened", "7 bytes follow")
    verdict.fault("damaged", "x")
    verdict.note("again")
    assert verdict.outcome.detail == "x"


def test_a_detail_is_bounded():
    verdict = fresh()
    verdict.fault("damaged", "x" * 10_000)
    assert len(verdict.outcome.detail) <= 300
