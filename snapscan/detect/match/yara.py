"""YARA rules, run on whole owners. The only module that imports yara-python.

YARA's own timeout is passed but not relied on (a nasty pattern ran 40 s under a limit of 1 s): the worker's watchdog is the guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yara

from snapscan.detect.match.atoms import YaraRule, parse_yara
from snapscan.model.errors import RuleError
from snapscan.model.finding import Severity
from snapscan.model.rule import Rule
from snapscan.model.units import MIB

ITEM_BYTES = 64 * MIB
"""The most of an owner that is given to YARA in one piece; a larger one is given in windows that overlap by OVERLAP_BYTES."""
OVERLAP_BYTES = 1 * MIB
TIMEOUT_SECONDS = 60


class YaraMatch(NamedTuple):
    """A rule that matches, with the first place of its first string (0 .. 0 for a rule without strings)."""

    rule: str
    start: int
    length: int


class YaraMatcher:
    """All rules of some folders, compiled once; used by forked workers as it is."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.rules: list[YaraRule] = []
        self.sources: dict[str, str] = {}
        """Namespace -> text."""
        for path in yara_files(folders):
            text = _read(path)
            self.sources[f"{len(self.sources)}:{path.stem}"] = text
            self.rules += parse_yara(text, str(path))
        names = [rule.name for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise RuleError("yara-duplicate", f"YARA rule {sorted(twice)[0]} stands in two files")
        try:
            self._compiled = yara.compile(sources=self.sources, includes=False) if self.sources else None
        except yara.Error as error:
            raise RuleError("yara-syntax", str(error)) from error
        self._ids = {rule.name: rule_id(rule) for rule in self.rules}
        self.atoms: tuple[bytes, ...] = tuple(dict.fromkeys(atom for rule in self.rules for atom in rule.atoms))
        floating = {atom for rule in self.rules if not rule.at_start for atom in rule.atoms}
        self.at_start: frozenset[int] = frozenset(number for number, atom in enumerate(self.atoms) if atom not in floating)
        """Numbers of the atoms that only count near the beginning of an owner."""
        self.slow: tuple[str, ...] = tuple(rule.name for rule in self.rules if not rule.atoms and not rule.private)

    def match(self, data: bytes | memoryview) -> list[YaraMatch]:
        """The rules that match these bytes as a whole. Raises RuleError `yara-failed` when YARA gives up."""
        if self._compiled is None:
            return []
        try:
            found = self._compiled.match(data=data, timeout=TIMEOUT_SECONDS)
        except yara.Error as error:
            raise RuleError("yara-failed", str(error)) from error
        matches = []
        for item in found:
            places = [(instance.offset, instance.matched_length) for string in item.strings for instance in string.instances]
            start, length = min(places, default=(0, 0))
            matches.append(YaraMatch(self._ids.get(item.rule, item.rule), start, max(length, 1)))
        return matches

    def records(self) -> list[Rule]:
        """The rules as the store and reports know them: severity from meta, medium where it says none."""
        words = {item.word for item in Severity}
        return [
            Rule(
                id=rule_id(rule),
                name=rule.meta.get("name") or rule.meta.get("description") or rule.name,
                kind=rule.meta.get("kind", "indicator"),
                severity=rule.meta["severity"].lower() if rule.meta.get("severity", "").lower() in words else "medium",
                pattern="",
                why=rule.meta.get("why", ""),
                fix=rule.meta.get("fix", ""),
                references=[rule.meta["reference"]] if "reference" in rule.meta else [],
                examples=[],
            )
            for rule in self.rules
            if not rule.private
        ]


def rule_id(rule: YaraRule) -> str:
    """`id` in the rule's meta, else `yara.NAME`."""
    return rule.meta.get("id") or f"yara.{rule.name}"


def yara_files(folders: Sequence[Path]) -> list[Path]:
    """`*.yar` and `*.yara` at or below the folders, in order."""
    files: list[Path] = []
    for folder in folders:
        files += [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.suffix in (".yar", ".yara") and path.is_file())
    return files


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError("yara-unreadable", f"{path}: {error}") from error
