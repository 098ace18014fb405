"""Rules of Kingfisher and Nosey Parker: what is honoured, what is left out on purpose, and what is refused by name."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from snapscan.detect.examples import fill
from snapscan.detect.foreign.kingfisher import read_kingfisher
from snapscan.detect.score import evaluate
from snapscan.model.errors import RuleError
from snapscan.model.rule import Rule

RULE: dict[str, Any] = {
    "name": "Acme token",
    "id": "kingfisher.acme.1",
    "pattern": "(?xi)\n\\b\nacme  # the vendor\n(?:.|[\\n\\r]){0,8}?\n(\n  [0-9a-z]{8}\n)\n\\b\n",
}


def one(**fields: Any) -> Rule:
    (rule,) = read_kingfisher({"rules": [RULE | fields]}, "acme.yml")
    return rule


def kept(rule: Rule, value: bytes) -> bool:
    return evaluate(rule, value, value)[0] is not None


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(RuleError) as error:
        read_kingfisher(document, "acme.yml")
    assert error.value.reference == "rule-foreign"
    return error.value.message


def test_rule_in_verbose_mode_is_read() -> None:
    rule = one(min_entropy=2.5, confidence="High", references=["https://acme.example/keys"])
    assert (rule.id, rule.name, rule.severity, rule.confidence) == ("kingfisher.acme-1", "Acme token", "medium", "high")
    assert (rule.value, rule.entropy_at_least, rule.references) == (1, 2.5, ["https://acme.example/keys"])
    match = re.search(rule.pattern.encode(), b"ACME =\n1a2b3c4d;")
    assert match and match[1] == b"1a2b3c4d"


def test_rule_of_nosey_parker_keeps_its_name_apart() -> None:
    assert one(id="np.acme.1", categories=["api"], description="x", non_examples=["none"]).id == "noseyparker.acme-1"


def test_examples_are_literal_text() -> None:
    text = 'acme ${X} \\n } $${y} "1a2b3c4d"'
    rule = one(examples=[text], negative_examples=[text])
    assert fill(rule.examples[0], "seed") == fill(rule.counter_examples[0], "seed") == text.encode()


def test_what_only_serves_validation_is_not_needed() -> None:
    given = {"validation": {"type": "AWS"}, "depends_on_rule": [{"rule_id": "x", "variable": "Y"}], "prevalidated": True}
    assert one(**given) == one()


def test_rule_that_is_not_visible_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_kingfisher({"rules": [RULE | {"visible": False}]}, "acme.yml") == []
    assert "acme.yml: rule kingfisher.acme.1: left out" in caplog.text


def test_requirements_of_the_pattern_drop_values_that_do_not_meet_them() -> None:
    rule = one(
        pattern_requirements={"min_digits": 2, "min_uppercase": 1, "min_special_chars": 1, "special_chars": "]-", "ignore_if_contains": ["test"]}
    )
    assert kept(rule, b"aB-12")
    for value in (b"aB-1x", b"ab-12", b"aB_12", b"aB-12TEST"):
        assert not kept(rule, value)


def test_named_token_is_the_value() -> None:
    assert one(pattern="acme(a|b)(?<TOKEN>[0-9]{4})").value == 2


def test_secret_in_either_branch_becomes_two_rules_of_one_family() -> None:
    rules = read_kingfisher({"rules": [RULE | {"pattern": "acme_a(a{9})|acme_b(b{9})", "examples": ["acme_aaaaaaaaaa"]}]}, "acme.yml")
    assert [(rule.id, rule.fingerprint_family) for rule in rules] == [
        ("kingfisher.acme-1", "kingfisher.acme-1"),
        ("kingfisher.acme-1-part-2", "kingfisher.acme-1"),
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"magic": 1}, "magic"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": "a(?=bc)"}, "pattern"),
        ({"confidence": "sure"}, "confidence"),
        ({"min_entropy": -1}, "min_entropy"),
        ({"examples": "x"}, "examples"),
        ({"name": 7}, "name"),
        ({"pattern_requirements": []}, "pattern_requirements"),
        ({"pattern_requirements": {"checksum": {}}}, "pattern_requirements.checksum"),
        ({"pattern_requirements": {"min_digits": "2"}}, "pattern_requirements.min_digits"),
    ],
)
def test_what_cannot_be_honoured_is_an_error_that_names_the_field(fields: dict[str, Any], field: str) -> None:
    assert f"acme.yml: rule kingfisher.acme.1: field {field}: cannot be honoured" in refusal({"rules": [RULE | fields]})


def test_field_of_the_file_is_refused_too() -> None:
    assert "acme.yml: field rulesets: cannot be honoured" in refusal({"rules": [RULE], "rulesets": []})


def test_file_without_a_list_of_rules_is_refused() -> None:
    cases: list[Any] = [None, {}, ["x"]]
    for rules in cases:
        with pytest.raises(RuleError, match="rule-syntax"):
            read_kingfisher({"rules": rules}, "acme.yml")
