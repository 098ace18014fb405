from __future__ import annotations

import msgspec
import pytest

from snapscan.gate import judged, verdict
from snapscan.model.errors import Exit
from snapscan.model.finding import Confidence, Severity
from snapscan.model.ledger import LedgerRow, totals
from snapscan.model.policy import GATE_DEFAULTS, SCAN_DEFAULTS, Acceptance, GatePolicy
from snapscan.model.runview import FindingView, GapEntry, RuleInfo, RunInfo, RunView, SpaceView, ViewEntry
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap

SCAN, GATE = SCAN_DEFAULTS.gate, GATE_DEFAULTS.gate


def space(*rows):
    ledger = (LedgerRow(0, 100, "swept"), *rows)
    return SpaceView(1, SnapshotRef("raw", "id", "disk.img", 200), "", 200, ledger, totals(ledger))


WHOLE = RunView(RunInfo(finished="now"), (space(LedgerRow(100, 200, "absent")),), (), (), (), (), ())


def finding(severity, confidence):
    return FindingView("f", RuleInfo("a.b", "A", "secret", severity), confidence, "…", ())


def run(**changes):
    return msgspec.structs.replace(WHOLE, **changes)


def view(outcome, reason):
    return run(views=(ViewEntry(WHOLE.spaces[0], ViewRow("raw:disk.img/ext4/a.zip@0+9", "zip", 9, 1, outcome, reason)),))


def gap(reason, where="part:1"):
    return run(gaps=(GapEntry(WHOLE.spaces[0], Gap(reason, where)),))


def test_a_run_that_read_all_and_found_nothing_is_clean():
    for policy in (SCAN, GATE):
        assert verdict(WHOLE, policy) == verdict(WHOLE, policy)
        assert (verdict(WHOLE, policy).exit, verdict(WHOLE, policy).complete, verdict(WHOLE, policy).reasons) == (Exit.CLEAN, True, ())


UNREAD = {
    "unread": run(spaces=(space(LedgerRow(100, 200, "unread", "media-error")),)),
    "lost": run(spaces=(space(LedgerRow(100, 200, "lost", "worker-crashed")),)),
    "excluded": run(spaces=(space(LedgerRow(100, 200, "excluded", "scope")),)),
    "pending task": run(pending_tasks=1),
    "interrupted": run(run=RunInfo(finished="now", interrupted=True)),
    "not ended": run(run=RunInfo()),
    "nothing": run(spaces=()),
    "pending view": view("pending", ""),
    "unsupported view": view("refused", "unsupported"),
    "limited view": view("partly", "expansion-limit"),
    "lost view": view("lost", "worker-crashed"),
    "lost damaged view": view("lost", "damaged"),
    "gap": gap("unmapped"),
    "encrypted volume": gap("encrypted-volume"),
}


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.parametrize("policy", [SCAN, GATE], ids=["scan", "gate"])
def test_anything_not_read_makes_the_run_incomplete_under_both_defaults(name, policy):
    result = verdict(UNREAD[name], policy)
    assert (result.exit, result.complete) == (Exit.INCOMPLETE, False)
    assert result.reasons


@pytest.mark.parametrize("name", UNREAD)
def test_findings_win_over_an_incomplete_run_and_the_verdict_names_both(name):
    result = verdict(msgspec.structs.replace(UNREAD[name], findings=(finding(Severity.HIGH, Confidence.HIGH),)), SCAN)
    assert (result.exit, result.complete, result.failing) == (Exit.FINDINGS, False, 1)
    assert result.reasons


@pytest.mark.parametrize("reason", ["encrypted", "damaged", "truncated"])
@pytest.mark.parametrize("outcome", ["refused", "partly"])
def test_scan_lets_archives_pass_that_are_encrypted_or_damaged_and_gate_does_not(outcome, reason):
    run = view(outcome, reason)
    assert (verdict(run, SCAN).exit, verdict(run, SCAN).complete) == (Exit.CLEAN, True)
    assert verdict(run, SCAN).accepted == (f"1 view {outcome}: {reason}",)
    assert verdict(run, GATE).exit == Exit.INCOMPLETE


@pytest.mark.parametrize(
    ("severity", "confidence", "fail_on", "minimum", "fails"),
    [
        (Severity.HIGH, Confidence.MEDIUM, Severity.HIGH, Confidence.MEDIUM, True),
        (Severity.CRITICAL, Confidence.HIGH, Severity.HIGH, Confidence.MEDIUM, True),
        (Severity.MEDIUM, Confidence.HIGH, Severity.HIGH, Confidence.MEDIUM, False),
        (Severity.CRITICAL, Confidence.LOW, Severity.HIGH, Confidence.MEDIUM, False),
        (Severity.CRITICAL, Confidence.LOW, Severity.HIGH, Confidence.LOW, True),
        (Severity.INFO, Confidence.HIGH, Severity.LOW, Confidence.MEDIUM, False),
        (Severity.INFO, Confidence.HIGH, Severity.INFO, Confidence.MEDIUM, True),
        (Severity.CRITICAL, Confidence.HIGH, None, Confidence.LOW, False),
    ],
)
def test_a_finding_fails_the_run_from_the_severity_and_confidence_of_the_policy_on(severity, confidence, fail_on, minimum, fails):
    result = verdict(run(findings=(finding(severity, confidence),)), GatePolicy(fail_on=fail_on, min_confidence=minimum))
    assert result.exit == (Exit.FINDINGS if fails else Exit.CLEAN)
    assert result.failing == int(fails)


@pytest.mark.parametrize(
    ("name", "acceptance", "passes"),
    [
        ("encrypted volume", Acceptance("gap", "encrypted-volume"), True),
        ("encrypted volume", Acceptance("gap", "encrypted-volume", "part:1"), True),
        ("encrypted volume", Acceptance("gap", "encrypted-volume", "part:2"), False),
        ("encrypted volume", Acceptance("view", "encrypted-volume"), False),
        ("unread", Acceptance("ledger", "media-error"), True),
        ("unread", Acceptance("ledger", "media-error", most_bytes=100), True),
        ("unread", Acceptance("ledger", "media-error", most_bytes=99), False),
        ("unread", Acceptance("ledger", "read-error"), False),
        ("unsupported view", Acceptance("view", "unsupported", "*.zip@*"), True),
        ("unsupported view", Acceptance("view", "unsupported", "*.7z@*"), False),
        ("lost view", Acceptance("view", "worker-crashed"), False),
        ("pending view", Acceptance("view", ""), False),
    ],
)
def test_a_policy_accepts_by_kind_reason_place_and_size_and_nothing_else(name, acceptance, passes):
    assert verdict(UNREAD[name], GatePolicy(accept=(acceptance,))).complete == passes


def test_a_judged_run_carries_its_verdict():
    assert WHOLE.verdict.complete is False
    assert judged(WHOLE, SCAN).verdict == verdict(WHOLE, SCAN)
