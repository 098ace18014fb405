"""The map: time and bytes of a real one, and a synthetic one of 10 million owners and 50 million rows.

    python tests/bench/mapping.py DISK.img [--synthetic FOLDER] [--owners 10000000]

The synthetic map is written to FOLDER column by column (3.5 GB) and kept there.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import Line, in_children, warm

from snapscan.maps.registry import map_volume
from snapscan.maps.space_map import SpaceMap
from snapscan.maps.volumes import find_volumes
from snapscan.model.finding import Hit
from snapscan.model.mapping import MapLimits
from snapscan.model.owner import OwnerKind, OwnerMap
from snapscan.model.owner_builder import MapBuilder
from snapscan.model.snapshot import SnapshotRef, SourceSpec
from snapscan.model.volume import Segment, Volume, VolumeMap, VolumeReader
from snapscan.run.attribute import sightings_of
from snapscan.spaces.registry import open_space

MIB = 1 << 20
ROWS_AN_OWNER = 5
ROW_BYTES = 16 << 10
HITS = 100_000
_ROW_COLUMNS = ("start", "end", "owner", "offset", "flags", "by_owner")


def real(disk: Path, rounds: int) -> Iterator[Line]:
    """Mapping the volumes of a disk, as a map task does it, writing included."""
    warm(disk)
    facts: dict[str, int] = {}
    seconds = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="snapscan-bench-") as folder:
            space = open_space(SourceSpec(str(disk)))
            began = time.process_time()
            facts = dict.fromkeys(("owners", "files", "rows", "row_bytes", "bytes"), 0)
            for number, volume in enumerate(find_volumes(space).volumes):
                owners = map_volume(VolumeReader(space, volume), volume, MapLimits()).owners
                target = Path(folder) / str(number)
                target.mkdir()
                owners.save(target)
                facts["owners"] += owners.owners
                facts["files"] += int((np.asarray(owners.kind) == OwnerKind.FILE).sum())
                facts["rows"] += owners.rows
                facts["row_bytes"] += sum((target / f"{name}.npy").stat().st_size for name in _ROW_COLUMNS)
                facts["bytes"] += sum(path.stat().st_size for path in target.iterdir())
            seconds.append(time.process_time() - began)
            space.close()
    if not facts["files"]:
        print(f"{disk} holds no file that a map knows: nothing to measure", file=sys.stderr)
        return
    told = f"{statistics.median(seconds):.2f} CPU s for {facts['files']} files, {facts['owners']} owners, {facts['rows']} rows"
    yield Line("map, time a file", 1e6 * statistics.median(seconds) / facts["files"], "us", 8, detail=told)
    told = f"all columns and names: {facts['bytes'] / max(1, facts['rows']):.0f} bytes a row, {facts['bytes'] / 1e6:.1f} MB"
    yield Line("map, bytes a row", facts["row_bytes"] / max(1, facts["rows"]), "B", 40, detail=told)


def write_synthetic(folder: Path, owners: int) -> None:
    """Columns as `OwnerMap.save` writes them, made by numpy: a builder would need the memory that the map saves."""
    small = MapBuilder()
    root = small.owner(OwnerKind.DIRECTORY)
    small.root = root
    small.row(0, 1, small.owner(OwnerKind.FILE, size_bytes=1))
    whole = Volume("", (Segment(0, 0, 1 << 50),))
    small.finish(whole).save(folder)  # gives every column of a map its name and type
    types = {path.stem: np.load(path).dtype for path in folder.glob("*.npy")}
    rows = owners * ROWS_AN_OWNER
    number = np.arange(rows, dtype=np.int64)

    def put(name: str, values: Any) -> None:
        np.save(folder / f"{name}.npy", np.asarray(values).astype(types[name]))

    put("start", number * ROW_BYTES)
    put("end", (number + 1) * ROW_BYTES)
    put("owner", number % owners)  # an owner's rows lie far apart: the worst order for reading
    put("offset", number // owners * ROW_BYTES)
    put("flags", np.zeros(rows, dtype=np.uint8))
    put("by_owner", number.reshape(ROWS_AN_OWNER, owners).T.ravel())
    del number
    put("row_first", np.arange(owners + 1, dtype=np.int64) * ROWS_AN_OWNER)
    each = np.arange(owners, dtype=np.int64)
    put("kind", np.full(owners, OwnerKind.FILE))
    put("state", np.zeros(owners))
    put("mode", np.full(owners, 0o100644))
    put("uid", np.zeros(owners))
    put("inode", each)
    put("mtime", np.zeros(owners))
    put("size", np.full(owners, ROWS_AN_OWNER * ROW_BYTES))
    kind = np.load(folder / "kind.npy", mmap_mode="r+")
    directories = max(1, owners // 100)
    kind[:directories] = OwnerKind.DIRECTORY
    put("root", np.zeros(1))
    width = 12  # every name has this many bytes: f00000000123
    put("name_first", np.concatenate(([0], each)))  # the root has no name
    put("name_parent", np.where(each[1:] < directories, each[1:] // 10, each[1:] % directories))
    put("name_start", (each[1:] - 1) * width)
    put("name_length", np.full(owners - 1, width))
    put("blob", np.frombuffer(b"".join(b"f%011d" % k for k in range(1, owners)), dtype=np.uint8))


def synthetic(folder: Path, owners: int) -> Iterator[Line]:
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"making a map of {owners} owners in {folder}", file=sys.stderr)
        in_children([lambda: lambda: write_synthetic(folder, owners)])
        (folder / "complete").touch()
    results = folder / "results.npy"

    def measured() -> Callable[[], None]:
        def run() -> None:
            np.save(results, np.array(_open_and_join(folder)))

        return run

    in_children([measured])
    opened, memory, private, join_seconds, seconds, sightings = np.load(results).tolist()
    told = (
        f"{opened * 1000:.0f} ms; {private / MIB:.0f} MiB after the hits; {sum(p.stat().st_size for p in folder.iterdir()) / 1e9:.1f} GB of columns"
    )
    yield Line(f"map of {owners} owners, {owners * ROWS_AN_OWNER} rows: private memory to open", memory / MIB, "MiB", 100, detail=told)
    told = f"{sightings:.0f} sightings; the bare join of all positions takes {join_seconds * 1000:.0f} ms"
    yield Line(f"{HITS} hits joined, sightings with paths", seconds, "s", 2, detail=told)


def _open_and_join(folder: Path) -> list[float]:
    """[seconds to open, private bytes after, private bytes after the hits, seconds of the bare join, of all sightings, their count]"""
    before = _private()
    began = time.process_time()
    owners = OwnerMap.load(folder)
    opened = time.process_time() - began
    memory = _private() - before
    volume = Volume("", (Segment(0, 0, 1 << 50),), "ext4")
    space_map = SpaceMap(SnapshotRef("raw", "bench", "bench", 1 << 50), VolumeMap((volume,)), {0: owners})
    positions = np.sort(np.random.default_rng(1).integers(0, owners.rows * ROW_BYTES - 100, HITS))
    began = time.process_time()
    owners.join(positions)
    bare = time.process_time() - began
    hits = [Hit("github.token", int(position), 40, "0" * 32, "ghp_… (40 characters)", 2, ()) for position in positions]
    began = time.process_time()
    count = sum(len(sightings_of(hit, space_map)) for hit in hits)
    return [opened, memory, _private() - before, bare, time.process_time() - began, count]


def _private() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("disk", type=Path)
    parser.add_argument("--synthetic", type=Path)
    parser.add_argument("--owners", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = list(real(arguments.disk, arguments.rounds))
    if arguments.synthetic:
        lines += synthetic(arguments.synthetic, arguments.owners)
    for line in lines:
        print(line.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
