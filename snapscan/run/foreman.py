"""Decisions only: events in, actions out. No pipe, no clock, no file; crew.py does what is decided here.

Each space goes through stages, the next one begun when the last task of the one before is done:

    opened   range tasks and map tasks side by side: bytes and names do not wait for each other
    joined   whose bytes are the hits; edges
    looked   views and second looks that the join asked for
    proved   which files with findings are unchanged parts of packages
"""

from __future__ import annotations

import heapq
from itertools import count

from snapscan.model.errors import Exit
from snapscan.run.events import (
    Action,
    Announce,
    Assign,
    Died,
    Event,
    Finish,
    Got,
    Interrupted,
    Lose,
    OpenCase,
    Opened,
    PlanJoin,
    Planned,
    PlanProof,
    Ready,
    Refuse,
    Replace,
    Save,
)
from snapscan.run.giveup import crashed, failed
from snapscan.run.messages import (
    AnyTask,
    EdgeTask,
    JoinTask,
    LookItem,
    LookTask,
    MapTask,
    Part,
    ProbeTask,
    ProofTask,
    RangeTask,
    SpaceSpec,
    ViewItem,
    ViewTask,
)
from snapscan.run.plan import look_tasks, view_tasks

_PRIORITY: dict[type, int] = {ProbeTask: 0, MapTask: 1, RangeTask: 2, JoinTask: 3, EdgeTask: 4, LookTask: 5, ViewTask: 6, ProofTask: 7}
START_FAILURES_MOST = 8
"""Workers in a row that die before they have done anything: then something is wrong with this machine, not with an image."""


class _SpaceState:
    """One space's way through its stages. `open` are the ids of the tasks that its stage waits for."""

    def __init__(self, spec: SpaceSpec) -> None:
        self.spec = spec
        self.stage = "opened"
        self.open: set[str] = set()
        self.owners: dict[int, int] = {}
        self.items: list[ViewItem] = []
        self.looks: list[LookItem] = []


