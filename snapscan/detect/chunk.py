"""A chunk: a view of bytes of which a part is ours to answer for.

look-back + owned + look-ahead. A hit counts if its match starts in the owned part; the margins let a match see its neighbours and finish.
Neighbouring chunks own neighbouring parts, so every start belongs to exactly one chunk, and findings do not depend on how a space is cut.
"""

from __future__ import annotations

from typing import NamedTuple


class Chunk(NamedTuple):
    """`view[0]` is byte `base` of what is scanned; `view[low:high]` is owned. The margins are REACH_BYTES (twice that for wide
    text), less only where the bytes end."""

    view: memoryview
    base: int
    low: int
    high: int


def whole(data: bytes | bytearray | memoryview, base: int = 0) -> Chunk:
    """A chunk that owns all of its bytes."""
    view = memoryview(data)
    return Chunk(view, base, 0, len(view))
