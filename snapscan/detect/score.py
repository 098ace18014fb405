"""From the words of the checks to one answer: dropped, or how sure we are."""

from __future__ import annotations

import re
from functools import cache

from snapscan.detect.checks import CHECKS, CHECKSUMS
from snapscan.detect.checks.entropy import bits_per_character
from snapscan.detect.second_opinion import second_opinion
from snapscan.model.finding import Confidence, Evidence
from snapscan.model.rule import Rule

_ALWAYS = ("placeholder", "sequence", "word")
"""Noted for every rule: one that does not refuse placeholders still says less of them. Armour (`follow`) has dashes of its own."""

_BASE = {item.word: int(item) for item in Confidence}


def evaluate(rule: Rule, value: bytes, window: bytes) -> tuple[Confidence | None, tuple[Evidence, ...]]:
    """Ask all checks that `rule` names about `value`, found in `window`. None: vetoed, and the last evidence says why.

    Both are the bytes as text (UTF-16 already made single bytes). The confidence starts at the rule's own; weights add up, and each full 2
    moves it one step. The order is: what is cheap and vetoes most, checksum, second opinion.
    """
    evidence: list[Evidence] = []
    if rule.entropy_at_least and bits_per_character(value) < rule.entropy_at_least:
        return None, (Evidence("entropy", "low", -2, veto=True),)
    if any(_compiled(pattern).search(value) for pattern in rule.ignore):
        return None, (Evidence("ignore", "listed", -2, veto=True),)
    for name in rule.refuse:
        said = CHECKS[name](value, window, rule)
        if said is None:
            continue
        if said.weight < 0:
            return None, (*evidence, _vetoing(said))
        evidence.append(said)
    for name in _ALWAYS:
        if name not in rule.refuse and not rule.follow and (said := CHECKS[name](value, window, rule)):
            evidence.append(said)
    if rule.follow == "pem" and (said := CHECKS["published"](value, window, rule)):
        evidence.append(said)
    if rule.checksum and (said := CHECKSUMS[rule.checksum](value, window, rule)):
        evidence.append(said)
    if rule.second_opinion and (said := second_opinion(value.decode("utf-8", "replace"))):
        evidence.append(said)
    return confidence_of(rule, evidence), tuple(evidence)


def confidence_of(rule: Rule, evidence: list[Evidence]) -> Confidence:
    """The rule's own confidence, moved one step for each full 2 of the summed weights."""
    steps = int(sum(said.weight for said in evidence) / 2)
    return Confidence(max(Confidence.LOW, min(Confidence.HIGH, _BASE[rule.confidence] + steps)))


@cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode())


def _vetoing(said: Evidence) -> Evidence:
    return Evidence(said.check, said.outcome, said.weight, said.note, veto=True)
