"""What all foreign rules come to: a draft, and from it rules of ours."""

from __future__ import annotations

import re
from typing import NamedTuple

from snapscan.detect.foreign.dialect import translated
from snapscan.detect.foreign.groups import Part, parts_of
from snapscan.detect.foreign.refusal import Refusal, Refused
from snapscan.detect.grammar import pattern_faults, pattern_groups, pattern_width
from snapscan.detect.match.firstpass import first_pass
from snapscan.detect.match.pattern import Pattern
from snapscan.model.errors import RuleError
from snapscan.model.rule import Rule
from snapscan.model.units import REACH_BYTES

BOUNDS = (3500, 2500, 1900, 1500, 1000, 500, 200, 100, 50, 20, 10)
"""How far an open repeat may go beyond its least: the first of these that keeps a match within REACH_BYTES and the first pass short."""
FIRST_PASS_BYTES = 512
"""The exact stage looks back this far from each end that the first pass reports."""
WHY = "A rule of another tool matched; its own documentation says what the value opens."
FIX = "Find out what the value opens, revoke it there, and replace it where it is used."


class Draft(NamedTuple):
    """A foreign rule, read but for its pattern. `field` is what its format calls the pattern; `group` 0 means the first that takes part."""

    tool: str
    id: str
    name: str
    field: str
    pattern: str
    group: int = 0
    group_name: str = ""
    entropy: float = 0.0
    confidence: str = "medium"
    ignore: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    counter_examples: tuple[str, ...] = ()


class Read(NamedTuple):
    """What came of one file: rules, refusals, and sentences for the log."""

    rules: list[Rule]
    refusals: list[Refusal]
    notes: list[str]


def rules_of(draft: Draft) -> list[Rule]:
    """One rule, or several of one family where the secret is one group here and another there. Raises Refused."""
    identity = shaped_id(draft.tool, draft.id)
    parts = _parts(draft, _fitted(draft.pattern, draft.field))
    return [
        Rule(
            id=identity if number == 1 else f"{identity}-part-{number}",
            name=draft.name or draft.id,
            kind="secret",
            severity="medium",
            pattern=part.pattern,
            why=WHY,
            fix=FIX,
            references=list(draft.references),
            examples=list(draft.examples) if len(parts) == 1 else [],
            value=part.value,
            family=identity if len(parts) > 1 else "",
            entropy_at_least=draft.entropy,
            confidence=draft.confidence,
            counter_examples=list(draft.counter_examples),
            ignore=list(draft.ignore),
        )
        for number, part in enumerate(parts, 1)
    ]


def shaped_id(tool: str, identity: str) -> str:
    """`tool.ID` in the letters of our ids: small letters, digits, single hyphens."""
    return f"{tool}.{re.sub(r'[^a-z0-9]+', '-', identity.lower()).strip('-') or 'unnamed'}"


def value_pattern(pattern: str, field: str) -> str:
    """A pattern over the value, for `ignore`. Raises Refused."""
    text = translated(pattern, field, scan=False)
    try:
        re.compile(text.encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise Refused(field, f"{pattern!r} does not compile: {error}") from error
    return text


def words_pattern(words: list[str]) -> str:
    """Any of these texts anywhere in the value, in small or capital letters."""
    return f"(?i:{'|'.join(map(_spelled, words))})"


def _spelled(word: str) -> str:
    return "".join(chr(byte) if byte < 0x80 and chr(byte).isalnum() else f"\\x{byte:02x}" for byte in word.encode())


def literal_example(text: str) -> str:
    """An example of another tool, which is meant as it stands, as one of our templates."""
    return text.replace("\\", "\\\\").replace("$", "\\x24")


def _fitted(pattern: str, field: str) -> str:
    """The translation with the largest bound on its open repeats that a rule may have."""
    fitting = ""
    for bound in BOUNDS:
        text = translated(pattern, field, scan=True, bound=bound)
        faults = pattern_faults(text)
        if not faults:
            fitting = text
            if _first_pass_bytes(text, field) <= FIRST_PASS_BYTES:
                break
        elif bound == BOUNDS[-1] or len(faults) > 1 or pattern_width(text)[1] <= REACH_BYTES:
            raise Refused(field, "; ".join(faults))
    return fitting


def _rejection(text: str) -> str:
    """Asked only for long first passes: compiling takes 30 ms for most of these, seconds for a few. All shorter ones tried were taken."""
    from snapscan.detect.match.hyperscan import rejected  # not before it is needed: listing rules needs no native engine

    return rejected(Pattern(0, text, 0))


def _first_pass_bytes(text: str, field: str) -> int:
    try:
        return first_pass(text).most
    except RuleError as error:
        raise Refused(field, error.message) from error


def _parts(draft: Draft, text: str) -> list[Part]:
    if draft.group > pattern_groups(text):
        raise Refused("secretGroup", f"the pattern has no group {draft.group}")
    parts = [Part(text, draft.group)] if draft.group else parts_of(text, draft.field, draft.group_name)
    for part in parts:
        if faults := pattern_faults(part.pattern):
            raise Refused(draft.field, "; ".join(faults))
        if _first_pass_bytes(part.pattern, draft.field) > FIRST_PASS_BYTES and (reason := _rejection(part.pattern)):
            raise Refused(draft.field, f"the first pass does not take it: {reason}")
    return parts
