"""From an exact `re` pattern to the pattern of the first pass.

The first pass only has to say "something may end here". So the pattern is cut to its minimal form: a last `{20,200}` becomes `{20}`, what is
optional at the end is dropped, lookarounds are dropped (a negative look at one class in front becomes one consumed byte, because without
it a run of that class would end at every byte). Every match of the exact pattern has a beginning that the minimal form matches; the
exact stage does the rest. Measured reasons: an end per byte of a long tail is what makes hyperscan from Python slow (6 million ends for
4 MiB of URIs); asking hyperscan for starts rejects a sixth of all patterns and makes the database nine times as large.

Built on the parse tree of `re` itself, so a pattern means here what it means there: bytes, ASCII classes.
"""

from __future__ import annotations

import re
from re import _constants as sre  # type: ignore[attr-defined]  # the parse tree has no public door, and ours must be the same as re's
from re import _parser  # type: ignore[attr-defined]  # as above
from typing import Any, NamedTuple

from snapscan.model.errors import RuleError
from snapscan.model.units import REACH_BYTES

_CLASSES = {
    sre.CATEGORY_DIGIT: r"0-9",
    sre.CATEGORY_WORD: r"0-9A-Za-z_",
    sre.CATEGORY_SPACE: r"\x09-\x0d\x20",
}
_NEGATED = {sre.CATEGORY_NOT_DIGIT: r"\D", sre.CATEGORY_NOT_WORD: r"\W", sre.CATEGORY_NOT_SPACE: r"\S"}
FORM = 1
"""Counted up whenever the same pattern gets another minimal form, so that compiled rules are not taken from before."""
TELLING_BYTES = 20
"""So much fixed text stands for itself: `-----BEGIN PRIVATE KEY-----` needs no look at the lines below it."""


class FirstPass(NamedTuple):
    """`pattern` for the native matcher; `least` and `most` are the lengths in bytes that *it* can match, context byte included."""

    pattern: str
    least: int
    most: int


def first_pass(pattern: str) -> FirstPass:
    """The minimal form. Raises RuleError('rule-pattern') for constructs that the two engines cannot agree on."""
    try:
        tree = _parser.parse(pattern.encode("latin-1"))
    except (re.error, UnicodeEncodeError, OverflowError, RecursionError) as error:
        raise RuleError("rule-pattern", f"not a pattern over bytes: {error}") from error
    text = _Writer(tree.state.flags).sequence(_telling(list(tree)), last=True, first=True)
    if not text:
        raise RuleError("rule-pattern", "the pattern may match nothing at all")
    least, most = _parser.parse(text.encode("latin-1")).getwidth()
    return FirstPass(text, int(least), min(int(most), REACH_BYTES))


def _telling(items: list[Any]) -> list[Any]:
    """The first items, up to where they hold TELLING_BYTES of literal text: what follows would cost states and keep out next to nothing."""
    known = 0
    for index, item in enumerate(items):
        known += _literal_bytes(item)
        if known >= TELLING_BYTES:
            return items[: index + 1]
    return items


def _literal_bytes(item: tuple[Any, Any]) -> int:
    """Bytes of fixed text that every match of this item holds."""
    op, value = item
    if op is sre.LITERAL:
        return 1
    if op is sre.SUBPATTERN:
        return sum(map(_literal_bytes, value[3]))
    if op is sre.BRANCH:
        return min(sum(map(_literal_bytes, branch)) for branch in value[1])
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return int(value[0]) * sum(map(_literal_bytes, value[2]))
    return 0


