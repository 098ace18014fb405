"""Every YARA rule says what a rule must say, speaks on its examples, and is silent on those that only look alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
import yara

from snapscan.detect.rules import KINDS, builtin_rules_folder, load_rules
from snapscan.model.finding import Confidence, Severity

FOLDER = builtin_rules_folder() / "yara"
FILES = sorted(FOLDER.glob("*.yar"))
FIELDS = {"id", "name", "kind", "severity", "confidence", "why", "fix", "reference"}
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_there_are_yara_rules() -> None:
    assert len(FILES) >= 5


@each_file
def test_rule_says_what_it_is(path: Path) -> None:
    for rule in yara.compile(str(path)):
        assert set(rule.meta) == FIELDS
        assert rule.meta["kind"] in KINDS
        assert rule.meta["severity"] in {item.word for item in Severity}
        assert rule.meta["confidence"] in {item.word for item in Confidence}
        assert rule.meta["reference"].startswith("https://")


def test_ids_are_unique_among_all_rules() -> None:
    ids = [rule.meta["id"] for path in FILES for rule in yara.compile(str(path))]
    ids += [rule.id for rule in load_rules([builtin_rules_folder() / "secrets", builtin_rules_folder() / "artefacts"])]
    assert len(ids) == len(set(ids))


@each_file
def test_rule_speaks_on_its_examples_and_no_other_bytes(path: Path) -> None:
    rules = yara.compile(str(path))
    examples = yaml.safe_load(path.with_name(f"{path.stem}.examples.yml").read_text())
    assert {example["matches"] for example in examples} == {True, False}
    for example in examples:
        data = bytes.fromhex(example["hex"])
        assert bool(rules.match(data=data)) == example["matches"], example["name"]
        assert not rules.match(data=b"\0" + data), f"{example['name']}, one byte later"
        assert not rules.match(data=data[:8]), f"{example['name']}, cut after 8 bytes"
