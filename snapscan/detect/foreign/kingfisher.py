"""Rule files of Kingfisher and Nosey Parker: YAML, a mapping with the list `rules`.

Source of the fields: docs/RULES.md of Kingfisher, the README of Nosey Parker. `validation` and what serves it (`depends_on_rule`, which
lends it a value of another rule, `prevalidated`, `revocation`, `tls_mode`) ask the vendor's server, which we never do; the finding is the
same without. `categories` and `description` are labels. A rule with `visible: false` is never reported there either: it is left out, with
a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from snapscan.detect.foreign.draft import Draft, Read, literal_example, rules_of, words_pattern
from snapscan.detect.foreign.fields import number_of, text_of, texts_of
from snapscan.detect.foreign.refusal import Refusal, Refused, error_of
from snapscan.model.errors import RuleError
from snapscan.model.rule import Rule

log = logging.getLogger(__name__)

_OFFLINE = {"validation", "depends_on_rule", "prevalidated", "revocation", "tls_mode"}
_LABELS = {"name", "id", "description", "categories"}
_USED = {"pattern", "min_entropy", "confidence", "visible", "examples", "negative_examples", "non_examples", "references", "pattern_requirements"}
_CLASSES = {"min_digits": "0-9", "min_uppercase": "A-Z", "min_lowercase": "a-z"}
_SIGNS = "!@#$%^&*()_+-=[]{}|;:'\",.<>?/\\`~"
_CONFIDENCES = ("low", "medium", "high")


def read_kingfisher(document: Mapping[str, Any], where: str) -> list[Rule]:
    """The rules of one parsed file; `where` names it. Raises RuleError: `rule-syntax` for what has no list of rules, `rule-foreign` with all
    that cannot be honoured. What is left out on purpose is a warning in the log."""
    read = convert_kingfisher(document, where)
    if read.refusals:
        raise error_of(read.refusals, where)
    for note in read.notes:
        log.warning("%s: %s", where, note)
    return read.rules


def convert_kingfisher(document: Mapping[str, Any], where: str) -> Read:
    """As `read_kingfisher`, with the refusals beside the rules that could be read."""
    entries = document.get("rules")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RuleError("rule-syntax", f"{where}: a rule file is a list of rules, or a mapping with the list `rules`")
    read = Read([], [Refusal("", str(field), "snapscan does not know it") for field in document if field != "rules"], [])
    for number, entry in enumerate(entries, 1):
        name = str(entry.get("id", f"number {number}"))
        try:
            read.rules.extend(_rules(entry, name, read.notes))
        except Refused as refused:
            read.refusals.append(Refusal(name, refused.field, refused.reason))
    return read


def _rules(entry: Mapping[str, Any], name: str, notes: list[str]) -> list[Rule]:
    for field in entry:
        if field not in _OFFLINE | _LABELS | _USED:
            raise Refused(str(field), "snapscan does not know it")
    for field in ("id", "pattern"):
        if not text_of(entry, field):
            raise Refused(field, "is missing")
    if entry.get("visible") is False:
        notes.append(f"rule {name}: left out, as its field visible says that its findings are not reported")
        return []
    confidence = text_of(entry, "confidence").lower() or "medium"
    if confidence not in _CONFIDENCES:
        raise Refused("confidence", f"{confidence!r} is none of {', '.join(_CONFIDENCES)}")
    tool, bare = ("noseyparker", name.removeprefix("np.")) if name.startswith("np.") else ("kingfisher", name.removeprefix("kingfisher."))
    return rules_of(
        Draft(
            tool=tool,
            id=bare,
            name=text_of(entry, "name"),
            field="pattern",
            pattern=text_of(entry, "pattern"),
            group_name="TOKEN",
            entropy=number_of(entry, "min_entropy"),
            confidence=confidence,
            ignore=tuple(_requirements(entry.get("pattern_requirements", {}))),
            references=tuple(texts_of(entry, "references")),
            examples=tuple(map(literal_example, texts_of(entry, "examples"))),
            counter_examples=tuple(map(literal_example, texts_of(entry, "negative_examples") + texts_of(entry, "non_examples"))),
        )
    )


def _requirements(table: Any) -> list[str]:
    """`pattern_requirements` as patterns over the value that say where they are not met."""
    if not isinstance(table, dict):
        raise Refused("pattern_requirements", "is not a mapping")
    ignore: list[str] = []
    for field in table:
        try:
            if field in _CLASSES:
                ignore += _fewer(_CLASSES[field], int(number_of(table, field)))
            elif field == "min_special_chars":
                signs = text_of(table, "special_chars") or _SIGNS
                ignore += _fewer("".join(f"\\x{byte:02x}" for byte in signs.encode()), int(number_of(table, field)))
            elif field == "ignore_if_contains":
                words = [word for word in texts_of(table, field) if word]
                ignore += [words_pattern(words)] if words else []
            elif field != "special_chars":
                raise Refused(str(field), "snapscan does not know it")
        except Refused as refused:
            raise Refused(f"pattern_requirements.{refused.field}", refused.reason) from refused
    return ignore


def _fewer(characters: str, least: int) -> list[str]:
    """A pattern for values that hold fewer than `least` of `characters` (the inside of a class)."""
    if least > 1000:
        raise Refused("min", "is more than 1000")
    return [rf"\A(?!(?:[^{characters}]*[{characters}]){{{least}}})"] if least else []
