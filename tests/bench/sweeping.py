"""The sweep against hyperscan alone, and against our own matcher run file by file; where a chunk's time goes.

    python tests/bench/sweeping.py DISK.img [--rules FOLDER] [--tree TREE] [--rounds 3] [--profile]

Both sides read the same stored bytes into the same kind of buffer and use the same database; *bare* collects the ends and does nothing with them.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from make_disk import files_in
from measure import Line, Spent, in_children, interleaved, median_ratio, warm

from snapscan.detect.match.hyperscan import HyperscanMatcher
from snapscan.detect.rules import builtin_rules_folder, load_rules
from snapscan.model.policy import Limits
from snapscan.model.snapshot import SourceSpec
from snapscan.model.space import Range
from snapscan.model.units import MIB
from snapscan.run import sweep as sweep_module
from snapscan.run.opened import StoredIndex
from snapscan.run.setup import Setup
from snapscan.run.stream import StreamScanner
from snapscan.run.sweep import CHUNK_BYTES, Sweeper, read_or_account
from snapscan.spaces.registry import open_space

TASK_BYTES = Limits().task_bytes
SCALING = 1.7


class Bench:
    """One disk and one set of rules."""

    def __init__(self, disk: Path, rules: list[Path], cache: Path) -> None:
        self.disk = str(disk)
        self.rules = load_rules([builtin_rules_folder() / "secrets", *rules])
        self.setup = Setup(self.rules, bytes(32), Limits(), cache, Path(tempfile.gettempdir()))
        space = self.open()
        index = StoredIndex(space)
        self.stored_bytes = index.bytes_total()
        self.tasks = [Range(start, end) for start, end, _ in index.cut(space.size_bytes, TASK_BYTES)]
        space.close()

    def open(self) -> Any:
        return open_space(SourceSpec(self.disk))

    def bare(self, processes: int) -> Spent:
        """hyperscan over the stored ranges, through plain preadv, in `processes` processes."""
        return self._shared(processes, self._bare)

    def sweep(self, processes: int) -> Spent:
        return self._shared(processes, self._sweep)

    def _shared(self, processes: int, prepare: Callable[[Iterator[Range]], Callable[[], None]]) -> Spent:
        """The processes take tasks from one counter, as the crew's workers take them from the foreman."""
        counter = multiprocessing.get_context("fork").Value("l", 0)

        def tasks() -> Iterator[Range]:
            while True:
                with counter.get_lock():
                    number = counter.value
                    counter.value += 1
                if number >= len(self.tasks):
                    return
                yield self.tasks[number]

        return in_children([lambda: prepare(tasks())] * processes)

    def _bare(self, tasks: Iterator[Range]) -> Callable[[], None]:
        matcher = HyperscanMatcher(self.setup.blob, self.setup.patterns)
        space = self.open()
        stored = StoredIndex(space)
        descriptor = os.open(self.disk, os.O_RDONLY)
        buffer = memoryview(bytearray(CHUNK_BYTES))

        def run() -> None:
            for task in tasks:
                for item in stored.within(task):
                    for start in range(item.start, item.end, CHUNK_BYTES):
                        view = buffer[: min(CHUNK_BYTES, item.end - start)]
                        os.preadv(descriptor, [view], start)
                        matcher.ends(view)

        return run

    def _sweep(self, tasks: Iterator[Range]) -> Callable[[], None]:
        sweeper = Sweeper(self.setup.engine())
        space = self.open()
        stored = StoredIndex(space)

        def run() -> None:
            for task in tasks:
                sweeper.sweep(space, stored.within(task), task, lambda start, end: None)

        return run

    def per_file(self, tree: Path) -> tuple[Spent, int]:
        """Our own engine over each file of a tree, opened and read one by one, in one process."""
        paths = files_in(tree)
        total = 0

        def prepare() -> Callable[[], None]:
            stream = StreamScanner(self.setup.engine())

            def run() -> None:
                for path in paths:
                    with open(path, "rb", buffering=0) as file:
                        while data := file.read(MIB):
                            for _ in stream.feed(data):
                                pass
                        for _ in stream.finish():
                            pass

            return run

        for path in paths:
            total += Path(path).stat().st_size
        return in_children([prepare]), total


def against_bare(bench: Bench, rounds: int) -> Iterator[Line]:
    """Bare and sweep with one process and with two, in turns."""
    bare1, sweep1, bare2, sweep2 = interleaved(rounds, lambda: bench.bare(1), lambda: bench.sweep(1), lambda: bench.bare(2), lambda: bench.sweep(2))
    count = len(bench.rules)
    for processes, bare, swept in ((1, bare1, sweep1), (2, bare2, sweep2)):
        speeds = [bench.stored_bytes / 1e6 / statistics.median(spent.cpu for spent in row) for row in (bare, swept)]
        walls = median_ratio([s.wall for s in bare], [s.wall for s in swept])
        told = f"bare {speeds[0]:.0f}, sweep {speeds[1]:.0f} MB per CPU s; on the clock {100 * walls:.0f} %; {count} rules on both sides"
        ratio = median_ratio([s.cpu for s in bare], [s.cpu for s in swept])
        yield Line(f"sweep / bare hyperscan, {count} rules, {processes} process(es)", 100 * ratio, "%", 75, True, told)
    best = [min(spent.wall for spent in row) for row in (bare1, bare2, sweep1, sweep2)]  # other load on the machine can only add to the clock
    told = f"best of {rounds} each: {best[2]:.2f} and {best[3]:.2f} s for {bench.stored_bytes / 1e9:.2f} GB; bare {best[0] / best[1]:.2f}"
    busy = best[0] / best[1] < SCALING  # when hyperscan alone finds no second processor there is none
    if busy:
        told += ": the machine is busy, this says nothing"
    yield Line(f"sweep, 1 -> 2 processes on the clock, {count} rules", best[2] / best[3], "x", None if busy else SCALING, True, told)


