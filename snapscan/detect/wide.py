"""UTF-16 text: every second byte is a NUL. Where such text may stand, and its halves.

The gate is arithmetic on eight bytes at a time: four characters below 0x80, with a NUL behind each or before each. It looks at every second
word, so a run of 12 characters is never missed, LE or BE, at even and odd places. 8 to 9 GB/s; scanning the halves of everything
would cost the matcher's whole time again, and counting NULs lets through four times the pages. One process, one thread: buffers are reused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.model.units import PAGE_BYTES

RUN_LEAST = 12
"""Characters of a run that the gate is sure to see."""

_STRIDE = 2
_STEP_BYTES = 8 * _STRIDE
_BLOCK_WORDS = 32_768
"""Words tested at a time: what numpy reads and writes then stays in the cache."""

_EVEN = (np.uint64(0x007F007F007F007F), np.uint64(0xFF80FF80FF80FF80), np.uint64(0x0080008000800080))
_ODD = (np.uint64(0x7F007F007F007F00), np.uint64(0x80FF80FF80FF80FF), np.uint64(0x8000800080008000))
"""Add, mask, compare: true for four bytes from 1 to 0x80 with a NUL behind each (or before each): the sum carries into the top bit of a
character's byte and nowhere else."""

_words = np.empty(_BLOCK_WORDS, dtype=np.uint64)
_sums = np.empty(_BLOCK_WORDS, dtype=np.uint64)
_found = np.empty(_BLOCK_WORDS, dtype=bool)
_MARGIN = 1024
"""The checks' window of 256 characters, and the few characters of a run that begins or ends on a page the gate did not flag."""


class Half(NamedTuple):
    """Every second byte of a part of a view: `data[k]` is the view's byte `first + 2 * k`."""

    data: bytes
    first: int


class Region(NamedTuple):
    """Bytes low .. high of a view may hold wide text whose characters stand at even places (`parity` 0) or odd ones (1)."""

    low: int
    high: int
    parity: int


def wide_regions(view: memoryview) -> list[Region]:
    """Parts of the view that may hold wide text, with room around each for what a check may look at; of one parity they are disjoint.

    A match is wide from end to end, so it leaves a flagged page only by less than a run that the gate would have seen.
    """
    if len(view) < 2 * RUN_LEAST:
        return []
    regions: list[Region] = []
    for parity, pages in enumerate(_flagged(view)):
        first = len(regions)
        for page in pages:
            low = max(0, page * PAGE_BYTES - _MARGIN)
            high = min(len(view), (page + 1) * PAGE_BYTES + _MARGIN)
            if len(regions) > first and low <= regions[-1].high:
                regions[-1] = Region(regions[-1].low, high, parity)
            else:
                regions.append(Region(low, high, parity))
    return regions


def _flagged(view: memoryview) -> tuple[list[int], list[int]]:
    """Pages that hold a word of four wide characters at even places, and those with one at odd places; rising."""
    words = np.frombuffer(view, dtype=np.uint64, count=len(view) // 8)[::_STRIDE]
    pages: tuple[list[int], list[int]] = ([], [])
    for at in range(0, len(words), _BLOCK_WORDS):
        count = min(_BLOCK_WORDS, len(words) - at)
        block, sums, found = _words[:count], _sums[:count], _found[:count]
        np.copyto(block, words[at : at + count])
        for parity, (add, mask, expected) in enumerate((_EVEN, _ODD)):
            np.add(block, add, out=sums)
            np.bitwise_and(sums, mask, out=sums)
            np.equal(sums, expected, out=found)
            hits = found.nonzero()[0]
            if len(hits):
                pages[parity].extend(_distinct((hits + at) * _STEP_BYTES // PAGE_BYTES))
    return pages


def _distinct(rising: NDArray[np.int64]) -> list[int]:
    """The values once each; numpy's unique would cost as much as the gate itself."""
    first = np.empty(len(rising), dtype=bool)
    first[0] = True
    np.not_equal(rising[1:], rising[:-1], out=first[1:])
    result: list[int] = rising[first].tolist()
    return result


def half(view: memoryview, region: Region) -> Half:
    """The characters of a region, one byte each."""
    first = region.low + (region.low ^ region.parity) % 2
    return Half(np.frombuffer(view[first : region.high], dtype=np.uint8)[::2].tobytes(), first)


def is_wide(view: memoryview, start: int, length: int) -> bool:
    """Whether the characters at start, start+2, ... are UTF-16: a NUL between every two of them."""
    between = view[start + 1 : start + 2 * length - 1 : 2]
    return not any(between)
