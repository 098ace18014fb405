"""Whole scans by the command line: against Kingfisher, in containers, and the memory of foreman and workers.

    python tests/bench/whole.py kingfisher|containers|memory FOLDER [--snapscan snapscan] [--kingfisher kingfisher]

FOLDER is what make_disk.py made.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from make_disk import Disks, disks, files_in
from measure import Line, Used, command, interleaved, median_ratio, warm

MIB = 1 << 20
SAMPLE_SECONDS = 0.05


class Programs(NamedTuple):
    """What is measured, and with which further words (`--rules FOLDER`)."""

    snapscan: str = "snapscan"
    kingfisher: str = "kingfisher"
    words: tuple[str, ...] = ()

    def scan(self, source: Path, case: Path, *words: str) -> list[str]:
        return [self.snapscan, "scan", str(source), "--case", str(case), "--progress", "off", *words, *self.words]


def scanned(programs: Programs, source: Path, *words: str) -> Used:
    """One whole scan into a case that is thrown away. Raises RuntimeError when it did not come to an end."""
    with tempfile.TemporaryDirectory(prefix="snapscan-bench-") as folder:
        used = command(programs.scan(source, Path(folder) / "case", *words))
    if used.exit not in (0, 1, 3):
        raise RuntimeError(f"snapscan scan {source} ended with exit code {used.exit}")
    return used


def against_kingfisher(programs: Programs, made: Disks, rounds: int) -> Iterator[Line]:
    """The disk by us, the same files in a folder by Kingfisher; clock and CPU."""
    if shutil.which(programs.kingfisher) is None:
        print(f"{programs.kingfisher} is not here: no comparison", file=sys.stderr)
        return
    peer_words = [programs.kingfisher, "scan", str(made.tree), "--no-validate", "--no-update-check", "--format", "json"]
    warm(made.gpt)
    for path in files_in(made.tree):
        warm(Path(path))
    plain, views, peer = interleaved(
        rounds, lambda: scanned(programs, made.gpt, "--no-views"), lambda: scanned(programs, made.gpt), lambda: command(peer_words)
    )
    for name, ours, target in (("without views", plain, 1 / 6), ("with views", views, 1 / 3)):
        for unit in ("wall", "cpu"):
            mine, its = ([getattr(used, f"{unit}_seconds") for used in row] for row in (ours, peer))
            told = f"{statistics.median(mine):.1f} s against {statistics.median(its):.1f} s"
            yield Line(f"whole scan {name} / kingfisher, {unit}", median_ratio(mine, its), "x", round(target, 3), detail=told)


def containers(programs: Programs, made: Disks, rounds: int) -> Iterator[Line]:
    """The same disk raw, as qcow2 and as sparse VMDK."""
    for path in (made.gpt, made.qcow2, made.vmdk):
        warm(path)
    raw, qcow2, vmdk = interleaved(
        rounds,
        lambda: scanned(programs, made.gpt, "--no-views"),
        lambda: scanned(programs, made.qcow2, "--no-views"),
        lambda: scanned(programs, made.vmdk, "--no-views"),
    )
    raw_wall, raw_cpu = ([getattr(used, name) for used in raw] for name in ("wall_seconds", "cpu_seconds"))
    told_raw = f"raw took {statistics.median(raw_wall):.1f} s, {statistics.median(raw_cpu):.1f} CPU s"
    for name, row in (("qcow2", qcow2), ("sparse VMDK", vmdk)):
        clock = median_ratio([used.wall_seconds for used in row], raw_wall)
        cpu = median_ratio([used.cpu_seconds for used in row], raw_cpu)
        yield Line(f"whole scan of {name} / raw, CPU", cpu, "x", 1.25, detail=f"on the clock {clock:.2f}; {told_raw}")


def memory(programs: Programs, made: Disks) -> Iterator[Line]:
    """The most memory of the process tree at one moment (PSS: shared pages count once), small disk and four times as large."""
    results = []
    for path in (made.gpt, made.four):
        warm(path)
        results.append(peak_memory(programs, path, "--workers", "2"))
    (small, small_used, small_parts), (large, large_used, large_parts) = results
    yield Line("most memory (PSS) of foreman and two workers", small / MIB, "MiB", 350, detail=small_parts)
    yield Line("the same, four times the data", large / MIB, "MiB", 350, detail=large_parts)
    cpu, clock = (getattr(large_used, name) / getattr(small_used, name) for name in ("cpu_seconds", "wall_seconds"))
    told = f"on the clock {clock:.2f}; {small_used.cpu_seconds:.1f} and {large_used.cpu_seconds:.1f} CPU s"
    yield Line("four times the data, CPU", cpu, "x", 4.2, detail=told)


def peak_memory(programs: Programs, source: Path, *words: str) -> tuple[int, Used, str]:
    """(bytes of PSS, what the run used, PSS of each process at that moment and how much of it is mapped files)."""
    with tempfile.TemporaryDirectory(prefix="snapscan-bench-") as folder:
        before = _children_cpu()
        began = time.monotonic()
        process = subprocess.Popen(
            programs.scan(source, Path(folder) / "case", *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        most, parts = 0, ""
        while process.poll() is None:
            sizes = [_pss(pid) for pid in _tree(process.pid)]
            total = sum(size for size, _ in sizes)
            if total > most:
                each = " + ".join(f"{size / MIB:.0f}" for size, _ in sizes)
                most, parts = (
                    total,
                    f"{each}; {sum(mapped for _, mapped in sizes) / MIB:.0f} of it mapped files; after {time.monotonic() - began:.1f} s",
                )
            time.sleep(SAMPLE_SECONDS)
        return most, Used(time.monotonic() - began, _children_cpu() - before, process.returncode), parts


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        with suppress(OSError):
            found += [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return found


def _pss(pid: int) -> tuple[int, int]:
    """(all, of mapped files), in bytes; nothing for a process that has just ended."""
    found = {"Pss": 0, "Pss_File": 0}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            word, _, rest = line.partition(":")
            if word in found:
                found[word] = int(rest.split()[0]) * 1024
    return found["Pss"], found["Pss_File"]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kingfisher", "containers", "memory"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--snapscan", default="snapscan")
    parser.add_argument("--kingfisher", default="kingfisher")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(words)
    programs = Programs(arguments.snapscan, arguments.kingfisher)
    made = disks(arguments.folder)
    if arguments.what == "kingfisher":
        lines = against_kingfisher(programs, made, arguments.rounds)
    elif arguments.what == "containers":
        lines = containers(programs, made, arguments.rounds)
    else:
        lines = memory(programs, made)
    for line in lines:
        print(line.text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
