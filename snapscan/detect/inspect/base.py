"""The second look: pure functions on an owner that was read as a whole, because its bytes alone, one hit at a time, do not tell enough."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from snapscan.model.finding import Evidence, Hit
from snapscan.model.rule import Rule


class Found(msgspec.Struct, frozen=True):
    """A value that a second look found, or says more about. `start` counts in the owner's bytes.

    Holds the value, so it never leaves the worker: the caller redacts and fingerprints it as it does a hit's. Where the sweep already has
    a hit of the same rule at the same place, `evidence` adds to that hit and no second one is made.
    """

    rule_id: str
    start: int
    length: int
    value: bytes
    evidence: tuple[Evidence, ...] = ()


class Inspector(msgspec.Struct, frozen=True):
    """`wants(path, head, rule ids of the owner's hits)` is cheap and asked of every owner; `inspect(path, data, hits, rules)` reads all of it.

    `path` is the owner's as the guest would write it, bytes; empty when nobody knows it. `head` are the first 512 bytes.
    """

    name: str
    wants: Callable[[bytes, bytes, Collection[str]], bool]
    inspect: Callable[[bytes, bytes, Sequence[Hit], Mapping[str, Rule]], list[Found]]
