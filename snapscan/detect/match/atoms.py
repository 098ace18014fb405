"""From the text of YARA rules to byte patterns that the sweep looks for: a rule can only match in an owner that holds one of its atoms.

The only module that imports plyara. What cannot be turned into an atom for sure makes its rule a slow one, which is tried on every file:
a rule is never silently left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import plyara
import plyara.exceptions

from snapscan.detect.match.firstpass import first_pass
from snapscan.model.errors import RuleError

LEAST_BYTES = 4
"""A shorter atom would be found everywhere."""
_UNCLEAR = {"xor", "base64", "base64wide"}


class YaraRule(NamedTuple):
    """A rule's name, its meta values as text, and its atoms as hyperscan patterns; no atoms: a slow rule."""

    name: str
    meta: dict[str, str]
    atoms: tuple[bytes, ...]
    private: bool
    at_start: bool = False
    """The atoms are of strings of which one must stand at 0: an atom elsewhere means nothing."""


@cache
def _parser() -> plyara.Plyara:
    """One for all files: building its tables takes 30 ms, and its `clear` builds them anew. It keeps the rules of all texts it has read."""
    return plyara.Plyara()


def parse_yara(text: str, where: str) -> list[YaraRule]:
    """The rules of one file. Raises RuleError `yara-syntax`; `where` names the file."""
    parser = _parser()
    before = len(parser.rules)
    try:
        parsed: list[dict[str, Any]] = parser.parse_string(text)[before:]
    except (plyara.exceptions.ParseError, TypeError, ValueError, RecursionError) as error:
        _parser.cache_clear()  # what it is in the middle of is lost
        raise RuleError("yara-syntax", f"{where}: {error}", hint="yara-python may take it; its atoms cannot be read") from error
    return [_rule(item) for item in parsed]


def _rule(item: dict[str, Any]) -> YaraRule:
    meta = {key: str(value) for entry in item.get("metadata", []) for key, value in entry.items()}
    private = "private" in item.get("scopes", [])
    anchored = _anchored([str(term) for term in item.get("condition_terms", [])])
    atoms = _atoms(item, only=anchored) if anchored else ()
    return YaraRule(str(item["rule_name"]), meta, atoms or _atoms(item), private, at_start=bool(atoms))


def _anchored(terms: list[str]) -> frozenset[str]:
    """The strings of which one must stand at 0: those of a part `$a at 0 or $b at 0 ...` that the whole condition cannot be true without.

    Then their atoms are enough to look for, and count at the beginning of an owner only.
    """
    for part in _parts(terms):
        while part[:1] == ["("] and part[-1:] == [")"]:
            part = part[1:-1]
        groups = " ".join(part).split(" or ")
        matches = [re.fullmatch(r"(\$\w+) at 0", group) for group in groups]
        if all(matches):
            return frozenset(match[1] for match in matches if match)
    return frozenset()


def _parts(terms: list[str]) -> list[list[str]]:
    """The condition at its outermost `and`s; one part where an outermost `or` stands."""
    parts: list[list[str]] = [[]]
    depth = 0
    for term in terms:
        depth += (term == "(") - (term == ")")
        if depth == 0 and term == "or":
            return [terms]
        if depth == 0 and term == "and":
            parts.append([])
        else:
            parts[-1].append(term)
    return parts


def _atoms(item: dict[str, Any], *, only: frozenset[str] = frozenset()) -> tuple[bytes, ...]:
    """Of all strings, or of `only` these, which the condition then cannot do without; none when one of them has no sure atom."""
    if not only and not _needs_a_string(list(item.get("condition_terms", []))):
        return ()
    atoms: list[bytes] = []
    for string in item.get("strings", []):
        if only and string["name"] not in only:
            continue
        found = _string_atoms(string)
        if not found:
            return ()
        atoms += found
    return tuple(dict.fromkeys(atoms))


