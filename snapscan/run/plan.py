"""How work is cut into tasks. Pure, and the same in a resumed run: equal inputs, equal task ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snapscan.model.finding import Hit
from snapscan.model.space import Range
from snapscan.model.units import MIB
from snapscan.run.messages import EdgeTask, JoinTask, LookItem, LookTask, MapTask, ProofTask, RangeTask, SpaceSpec, ViewItem, ViewTask

JOIN_HITS = 5_000
EDGE_OWNERS = 1_000_000
VIEW_ITEMS = 64
VIEW_BYTES = 8 * MIB
LOOK_ITEMS = 64


def range_task(space: int, start: int, end: int) -> RangeTask:
    return RangeTask(f"{space}:range:{start}-{end}", space, start, end)


def range_tasks(space: int, ranges: Iterable[tuple[int, int, int]], missing: Iterable[Range]) -> Iterator[RangeTask]:
    """The ranges of the space as far as the ledger does not speak of them yet."""
    holes = list(missing)
    for start, end, _ in ranges:
        for hole in holes:
            low, high = max(start, hole.start), min(end, hole.end)
            if low < high:
                yield range_task(space, low, high)


def map_tasks(spec: SpaceSpec) -> Iterator[MapTask]:
    for volume in range(len(spec.volumes.volumes)):
        yield MapTask(f"{spec.number}:map:{volume}", spec.number, volume)


def join_tasks(space: int, hits: Iterable[Hit], magics: Iterable[tuple[int, str]], *, views: bool = True) -> Iterator[JoinTask]:
    """Batches of hits in order of place; all magics in one task, because neighbours decide which of them begin a view."""
    batch: list[Hit] = []
    number = 0
    for hit in hits:
        batch.append(hit)
        if len(batch) == JOIN_HITS:
            yield JoinTask(f"{space}:join:{number}", space, tuple(batch))
            batch, number = [], number + 1
    yield JoinTask(f"{space}:join:{number}", space, tuple(batch), tuple(magics), last=True, views=views)


def edge_tasks(space: int, volume: int, owners: int) -> Iterator[EdgeTask]:
    for first in range(0, owners, EDGE_OWNERS):
        last = min(owners, first + EDGE_OWNERS)
        yield edge_task(space, volume, first, last)


def edge_task(space: int, volume: int, first: int, last: int) -> EdgeTask:
    return EdgeTask(f"{space}:edges:{volume}:{first}-{last}", space, volume, first, last)


def view_tasks(space: int, items: Iterable[ViewItem]) -> Iterator[ViewTask]:
    """Batches in order of place, bounded in number and stored bytes; a large one is alone."""
    batch: list[ViewItem] = []
    size = 0
    for item in sorted(items, key=lambda i: (i.start, i.locator)):
        if batch and (len(batch) == VIEW_ITEMS or size + item.stored_bytes > VIEW_BYTES):
            yield view_task(space, batch)
            batch, size = [], 0
        batch.append(item)
        size += item.stored_bytes
    if batch:
        yield view_task(space, batch)


def view_task(space: int, items: list[ViewItem]) -> ViewTask:
    return ViewTask(f"{space}:views:{items[0].start}-{items[0].owner}-{len(items)}", space, tuple(items))


def proof_tasks(space: int, paths: Iterable[str]) -> Iterator[ProofTask]:
    """One task for all: it reads the package lists once."""
    known = tuple(sorted(set(paths)))
    if known:
        yield ProofTask(f"{space}:proof:{len(known)}", space, known)


def look_tasks(space: int, items: Iterable[LookItem]) -> Iterator[LookTask]:
    merged: dict[tuple[int, int], set[str]] = {}
    for item in items:
        merged.setdefault((item.volume, item.owner), set()).update(item.rules)
    ordered = [LookItem(volume, owner, tuple(sorted(rules))) for (volume, owner), rules in sorted(merged.items())]
    for at in range(0, len(ordered), LOOK_ITEMS):
        yield look_task(space, ordered[at : at + LOOK_ITEMS])


def look_task(space: int, items: list[LookItem]) -> LookTask:
    return LookTask(f"{space}:looks:{items[0].volume}-{items[0].owner}-{len(items)}", space, tuple(items))
