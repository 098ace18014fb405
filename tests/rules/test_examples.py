"""Every rule keeps its own word: examples are found with the right value, counter-examples are not."""

from __future__ import annotations

import re

import pytest

from snapscan.detect.examples import fill_marked
from snapscan.detect.grammar import pattern_faults
from snapscan.detect.rules import builtin_rules_folder, load_rules
from snapscan.detect.score import evaluate
from snapscan.model.finding import Confidence
from snapscan.model.rule import Rule

FOLDERS = [builtin_rules_folder() / "secrets", builtin_rules_folder() / "artefacts"]
RULES = load_rules(FOLDERS)
PATTERNS = {rule.id: re.compile(rule.pattern.encode()) for rule in RULES}
"""`re` keeps 512 patterns and throws them away beyond; the pack has more."""
SEEDS = ("one", "two", "three")
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def found(rule: Rule, data: bytes) -> list[tuple[int, int, Confidence]]:
    """Spans of the values that the rule finds in `data` and its checks let pass."""
    out = []
    for match in PATTERNS[rule.id].finditer(data):
        confidence, _ = evaluate(rule, match[rule.value], data)
        if confidence is not None:
            out.append((*match.span(rule.value), confidence))
    return out


def test_the_pack_is_wide() -> None:
    assert sum(rule.kind == "secret" for rule in RULES) >= 500
    assert len({rule.id.split(".")[0] for rule in RULES}) >= 250


@each_rule
def test_rule_is_complete(rule: Rule) -> None:
    assert not pattern_faults(rule.pattern)
    assert rule.counter_examples, "a rule says what it is not"
    assert all(reference.startswith("https://") for reference in rule.references) and rule.references
    assert rule.why.endswith(".") and rule.fix.endswith(".")
    assert rule.name[:1].isupper() or rule.name.startswith(("age", "npm", "crates", "xAI", "1Password"))


@each_rule
@pytest.mark.parametrize("seed", SEEDS)
def test_example_is_found_once_with_its_value(rule: Rule, seed: str) -> None:
    for template in rule.examples:
        data, marks = fill_marked(template, seed)
        spans = found(rule, b"\n" + data + b"\n")
        assert len(spans) == 1, (template, spans)
        start, end, _ = spans[0]
        value_start, value_end = start - 1, end - 1
        value = data[value_start:value_end]
        if marks and not rule.follow:
            longest = max(marks, key=lambda mark: mark[1] - mark[0])
            assert value_start <= longest[0] and longest[1] <= value_end, (template, value)
        if not rule.follow and value_end - value_start < 200:
            assert value == value.strip(), (template, value)
        assert b"\0" not in value


@each_rule
@pytest.mark.parametrize("seed", SEEDS)
def test_counter_example_is_silent(rule: Rule, seed: str) -> None:
    for template in rule.counter_examples:
        data, _ = fill_marked(template, seed)
        assert not found(rule, b"\n" + data + b"\n"), template


def test_no_example_holds_a_secret_of_its_own() -> None:
    """What is written out in a rule file must be refused by every rule of the pack, or be too short to be one."""
    for rule in RULES:
        for template in rule.examples:
            data, marks = fill_marked(template, "one")
            starts, ends = [0, *(end for _, end in marks)], [*(start for start, _ in marks), len(data)]
            bare = b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))
            for other in RULES:
                long = [item for item in found(other, bare) if item[2] > Confidence.LOW and item[1] - item[0] >= 8]
                assert not long, (rule.id, other.id, template)