def _string_atoms(string: dict[str, Any]) -> list[bytes]:
    modifiers = [str(m) for m in string.get("modifiers", [])]
    if any(m.partition("(")[0] in _UNCLEAR for m in modifiers):
        return []
    kind, value = string["type"], str(string["value"])
    try:
        if kind == "text":
            return _text_atoms(value.encode("latin-1", "strict").decode("unicode_escape").encode("latin-1"), modifiers)
        if kind == "byte":
            return _if_long(_hex_pattern(value))
        body, _, flags = value.rpartition("/")
        return (
            []
            if "wide" in modifiers
            else _if_long(("(?i)" if "i" in flags or "nocase" in modifiers else "") + ("(?s)" if "s" in flags else "") + body[1:])
        )
    except (UnicodeError, RuleError):
        return []


def _text_atoms(text: bytes, modifiers: list[str]) -> list[bytes]:
    forms = []
    if "wide" in modifiers:
        forms.append(b"".join(bytes((byte, 0)) for byte in text))
    if "ascii" in modifiers or "wide" not in modifiers:
        forms.append(text)
    if len(text) < LEAST_BYTES:
        return []
    prefix = b"(?i)" if "nocase" in modifiers else b""
    return [prefix + b"".join(b"\\x%02x" % byte if not chr(byte).isalnum() or byte > 127 else bytes((byte,)) for byte in form) for form in forms]


def _hex_pattern(value: str) -> str:
    """`{ 4D ?? [2-4] (AA|BB) }` as a pattern."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", value.strip()[1:-1], flags=re.DOTALL)
    out = []
    for token in re.findall(r"\[[^\]]*\]|[0-9A-Fa-f?~]{2,3}|[()|]", text):
        if token in "()|":
            out.append("(?:" if token == "(" else token)
        elif token.startswith("["):
            low, dash, high = token[1:-1].replace(" ", "").partition("-")
            if dash and not high:
                break  # unbounded: what stands before it is atom enough, or none
            out.append(f"(?s:.){{{low or 0},{high or low}}}")
        elif "?" in token or "~" in token:
            out.append("(?s:.)")
        else:
            out.append(f"\\x{token.lower()}")
    return "".join(out)


def _if_long(pattern: str) -> list[bytes]:
    """The first-pass form, if it holds enough fixed bytes to be rare."""
    form = first_pass(pattern)
    fixed = len(re.findall(r"\\x[0-9a-f]{2}|[A-Za-z0-9]", re.sub(r"\[[^\]]*\]|\{[^}]*\}|\(\?[a-z]*:?", "", form.pattern)))
    return [form.pattern.encode("latin-1")] if form.least >= LEAST_BYTES and fixed >= LEAST_BYTES else []


def _needs_a_string(terms: Sequence[str]) -> bool:
    """Whether the condition can only be true when some string of the rule was found. False whenever that is not plain to see."""
    return _Condition([str(term) for term in terms]).all_of_it()


class _Condition:
    """Reads `or`, `and`, brackets; everything else is a term of which only the common forms are understood."""

    def __init__(self, terms: list[str]) -> None:
        self._terms = terms
        self._at = 0

    def all_of_it(self) -> bool:
        result = self._or()
        return result and self._at == len(self._terms)

    def _or(self) -> bool:
        result = self._and()
        while self._peek() == "or":
            self._at += 1
            result &= self._and()
        return result

    def _and(self) -> bool:
        result = self._term()
        while self._peek() == "and":
            self._at += 1
            result |= self._term()
        return result

    def _term(self) -> bool:
        if self._peek() == "(":
            self._at += 1
            result = self._or()
            self._at += self._peek() == ")"
            return result
        start, depth = self._at, 0
        while self._at < len(self._terms):
            term = self._terms[self._at]
            if depth == 0 and (term in ("and", "or") or term == ")"):
                break
            depth += (term == "(") - (term == ")")
            self._at += 1
        return _is_string_test(self._terms[start : self._at])

    def _peek(self) -> str:
        return self._terms[self._at] if self._at < len(self._terms) else ""


def _is_string_test(term: list[str]) -> bool:
    if not term or term[0] in ("not", "for", "none", "0"):
        return False
    if term[0].startswith("$"):
        return len(term) == 1 or term[1] in ("at", "in")
    if len(term) > 2 and term[1] == "of":
        return term[0] in ("any", "all") or (term[0].isdigit() and int(term[0]) > 0)
    return len(term) == 3 and term[0].startswith("#") and term[1] in (">", ">=") and term[2].isdigit() and int(term[2]) + (term[1] == ">") > 0
