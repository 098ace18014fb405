"""Does what the foreman decides: feeds the crew, writes the case, and tells the foreman what happened."""

from __future__ import annotations

import logging
import os
import signal
import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from snapscan.gate import judged
from snapscan.maps.space_map import SpaceMap
from snapscan.model.errors import Exit, NotFound, SnapscanError, SourceChanged, SourceError, StoreError, UsageError
from snapscan.model.snapshot import SourceSpec, SourceStamp
from snapscan.model.volume import Gap, VolumeMap
from snapscan.run.attribute import sightings_of
from snapscan.run.crew import Crew
from snapscan.run.events import (
    Action,
    Announce,
    Assign,
    Event,
    Finish,
    Interrupted,
    Lose,
    OpenCase,
    Opened,
    PlanJoin,
    Planned,
    PlanProof,
    Refuse,
    Replace,
    Save,
)
from snapscan.run.foreman import Foreman
from snapscan.run.logs import log_to
from snapscan.run.messages import AnyTask, MapTask, ProbeTask, SpaceSpec
from snapscan.run.options import ScanOptions, ScanResult
from snapscan.run.plan import edge_tasks, join_tasks, map_tasks, proof_tasks, range_tasks
from snapscan.run.progress import Progress, State
from snapscan.run.setup import Setup
from snapscan.store.queries import run_view
from snapscan.store.store import Store
from snapscan.store.store import Task as StoredTask

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2