class Foreman:
    """`done` are the ids of tasks that an earlier run of the same case has finished."""

    def __init__(self, sources: list[ProbeTask], *, done: frozenset[str] = frozenset()) -> None:
        self._done = done
        self._spaces: dict[int, _SpaceState] = {}
        self._queue: list[tuple[int, int, AnyTask]] = []
        self._order = count()
        self._running: dict[int, AnyTask] = {}
        self._parts: dict[int, list[Part]] = {}
        self._idle: list[int] = []
        self._attempts: dict[str, int] = {}
        self._waiting_for_driver = 0
        self._stopping = False
        self._finished = False
        self._failures = 0
        for task in sources:
            self._push(task)

    def on(self, event: Event) -> list[Action]:
        """What to do now that this has happened."""
        actions: list[Action] = []
        if isinstance(event, Ready):
            self._idle.append(event.worker)
        elif isinstance(event, Got):
            self._got(event.worker, event.part, actions)
        elif isinstance(event, Died):
            self._died(event, actions)
        elif isinstance(event, Opened):
            self._waiting_for_driver -= 1
            state = self._spaces[event.spec.number] = _SpaceState(event.spec)
            self._begin(state, event.tasks, actions)
        elif isinstance(event, Planned):
            self._waiting_for_driver -= 1
            self._begin(self._spaces[event.space], event.tasks, actions)
        elif isinstance(event, Interrupted):
            self._stopping = True
        self._hand_out(actions)
        return actions

    @property
    def running(self) -> dict[int, AnyTask]:
        """What each busy worker is on."""
        return dict(self._running)

    def _push(self, task: AnyTask) -> None:
        heapq.heappush(self._queue, (_PRIORITY[type(task)], next(self._order), task))

    def _begin(self, state: _SpaceState, tasks: tuple[AnyTask, ...], actions: list[Action]) -> None:
        fresh = [task for task in tasks if task.id not in self._done]
        state.open.update(task.id for task in fresh)
        if fresh:
            actions.append(Announce(tuple(fresh)))
        for task in fresh:
            self._push(task)
        self._advance(state, actions)

    def _advance(self, state: _SpaceState, actions: list[Action]) -> None:
        while not state.open and not self._stopping:
            if state.stage == "opened":
                state.stage = "joined"
                self._waiting_for_driver += 1
                actions.append(PlanJoin(state.spec.number, tuple(sorted(state.owners.items()))))
                return
            if state.stage == "looked":
                state.stage = "proved"
                self._waiting_for_driver += 1
                actions.append(PlanProof(state.spec.number))
                return
            if state.stage == "proved":
                state.stage = "done"
                return
            if state.stage == "joined":
                state.stage = "looked"
                number = state.spec.number
                tasks: list[AnyTask] = [*look_tasks(number, state.looks), *view_tasks(number, state.items)]
                self._begin(state, tuple(tasks), actions)
            return

    def _hand_out(self, actions: list[Action]) -> None:
        while self._idle and self._queue and not self._stopping:
            task = heapq.heappop(self._queue)[2]
            worker = self._idle.pop()
            self._running[worker] = task
            self._parts[worker] = []
            actions.append(Assign(worker, task))
        ended = self._stopping or not self._queue
        if ended and not self._running and not self._waiting_for_driver and not self._finished:
            self._finished = True
            actions.append(Finish())

    def _got(self, worker: int, part: Part, actions: list[Action]) -> None:
        task = self._running.get(worker)
        if task is None or part.task != task.id:
            return  # a part of an attempt that was given up
        parts = self._parts[worker]
        parts.append(part)
        if not part.last:
            return
        del self._running[worker]
        self._failures = 0
        self._idle.append(worker)
        if part.error is not None:
            self._settle(task, failed(task, part.error), actions)
        elif isinstance(task, ProbeTask):
            assert part.probed is not None
            self._waiting_for_driver += 1
            actions.append(OpenCase(task, part.probed, part))
        else:
            actions.append(Save(task, tuple(parts)))
            self._learn(task, parts)
            self._close(task, actions)

    def _learn(self, task: AnyTask, parts: list[Part]) -> None:
        state = self._spaces[task.space]
        if isinstance(task, MapTask):
            state.owners[task.volume] = parts[-1].owners
        for part in parts:
            state.items += part.items
            state.looks += part.looks

    def _close(self, task: AnyTask, actions: list[Action]) -> None:
        state = self._spaces.get(task.space)
        if state is not None:
            state.open.discard(task.id)
            self._advance(state, actions)

    def _died(self, event: Died, actions: list[Action]) -> None:
        if event.worker in self._idle:
            self._idle.remove(event.worker)
        task = self._running.pop(event.worker, None)
        if task is None:
            self._failures += 1
            if self._failures > START_FAILURES_MOST:
                self._stopping = True
                return
        if not (self._stopping and task is None):
            actions.append(Replace(event.worker))
        if task is None:
            return
        attempts = self._attempts[task.id] = self._attempts.get(task.id, 0) + 1
        self._settle(task, crashed(task, event, attempts), actions)

    def _settle(self, task: AnyTask, outcome: tuple[Lose | Refuse | None, list[AnyTask]], actions: list[Action]) -> None:
        """Do what was decided of a task that did not end well: say what is lost of it, and give out what is left."""
        said, rest = outcome
        state = self._spaces.get(task.space)
        if state is not None:
            state.open.update(item.id for item in rest)
        fresh = [item for item in rest if item.id != task.id]
        if fresh:
            actions.append(Announce(tuple(fresh)))
        if said is not None:
            actions.append(said)
            if isinstance(said, Refuse) and said.error[3] == Exit.STORE:
                self._stopping = True
        for item in rest:
            self._push(item)
        if not any(item.id == task.id for item in rest):
            self._close(task, actions)
