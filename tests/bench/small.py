"""Small things: the version, a folder with one file, a file full of secrets, one endless line.

python tests/bench/small.py [--snapscan snapscan]
"""

from __future__ import annotations

import argparse
import random
import statistics
import string
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Line, command, interleaved, median_ratio
from whole import Programs, scanned

SECRETS = 5_000
LINE_BYTES = 64 << 20


def lines(programs: Programs, rounds: int) -> Iterator[Line]:
    with tempfile.TemporaryDirectory(prefix="snapscan-bench-") as name:
        folder = Path(name)
        yield from _starts(programs, folder, rounds)
        yield from _dense(programs, folder, rounds)
        yield from _one_line(programs, folder, rounds)


def _starts(programs: Programs, folder: Path, rounds: int) -> Iterator[Line]:
    one = folder / "one"
    one.mkdir()
    (one / "notes.txt").write_text("nothing to see\n")
    scanned(programs, one)  # the rule cache is warm from here on
    versions, scans = interleaved(rounds, lambda: command([programs.snapscan, "--version"]), lambda: scanned(programs, one))
    for what, row, target in (("snapscan --version", versions, 0.2), ("a folder with one file", scans, 1.0)):
        cpu = statistics.median(used.cpu_seconds for used in row)
        yield Line(what, statistics.median(used.wall_seconds for used in row), "s", target, detail=f"CPU {cpu:.2f} s")


def _dense(programs: Programs, folder: Path, rounds: int) -> Iterator[Line]:
    """5,000 tokens of 40 characters, one a line, made from a seed."""
    source = random.Random(5)
    letters = string.ascii_letters + string.digits
    dense = folder / "dense"
    dense.mkdir()
    text = "".join(f"ghp_{''.join(source.choices(letters, k=36))}\n" for _ in range(SECRETS))
    (dense / "tokens.txt").write_text(text)
    runs = [scanned(programs, dense) for _ in range(rounds)]
    told = f"{len(text) / 1000:.0f} kB; CPU {statistics.median(used.cpu_seconds for used in runs):.2f} s"
    yield Line(f"a file with {SECRETS} secrets", statistics.median(used.wall_seconds for used in runs), "s", 1.5, detail=told)


def _one_line(programs: Programs, folder: Path, rounds: int) -> Iterator[Line]:
    """64 MiB without a line break against the same words with breaks."""
    source = random.Random(6)
    words = ["".join(source.choices(string.ascii_lowercase + "_=./", k=source.randint(2, 12))) for _ in range(5_000)]
    text = " ".join(source.choices(words, k=1 << 20)).encode()
    text = (text * (LINE_BYTES // len(text) + 1))[:LINE_BYTES]
    kinds = {"ordinary": text.replace(b" ", b"\n"), "words": text, "letters": b"a" * LINE_BYTES, "base64": _base64(source)}
    for name, content in kinds.items():
        (folder / name).mkdir()
        (folder / name / "file.txt").write_bytes(content)
    rows = interleaved(rounds, *(lambda name=name: scanned(programs, folder / name) for name in kinds))
    for name, row in list(zip(kinds, rows, strict=True))[1:]:
        cpu = [[used.cpu_seconds for used in runs] for runs in (row, rows[0])]
        told = f"{statistics.median(cpu[0]):.2f} against {statistics.median(cpu[1]):.2f} CPU s"
        yield Line(f"64 MiB in one line ({name}) / 64 MiB of short lines", median_ratio(*cpu), "x", 2, detail=told)


def _base64(source: random.Random) -> bytes:
    import base64

    return base64.b64encode(source.randbytes(LINE_BYTES * 3 // 4 + 3))[:LINE_BYTES]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapscan", default="snapscan")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for line in lines(Programs(arguments.snapscan), arguments.rounds):
        print(line.text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
