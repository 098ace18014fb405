"""Which group of a pattern is the secret, when the tool says "the first group that took part".

Ours is one group by number. Where the first group stands in a branch, the pattern is split at that `|` into patterns that each have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from re import _constants as word  # type: ignore[attr-defined]  # the parse tree of `re` has no public door
from re import _parser as parser  # type: ignore[attr-defined]  # likewise
from typing import Any, NamedTuple

from snapscan.detect.foreign.refusal import Refused

MOST_PARTS = 16
_LEADING = re.compile(r"\(\?[a-z]+\)")


class Part(NamedTuple):
    """A pattern, and the number of the group that is its secret; 0 is the whole match."""

    pattern: str
    value: int


def parts_of(pattern: str, field: str, wanted: str = "") -> list[Part]:
    """The patterns that together match what `pattern` (as `translated` writes it) matches. A group named `wanted` goes before all others.

    Raises Refused(field) when the first group may be absent for another reason than a `|`.
    """
    flags = _LEADING.match(pattern)
    if flags:
        return [Part(flags[0] + part.pattern, part.value) for part in parts_of(pattern[flags.end() :], field, wanted)]
    state = parser.parse(pattern.encode()).state
    if wanted in state.groupdict:
        return [Part(pattern, int(state.groupdict[wanted]))]
    done: list[Part] = []
    waiting = [pattern]
    while waiting:
        text = waiting.pop(0)
        tree = parser.parse(text.encode())
        if tree.state.groups == 1 or 1 in set(_sure(tree)):
            done.append(Part(text, min(1, tree.state.groups - 1)))
        else:
            waiting = _split(text, field) + waiting
        if len(done) + len(waiting) > MOST_PARTS:
            raise Refused(field, f"the secret may be any of more than {MOST_PARTS} groups")
    return done


def _sure(tree: Any) -> Iterator[int]:
    """Numbers of the groups that take part in every match."""
    for operation, argument in tree:
        if operation is word.SUBPATTERN:
            if argument[0] is not None:
                yield int(argument[0])
            yield from _sure(argument[3])
        elif operation in (word.MAX_REPEAT, word.MIN_REPEAT) and argument[0] > 0:
            yield from _sure(argument[2])


def _split(text: str, field: str) -> list[str]:
    """The alternatives of the outermost `|` around the first group, each with what stands around it."""
    levels: list[tuple[int, list[int]]] = [(0, [])]
    """Of each open bracket: where its content begins, and its `|` so far."""
    around: list[tuple[int, list[int], int]] = []
    first = -1
    for at, kind in _brackets(text):
        if kind == "|":
            levels[-1][1].append(at)
        elif kind == ")":
            start, bars = levels.pop()
            if start <= first < at and bars:
                around.append((start, bars, at))
        else:
            if kind == "capture" and first < 0:
                first = at
            levels.append((at + 1 if kind == "capture" else text.index(":", at) + 1 if kind == "flags" else at + 3, []))
    if levels[0][1]:
        around.append((0, levels[0][1], len(text)))
    if not around:
        raise Refused(field, "its first group may be absent, and then another would be the secret")
    start, bars, end = around[-1]
    borders = [start - 1, *bars, end]
    return [text[:start] + text[low + 1 : high] + text[end:] for low, high in pairwise(borders)]


def _brackets(text: str) -> Iterator[tuple[int, str]]:
    """Offsets of `(`, `|` and `)` outside of classes; relies on `translated`, which writes no bare bracket inside a class."""
    at = 0
    inside = False
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char in "[]":
            inside = char == "["
        elif not inside and char in "|)":
            yield at, char
        elif not inside and char == "(":
            plain = text[at + 1 : at + 2] != "?" or text.startswith("(?P<", at)
            look = text.startswith(("(?=", "(?!", "(?<"), at)
            yield at, "capture" if plain else "look" if look else "flags"
        at += 1
