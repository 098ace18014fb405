"""Where an owner's bytes do not have their own neighbours in the space: borders, seams, and the edges of holes.

There a match can look other than it is: a word boundary that fails because of a stranger's letter, a token cut in two. Those places are
looked at again in the owner's own order; all others need no second look, because the sweep has seen the same neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.model.owner import Int64, OwnerKind, OwnerMap, RowFlag

Bytes = NDArray[np.uint8]

_KINDS = (OwnerKind.FILE, OwnerKind.SYMLINK, OwnerKind.ATTRIBUTE, OwnerKind.DIRECTORY)


class Edges(NamedTuple):
    """Parallel arrays. `position` is the owner's byte at which an edge lies; `inside` and `outside` are the places in the space of the
    byte on the owner's side and of the stranger's byte beside it. A seam has no stranger: `outside` is -1, and it is always looked at."""

    owner: Int64
    position: Int64
    inside: Int64
    outside: Int64


def edges(owners: OwnerMap, space_bytes: int) -> Edges:
    """All edges of a map's owners, in the owners' order; rows behind an owner's size (slack) have none."""
    order = np.asarray(owners.by_owner).astype(np.int64)
    owner = np.asarray(owners.owner)[order].astype(np.int64)
    kind_ok = np.isin(np.asarray(owners.kind), [int(k) for k in _KINDS])
    start = np.asarray(owners.start)[order]
    offset = np.asarray(owners.offset)[order]
    size = np.asarray(owners.size)[owner].astype(np.int64)
    written = (np.asarray(owners.flags)[order] & RowFlag.UNWRITTEN) == 0
    end = np.minimum(np.asarray(owners.end)[order], start + (size - offset))
    keep = kind_ok[owner] & written & (end > start)
    owner, start, end, offset = owner[keep], start[keep], end[keep], offset[keep]
    if not len(owner):
        empty = np.empty(0, dtype=np.int64)
        return Edges(empty, empty, empty, empty)
    last = offset + (end - start)
    same = owner[1:] == owner[:-1]
    follows = same & (last[:-1] == offset[1:])
    seam = follows & (end[:-1] != start[1:])
    head = np.concatenate(([True], ~follows))
    tail = np.concatenate((~follows, [True]))
    parts = (
        (owner[head], offset[head], start[head], start[head] - 1),
        (owner[tail], last[tail], end[tail] - 1, np.where(end[tail] < space_bytes, end[tail], -2)),
        (owner[1:][seam], offset[1:][seam], start[1:][seam], np.full(int(seam.sum()), -1, dtype=np.int64)),
    )
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    real = (joined[3] != -2) & ~((joined[3] == -1) & (joined[1] == 0))  # the first and the last byte of the space have no stranger
    return Edges(*(column[real] for column in joined))


_QUIET = np.zeros(256, dtype=bool)
_QUIET[list(b"\0\t\n\v\f\r \"'`<>(){}[],;|")] = True


def needing_a_look(inside: Bytes, outside: Bytes) -> NDArray[np.bool_]:
    """Where the two bytes at a border could change a match: neither of them ends every token anyway (NUL, blanks, quotes, brackets)."""
    result: NDArray[np.bool_] = ~_QUIET[inside] & ~_QUIET[outside]
    return result
