"""Reads rule files into `Rule` records and refuses those that could not be trusted in a scan."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from snapscan import __version__
from snapscan.detect.cache import read_cache, write_cache
from snapscan.detect.checks import CHECKS, CHECKSUMS
from snapscan.detect.foreign.gitleaks import read_gitleaks
from snapscan.detect.foreign.kingfisher import read_kingfisher
from snapscan.detect.grammar import pattern_faults, pattern_groups
from snapscan.model.errors import RuleError
from snapscan.model.finding import Confidence, Severity
from snapscan.model.rule import Rule

KINDS = ("secret", "personal", "indicator")
ENCODINGS = ("ascii", "utf16")
FOLLOWS = ("", "pem")
_SUFFIXES = (".yml", ".yaml", ".toml")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*")
_SEVERITIES = tuple(item.word for item in Severity)
_CONFIDENCES = tuple(item.word for item in Confidence)


RULES_FORM = 1
"""Counted up when the same rule file comes to mean something else, or is checked for more."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the base is chosen at import: libyaml where it is built in
    """Safe YAML that refuses a key given twice in one mapping: PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the field {key.value!r} stands here twice", problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def builtin_rules_folder() -> Path:
    """Where the rules that come with the package lie: inside an installed wheel, else at the top of the repository."""
    packaged = Path(__file__).parent.parent / "_rules"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "rules"


def builtin_rule_folders() -> list[Path]:
    """The folders below it that hold rules for the sweep."""
    return [folder for name in ("secrets", "artefacts") if (folder := builtin_rules_folder() / name).is_dir()]


def load_rules(folders: Sequence[Path]) -> tuple[Rule, ...]:
    """All rules of `*.yml`, `*.yaml` and `*.toml` files at or below `folders`, sorted by id. A folder may also be a single rule file.

    A list is rules of ours; a mapping with `rules` is Kingfisher's or Nosey Parker's, TOML is Gitleaks' or Betterleaks' (`detect/foreign`).
    `NAME.examples.yml` files belong to YARA rules and are passed over. Raises RuleError, naming file, rule and field, for a file that cannot
    be read, a rule that does not fit the schema, a pattern outside our grammar, an unknown check, a dangling `pair`, or an id used twice.
    """
    origin: dict[str, Path] = {}
    rules: list[Rule] = []
    for path in _rule_files(folders):
        for rule in _rules_of(path):
            if rule.id in origin:
                raise RuleError("rule-duplicate", f"{path}: rule {rule.id}: field id: already used in {origin[rule.id]}")
            origin[rule.id] = path
            rules.append(rule)
    for rule in rules:
        if rule.pair and rule.pair not in origin:
            raise _fault(origin[rule.id], rule.id, "pair", f"there is no rule {rule.pair!r}")
    return tuple(sorted(rules, key=lambda rule: rule.id))


def load_rules_cached(folders: Sequence[Path], cache: Path | None) -> tuple[Rule, ...]:
    """`load_rules`, or what it gave for the very same files before: reading and checking 700 rules takes 0.7 s, remembering them 10 ms."""
    if cache is None:
        return load_rules(folders)
    digest = hashlib.sha256(repr((__version__, RULES_FORM, sorted(CHECKS), sorted(CHECKSUMS))).encode())
    for path in _rule_files(folders):
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError:
            return load_rules(folders)  # which says what is wrong
    place = cache / f"{digest.hexdigest()}.rules"
    known = read_cache(place)
    if known is not None:
        try:
            return msgspec.msgpack.decode(known, type=tuple[Rule, ...])
        except msgspec.MsgspecError:
            pass  # of another form: it is written anew
    rules = load_rules(folders)
    write_cache(place, msgspec.msgpack.encode(rules))
    return rules


def rules_digest(rules: Iterable[Rule]) -> str:
    """SHA-256 (hexadecimal) over the rules in order of id, whatever files they came from: the same rules, the same digest."""
    digest = hashlib.sha256(b"snapscan rules 1\n")
    for rule in sorted(rules, key=lambda item: item.id):
        digest.update(msgspec.json.encode(rule, order="sorted") + b"\n")
    return digest.hexdigest()


def _rule_files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file():
            yield folder
            continue
        if not folder.is_dir():
            raise RuleError("rule-folder-missing", f"{folder}: no such rule file or folder")
        yield from sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and not path.name.endswith(".examples.yml"))


def _rules_of(path: Path) -> Iterator[Rule]:
    try:
        data = path.read_bytes()
        document = data.decode() if path.suffix == ".toml" else yaml.load(data, Loader=_Loader)
    except OSError as error:
        raise RuleError("rule-unreadable", f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RuleError("rule-syntax", f"{path}: not UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise RuleError("rule-syntax", f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if path.suffix == ".toml":
        yield from read_gitleaks(document, str(path))
        return
    if isinstance(document, dict) and "rules" in document:
        yield from read_kingfisher(document, str(path))
        return
    if not isinstance(document, list):
        raise RuleError("rule-syntax", f"{path}: a rule file is a list of rules")
    for number, item in enumerate(document, 1):
        name = str(item.get("id", f"number {number}")) if isinstance(item, dict) else f"number {number}"
        try:
            rule = msgspec.convert(item, Rule)
        except msgspec.ValidationError as error:
            raise _fault(path, name, _field_of(str(error)), str(error)) from error
        for field, problem in _problems(rule):
            raise _fault(path, name, field, problem)
        yield rule


def _problems(rule: Rule) -> Iterator[tuple[str, str]]:
    if not _ID.fullmatch(rule.id):
        yield "id", "write vendor.what, lower case, words joined by hyphens"
    for field, given, allowed in (
        ("kind", rule.kind, KINDS),
        ("severity", rule.severity, _SEVERITIES),
        ("confidence", rule.confidence, _CONFIDENCES),
        ("follow", rule.follow, FOLLOWS),
    ):
        if given not in allowed:
            yield field, f"{given!r} is none of {', '.join(word or repr('') for word in allowed)}"
    for encoding in rule.encodings:
        if encoding not in ENCODINGS:
            yield "encodings", f"{encoding!r} is none of {', '.join(ENCODINGS)}"
    if not rule.encodings:
        yield "encodings", "at least one is needed"
    for fault in pattern_faults(rule.pattern):
        yield "pattern", fault
    if not 0 <= rule.value <= pattern_groups(rule.pattern):
        yield "value", f"the pattern has no group {rule.value}"
    for pattern in rule.ignore:
        if fault := _compile_fault(pattern):
            yield "ignore", fault
    for check in rule.refuse:
        if check not in CHECKS:
            yield "refuse", f"there is no check {check!r}"
    if rule.checksum and rule.checksum not in CHECKSUMS:
        yield "checksum", f"there is no checksum {rule.checksum!r}"
    if not 0 < rule.pair_within <= 1 << 20:
        yield "pair_within", "is a number of bytes up to 1048576"
    if not rule.examples:
        yield "examples", "a rule without an example cannot be tested"


def _compile_fault(pattern: str) -> str:
    try:
        re.compile(pattern.encode())
    except (re.error, OverflowError, RecursionError) as error:
        return f"does not compile: {error}"
    return ""


def _field_of(message: str) -> str:
    """msgspec names the place as `$.field` or, for a field too few or too many, in backquotes."""
    match = re.search(r"\$\.(\w+)", message) or re.search(r"field `(\w+)`", message)
    return match[1] if match else "?"


def _fault(path: Path, rule: str, field: str, problem: str) -> RuleError:
    return RuleError("rule-invalid", f"{path}: rule {rule}: field {field}: {problem}", hint="docs/rules.md describes every field")
