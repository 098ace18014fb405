"""Betterleaks' `filter`: an expression that drops a finding when it is true. We read the part of the language that our rules can say:
terms about the secret joined by `||`; the rest is refused. Source: the built-in rules of Betterleaks 1.6."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from snapscan.detect.foreign.draft import value_pattern, words_pattern
from snapscan.detect.foreign.refusal import Refused

_TOKENS = re.compile(r"\s+|//[^\n]*|`[^`]*`|\"(?:[^\"\\\n]|\\.)*\"|\d+(?:\.\d+)?|[A-Za-z_][\w.]*|\|\||&&|<=|>=|==|!=|.", re.DOTALL)


class Wanted(NamedTuple):
    """The least entropy of a secret, and patterns that drop it."""

    entropy: float
    ignore: tuple[str, ...]


def read_filter(text: str) -> Wanted:
    """Raises Refused("filter")."""
    tokens = [token for token in _TOKENS.findall(text) if not token.isspace() and not token.startswith("//")]
    if not tokens:
        return Wanted(0.0, ())
    return _Reader(tokens).all()


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.entropy = 0.0
        self.ignore: list[str] = []

    def all(self) -> Wanted:
        self.terms()
        if self.at != len(self.tokens):
            raise self.refused()
        return Wanted(self.entropy, tuple(self.ignore))

    def terms(self) -> None:
        self.term()
        while self.peek() == "||":
            self.at += 1
            self.term()

    def term(self) -> None:
        if self.peek() == "(":
            self.at += 1
            self.terms()
            self.take(")")
            return
        negated = self.peek() == "!"
        self.at += negated
        name = self.next().removeprefix("filter.")
        for token in ("(", "finding", "[", '"secret"', "]"):
            self.take(token)
        if name == "entropy" and not negated:
            self.take(")")
            if self.next() not in ("<", "<="):
                raise self.refused()
            self.entropy = max(self.entropy, self.number())
            return
        self.take(",")
        texts = self.texts()
        self.take(")")
        if name == "matchesAny":
            patterns = [value_pattern(item, "filter") for item in texts]
        elif name == "containsAny":
            patterns = [words_pattern(texts)]
        else:
            raise self.refused()
        self.ignore += [rf"(?s:\A(?!.*?(?:{'|'.join(patterns)})))"] if negated else patterns

    def texts(self) -> list[str]:
        self.take("[")
        found = []
        while self.peek() != "]":
            token = self.next()
            if token[0] not in '`"':
                raise self.refused()
            found.append(token[1:-1] if token[0] == "`" else self.unquoted(token))
            if self.peek() == ",":
                self.at += 1
        self.at += 1
        if not found:
            raise self.refused()
        return found

    def unquoted(self, token: str) -> str:
        try:
            return str(json.loads(token))
        except ValueError as error:
            raise self.refused() from error

    def number(self) -> float:
        try:
            return float(self.next())
        except ValueError as error:
            raise self.refused() from error

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        if not token:
            raise self.refused()
        self.at += 1
        return token

    def take(self, token: str) -> None:
        if self.next() != token:
            raise self.refused()

    def refused(self) -> Refused:
        near = " ".join(self.tokens[max(0, self.at - 3) : self.at + 1])[:60]
        return Refused("filter", f"only entropy, matchesAny and containsAny of the secret, joined by ||, can be read; not {near!r}")
