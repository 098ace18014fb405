"""Rules of Gitleaks and Betterleaks: what is honoured, what is left out on purpose, and what is refused by name."""

from __future__ import annotations

import logging
import re

import pytest

from snapscan.detect.examples import fill
from snapscan.detect.foreign.gitleaks import convert_gitleaks, read_gitleaks
from snapscan.detect.score import evaluate
from snapscan.model.errors import RuleError
from snapscan.model.rule import Rule

TOKEN = """
[[rules]]
id = "Acme_Deploy--token"
description = "Acme deploy token"
regex = '''(?i)\\bacme[_-](?:dt|at)_([0-9a-z]{32})(?:['"\\s]|$)'''
keywords = ["acme"]
tags = ["deploy"]
"""


def one(text: str) -> Rule:
    (rule,) = read_gitleaks(text, "acme.toml")
    return rule


def kept(rule: Rule, value: bytes) -> bool:
    return evaluate(rule, value, value)[0] is not None


def refusal(text: str) -> str:
    with pytest.raises(RuleError) as error:
        read_gitleaks(text, "acme.toml")
    assert error.value.reference == "rule-foreign"
    return error.value.message


def test_rule_is_read_with_the_first_group_as_its_value() -> None:
    rule = one(TOKEN + "entropy = 3.5\n")
    assert (rule.id, rule.name, rule.kind, rule.severity) == ("gitleaks.acme-deploy-token", "Acme deploy token", "secret", "medium")
    assert (rule.value, rule.entropy_at_least, rule.references, rule.examples) == (1, 3.5, [], [])
    value = fill("${base36:32}", "seed")
    match = re.search(rule.pattern.encode(), b"x ACME_dt_" + value + b"\0")
    assert match and match[1] == value


def test_secret_group_is_the_value() -> None:
    assert one(TOKEN.replace("(?:dt|at)", "(dt|at)") + "secretGroup = 2\n").value == 2
    assert "field secretGroup" in refusal(TOKEN + "secretGroup = 2\n")


def test_stopwords_and_regexes_of_allowlists_drop_a_value() -> None:
    rule = one(TOKEN + "[[rules.allowlists]]\nstopwords = ['Sample']\nregexes = ['^0+$']\n")
    assert not kept(rule, b"a1samplez9")
    assert not kept(rule, b"0000")
    assert kept(rule, b"a1z9k40000")


def test_allowlist_with_the_condition_and_needs_both() -> None:
    rule = one(TOKEN + "[[rules.allowlists]]\ncondition = 'AND'\nstopwords = ['sample']\nregexes = ['9$']\n")
    assert not kept(rule, b"a1sample9")
    assert kept(rule, b"a1sample8")
    assert kept(rule, b"a1other9")


def test_allowlist_of_the_file_holds_for_its_rules() -> None:
    text = "[allowlist]\nregexes = ['^none']\n" + TOKEN
    assert not kept(one(text), b"none1234")
    aimed = "[[allowlists]]\ntargetRules = ['other']\nregexes = ['^none']\n" + TOKEN
    assert kept(one(aimed), b"none1234")


def test_lists_of_paths_and_commits_are_not_used_and_a_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    lists = "[[rules.allowlists]]\npaths = ['x']\ncommits = ['y']\nstopwords = ['sample']\n"
    with caplog.at_level(logging.WARNING):
        assert not kept(one(TOKEN + lists), b"a1sample9")
        assert kept(one(TOKEN + lists + "condition = 'AND'\n"), b"a1sample9")
    assert "acme.toml: rule Acme_Deploy--token: paths and commits of an allowlist not used" in caplog.text


@pytest.mark.parametrize(
    ("added", "field"),
    [
        ("path = '\\.tf$'", "path"),
        ("magic = 1", "magic"),
        ("entropy = 'much'", "entropy"),
        ("filter = 'finding[\"line\"] == 1'", "filter"),
        ("[[rules.required]]\nid = 'x'", "required"),
        ("[[rules.allowlists]]\nregexTarget = 'line'\nregexes = ['x']", "regexTarget"),
        ("[[rules.allowlists]]\nregexTarget = 'match'\nregexes = ['x']", "regexTarget"),
        ("[[rules.allowlists]]\nregexes = ['[x']", "allowlists.regexes"),
        ("[[rules.allowlists]]\nwords = ['x']", "words"),
        ("[extend]\nuseDefault = true", "extend"),
    ],
)
def test_what_cannot_be_honoured_is_an_error_that_names_the_field(added: str, field: str) -> None:
    assert f"field {field}: cannot be honoured" in refusal(TOKEN + added + "\n")


@pytest.mark.parametrize("regex", ["(?=ab)c", "a(b", "x?", r"(a)\1"])
def test_pattern_outside_our_grammar_is_an_error_that_names_the_rule(regex: str) -> None:
    assert "acme.toml: rule a: field regex: cannot be honoured: " in refusal(f"[[rules]]\nid = 'a'\nregex = '{regex}'\n")


def test_rule_for_paths_alone_is_refused() -> None:
    assert "field path:" in refusal("[[rules]]\nid = 'a'\npath = 'x'\n")


def test_one_error_lists_all_refused_rules() -> None:
    text = "".join(f"[[rules]]\nid = 'r{number}'\nregex = 'abc'\npath = 'x'\n" for number in range(25)) + TOKEN
    message = refusal(text)
    assert message.count("field path") == 20
    assert "and 5 more rules" in message
    assert [rule.id for rule in convert_gitleaks(text, "acme.toml").rules] == ["gitleaks.acme-deploy-token"]


def test_match_as_target_is_honoured_where_the_match_is_the_secret() -> None:
    rule = one("[[rules]]\nid = 'a'\nregex = 'acme_[a-z]{4}'\n[[rules.allowlists]]\nregexTarget = 'match'\nregexes = ['zzzz']\n")
    assert not kept(rule, b"acme_zzzz")


def test_rules_that_are_not_reported_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_gitleaks(TOKEN + "skipReport = true\n", "acme.toml") == []
    assert "left out" in caplog.text


def test_file_that_is_not_toml_or_has_no_rules_is_refused() -> None:
    for text in ("= [", "[tool]\nname = 1\n"):
        with pytest.raises(RuleError) as error:
            read_gitleaks(text, "acme.toml")
        assert error.value.reference == "rule-syntax"
