"""Reads an ext volume's metadata: by block, through the overlay of a replayed journal, with faults and time accounted for."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter

from snapscan.model.errors import ReadFault, StructureFault
from snapscan.model.volume import Gap, VolumeReader

_GAPS_MOST = 200
ESCAPED_BYTES = b"\xc0\x3b\x39\x98"
"""The journal's magic: a block that begins with it has zeros instead in its copy in the journal, and a flag that says so."""


class MapStopped(Exception):
    """A limit of the map task was reached; the message says which. What was found so far is kept."""


class Trouble:
    """What went wrong while mapping: notes are counted by text, gaps are bounded."""

    def __init__(self) -> None:
        self._notes: Counter[str] = Counter()
        self._gaps: list[Gap] = []

    def note(self, text: str, times: int = 1) -> None:
        """Something odd that does not make the map incomplete. The text is one of few: numbers of the image do not belong in it."""
        if times:
            self._notes[text] += times

    def gap(self, reason: str, where: str, detail: str = "", start: int = 0, end: int = 0) -> None:
        """Something that the map lacks. Beyond a bound only counted in the notes."""
        if len(self._gaps) < _GAPS_MOST:
            self._gaps.append(Gap(reason, where, detail, start, end))
        else:
            self.note(f"more gaps than are listed: {reason}")

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{text} ({count} times)" if count > 1 else text for text, count in self._notes.items())

    def gaps(self) -> tuple[Gap, ...]:
        return tuple(self._gaps)


class ExtSource:
    """Blocks of one filesystem. Offsets are bytes of the volume."""

    def __init__(self, reader: VolumeReader, block_bytes: int, trouble: Trouble, seconds: float) -> None:
        self.block_bytes = block_bytes
        self.size_bytes = reader.size_bytes
        self.trouble = trouble
        self._reader = reader
        self._overlay: dict[int, tuple[int, bool]] = {}
        self._overlaid: list[int] = []
        self._begun = time.monotonic()
        self._seconds = seconds

    def overlay(self, blocks: dict[int, tuple[int, bool]]) -> None:
        """From now on these blocks read as their copies: block -> (block of the copy, whether its first bytes were escaped)."""
        self._overlay = blocks
        self._overlaid = sorted(blocks)

    def check_time(self, share: float = 1.0) -> None:
        """Raises MapStopped when `share` of the time limit is used up."""
        if time.monotonic() - self._begun > self._seconds * share:
            raise MapStopped(f"the time limit of {self._seconds:g} s was reached")

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises ReadFault, also where the volume ends before."""
        if offset < 0 or offset + length > self.size_bytes:
            raise StructureFault("outside-volume", f"bytes {offset} to {offset + length} lie outside the volume", offset=offset, length=length)
        data = self._reader.read(offset, length)
        return self._patched(offset, data) if self._overlaid else data

    def read_block(self, block: int) -> bytes:
        """One filesystem block. Raises ReadFault."""
        return self.read(block * self.block_bytes, self.block_bytes)

    def read_bulk(self, offset: int, length: int, what: str) -> bytes:
        """As `read`, but what cannot be read is zeros, and each unreadable run of blocks becomes a gap `unmapped` that names `what`."""
        try:
            return self.read(offset, length)
        except ReadFault:
            pass
        parts = []
        bad: list[tuple[int, int]] = []
        for at in range(offset, offset + length, self.block_bytes):
            size = min(self.block_bytes, offset + length - at)
            try:
                parts.append(self.read(at, size))
            except ReadFault:
                parts.append(bytes(size))
                if bad and bad[-1][1] == at:
                    bad[-1] = (bad[-1][0], at + size)
                else:
                    bad.append((at, at + size))
        for start, end in bad:
            self.trouble.gap("unmapped", what, "these bytes of the volume cannot be read", start, end)
        return b"".join(parts)

    def _patched(self, offset: int, data: bytes) -> bytes:
        size = self.block_bytes
        first = bisect_left(self._overlaid, offset // size)
        last = bisect_left(self._overlaid, -(-(offset + len(data)) // size))
        if first == last:
            return data
        out = bytearray(data)
        for block in self._overlaid[first:last]:
            at = block * size - offset
            low, high = max(at, 0), min(at + size, len(data))
            if low < high:
                out[low:high] = self._copy(block)[low - at : high - at]
        return bytes(out)

    def _copy(self, block: int) -> bytes:
        place, escaped = self._overlay[block]
        data = self._reader.read(place * self.block_bytes, self.block_bytes)
        return ESCAPED_BYTES + data[4:] if escaped else data
