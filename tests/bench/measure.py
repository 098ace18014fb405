"""How the benchmark measures: interleaved runs, medians, processes with their CPU seconds, and lines of the table."""

from __future__ import annotations

import os
import statistics
import struct
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Line(NamedTuple):
    """One line of the table. `measured` is compared with `target`: at most it, or at least it if `at_least`; without a target it is only told."""

    what: str
    measured: float
    unit: str
    target: float | None = None
    at_least: bool = False
    detail: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        good = self.measured >= self.target if self.at_least else self.measured <= self.target
        return "ok" if good else "MISSED"

    def text(self) -> str:
        sign = "" if self.target is None else f"{'>=' if self.at_least else '<='} {self.target:g}"
        return f"{self.what:58} {self.measured:>9.3g} {self.unit:9} {sign:9} {self.verdict:7} {self.detail}"


class Used(NamedTuple):
    """Of a process and its children."""

    wall_seconds: float
    cpu_seconds: float
    exit: int


def command(words: Sequence[object], output: Path | None = None) -> Used:
    """Run a program to its end; its output goes to `output` or nowhere."""
    target = os.open(output or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        began = time.monotonic()
        process = subprocess.Popen([str(word) for word in words], stdout=target, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    finally:
        os.close(target)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Used(wall, usage.ru_utime + usage.ru_stime, process.returncode)


class Spent(NamedTuple):
    """Seconds on the clock, and seconds of CPU in all processes together. On a machine with other work only the second says something."""

    wall: float
    cpu: float


def in_children(works: Sequence[Callable[[], Callable[[], None]]]) -> Spent:
    """Fork one process for each of `works`, which prepares itself and returns what is timed, from when all are ready until the last has ended.

    Raises RuntimeError when one fails.
    """
    go_read, go_write = os.pipe()
    ready_read, ready_write = os.pipe()
    result_read, result_write = os.pipe()
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(go_write)
                timed = work()
                os.write(ready_write, b".")
                os.read(go_read, 1)  # the end of the file is the start signal
                began = time.process_time()
                timed()
                os.write(result_write, struct.pack("d", time.process_time() - began))
                code = 0
            finally:
                if code:
                    traceback.print_exc()
                os._exit(code)
        pids.append(pid)
    os.close(ready_write)
    os.close(result_write)
    for _ in pids:
        os.read(ready_read, 1)
    began = time.monotonic()
    os.close(go_write)
    failed = [pid for pid in pids if os.waitpid(pid, 0)[1]]
    wall = time.monotonic() - began
    data = os.read(result_read, 8 * len(pids))
    for descriptor in (go_read, ready_read, result_read):
        os.close(descriptor)
    if failed:
        raise RuntimeError("a measured process failed")
    return Spent(wall, sum(struct.unpack(f"{len(data) // 8}d", data)))


def interleaved(rounds: int, *measures: Callable[[], T]) -> list[list[T]]:
    """Run the measures one after the other, `rounds` times (A B A B): a busy moment of the machine meets all of them."""
    rows: list[list[T]] = [[] for _ in measures]
    for _ in range(rounds):
        for row, measure in zip(rows, measures, strict=True):
            row.append(measure())
    return rows


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the ratios of runs that followed each other."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def warm(path: Path) -> None:
    """Bring a file's stored bytes into the page cache."""
    with path.open("rb") as file:
        while file.read(16 << 20):
            pass
