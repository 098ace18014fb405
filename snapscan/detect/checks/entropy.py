"""Shannon entropy of a value, in bits per character."""

from __future__ import annotations

from collections import Counter
from math import log2

from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

_COUNT_LOG = [0.0] + [count * log2(count) for count in range(1, 513)]
"""count * log2(count): a value's bytes repeat fewer than 512 times, but for padding."""


def bits_per_character(value: bytes) -> float:
    """0 for an empty value or one repeated byte; at most log2 of the number of distinct bytes."""
    length = len(value)
    if length < 2:
        return 0.0
    total = 0.0
    for count in Counter(value).values():
        total += _COUNT_LOG[count] if count <= 512 else count * log2(count)
    return log2(length) - total / length


def entropy(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against a value below the rule's `entropy_at_least`; silent where the rule asks for none."""
    if rule.entropy_at_least <= 0:
        return None
    bits = bits_per_character(value)
    if bits < rule.entropy_at_least:
        return Evidence("entropy", "low", -2, f"{bits:.2f} bits a character")
    return Evidence("entropy", "enough", 0, f"{bits:.2f} bits a character")
