"""Two values that only work together: an id found by one rule, and its secret, which another rule would not find without its keyword.

The AWS key id is the case that matters: in CSV downloads, JSON arrays and shell histories the secret stands near it without any name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from snapscan.detect.inspect.base import Found, Inspector
from snapscan.detect.score import evaluate
from snapscan.model.finding import Evidence, Hit
from snapscan.model.rule import Rule

ID_RULE = "aws.access-key-id"
SECRET_RULE = "aws.secret-access-key"
CANDIDATES_MOST = 64
"""Candidates tried around one id: a key file has one, a Base64 blob has none, since its runs are longer than 40."""
IDS_MOST = 256

_SECRET = re.compile(rb"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")


def wants(path: bytes, head: bytes, rule_ids: Collection[str]) -> bool:
    return ID_RULE in rule_ids


def inspect(path: bytes, data: bytes, hits: Sequence[Hit], rules: Mapping[str, Rule]) -> list[Found]:
    """The nearest secret within the id rule's `pair_within` bytes of each id, each secret once, with the distance as evidence.

    A secret that the sweep found by its keyword takes part: it comes back with the pair as additional evidence. Wide hits are left alone.
    """
    if ID_RULE not in rules or SECRET_RULE not in rules:
        return []
    reach = rules[ID_RULE].pair_within
    found: dict[int, Found] = {}
    for hit in [hit for hit in hits if hit.rule == ID_RULE and hit.wide == 1][:IDS_MOST]:
        nearest = _nearest(data, hit.start, hit.start + hit.length, reach, rules[SECRET_RULE])
        if nearest is None:
            continue
        start, distance = nearest
        note = Evidence("pair", "with-key-id", 2, f"{distance} bytes from a key id")
        found.setdefault(start, Found(SECRET_RULE, start, 40, data[start : start + 40], (note,)))
    return [found[start] for start in sorted(found)]


def _nearest(data: bytes, start: int, end: int, reach: int, rule: Rule) -> tuple[int, int] | None:
    """Where the nearest candidate that its rule's checks let pass begins, and how many bytes lie between it and `start .. end`."""
    low, high = max(0, start - reach), min(len(data), end + reach)
    around = []
    for match in _SECRET.finditer(data, max(0, low - 1), min(len(data), high + 1)):
        if low <= match.start() and match.end() <= high:
            distance = match.start() - end if match.start() >= end else start - match.end()
            around.append((distance, match.start()))
    for distance, at in sorted(around)[:CANDIDATES_MOST]:
        confidence, _ = evaluate(rule, data[at : at + 40], data[max(0, at - 64) : at + 104])
        if confidence is not None and _looks_like_a_secret(data[at : at + 40]):
            return at, distance
    return None


def _looks_like_a_secret(value: bytes) -> bool:
    """Small letters, capitals and digits all occur: about one random secret in 900 has no digit; words and paths often lack one."""
    return not (value.upper() == value or value.lower() == value or not any(48 <= byte <= 57 for byte in value)) and value.count(b"/") < 6


PAIRS = Inspector("pairs", wants, inspect)