class _Writer:
    """Writes a parse tree in the part of the syntax that PCRE, hyperscan and `re` read alike."""

    def __init__(self, flags: int) -> None:
        self.flags = flags

    def sequence(self, items: list[Any], *, last: bool, first: bool = False) -> str:
        """`last`: nothing of the pattern follows, so what is optional may go. `first`: nothing stands before."""
        parts: list[str] = []
        for index in range(len(items) - 1, -1, -1):
            text = self.item(items[index], last=last, first=first and index == 0)
            if text:
                parts.append(text)
                last = False
        return "".join(reversed(parts))

    def item(self, item: tuple[Any, Any], *, last: bool, first: bool) -> str:
        op, value = item
        if op is sre.LITERAL:
            return self.caseless(_byte(value))
        if op is sre.NOT_LITERAL:
            return self.caseless(f"[^{_byte(value)}]")
        if op is sre.ANY:
            return r"[\x00-\xff]" if self.flags & re.DOTALL else r"[^\x0a]"
        if op is sre.IN:
            return self.caseless(_class(value))
        if op is sre.BRANCH:
            return self.branch(value[1], last=last, first=first)
        if op is sre.SUBPATTERN:
            return self.group(value, last=last, first=first)
        if op is sre.ATOMIC_GROUP:
            return self.wrapped(self.sequence(list(value), last=last, first=first))
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            return self.repeat(value, last=last)
        if op is sre.AT:
            return self.boundary(value, last=last)
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            return _context(op, value) if first else ""
        raise RuleError("rule-pattern", f"{op} cannot be used in a rule")

    def branch(self, branches: list[Any], *, last: bool, first: bool) -> str:
        texts = [self.sequence(list(branch), last=last, first=first) for branch in branches]
        if not all(texts):
            return "" if last else f"(?:{'|'.join(text for text in texts if text)})?"
        return f"(?:{'|'.join(dict.fromkeys(texts))})"

    def group(self, value: tuple[Any, int, int, Any], *, last: bool, first: bool) -> str:
        _, add, remove, body = value
        outer, self.flags = self.flags, (self.flags | add) & ~remove
        try:
            return self.wrapped(self.sequence(list(body), last=last, first=first))
        finally:
            self.flags = outer

    def repeat(self, value: tuple[int, Any, Any], *, last: bool) -> str:
        least, most, body = value
        if last and least == 0:
            return ""
        text = self.sequence(list(body), last=last and least == 1)
        if not text:
            return ""
        if last:
            return text if least == 1 else f"{self.unit(text)}{{{least}}}"
        upper = "" if most == sre.MAXREPEAT else str(int(most))
        return f"{self.unit(text)}{{{least},{upper}}}"

    def boundary(self, value: Any, *, last: bool) -> str:
        if value is sre.AT_BOUNDARY:
            return "" if last else r"\b"
        if value is sre.AT_NON_BOUNDARY:
            return "" if last else r"\B"
        raise RuleError("rule-pattern", "^, $, \\A and \\Z mean the border of a chunk, not of a file: use a class or a lookaround")

    def caseless(self, text: str) -> str:
        letters = re.sub(r"\\x[0-9a-f]{2}|\\[DWS]", "", text)
        return f"(?i:{text})" if self.flags & re.IGNORECASE and re.search("[A-Za-z]", letters) else text

    @staticmethod
    def wrapped(text: str) -> str:
        return f"(?:{text})" if text else ""

    @staticmethod
    def unit(text: str) -> str:
        return text if re.fullmatch(r"\[[^\]]*\]|\\x[0-9a-f]{2}|[0-9A-Za-z_]", text) else f"(?:{text})"


def _byte(value: int) -> str:
    character = chr(value)
    return character if character.isascii() and (character.isalnum() or character == "_") else f"\\x{value:02x}"


def _class(items: list[tuple[Any, Any]]) -> str:
    negated = bool(items) and items[0][0] is sre.NEGATE
    parts = []
    for op, value in items[1:] if negated else items:
        if op is sre.LITERAL:
            parts.append(_byte(value))
        elif op is sre.RANGE:
            parts.append(f"{_byte(value[0])}-{_byte(value[1])}")
        elif op is sre.CATEGORY and value in _CLASSES:
            parts.append(_CLASSES[value])
        elif op is sre.CATEGORY and value in _NEGATED:
            parts.append(_NEGATED[value])
        else:
            raise RuleError("rule-pattern", f"{op} {value} cannot stand in a class of a rule")
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _context(op: Any, value: tuple[int, Any]) -> str:
    """A negative look at one class in front of the pattern, as a consumed byte; any other lookaround as nothing."""
    direction, body = value
    if op is not sre.ASSERT_NOT or direction != -1 or len(body) != 1:
        return ""
    inner_op, inner = body[0]
    if inner_op is sre.LITERAL:
        return f"(?:^|[^{_byte(inner)}])"
    if inner_op is sre.IN and inner[0][0] is not sre.NEGATE:
        return f"(?:^|[^{_class(inner)[1:-1]}])"
    return ""