def against_files(bench: Bench, tree: Path, rounds: int) -> Iterator[Line]:
    """The sweep of the disk against the same matcher on each file of the same tree; one process each."""
    sizes = [0]

    def files() -> Spent:
        spent, sizes[0] = bench.per_file(tree)
        return spent

    swept, filed = interleaved(rounds, lambda: bench.sweep(1), files)
    medians = [statistics.median(s.cpu for s in row) for row in (swept, filed)]
    told = f"CPU: sweep {medians[0]:.2f} s for {bench.stored_bytes / 1e9:.2f} GB, files {medians[1]:.2f} s for {sizes[0] / 1e9:.2f} GB"
    ratio = median_ratio([s.cpu for s in filed], [s.cpu for s in swept])
    yield Line(f"file by file / sweep, {len(bench.rules)} rules, 1 process", ratio, "x", 4, True, told)


class _Stages:
    """CPU seconds in each stage of a sweep, by wrappers around the functions: less distortion than a profiler of every call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.where = ""
        """Put before the names of stages while something special is done with them."""
        self._inner = 0.0

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Time of the function less that of wrapped functions inside it."""

        def timed(*words: Any, **named: Any) -> Any:
            outer, self._inner = self._inner, 0.0
            began = time.process_time()
            try:
                return function(*words, **named)
            finally:
                spent = time.process_time() - began
                full = self.where + name
                self.seconds[full] = self.seconds.get(full, 0.0) + spent - self._inner
                self.calls[full] = self.calls.get(full, 0) + 1
                self._inner = outer + spent

        return timed


def stages(bench: Bench, share: int = 1) -> list[str]:
    """Where one process's sweep spends its time, over every `share`-th task. Runs in this process."""
    noted = _Stages()
    engine: Any = bench.setup.engine()
    matcher = engine._matcher

    matcher._database = SimpleNamespace(scan=noted.wrap("hyperscan", matcher._database.scan))
    matcher.scan = noted.wrap("exact stage", matcher.scan)
    engine._hit = noted.wrap("checks of a match", engine._hit)
    engine.scan = noted.wrap("engine.scan itself", engine.scan)
    scan_wide = engine._scan_wide

    def wide(*words: Any) -> Any:
        noted.where = "wide: "
        try:
            return list(scan_wide(*words))
        finally:
            noted.where = ""

    engine._scan_wide = noted.wrap("wide: halves", wide)
    engine_module: Any = sys.modules[type(engine).__module__]
    held = engine_module.wide_regions, sweep_module.read_or_account
    engine_module.wide_regions = noted.wrap("wide: gate", engine_module.wide_regions)
    sweep_module.read_or_account = noted.wrap("read", read_or_account)
    sweeper = Sweeper(engine)
    sweeper._fill = noted.wrap("fill: margin moved", sweeper._fill)  # type: ignore[method-assign]
    space = bench.open()
    stored = StoredIndex(space)
    run = noted.wrap("sweep itself", sweeper.sweep)
    chosen = bench.tasks[::share]
    began = time.process_time()
    results = [run(space, stored.within(task), task, lambda start, end: None) for task in chosen]
    spent_all = time.process_time() - began
    engine_module.wide_regions, sweep_module.read_or_account = held
    done = sum(row.end - row.start for result in results for row in result.ledger if row.outcome == "swept")
    chunks = noted.calls["engine.scan itself"]
    speed = f"{done / 1e6:.0f} MB in {spent_all:.2f} CPU s = {done / 1e6 / spent_all:.0f} MB/s"
    rows = [f"{speed}; {chunks} chunks scanned, {sum(len(result.hits) for result in results)} hits"]
    for name, seconds in sorted(noted.seconds.items(), key=lambda item: -item[1]):
        calls = noted.calls[name]
        rows.append(f"  {name:22} {seconds:7.3f} s  {100 * seconds / spent_all:5.1f} %  {calls:8} calls  {1e6 * seconds / chunks:8.1f} us a chunk")
    return rows


def profile(bench: Bench, share: int = 1) -> None:
    """cProfile of one process's sweep, over every `share`-th task."""
    sweeper = Sweeper(bench.setup.engine())
    space = bench.open()
    stored = StoredIndex(space)
    profiler = cProfile.Profile()
    profiler.enable()
    for task in bench.tasks[::share]:
        sweeper.sweep(space, stored.within(task), task, lambda start, end: None)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("disk", type=Path)
    parser.add_argument("--rules", type=Path, action="append", default=[])
    parser.add_argument("--tree", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "snapscan-bench-rules")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=int, default=4, help="profile every so many-th task")
    parser.add_argument("--profile", action="store_true", help="also show where the time goes")
    arguments = parser.parse_args()
    bench = Bench(arguments.disk, arguments.rules, arguments.cache)
    warm(arguments.disk)
    if arguments.profile:
        print("\n".join(stages(bench, arguments.share)))
        profile(bench, arguments.share)
        return 0
    lines = list(against_bare(bench, arguments.rounds))
    if arguments.tree:
        lines += against_files(bench, arguments.tree, arguments.rounds)
    for line in lines:
        print(line.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
