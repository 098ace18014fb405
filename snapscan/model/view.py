"""A view: what an owner's bytes say once decoded (archive members, decompressed text).

Bytes of a view flow as parts into the same engine that sweeps the space; a view that is not opened to its end is a record with its reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

import msgspec

from snapscan.model.locator import ViewStep
from snapscan.model.units import GIB, MIB


class ViewLimits(msgspec.Struct, frozen=True):
    """Budget of one outermost owner's views, nested ones included."""

    decoded_bytes: int = 4 * GIB
    depth: int = 8
    ratio: int = 2000
    """Decoded bytes per stored byte, once more than `ratio_floor_bytes` were decoded."""
    ratio_floor_bytes: int = 64 * MIB
    seconds: float = 120.0
    members: int = 200_000
    window_bytes: int = 256 * MIB
    """Memory that a decompressor may ask for its dictionary."""


class ViewRow(msgspec.Struct, frozen=True):
    """One view's fate. `outcome`: pending, opened, partly, refused or lost.

    `reason`: encrypted, depth-limit, expansion-limit, time-limit, member-limit, memory-limit, damaged, truncated, unsupported,
    worker-crashed, worker-hung; empty when opened whole.
    """

    locator: str
    kind: str
    stored_bytes: int
    decoded_bytes: int
    outcome: str
    reason: str = ""
    detail: str = ""


class Reader(Protocol):
    """Random access to the bytes of what is to be decoded: an owner, a carved range, or a spooled member."""

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Cut at the end; raises ReadFault where bytes cannot be read."""
        ...


class Budget:
    """What is left of a ViewLimits while one owner's views are opened; shared by all of its nested views."""

    def __init__(self, limits: ViewLimits, stored_bytes: int) -> None:
        self.limits = limits
        self.stored_bytes = max(stored_bytes, 1)
        self.decoded_bytes = 0
        self.members = 0
        self._deadline = time.monotonic() + limits.seconds

    def spend(self, decoded_bytes: int) -> str:
        """Count decoded bytes; returns the reason to stop, empty to go on."""
        self.decoded_bytes += decoded_bytes
        if self.decoded_bytes > self.limits.decoded_bytes:
            return "expansion-limit"
        if self.decoded_bytes > self.limits.ratio_floor_bytes and self.decoded_bytes > self.limits.ratio * self.stored_bytes:
            return "expansion-limit"
        if time.monotonic() > self._deadline:
            return "time-limit"
        return ""

    def member(self) -> str:
        """Count one member; returns the reason to stop, empty to go on."""
        self.members += 1
        return "member-limit" if self.members > self.limits.members else ""


class Part(msgspec.Struct, frozen=True):
    """A run of decoded bytes of one member; parts of a member come in rising, gapless order, the last one marked.

    `data` belongs to the receiver.
    """

    data: bytes
    last: bool = False


class Member(msgspec.Struct, frozen=True):
    """One decoded stream inside a view, and its parts. The receiver reads `parts` to the end, or closes it, before the next member.

    After the last part, or when `parts` ends without one, `Outcome` of the view tells what happened.
    """

    step: ViewStep
    parts: Iterator[Part]
    size_hint: int = 0


class Outcome(msgspec.Struct):
    """Filled in by the opener while the receiver iterates: how the view ended."""

    outcome: str = "opened"
    reason: str = ""
    detail: str = ""
    decoded_bytes: int = 0

    def stop(self, reason: str, detail: str = "") -> None:
        """The first reason wins here (views/verdict.py weighs several); a view that gave bytes is partly opened, one that gave none is refused."""
        if not self.reason:
            self.reason = reason
            self.detail = detail
        self.outcome = "partly" if self.decoded_bytes else "refused"


class View(Protocol):
    """A decoder. `kind` is the word in locators."""

    kind: str

    def recognise(self, head: bytes) -> bool:
        """Whether `head` (the first 512 bytes, fewer at the end) begins such content. Cheap; names play no part."""
        ...

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """The members, in stored order, within the budget. Raises nothing for damaged content: `outcome.stop` says it.

        ReadFault of the reader is caught as `damaged` with its text; anything else raised is our bug and the worker's guard reports it.
        """
        ...
