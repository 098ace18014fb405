"""Rule files of Gitleaks and Betterleaks: TOML with `[[rules]]`.

Source of the fields: the README of each, "Configuration". `keywords` are a prefilter of theirs that we do without: the pattern alone
decides. `tags` are labels. `validate` asks the vendor's server, which we never do. Lists of paths and commits are not used, with a
warning: no list switches scanning off.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from snapscan.detect.foreign.draft import Draft, Read, rules_of, value_pattern, words_pattern
from snapscan.detect.foreign.fields import number_of, text_of, texts_of
from snapscan.detect.foreign.filter import read_filter
from snapscan.detect.foreign.refusal import Refusal, Refused, error_of
from snapscan.model.errors import RuleError
from snapscan.model.rule import Rule

log = logging.getLogger(__name__)

_FILE_FIELDS = {"title", "description", "minVersion", "betterleaksMinVersion", "extend", "allowlist", "allowlists", "rules", "prefilter", "filter"}
_RULE_FIELDS = {
    "id", "description", "regex", "secretGroup", "entropy", "keywords", "tags", "allowlist", "allowlists", "filter", "validate", "skipReport",
}  # fmt: skip
_LIST_FIELDS = {"description", "condition", "paths", "commits", "regexes", "regexTarget", "stopwords", "targetRules"}
_REASONS = {
    "path": "a sweep finds bytes first and names afterwards, so a rule cannot be for certain files only",
    "required": "a rule that counts only beside another one has no counterpart here",
    "extend": "give the other file to --rules as well",
}


class Ignored(NamedTuple):
    """What an allowlist comes to: patterns over the value, or over the match where that is asked for, and the rules it is for (all: none)."""

    patterns: tuple[str, ...]
    over_match: bool
    targets: tuple[str, ...]


def read_gitleaks(text: str, where: str) -> list[Rule]:
    """The rules of one file; `where` names it. Raises RuleError: `rule-syntax` for what is not TOML or has no rules, `rule-foreign` with all
    that cannot be honoured. What is left out on purpose is a warning in the log."""
    read = convert_gitleaks(text, where)
    if read.refusals:
        raise error_of(read.refusals, where)
    for note in read.notes:
        log.warning("%s: %s", where, note)
    return read.rules


def convert_gitleaks(text: str, where: str) -> Read:
    """As `read_gitleaks`, with the refusals beside the rules that could be read."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RuleError("rule-syntax", f"{where}: not TOML: {error}") from error
    entries = document.get("rules")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RuleError("rule-syntax", f"{where}: holds no [[rules]]", hint="a .toml file is read as rules of Gitleaks or Betterleaks")
    read = Read([], [], [])
    shared = _shared(document, read)
    for number, entry in enumerate(entries, 1):
        name = str(entry.get("id", f"number {number}"))
        try:
            read.rules.extend(_rules(entry, name, shared, read.notes))
        except Refused as refused:
            read.refusals.append(Refusal(name, refused.field, refused.reason))
    return read


def _shared(document: Mapping[str, Any], read: Read) -> list[Ignored]:
    """What the file says for all its rules."""
    shared: list[Ignored] = []
    try:
        _known(document, _FILE_FIELDS)
        if document.get("extend"):
            raise Refused("extend", _REASONS["extend"])
        shared = _ignored(document, "", read.notes)
        if "filter" in document:
            wanted = read_filter(text_of(document, "filter"))
            if wanted.entropy:
                raise Refused("filter", "asks for the entropy of all rules")
            shared.append(Ignored(wanted.ignore, False, ()))
    except Refused as refused:
        read.refusals.append(Refusal("", refused.field, refused.reason))
    if "prefilter" in document:
        read.notes.append("field prefilter is not used: no list of files switches scanning off")
    return shared


def _rules(entry: Mapping[str, Any], name: str, shared: list[Ignored], notes: list[str]) -> list[Rule]:
    _known(entry, _RULE_FIELDS)
    if not text_of(entry, "id"):
        raise Refused("id", "is missing")
    if entry.get("skipReport") is True:
        notes.append(f"rule {name}: left out, as its field skipReport says that its findings are not reported")
        return []
    if not text_of(entry, "regex"):
        raise Refused("regex", "is missing")
    entropy = number_of(entry, "entropy")
    wanted = read_filter(text_of(entry, "filter"))
    lists = [item for item in shared if not item.targets or name in item.targets] + _ignored(entry, f"rule {name}: ", notes)
    ignore = list(wanted.ignore)
    for item in lists:
        ignore += item.patterns
    rules = rules_of(
        Draft(
            tool="gitleaks",
            id=name,
            name=text_of(entry, "description"),
            field="regex",
            pattern=text_of(entry, "regex"),
            group=int(number_of(entry, "secretGroup")),
            entropy=max(entropy, wanted.entropy),
            ignore=tuple(dict.fromkeys(ignore)),
        )
    )
    if any(item.over_match for item in lists) and any(rule.value for rule in rules):
        raise Refused("regexTarget", "'match' is more than the secret, and an ignored value is all that we have")
    return rules


def _ignored(owner: Mapping[str, Any], prefix: str, notes: list[str]) -> list[Ignored]:
    """The allowlists of a rule or of the file, in both spellings."""
    lists: list[Any] = []
    for field in ("allowlist", "allowlists"):
        given = owner.get(field, [])
        lists += given if isinstance(given, list) else [given]
    found = []
    for item in lists:
        if not isinstance(item, dict):
            raise Refused("allowlists", "is not a table")
        _known(item, _LIST_FIELDS)
        found.append(_one_list(item, prefix, notes))
    return found


def _one_list(item: Mapping[str, Any], prefix: str, notes: list[str]) -> Ignored:
    target = text_of(item, "regexTarget")
    regexes = [value_pattern(pattern, "allowlists.regexes") for pattern in texts_of(item, "regexes")]
    stopwords = [word for word in texts_of(item, "stopwords") if word]
    unused = [field for field in ("paths", "commits") if texts_of(item, field)]
    together = text_of(item, "condition").upper() in ("AND", "&&")
    if unused:
        rest = "; the rest of it, which must hold as well, neither" if together and (regexes or stopwords) else ""
        notes.append(f"{prefix}{' and '.join(unused)} of an allowlist not used: no such list switches scanning off{rest}")
        if together:
            return Ignored((), False, ())
    if regexes and target not in ("", "secret", "match"):
        raise Refused("regexTarget", f"{target!r} is more than the secret, and an ignored value is all that we have")
    words = [words_pattern(stopwords)] if stopwords else []
    if together and regexes and words:
        both = "".join(f"(?=(?s:.*?)(?:{pattern}))" for pattern in ("|".join(f"(?:{pattern})" for pattern in regexes), words[0]))
        patterns = [rf"\A{both}"]
    else:
        patterns = regexes + words
    return Ignored(tuple(patterns), bool(regexes) and target == "match", tuple(texts_of(item, "targetRules")))


def _known(table: Mapping[str, Any], fields: Iterable[str]) -> None:
    for field in table:
        if field not in fields:
            raise Refused(field, _REASONS.get(field, "snapscan does not know it"))
