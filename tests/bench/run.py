"""All of the benchmark, as one table.

    python tests/bench/run.py --folder FOLDER           makes the disks there first, if need be
    python tests/bench/run.py --disk DISK.img           what can be measured on any disk
    python tests/bench/run.py --folder FOLDER --only sweep,small

Exits 1 when a target is missed. Part names: sweep, files, kingfisher, map, containers, memory, small.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import make_disk
import mapping
import rules500
import small
import sweeping
import whole
from measure import Line

PARTS = ("sweep", "files", "kingfisher", "map", "containers", "memory", "small")


class Plan:
    """What is to be measured on what."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.rounds: int = arguments.rounds
        self.cache: Path = arguments.cache
        self.programs = whole.Programs(arguments.snapscan, arguments.kingfisher)
        self.made = make_disk.make(arguments.folder, arguments.tree) if arguments.folder else None
        self.disk: Path = arguments.disk or (self.made.gpt if self.made else Path())
        self.synthetic: Path | None = arguments.folder / "synthetic" if arguments.folder else None

    def sweep(self) -> Iterator[Line]:
        with tempfile.TemporaryDirectory(prefix="snapscan-bench-") as folder:
            rules500.make(Path(folder))
            for further in ([], [Path(folder)]):
                yield from sweeping.against_bare(sweeping.Bench(self.disk, further, self.cache), self.rounds)

    def files(self) -> Iterator[Line]:
        if self.made:
            yield from sweeping.against_files(sweeping.Bench(self.made.gpt, [], self.cache), self.made.tree, self.rounds)

    def kingfisher(self) -> Iterator[Line]:
        if self.made:
            yield from whole.against_kingfisher(self.programs, self.made, self.rounds)

    def map(self) -> Iterator[Line]:
        yield from mapping.real(self.disk, self.rounds)
        if self.synthetic:
            yield from mapping.synthetic(self.synthetic, 10_000_000)

    def containers(self) -> Iterator[Line]:
        if self.made:
            yield from whole.containers(self.programs, self.made, self.rounds)

    def memory(self) -> Iterator[Line]:
        if self.made:
            yield from whole.memory(self.programs, self.made)

    def small(self) -> Iterator[Line]:
        yield from small.lines(self.programs, self.rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the disks are, or are made")
    parser.add_argument("--disk", type=Path, help="measure on this raw disk image; without --folder only what needs no more")
    parser.add_argument("--tree", type=Path, help="make the disks from this tree instead of Debian's packages")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--snapscan", default=str(Path(sys.executable).parent / "snapscan"))
    parser.add_argument("--kingfisher", default="kingfisher")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / f"snapscan-bench-rules-{os.getuid()}")
    arguments = parser.parse_args()
    if not arguments.folder and not arguments.disk:
        parser.error("give --folder or --disk")
    plan = Plan(arguments)
    missed = 0
    print(f"{len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}; medians of {arguments.rounds} rounds, the sides in turns")
    for name in arguments.only.split(","):
        part: Callable[[], Iterator[Line]] = getattr(plan, name)
        for line in part():
            missed += line.verdict == "MISSED"
            print(line.text(), flush=True)
    print(f"{missed} targets missed; load {os.getloadavg()[0]:.1f} at the end")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
