"""What happens to the foreman, and what it answers: small records, so that a test is a table of them."""

from __future__ import annotations

import msgspec

from snapscan.model.finding import Hit
from snapscan.model.ledger import LedgerRow
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap
from snapscan.run.messages import AnyTask, Part, Probed, ProbeTask, SpaceSpec


class Ready(msgspec.Struct, frozen=True):
    """A worker has nothing to do."""

    worker: int


class Got(msgspec.Struct, frozen=True):
    """A worker sent a part of its task's result."""

    worker: int
    part: Part


class Died(msgspec.Struct, frozen=True):
    """A worker ended. `reason`: worker-crashed, worker-hung or out-of-memory; it was on bytes or items start .. end of its task."""

    worker: int
    reason: str
    detail: str
    start: int
    end: int


class Opened(msgspec.Struct, frozen=True):
    """The case knows this space now. `tasks` are what is to be swept and mapped."""

    spec: SpaceSpec
    tasks: tuple[AnyTask, ...]


class Planned(msgspec.Struct, frozen=True):
    """The next stage of a space was cut into tasks."""

    space: int
    tasks: tuple[AnyTask, ...]


class Interrupted(msgspec.Struct, frozen=True):
    """Somebody pressed Ctrl-C: what runs may end, nothing new begins."""


Event = Ready | Got | Died | Opened | Planned | Interrupted


class Assign(msgspec.Struct, frozen=True):
    worker: int
    task: AnyTask


class Replace(msgspec.Struct, frozen=True):
    """Start a new worker in the place of this one."""

    worker: int


class OpenCase(msgspec.Struct, frozen=True):
    """A source was opened: give it a place in the case, and answer with Opened."""

    task: ProbeTask
    probed: Probed
    part: Part


class Refuse(msgspec.Struct, frozen=True):
    """A source cannot be opened, or our own output failed; (reference, message, hint, exit code)."""

    task: AnyTask
    error: tuple[str, str, str, int]


class Announce(msgspec.Struct, frozen=True):
    """These tasks exist now; a run without their results is not complete."""

    tasks: tuple[AnyTask, ...]


class Save(msgspec.Struct, frozen=True):
    """A task is done: store its parts in one transaction."""

    task: AnyTask
    parts: tuple[Part, ...]


class Lose(msgspec.Struct, frozen=True):
    """A task, or an item of it, is given up: this is what is said of it."""

    task: AnyTask
    ledger: tuple[LedgerRow, ...] = ()
    views: tuple[ViewRow, ...] = ()
    gaps: tuple[Gap, ...] = ()
    unowned: tuple[Hit, ...] = ()
    """Hits whose owners nobody could tell: they are reported by their places."""


class PlanJoin(msgspec.Struct, frozen=True):
    """A space is swept and mapped: cut its join, and answer with Planned."""

    space: int
    owners: tuple[tuple[int, int], ...]
    """(volume, owners) of each map."""


class PlanProof(msgspec.Struct, frozen=True):
    """All of a space's sightings are stored: cut their proof into tasks, and answer with Planned."""

    space: int


class Finish(msgspec.Struct, frozen=True):
    """All is done, or nothing more will be: stop the workers."""


Action = Assign | Replace | OpenCase | Refuse | Announce | Save | Lose | PlanJoin | PlanProof | Finish
