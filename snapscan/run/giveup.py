"""What is said of a task that did not end well, and what of it is tried again.

A crash costs what was being worked on and no more: a range is cut in halves down to 64 KiB, a batch loses the one item. What is given up
is always said: a ledger row, a view, a gap.
"""

from __future__ import annotations

from itertools import pairwise

from snapscan.model.errors import Exit
from snapscan.model.ledger import LedgerRow
from snapscan.model.units import KIB
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap
from snapscan.run.events import Died, Lose, Refuse
from snapscan.run.messages import AnyTask, EdgeTask, JoinTask, LookTask, MapTask, ProbeTask, ProofTask, RangeTask, ViewTask
from snapscan.run.plan import edge_task, look_task, range_task, view_task

LEAST_BYTES = 64 * KIB
BLIND_ATTEMPTS = 4
"""Tries of a range whose worker died before it had begun: such deaths say nothing of the range, so it is not given up at the second."""
Decided = tuple[Lose | Refuse | None, list[AnyTask]]
"""What is lost, and the tasks that take the place of the one that failed (the same id: try again)."""


def crashed(task: AnyTask, event: Died, attempts: int) -> Decided:
    """`attempts` counts the deaths on this very task, this one included."""
    if isinstance(task, RangeTask):
        return _range(task, event, attempts)
    if isinstance(task, ViewTask):
        return _views(task, event, attempts)
    if isinstance(task, LookTask):
        return _looks(task, event, attempts)
    if isinstance(task, EdgeTask):
        return _edges(task, event, attempts)
    if isinstance(task, JoinTask):
        return _join(task, event, attempts)
    if attempts < 2:
        return None, [task]
    if isinstance(task, ProofTask):  # nothing is missing without it: findings of packages only count in full
        return Lose(task), []
    if isinstance(task, MapTask):
        return Lose(task, gaps=(Gap("unmapped", f"volume {task.volume}", f"{event.reason} {event.detail}".strip()),)), []
    error = (
        event.reason,
        f"{task.source.path}: a worker died twice while it opened this source {event.detail}".strip(),
        "please report this",
        int(Exit.SOURCE),
    )
    return Refuse(task, error), []


def failed(task: AnyTask, error: tuple[str, str, str, int]) -> Decided:
    """A worker said that it cannot do a task at all: the source has gone or changed, or our own output failed."""
    reference, message, _, code = error
    if isinstance(task, ProbeTask) or code == Exit.STORE:
        return Refuse(task, error), []
    if isinstance(task, RangeTask):
        return Lose(task, ledger=(LedgerRow(task.start, task.end, "unread", reference, message),)), []
    if isinstance(task, ViewTask):
        return Lose(task, views=tuple(ViewRow(i.locator, i.kind, i.stored_bytes, 0, "refused", reference, message) for i in task.items)), []
    if isinstance(task, ProofTask):
        return Lose(task), []
    if isinstance(task, JoinTask):
        return Lose(task, unowned=task.hits, gaps=(Gap("unmapped", "join", message),)), []
    return Lose(task, gaps=(Gap("unmapped" if isinstance(task, MapTask) else "owners-unread", task.id, f"{reference}: {message}"),)), []


def _range(task: RangeTask, event: Died, attempts: int) -> Decided:
    inside = task.start <= event.start < event.end <= task.end
    if task.end - task.start <= LEAST_BYTES or (not inside and attempts > BLIND_ATTEMPTS):
        return Lose(task, ledger=(LedgerRow(task.start, task.end, "lost", event.reason, event.detail),)), []
    if not inside:
        return None, [task]
    middle = (event.start + event.end) // 2 // LEAST_BYTES * LEAST_BYTES
    if not event.start < middle < event.end:
        middle = event.end
    if (event.start, middle) == (task.start, task.end):  # cannot be cut on a block: cut it anyhow
        middle = (event.start + event.end) // 2
    cuts = sorted({task.start, event.start, middle, event.end, task.end})
    return _gone(task), [range_task(task.space, low, high) for low, high in pairwise(cuts)]


def _gone(task: AnyTask) -> Lose:
    """The task itself is over: others have taken its place."""
    return Lose(task)


def _views(task: ViewTask, event: Died, attempts: int) -> Decided:
    at = _item(event, len(task.items), attempts)
    if at is None:
        return None, [task]
    item = task.items[at]
    row = ViewRow(item.locator, item.kind, item.stored_bytes, 0, "lost", event.reason, event.detail)
    rest = [list(part) for part in (task.items[:at], task.items[at + 1 :]) if part]
    return Lose(task, views=(row,)), [view_task(task.space, part) for part in rest]


def _looks(task: LookTask, event: Died, attempts: int) -> Decided:
    at = _item(event, len(task.items), attempts)
    if at is None:
        return None, [task]
    item = task.items[at]
    gap = Gap("look-lost", f"owner {item.owner} of volume {item.volume}", f"{event.reason} {event.detail}".strip())
    rest = [list(part) for part in (task.items[:at], task.items[at + 1 :]) if part]
    return Lose(task, gaps=(gap,)), [look_task(task.space, part) for part in rest]


def _edges(task: EdgeTask, event: Died, attempts: int) -> Decided:
    if attempts < 2 and task.last - task.first > 1 and event.end == 0:
        return None, [task]
    if task.last - task.first <= 64:
        gap = Gap("edges-lost", f"owners {task.first} to {task.last} of volume {task.volume}", f"{event.reason} {event.detail}".strip())
        return Lose(task, gaps=(gap,)), []
    middle = (task.first + task.last) // 2
    return _gone(task), [edge_task(task.space, task.volume, task.first, middle), edge_task(task.space, task.volume, middle, task.last)]


def _join(task: JoinTask, event: Died, attempts: int) -> Decided:
    if attempts < 2:
        return None, [task]
    gap = Gap("unmapped", task.id, f"{event.reason} {event.detail}".strip())
    return Lose(task, unowned=task.hits, gaps=(gap,)), []


def _item(event: Died, items: int, attempts: int) -> int | None:
    """Which item a worker died on; None: before the first, so try once more."""
    if 0 <= event.start < event.end <= items:
        return event.start
    return None if attempts < 2 else 0
