"""Totals and policy -> verdict. Pure: the same case under the same policy gets the same answer, today and next year."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase

import msgspec

from snapscan.model.errors import Exit
from snapscan.model.policy import Acceptance, GatePolicy
from snapscan.model.runview import RunView, Verdict
from snapscan.model.units import size_text


def judged(view: RunView, policy: GatePolicy) -> RunView:
    """The run with its verdict, as reports want it."""
    return msgspec.structs.replace(view, verdict=verdict(view, policy))


def verdict(view: RunView, policy: GatePolicy) -> Verdict:
    """Exit 1 when a finding reaches the policy's severity and confidence, else 3 when something was not read, else 0.

    Complete means: nothing unread, lost, excluded or pending, no view that is not opened whole, no gap; but for what the policy accepts.
    """
    failing = 0
    if policy.fail_on is not None:
        failing = sum(f.rule.severity >= policy.fail_on and f.confidence >= policy.min_confidence for f in view.findings)
    reasons, accepted = _unread(view, policy.accept)
    exit_code = Exit.FINDINGS if failing else Exit.INCOMPLETE if reasons else Exit.CLEAN
    return Verdict(exit=exit_code, complete=not reasons, reasons=tuple(reasons), accepted=tuple(accepted), failing=failing)


def _unread(view: RunView, acceptances: tuple[Acceptance, ...]) -> tuple[list[str], list[str]]:
    """What keeps the run from being complete, and what would if the policy did not accept it; one line for each outcome and reason."""
    lines: tuple[list[str], list[str]] = ([], [])
    if not view.spaces:
        lines[0].append("nothing was scanned")
    if view.run.interrupted:
        lines[0].append("interrupted")
    if not view.run.finished:
        lines[0].append("the run did not come to its end")
    if view.pending_tasks:
        lines[0].append(f"{_count(view.pending_tasks, 'task')} not done")
    for passed, group in enumerate(_ledger_lines(view, acceptances)):
        lines[passed].extend(group)
    for passed, group in enumerate(_view_lines(view, acceptances)):
        lines[passed].extend(group)
    for passed, group in enumerate(_gap_lines(view, acceptances)):
        lines[passed].extend(group)
    return lines


def _ledger_lines(view: RunView, acceptances: tuple[Acceptance, ...]) -> tuple[list[str], list[str]]:
    sizes: tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]] = (Counter(), Counter())
    for space in view.spaces:
        for row in space.ledger:
            if row.outcome not in ("swept", "absent"):
                length = row.end - row.start
                passed = _accepted(acceptances, "ledger", row.reason, space.name, length)
                sizes[passed][row.outcome, row.reason] += length
    first, second = ([f"{outcome} {size_text(size)}: {reason}" for (outcome, reason), size in sorted(group.items())] for group in sizes)
    return first, second


def _view_lines(view: RunView, acceptances: tuple[Acceptance, ...]) -> tuple[list[str], list[str]]:
    counts: tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]] = (Counter(), Counter())
    for entry in view.views:
        row = entry.row
        if row.outcome != "opened":
            may_pass = row.outcome in ("partly", "refused")
            passed = may_pass and _accepted(acceptances, "view", row.reason, row.locator, row.stored_bytes)
            counts[passed][row.outcome, row.reason or "not decoded yet"] += 1
    first, second = ([f"{_count(count, 'view')} {outcome}: {reason}" for (outcome, reason), count in sorted(group.items())] for group in counts)
    return first, second


def _gap_lines(view: RunView, acceptances: tuple[Acceptance, ...]) -> tuple[list[str], list[str]]:
    places: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
    for entry in view.gaps:
        gap = entry.gap
        passed = _accepted(acceptances, "gap", gap.reason, gap.where, gap.end - gap.start)
        places[passed].setdefault(gap.reason, []).append(gap.where or entry.space.name)
    first, second = ([f"{_count(len(where), 'gap')}: {reason}, first at {where[0]}" for reason, where in sorted(group.items())] for group in places)
    return first, second


def _accepted(acceptances: tuple[Acceptance, ...], kind: str, reason: str, where: str, size_bytes: int) -> bool:
    return any(
        item.kind == kind and item.reason == reason and fnmatchcase(where, item.where) and (not item.most_bytes or size_bytes <= item.most_bytes)
        for item in acceptances
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
