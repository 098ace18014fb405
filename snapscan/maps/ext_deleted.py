"""Former names: whose bytes the free blocks of ext2, ext3 and ext4 were.

Places come from old copies of inodes (journal) and from unused inodes that still name blocks; of several files that had a block one after the
other, the last one counts: its bytes are there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.maps import ext_inodes as inode
from snapscan.maps.ext_extents import picked
from snapscan.maps.ext_old_names import END_OF_TIME, OldNames
from snapscan.maps.ext_remnants import OldInodes
from snapscan.model.mapping import FormerName
from snapscan.model.owner import OwnerKind, OwnerMap

FORMER_MOST = 200_000
_RUNS_MOST = 2_000_000  # a few seconds; a journal of noise can name more
_DEPTH_MOST = 64


class Piece(NamedTuple):
    """Blocks `start .. end` were those of a file from its block `logical` on, at the time of transaction `sequence`."""

    start: int
    end: int
    logical: int
    number: int
    generation: int
    size: int
    sequence: int


class LiveInode(NamedTuple):
    """What an inode number stands for now: its owner, -1 for none, and its generation."""

    owner: int
    generation: int


def free_pieces(found: list[OldInodes], free: NDArray[np.int64]) -> list[Piece]:
    """The parts of old files' runs that are free now, each block once: of several claims the newest."""
    newest: dict[tuple[int, int, int, int], Piece] = {}
    left = _RUNS_MOST
    for old in found:
        runs = picked(old.runs, (old.form[old.runs.which] == inode.REGULAR) & ~old.runs.unwritten)
        first = np.searchsorted(free[:, 1], runs.physical, side="right")
        last = np.searchsorted(free[:, 0], runs.physical + runs.length, side="left")
        hits = np.flatnonzero(first < last).tolist()[: max(0, left)]
        left -= len(hits)
        for k in hits:
            row = int(runs.which[k])
            low, high, logical = int(runs.physical[k]), int(runs.physical[k] + runs.length[k]), int(runs.logical[k])
            identity = int(old.number[row]), int(old.generation[row]), int(old.size[row]), int(old.sequence[row])
            for j in range(int(first[k]), min(int(last[k]), int(first[k]) + 1024)):
                start, end = max(low, int(free[j, 0])), min(high, int(free[j, 1]))
                piece = Piece(start, end, logical + start - low, *identity)
                key = (piece.number, piece.generation, start, piece.logical)
                if key not in newest or newest[key].sequence < piece.sequence:
                    newest[key] = piece
            if len(newest) >= FORMER_MOST:
                return newest_only(list(newest.values()))
    return newest_only(list(newest.values()))


def newest_only(pieces: list[Piece]) -> list[Piece]:
    """Pieces cut so that no two overlap: where they did, the one of the highest sequence is left. In order of start."""
    pieces = sorted(pieces)
    active: list[tuple[int, int]] = []
    out: list[Piece] = []
    coming = 0
    for low, high in pairwise(sorted({edge for piece in pieces for edge in (piece.start, piece.end)})):
        while coming < len(pieces) and pieces[coming].start <= low:
            heapq.heappush(active, (-pieces[coming].sequence, coming))
            coming += 1
        while active and pieces[active[0][1]].end <= low:
            heapq.heappop(active)
        if not active:
            continue
        top = pieces[active[0][1]]
        cut = top._replace(start=low, end=high, logical=top.logical + low - top.start)
        if out and out[-1].end == low and out[-1][3:] == cut[3:] and out[-1].logical + low - out[-1].start == cut.logical:
            out[-1] = out[-1]._replace(end=high)
        else:
            out.append(cut)
    return out


def former_names(pieces: list[Piece], names: OldNames, live: Callable[[int], LiveInode], owners: OwnerMap, block_bytes: int) -> list[FormerName]:
    """The pieces in bytes of the volume, with the paths that their files had then; `/?inode-N` begins what cannot be told."""
    paths: dict[tuple[int, int, int], bytes] = {}
    found = []
    for piece in pieces:
        key = (piece.number, piece.generation, piece.sequence)
        if key not in paths:
            paths[key] = _path(*key, names, live, owners)
        source = "journal" if piece.sequence >= 0 else "inode-table"
        start, end, offset = (block * block_bytes for block in (piece.start, piece.end, piece.logical))
        found.append(FormerName(start, end, paths[key], offset, piece.number, source, piece.size))
    return found


def _path(number: int, generation: int, sequence: int, names: OldNames, live: Callable[[int], LiveInode], owners: OwnerMap) -> bytes:
    parts: list[bytes] = []
    time = sequence if sequence >= 0 else END_OF_TIME
    at = number
    life: int | None = generation
    for _ in range(_DEPTH_MOST):
        named = names.name_at(at, life, time)
        if named is None:
            now = live(at)
            same = now.owner >= 0 and life in (None, now.generation) and (at == number or owners.kind[now.owner] == OwnerKind.DIRECTORY)
            path = owners.path(now.owner) if same else b""
            if path or (same and now.owner == owners.root):
                parts.append(path)
                break
            named = names.remnant(at)
        if named is None:
            parts.append(b"/?inode-%d" % at)
            break
        parts.append(b"/" + named[1])
        at = named[0]
        life = names.generation_at(at, time)
    return b"".join(reversed(parts))
