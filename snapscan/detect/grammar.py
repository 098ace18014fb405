"""Which patterns a rule may have: those that both `re` and, after a mechanical rewriting, the first pass take with the same meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as word  # type: ignore[attr-defined]  # the parse tree of `re` has no public door
from re import _parser as parser  # type: ignore[attr-defined]  # likewise
from typing import Any

from snapscan.model.units import REACH_BYTES

_BARRED = {
    word.GROUPREF: "a backreference",
    word.GROUPREF_EXISTS: "a conditional",
    word.GROUPREF_IGNORE: "a backreference",
}
_BOUNDARIES = (word.AT_BOUNDARY, word.AT_NON_BOUNDARY)
_OPEN_REPEAT = 1 << 16


def pattern_width(pattern: str) -> tuple[int, int]:
    """Fewest and most bytes that a match of `pattern` covers."""
    low, high = parser.parse(pattern.encode()).getwidth()
    return int(low), int(high)


def pattern_groups(pattern: str) -> int:
    """How many groups `pattern` has; 0 when it does not parse."""
    try:
        return int(parser.parse(pattern.encode()).state.groups) - 1
    except (re.error, UnicodeEncodeError):
        return 0


def pattern_faults(pattern: str) -> list[str]:
    """What keeps `pattern` out of a rule, in words; empty when it may be used."""
    if not pattern.isascii():
        return ["write bytes above 0x7f as \\x escapes"]
    try:
        tree = parser.parse(pattern.encode())
    except re.error as error:
        return [f"does not compile: {error}"]
    faults = list(_faults_in(tree))
    low, high = (int(side) for side in tree.getwidth())
    if low == 0:
        faults.append("matches the empty string")
    if high > REACH_BYTES:
        faults.append(f"may match {high} bytes, more than {REACH_BYTES}")
    return faults


def _faults_in(tree: Any) -> Iterator[str]:
    for operation, argument in tree:
        if operation in _BARRED:
            yield f"holds {_BARRED[operation]}"
        elif operation is word.AT and argument not in _BOUNDARIES:
            yield "holds an anchor (^, $, \\A or \\Z): matches are sought in the middle of a disk"
        elif operation in (word.ASSERT, word.ASSERT_NOT):
            if len(argument[1]) != 1 or argument[1].getwidth() != (1, 1):
                yield "looks around for more than one byte"
            yield from _faults_in(argument[1])
        elif operation in (word.MAX_REPEAT, word.MIN_REPEAT, word.POSSESSIVE_REPEAT):
            if operation is word.POSSESSIVE_REPEAT:
                yield "holds a possessive repeat"
            if argument[1] > _OPEN_REPEAT:
                yield "holds a repeat without a bound"
            yield from _faults_in(argument[2])
        elif operation is word.SUBPATTERN:
            yield from _faults_in(argument[3])
        elif operation is word.ATOMIC_GROUP:
            yield "holds an atomic group"
        elif operation is word.BRANCH:
            for branch in argument[1]:
                yield from _faults_in(branch)
