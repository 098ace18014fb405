"""The child process: takes a task, does it, sends the parts. It may crash, hang or be killed; the foreman accounts for what it was on.

Everything that parses a byte of an image happens here. A value of a secret never leaves this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import logging
import os
import resource
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import NoReturn

from snapscan.detect.engine import Mark
from snapscan.model.errors import SnapscanError
from snapscan.model.space import Range
from snapscan.model.units import PAGE_BYTES
from snapscan.model.volume import Gap
from snapscan.run.edge_task import look_at_edges
from snapscan.run.heartbeat import Slot
from snapscan.run.join import YARA_ATOM, YARA_START, join
from snapscan.run.logs import WorkerLog
from snapscan.run.looks import look_again
from snapscan.run.messages import (
    Answer,
    AnyTask,
    EdgeTask,
    Give,
    JoinTask,
    LookTask,
    MapTask,
    Part,
    ProbeTask,
    ProofTask,
    RangeTask,
    ViewTask,
    encode,
    for_worker,
)
from snapscan.run.opened import OpenSpace, Spaces
from snapscan.run.probe import map_one, probe
from snapscan.run.proof_task import prove
from snapscan.run.setup import Setup
from snapscan.run.sweep import Sweeper
from snapscan.run.views import open_views
from snapscan.views.registry import MAGICS

EXIT_MEMORY = 77
EXIT_BUG = 78
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


class Worker:
    """One worker's state: its engine, its open spaces, its watchdog."""

    def __init__(self, setup: Setup, slot: Slot) -> None:
        self._setup = setup
        self._slot = slot
        self._engine = setup.engine()
        self._sweeper = Sweeper(self._engine)
        self._spaces = Spaces()
        self._limit_seconds = setup.limits.task_seconds
        self._wound = 0.0

    def run(self, give: Give) -> Iterator[Part]:
        """The parts of the task's result. An error that the foreman must know comes as a part; anything else raised is a bug or a crash."""
        if give.space is not None:
            self._spaces.learn(give.space)
        task = give.task
        self._limit_seconds = (
            max(self._setup.limits.map.seconds * 1.5, self._setup.limits.task_seconds)
            if isinstance(task, MapTask | ProbeTask)
            else self._setup.limits.task_seconds
        )
        self._beat(0, 0)
        try:
            yield from self._parts(task)
        except SnapscanError as error:
            yield Part(task.id, 0, True, error=(error.reference, error.message, error.hint, int(error.exit_code)))
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _parts(self, task: AnyTask) -> Iterator[Part]:
        if isinstance(task, ProbeTask):
            yield from probe(task)
            return
        opened = self._spaces.get(task.space)
        if isinstance(task, RangeTask):
            yield self._range(opened, task)
        elif isinstance(task, MapTask):
            yield from map_one(opened, task, self._setup.limits.map)
        elif isinstance(task, JoinTask):
            yield from join(opened, task, every_file=bool(self._setup.yara and self._setup.yara.slow))
        elif isinstance(task, EdgeTask):
            yield from look_at_edges(opened, task, self._engine, self._beat)
        elif isinstance(task, ViewTask):
            yield from open_views(opened, task, self._engine, self._setup.limits.view, self._setup.temporary, self._beat)
        elif isinstance(task, LookTask):
            yield from look_again(opened, task, self._setup, self._engine, self._beat)
        elif isinstance(task, ProofTask):
            yield from prove(opened, task, self._beat)

    def _range(self, opened: OpenSpace, task: RangeTask) -> Part:
        whole = Range(task.start, task.end)
        swept = self._sweeper.sweep(opened.space, opened.stored.within(whole), whole, self._beat)
        magics = [_magic(mark) for mark in swept.marks if mark.number < len(MAGICS)]
        magics += _atoms(swept.marks, self._setup.atoms_at_start)
        gaps = tuple(Gap("rule-limited", rule, "", start, end) for rule, start, end in swept.limited)
        return Part(task.id, 0, True, hits=tuple(swept.hits), magics=tuple(magics), ledger=tuple(swept.ledger), gaps=gaps)

    def _beat(self, start: int, end: int) -> None:
        """Note what is being worked on, and wind up the watchdog: it ends this process from a thread of its own, whatever holds the others."""
        self._slot.note(start, end)
        now = time.monotonic()
        if now - self._wound < self._limit_seconds / 8 and (start, end) != (0, 0):
            return  # winding up starts a thread: not for every chunk
        self._wound = now
        faulthandler.dump_traceback_later(self._limit_seconds, exit=True, file=self._slot.traceback_file)


def _magic(mark: Mark) -> tuple[int, str]:
    kind, _, back = MAGICS[mark.number]
    return mark.end - back, kind


ATOMS_MOST = 64
"""YARA atoms of one kind that are told of one page. A page may hold many small owners (a folder lays files end to end), so one is not enough;
more than this only hides owners of fewer than 64 bytes."""


def _atoms(marks: list[Mark], at_start: frozenset[int]) -> Iterator[tuple[int, str]]:
    """Where YARA atoms lie: the join asks whose bytes those are."""
    counts: dict[tuple[int, str], int] = {}
    for mark in marks:
        number = mark.number - len(MAGICS)
        if number < 0:
            continue
        kind = YARA_START if number in at_start else YARA_ATOM
        page = (mark.end - 1) // PAGE_BYTES, kind
        counts[page] = counts.get(page, 0) + 1
        if counts[page] <= ATOMS_MOST:
            yield mark.end - 1, kind


def main(setup: Setup, slot: Slot, connection: Connection) -> NoReturn:
    """Never returns: ends with `os._exit`, so nothing inherited from the foreman is flushed, joined or closed twice."""
    code = 0
    try:
        _settle(setup)
        _serve(setup, slot, connection)
    except MemoryError:
        code = EXIT_MEMORY
    except (EOFError, BrokenPipeError, ConnectionResetError):
        code = 0  # the foreman is gone
    except BaseException as error:  # noqa: BLE001  # the worker's guard, one of three named places
        code = EXIT_BUG
        with contextlib.suppress(Exception):
            _confess(slot, error)
    os._exit(code)


def _serve(setup: Setup, slot: Slot, connection: Connection) -> None:
    worker = Worker(setup, slot)
    logs = WorkerLog()
    logs.install()
    gc.freeze()
    while True:
        message = for_worker(connection.recv_bytes())
        if not isinstance(message, Give):
            return
        for part in worker.run(message):
            connection.send_bytes(encode(Answer(part, logs.take())))
        slot.note(0, 0)


def _settle(setup: Setup) -> None:
    """Die with the foreman, leave interrupts to it, keep memory bounded, leave no core dump (it would hold secrets)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (setup.limits.worker_memory_bytes, setup.limits.worker_memory_bytes))


def _confess(slot: Slot, error: BaseException) -> None:
    """Where a bug of ours struck: file and line of each frame and the error's type, never its text, which may hold bytes of the image."""
    import traceback

    lines = [f"{type(error).__name__}\n"]
    lines += [f"  {frame.filename}:{frame.lineno} {frame.name}\n" for frame in traceback.extract_tb(error.__traceback__)]
    slot.traceback_file.write("".join(lines))
    slot.traceback_file.flush()
