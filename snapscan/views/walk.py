"""Open a view, and the views inside its members, to the bottom: every decoded byte goes to a sink once, every view has one fate."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import msgspec

from snapscan.model.locator import ViewStep
from snapscan.model.view import Budget, Member, Outcome, Reader, View
from snapscan.views.registry import HEAD_BYTES, recognise
from snapscan.views.spool import Spool

Steps = tuple[ViewStep, ...]


class Sink(Protocol):
    """Takes decoded members one after another: `begin`, any number of `data`, `end`. Members are never interleaved."""

    def begin(self, steps: Steps, size_hint: int) -> None:
        """A member begins. `size_hint` is what the archive claims, not to be trusted; zero when it claims nothing."""
        ...

    def data(self, data: bytes, last: bool) -> None:
        """Its next bytes, at most 1 MiB. `last` marks the end of a whole member; one that ended early has none."""
        ...

    def end(self, steps: Steps, decoded_bytes: int) -> None:
        """The member is over, whole or not; `decoded_bytes` were given."""
        ...


class Fate(msgspec.Struct, frozen=True):
    """How one view ended. `steps` lead to the encoded bytes; `kind` is what they were recognised as; words as in ViewRow.

    `stored_bytes` is the length of what was to be decoded; for a carved view that is how far it could have gone.
    """

    steps: Steps
    kind: str
    stored_bytes: int
    decoded_bytes: int
    outcome: str
    reason: str = ""
    detail: str = ""


def walk(reader: Reader, head: bytes, locator_steps: Steps, budget: Budget, sink: Sink, *, spool_folder: Path) -> list[Fate]:
    """Open what `head`, the reader's first 512 bytes, is recognised as, and everything inside; fates in the order of opening.

    `locator_steps` lead to the reader's bytes and count towards the depth limit. Content that is no view has no fate. `spool_folder` is ours,
    never named by an image; what is written there has no name. Raises StoreError when it cannot be written, and what the sink raises.
    """
    view = recognise(head)
    fates: list[Fate | None] = []
    if view is not None:
        _Walk(budget, sink, spool_folder, fates).open(view, reader, locator_steps)
    return [fate for fate in fates if fate is not None]


class _Walk:
    """What all views of one walk share."""

    def __init__(self, budget: Budget, sink: Sink, spool_folder: Path, fates: list[Fate | None]) -> None:
        self._budget = budget
        self._sink = sink
        self._spool_folder = spool_folder
        self._fates = fates

    def open(self, view: View, reader: Reader, steps: Steps) -> None:
        """Open one view unless depth or budget forbid it. Its place among the fates is before those of the views inside."""
        place = len(self._fates)
        self._fates.append(None)
        outcome = Outcome()
        depth = self._budget.limits.depth
        if len(steps) >= depth:
            outcome.stop("depth-limit", f"views are opened {depth} deep")
        elif reason := self._budget.spend(0):
            outcome.stop(reason, "the budget was used up before this view")
        else:
            for member in view.open(reader, self._budget, outcome):
                self._member(member, steps)
        self._fates[place] = Fate(steps, view.kind, reader.size_bytes, outcome.decoded_bytes, outcome.outcome, outcome.reason, outcome.detail)

    def _member(self, member: Member, steps: Steps) -> None:
        """Give one member to the sink; then, if it is itself a view, open that on the bytes kept."""
        steps = (*steps, member.step)
        head = b""
        decoded_bytes = 0
        inner: View | None = None
        no_room = False
        with ExitStack() as stack:
            spool: Spool | None = None
            self._sink.begin(steps, member.size_hint)
            for part in member.parts:
                if decoded_bytes == 0:
                    # Parts are joined by the views: only a member shorter than this has a shorter first part.
                    head = part.data[:HEAD_BYTES]
                    inner = recognise(head)
                    if inner is not None and len(steps) < self._budget.limits.depth:
                        spool = stack.enter_context(Spool(self._spool_folder))
                decoded_bytes += len(part.data)
                if spool is not None and not no_room:
                    no_room = not spool.write(part.data)
                self._sink.data(part.data, part.last)
            self._sink.end(steps, decoded_bytes)
            if inner is None:
                return
            if no_room:
                self._refuse(inner, steps, decoded_bytes, "memory-limit", "no room to keep the decoded bytes")
            elif spool is None:
                self._refuse(inner, steps, decoded_bytes, "depth-limit", f"views are opened {self._budget.limits.depth} deep")
            else:
                self.open(inner, spool, steps)

    def _refuse(self, view: View, steps: Steps, stored_bytes: int, reason: str, detail: str) -> None:
        self._fates.append(Fate(steps, view.kind, stored_bytes, 0, "refused", reason, detail))
