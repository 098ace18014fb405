"""Workers as processes: started, fed, listened to, killed when they hang, replaced when they die.

Workers are forked from the foreman itself, which has one thread and has opened no image (docs/decisions/0001-plain-fork.md). Each has one
private duplex pipe: no queue is shared, so a death takes nothing from the others. A pipe at its end is readable: EOF is death.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

import msgspec

from snapscan.run import worker as child
from snapscan.run.events import Died, Event, Got, Ready
from snapscan.run.heartbeat import Slot
from snapscan.run.logs import replay
from snapscan.run.messages import Answer, AnyTask, Give, SpaceSpec, Stop, encode, for_foreman
from snapscan.run.setup import Setup

KILL_FACTOR = 1.5
"""The worker's own watchdog comes first; the foreman's kill is for a worker that even that cannot end."""
_EXIT_WATCHDOG = 1


class _Member:
    """One worker as the foreman sees it."""

    def __init__(self, pid: int, connection: Connection, slot: Slot) -> None:
        self.pid = pid
        self.connection = connection
        self.slot = slot
        self.known: set[int] = set()
        self.killed = False
        self.limit_seconds = 0.0


class Crew:
    """`spawned` is told each new process id: tests kill by it."""

    def __init__(self, setup: Setup, spawned: Callable[[int, int], None] | None = None) -> None:
        self._setup = setup
        self._members: dict[int, _Member] = {}
        self._spawned = spawned

    def start(self, number: int) -> Event:
        """Fork worker `number`; it is ready at once, because messages wait in its pipe."""
        ours, theirs = Pipe(duplex=True)
        slot = Slot()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for member in self._members.values():
                member.connection.close()
            child.main(self._setup, slot, theirs)
        theirs.close()
        self._members[number] = _Member(pid, ours, slot)
        if self._spawned:
            self._spawned(number, pid)
        return Ready(number)

    def give(self, number: int, task: AnyTask, spec: SpaceSpec | None, limit_seconds: float) -> None:
        """Send a task, with the space's spec if this worker has not seen it. A worker that died meanwhile shows as such in `events`."""
        member = self._members[number]
        first = spec is not None and spec.number not in member.known
        if first and spec is not None:
            member.known.add(spec.number)
        member.limit_seconds = limit_seconds
        member.slot.note(0, 0)
        try:
            member.connection.send_bytes(encode(Give(task, spec if first else None)))
        except OSError:
            pass  # its pipe is at its end: the next look at events says so

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        """What happened, after waiting at most this long for the first thing."""
        connections = {member.connection: number for number, member in self._members.items()}
        for ready in wait(list(connections), timeout_seconds):
            number = connections[ready]  # type: ignore[index]  # wait gives back what it was given
            yield from self._receive(number)
        self._kill_the_hung()

    def _receive(self, number: int) -> Iterator[Event]:
        member = self._members[number]
        while True:
            try:
                answer: Answer = for_foreman(member.connection.recv_bytes())
            except (EOFError, OSError):
                yield self._bury(number)
                return
            except msgspec.DecodeError:
                os.kill(member.pid, signal.SIGKILL)
                yield self._bury(number)
                return
            replay(answer.logs)
            if answer.part is not None:
                yield Got(number, answer.part)
            if not member.connection.poll(0):
                return

    def _bury(self, number: int) -> Died:
        member = self._members.pop(number)
        member.connection.close()
        _, status = os.waitpid(member.pid, 0)
        start, end, _ = member.slot.read()
        code = os.waitstatus_to_exitcode(status)
        trace = member.slot.traceback().strip()
        member.slot.close()
        if member.killed or code == _EXIT_WATCHDOG:
            return Died(number, "worker-hung", _where(trace), start, end)
        if code == child.EXIT_MEMORY:
            return Died(number, "out-of-memory", "", start, end)
        if code == child.EXIT_BUG:
            return Died(number, "worker-crashed", f"bug: {_where(trace)}", start, end)
        return Died(number, "worker-crashed", f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}", start, end)

    def _kill_the_hung(self) -> None:
        now = time.monotonic()
        for member in self._members.values():
            _, _, when = member.slot.read()
            if member.limit_seconds and when and now - when > member.limit_seconds * KILL_FACTOR and not member.killed:
                member.killed = True
                os.kill(member.pid, signal.SIGKILL)

    def idle(self, number: int) -> None:
        """No task: the clock of this worker stands still."""
        self._members[number].limit_seconds = 0.0

    def progress(self) -> dict[int, tuple[int, int]]:
        """What each worker is on: bytes or items start .. end of its task."""
        return {number: member.slot.read()[:2] for number, member in self._members.items()}

    def stop(self, *, patience_seconds: float = 5.0) -> None:
        """End all workers: asked first, killed when they do not listen."""
        for member in self._members.values():
            try:
                member.connection.send_bytes(encode(Stop()))
            except OSError:
                continue
        deadline = time.monotonic() + patience_seconds
        for member in self._members.values():
            while os.waitpid(member.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(member.pid, signal.SIGKILL)
                    os.waitpid(member.pid, 0)
                    break
                time.sleep(0.002)
            member.connection.close()
            member.slot.close()
        self._members.clear()


def _where(trace: str) -> str:
    """The innermost frames of what a watchdog or guard wrote, on one line."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    frames = [line for line in lines if line.startswith(("File", "/")) or ":" in line]
    return "; ".join((lines[:1] + frames[-3:]) if frames else lines[:2])[:300]
