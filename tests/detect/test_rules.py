"""The loader: what it accepts, and that every refusal names file, rule and field."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from snapscan.detect.rules import builtin_rules_folder, load_rules, rules_digest
from snapscan.model.errors import RuleError

GOOD = """
- id: acme.deploy-token
  name: Acme deploy token
  kind: secret
  severity: high
  pattern: '\\bacme_dt_([0-9a-z]{32})\\b'
  value: 1
  why: Deploys.
  fix: Revoke it.
  references: ['https://acme.example/tokens']
  examples: ['acme_dt_${base36:32}']
"""


def write(folder: Path, text: str, name: str = "acme.yml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rules_come_sorted_by_id_from_all_folders(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("acme.deploy-token", "zeta.token"))
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", GOOD)
    assert [rule.id for rule in load_rules([tmp_path])] == ["acme.deploy-token", "zeta.token"]


def test_a_single_file_may_stand_for_a_folder(tmp_path: Path) -> None:
    assert load_rules([write(tmp_path, GOOD)])[0].value == 1


def test_examples_of_yara_rules_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, "- name: not a rule\n", "some.examples.yml")
    assert len(load_rules([tmp_path])) == 1


def test_builtin_rules_load() -> None:
    assert (builtin_rules_folder() / "secrets").is_dir()


def test_digest_does_not_depend_on_files_but_on_every_field(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    second = GOOD.replace("acme.deploy-token", "acme.other-token")
    write(one, GOOD + second)
    write(two, second, "first.yml")
    write(two, GOOD, "last.yml")
    rules = load_rules([one])
    assert rules_digest(rules) == rules_digest(reversed(load_rules([two])))
    changed = (msgspec.structs.replace(rules[0], severity="low"), rules[1])
    assert rules_digest(changed) != rules_digest(rules)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("kind: secret", "kind: secrets"), "kind"),
        (("severity: high", "severity: severe"), "severity"),
        (("value: 1", "value: 2"), "value"),
        (("value: 1", "value: one"), "value"),
        (("id: acme.deploy-token", "id: Acme"), "id"),
        (("  why: Deploys.\n", ""), "why"),
        (("value: 1", "value: 1\n  colour: red"), "colour"),
        (("value: 1", "value: 1\n  refuse: [nonsense]"), "refuse"),
        (("value: 1", "value: 1\n  checksum: nonsense"), "checksum"),
        (("value: 1", "value: 1\n  follow: rabbit"), "follow"),
        (("value: 1", "value: 1\n  encodings: [ebcdic]"), "encodings"),
        (("value: 1", "value: 1\n  encodings: []"), "encodings"),
        (("value: 1", "value: 1\n  confidence: sure"), "confidence"),
        (("value: 1", "value: 1\n  pair: acme.nobody"), "pair"),
        (("value: 1", "value: 1\n  pair_within: 0"), "pair_within"),
        (("{32}", "{32"), "pattern"),
        (("{32}", "+"), "pattern"),
        (("{32})\\b", "{32})$"), "pattern"),
        (("[0-9a-z]{32}", "[0-9a-z"), "pattern"),
        (("examples: ['acme_dt_${base36:32}']", "examples: []"), "examples"),
    ],
)
def test_refusal_names_file_rule_and_field(tmp_path: Path, change: tuple[str, str], field: str) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    if change == ("{32}", "{32"):
        text = text.replace("\\b'", "\\1'")
    path = write(tmp_path, text)
    with pytest.raises(RuleError) as caught:
        load_rules([tmp_path])
    assert str(path) in caught.value.message
    assert f"field {field}:" in caught.value.message
    assert "rule acme.deploy-token" in caught.value.message or field == "id"


def test_the_same_id_in_two_files_is_refused_naming_both(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yml")
    write(tmp_path, GOOD, "b.yml")
    with pytest.raises(RuleError) as caught:
        load_rules([tmp_path])
    assert "a.yml" in caught.value.message
    assert "b.yml" in caught.value.message


@pytest.mark.parametrize("text", ["- id: [", "id: a.b", "- 5", "- id: a.b\n  id: a.c\n", "- !!python/object/apply:os.system ['true']", "\x00"])
def test_what_is_no_list_of_rules_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RuleError) as caught:
        load_rules([tmp_path])
    assert str(path) in caught.value.message


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError):
        load_rules([tmp_path / "absent"])


def test_format_of_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, "[[rules]]\nid = 'two'\nregex = 'acme_[a-z]{8}'\n", "two.toml")
    write(tmp_path, "rules:\n- {id: np.acme.3, name: Three, pattern: 'acme_[a-z]{8}'}\n", "three.yaml")
    assert [rule.id for rule in load_rules([tmp_path])] == ["acme.deploy-token", "gitleaks.two", "noseyparker.acme-3"]


def test_foreign_rule_that_cannot_be_honoured_names_file_rule_and_field(tmp_path: Path) -> None:
    path = write(tmp_path, "[[rules]]\nid = 'two'\nregex = 'acme_[a-z]{8}'\npath = 'x'\n", "two.toml")
    with pytest.raises(RuleError, match="rule two: field path: cannot be honoured") as error:
        load_rules([path])
    assert str(path) in error.value.message


def test_toml_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(RuleError, match="not UTF-8"):
        load_rules([tmp_path])


def test_pattern_to_ignore_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="field ignore: does not compile"):
        load_rules([write(tmp_path, GOOD + "  ignore: ['(a']\n")])