class Driver:
    """The driver: holds the store, the crew and the foreman, and nothing that is decided."""

    def __init__(
        self,
        store: Store,
        setup: Setup,
        sources: Sequence[str | Path],
        options: ScanOptions,
        progress: Progress,
        spawned: Callable[[int, int], None] | None,
    ) -> None:
        self._store = store
        self._setup = setup
        self._options = options
        self._progress = progress
        self._crew = Crew(setup, spawned)
        self._specs: dict[int, SpaceSpec] = {}
        self._errors: list[SnapscanError] = []
        self._interrupts = 0
        self._done_bytes = self._stored_bytes = self._hits = self._open_tasks = 0
        self._stage = "opening"
        self._known = {record.spec: record for record in store.spaces()}
        specs = [self._source(str(source)) for source in sources] if sources else list(self._known)
        if not specs:
            raise UsageError("no-source", "nothing to scan", hint="snapscan scan disk.qcow2")
        tasks = [
            ProbeTask(f"0:probe:{n}", 0, spec, str(store.maps / f"source-{n}.listing"), options.policy.limits.task_bytes)
            for n, spec in enumerate(specs)
        ]
        self._foreman = Foreman(tasks, done=frozenset(id for id in store.tasks(done=True) if not _redone(id)))

    def _source(self, path: str) -> SourceSpec:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError("source-name", f"the name {os.fsencode(path)!r} is not UTF-8", hint="give the source a link with a plain name") from None
        full = os.path.abspath(path)  # noqa: PTH100  # lexical: `resolve` would follow links
        if not os.path.lexists(full):
            raise NotFound("not-found", f"{full} does not exist", hint="give the path of an image, a device or a folder")
        return SourceSpec(full, self._options.kind, tuple(os.path.abspath(p) for p in self._options.parents_from))  # noqa: PTH100  # as above

    def run(self) -> ScanResult:
        began = time.monotonic()
        handler = log_to(str(self._store.folder / "run.log"), logging.INFO)
        before = signal.signal(signal.SIGINT, self._on_interrupt)
        try:
            self._store.set_meta(interrupted=False, finished="")
            self._loop()
        finally:
            signal.signal(signal.SIGINT, before)
            self._crew.stop()
            logging.getLogger().removeHandler(handler)
            handler.close()
        self._say_changes()
        seconds = float(self._store.meta().get("seconds") or 0.0) + time.monotonic() - began
        self._store.set_meta(interrupted=bool(self._interrupts), finished="" if self._interrupts else now(), seconds=round(seconds, 3))
        if self._errors and not self._store.spaces():
            raise self._errors[0]
        self._progress.close(self._state())
        view = judged(run_view(self._store), self._options.policy.gate)
        return ScanResult(self._store.folder, view, tuple(self._errors))

    def _loop(self) -> None:
        workers = self._options.workers or len(os.sched_getaffinity(0))
        events: deque[Event] = deque(self._crew.start(number) for number in range(workers))
        told = 0
        while True:
            if self._interrupts > told:
                told = self._interrupts
                events.append(Interrupted())
            while events:
                for action in self._foreman.on(events.popleft()):
                    if isinstance(action, Finish):
                        return
                    events.extend(self._do(action))
            events.extend(self._crew.events(WAIT_SECONDS))
            self._progress.show(self._state())

    def _do(self, action: Action) -> list[Event]:
        """Perform one action; returns what happened by it."""
        if isinstance(action, Assign):
            limits = self._setup.limits
            seconds = max(limits.task_seconds, limits.map.seconds * 1.5 if isinstance(action.task, MapTask | ProbeTask) else 0)
            self._crew.give(action.worker, action.task, self._specs.get(action.task.space), seconds)
        elif isinstance(action, Replace):
            return [self._crew.start(action.worker)]
        elif isinstance(action, Announce):
            self._store.mark_pending(StoredTask(task.id, type(task).__name__, task.space) for task in action.tasks)
            self._open_tasks += len(action.tasks)
        elif isinstance(action, Save):
            self._save(action)
        elif isinstance(action, Lose):
            self._lose(action)
        elif isinstance(action, OpenCase):
            return self._open(action)
        elif isinstance(action, PlanJoin):
            return [self._plan_join(action)]
        elif isinstance(action, PlanProof):
            self._stage = "proving"
            return [Planned(action.space, tuple(proof_tasks(action.space, self._store.live_paths(action.space))))]
        elif isinstance(action, Refuse):
            self._refuse(action)
        return []

    def _open(self, action: OpenCase) -> list[Event]:
        probed, source = action.probed, action.task.source
        record = self._known.get(source)
        if record is not None:
            if record.stamps != probed.stamps or record.size_bytes != probed.size_bytes:
                hint = "the case stays as it is; scan the source again into a new case (--case)"
                raise SourceChanged("source-changed", f"{source.path} is not the one that this case was begun with", hint=hint)
            number = record.id
        else:
            number = self._store.add_space(probed.snapshot, source, probed.stamps, probed.size_bytes)
            self._store.set_volume_map(number, probed.volumes)
            self._store.add_gaps(number, action.part.gaps)
            self._store.add_notes(number, action.part.notes)
        spec = SpaceSpec(number, source, probed.snapshot, probed.volumes, str(self._store.maps), action.task.listing, probed.stamps)
        self._specs[number] = spec
        missing = list(self._store.missing(number))
        tasks: tuple[AnyTask, ...] = (*map_tasks(spec), *range_tasks(number, probed.ranges, missing))
        self._stored_bytes += probed.stored_bytes
        self._stage = "sweeping"
        return [Opened(spec, tasks)]

    def _plan_join(self, action: PlanJoin) -> Planned:
        self._stage = "naming"
        owners = dict(action.owners)
        magics = ((magic.start, magic.kind) for magic in self._store.magics(action.space))
        views = self._options.policy.scope.views
        tasks: list[AnyTask] = [*join_tasks(action.space, self._store.hits(action.space), magics, views=views)]
        for volume, count in sorted(owners.items()):
            tasks += edge_tasks(action.space, volume, count)
        return Planned(action.space, tuple(tasks))

    def _save(self, action: Save) -> None:
        parts = action.parts
        for number, part in enumerate(parts):
            self._store.add_task_result(
                action.task.id, space=action.task.space, hits=part.hits, ledger=part.ledger, magics=part.magics, sightings=part.sightings,
                views=part.views, gaps=part.gaps, notes=part.notes, proofs=part.proofs, first=number == 0, last=number == len(parts) - 1,
            )  # fmt: skip
            self._hits += len(part.hits)
            self._done_bytes += sum(row.end - row.start for row in part.ledger if row.outcome != "absent")
        self._open_tasks -= 1

    def _lose(self, action: Lose) -> None:
        task = action.task
        log.warning("task %s: %s", task.id, "; ".join(f"{g.reason} {g.detail}" for g in action.gaps) or "given up or cut")
        space_map = SpaceMap(self._specs[task.space].snapshot, VolumeMap(()), {})
        sightings = [sighting for hit in action.unowned for sighting in sightings_of(hit, space_map)]
        self._store.add_task_result(task.id, space=task.space, ledger=action.ledger, views=action.views, gaps=action.gaps, sightings=sightings)
        self._done_bytes += sum(row.end - row.start for row in action.ledger)
        self._open_tasks -= 1

    def _refuse(self, action: Refuse) -> None:
        reference, message, hint, code = action.error
        error = StoreError(reference, message, hint=hint) if code == Exit.STORE else SourceError(reference, message, hint=hint)
        if code == Exit.STORE:
            raise error
        self._errors.append(error)

    def _say_changes(self) -> None:
        """A file behind a space that is not what it was when it was opened: said, whatever was found."""
        for number, spec in self._specs.items():
            for stamp in spec.stamps if spec.snapshot.kind != "folder" else ():  # a folder's files are checked one by one as they are read
                if (seen := _stamp(stamp)) != stamp:
                    detail = "gone" if seen is None else "its size or time of change is another"
                    self._store.add_gaps(number, [Gap("source-changed", stamp.path, detail)])

    def _on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt

    def _state(self) -> State:
        on = tuple(task.id for task in self._foreman.running.values())
        return State(self._stage, min(self._done_bytes, self._stored_bytes), self._stored_bytes, max(self._open_tasks, 0), self._hits, on)


def _redone(task_id: str) -> bool:
    """Maps, joins and proofs are done again in a resumed run: how many owners there are, which views and looks follow, and for which files a
    proof was sought stands in no table."""
    return any(kind in task_id for kind in (":map:", ":join:", ":proof:"))


def _stamp(before: SourceStamp) -> SourceStamp | None:
    """What the file looks like now; None if it has gone. A block device has no time of change: its numbers have to do."""
    try:
        status = os.stat(before.path)  # noqa: PTH116  # a stamp is made of os.stat's fields
    except OSError:
        return None
    if stat.S_ISBLK(status.st_mode):
        return SourceStamp(before.path, status.st_dev, status.st_ino, before.size_bytes, before.mtime_ns)
    return SourceStamp(before.path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
