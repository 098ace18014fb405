"""Single bytes from many places of a space, for whoever looks at what lies beside an owner's border."""

from __future__ import annotations

import numpy as np

from snapscan.model.errors import ReadFault
from snapscan.model.space import Space
from snapscan.spaces.file import Int64, UInt8

BLOCK_BYTES = 64 * 1024


def gather_blocks(space: Space, offsets: Int64) -> UInt8:
    """The byte at each offset, by reading each 64 KiB block that holds one, once.

    `offsets` are sorted and inside the space. A byte that cannot be read is 0; a block that fails is tried again byte by byte at most
    for the offsets asked for.
    """
    out = np.zeros(len(offsets), dtype=np.uint8)
    if not len(offsets):
        return out
    blocks = offsets // BLOCK_BYTES
    firsts = np.flatnonzero(np.concatenate(([True], blocks[1:] != blocks[:-1])))
    buffer = bytearray(BLOCK_BYTES)
    for first, last in zip(firsts.tolist(), [*firsts[1:].tolist(), len(offsets)], strict=True):
        start = int(blocks[first]) * BLOCK_BYTES
        length = min(BLOCK_BYTES, space.size_bytes - start)
        try:
            space.read_into(start, memoryview(buffer)[:length])
        except ReadFault:
            out[first:last] = [_one(space, int(offset)) for offset in offsets[first:last]]
            continue
        out[first:last] = np.frombuffer(buffer, dtype=np.uint8)[offsets[first:last] - start]
    return out


def _one(space: Space, offset: int) -> int:
    buffer = bytearray(1)
    try:
        space.read_into(offset, memoryview(buffer))
    except ReadFault:
        return 0
    return buffer[0]
