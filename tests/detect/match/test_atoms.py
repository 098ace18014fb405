"""Atoms of YARA rules: a rule has them only when it cannot match without one, and what matches always holds one."""

from __future__ import annotations

import re

import pytest
import yara

from snapscan.detect.match.atoms import parse_yara
from snapscan.detect.rules import builtin_rules_folder
from snapscan.model.errors import RuleError


def atoms(body: str) -> tuple[bytes, ...]:
    (rule,) = parse_yara(f"rule r {{ {body} }}", "test")
    return rule.atoms


CONDITIONS = [
    ("$a", True), ("any of them", True), ("all of ($a*)", True), ("2 of them", True), ("$a and filesize < 10", True), ("$a at 0", True),
    ("#a > 0", True), ("($a or $b) and not $c", True), ("$a or $b", True),
    ("not $a", False), ("filesize < 10", False), ("$a or filesize < 10", False), ("none of them", False), ("0 of them", False),
    ("for all i in (1..#a) : (@a[i] < 100)", False), ("#a < 2", False), ("uint16(0) == 0x5A4D", False), ("not ($a or $b)", False),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "has"), CONDITIONS, ids=[condition for condition, _ in CONDITIONS])
def test_only_a_condition_that_needs_a_string_gives_atoms(condition: str, has: bool) -> None:
    found = atoms(f'strings: $a = "first string" $b = "second" $c = "third" condition: {condition}')
    assert bool(found) == has


@pytest.mark.parametrize("string", ['"abc"', "{ 01 ?? 02 }", "/a.{0,5}b/", '"long enough" xor', '"long enough" base64', "/[a-z]{8}/"])
def test_string_without_a_sure_atom_makes_the_rule_slow(string: str) -> None:
    assert atoms(f"strings: $a = {string} condition: $a") == ()


MATCHES = [
    ('"a rare phrase"', b"..a rare phrase.."), ('"Rare Phrase" nocase', b"rARE phrase"), ('"wide one" wide', "wide one".encode("utf-16-le")),
    ('"both" wide ascii', b"both"), ('"both" wide ascii', "both".encode("utf-16-le")), ('"tab\\tand \\x41"', b"tab\tand A"),
    ("{ 50 4B 03 04 [2-4] AA BB }", b"PK\3\4xyz\xaa\xbb"), ("{ 01 02 03 04 ( 05 | 06 07 ) }", b"\1\2\3\4\6\7"),
    ("{ 4D 5A ?? 90 00 11 }", b"MZ\0\x90\0\x11"),
    ("/token=[0-9]{4,}/", b"token=123456"), ("/Secret: [a-z]+/i", b"SECRET: abc"),
]  # fmt: skip


@pytest.mark.parametrize(("string", "data"), MATCHES, ids=[string for string, _ in MATCHES])
def test_what_matches_holds_an_atom(string: str, data: bytes) -> None:
    text = f"rule r {{ strings: $a = {string} condition: $a }}"
    assert yara.compile(source=text).match(data=data), "the example itself is wrong"
    found = parse_yara(text, "test")[0].atoms
    assert found
    assert any(re.search(atom, data, re.DOTALL) for atom in found)


def test_rules_of_the_pack_have_atoms_and_know_where_they_count() -> None:
    rules = [rule for path in sorted((builtin_rules_folder() / "yara").glob("*.yar")) for rule in parse_yara(path.read_text(), path.name)]
    assert rules and all(rule.atoms for rule in rules)
    assert any(rule.at_start for rule in rules)


ANCHORS = [
    ("$a at 0", True),
    ("$a at 0 or $b at 0", True),
    ("($a at 0 or $b at 0) and $c", True),
    ("$a at 0 and $b", True),
    ("filesize < 100 and $a at 0", True),
    ("$a at 1", False),
    ("$a", False),
    ("$a at 0 or $b", False),
    ("not $a at 0", False),
    ("($a at 0 and $b) or $c", False),
]


@pytest.mark.parametrize(("condition", "start"), ANCHORS, ids=[condition for condition, _ in ANCHORS])
def test_atoms_count_only_at_the_start_when_a_string_must_stand_there(condition: str, start: bool) -> None:
    strings = '$a = "first string" $b = "second" $c = "third string"'
    (rule,) = parse_yara(f"rule r {{ strings: {strings} condition: {condition} }}", "test")
    assert rule.at_start == start
    if start:
        assert all(b"third" not in atom for atom in rule.atoms)


def test_broken_file_is_named() -> None:
    with pytest.raises(RuleError, match=r"mine\.yar"):
        parse_yara("rule {", "mine.yar")
