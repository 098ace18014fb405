"""How a foreign rule is refused, and how all refusals of one file become one error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from snapscan.model.errors import RuleError

SHOWN = 20
"""So many refusals are written out; a file made for another tool may have hundreds."""
HINT = "take these rules out of the file, or write them anew in our form: docs/rules.md, rules of other tools"


class Refused(Exception):
    """`field` of a rule says something that we could not do. Never leaves this folder."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


class Refusal(NamedTuple):
    """One refused rule. `rule` is its id in its own file; empty where the field belongs to the whole file."""

    rule: str
    field: str
    reason: str

    def line(self, where: str) -> str:
        rule = f"rule {self.rule}: " if self.rule else ""
        return f"{where}: {rule}field {self.field}: cannot be honoured: {self.reason}"


def error_of(refusals: Iterable[Refusal], where: str) -> RuleError:
    """One error `rule-foreign` for a file, a line for each refused rule: whoever mends the file sees all of them at once."""
    lines = [refusal.line(where) for refusal in refusals]
    more = [f"and {len(lines) - SHOWN} more rules of {where}"] if len(lines) > SHOWN else []
    return RuleError("rule-foreign", "\n  ".join(lines[:SHOWN] + more), hint=HINT)
