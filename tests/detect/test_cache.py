"""Rules that were read and checked before are remembered, and only for the very same files."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapscan.detect import rules as module
from snapscan.detect.rules import load_rules, load_rules_cached
from snapscan.model.errors import RuleError

TEXT = """
- {id: acme.token, name: Acme, kind: secret, severity: high, pattern: '\\bacme_([a-z0-9]{20})\\b', value: 1, why: W., fix: F.,
   references: ['https://acme.example'], examples: ['acme_${base36:20}'], counter_examples: ['acme_x']}
"""


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules" / "acme.yml"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


def test_remembered_rules_are_the_read_ones(rule_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_rules_cached([rule_file], tmp_path / "cache")
    assert first == load_rules([rule_file])
    monkeypatch.setattr(module, "load_rules", lambda folders: pytest.fail("read again"))
    assert load_rules_cached([rule_file], tmp_path / "cache") == first


def test_changed_file_is_read_again_and_checked(rule_file: Path, tmp_path: Path) -> None:
    load_rules_cached([rule_file], tmp_path / "cache")
    rule_file.write_text(TEXT.replace("high", "low"))
    assert load_rules_cached([rule_file], tmp_path / "cache")[0].severity == "low"
    rule_file.write_text(TEXT.replace("high", "hihg"))
    with pytest.raises(RuleError, match="severity"):
        load_rules_cached([rule_file], tmp_path / "cache")


def test_missing_file_is_an_error_with_and_without_a_cache(tmp_path: Path) -> None:
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(RuleError):
            load_rules_cached([tmp_path / "none.yml"], cache)
