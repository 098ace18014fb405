"""Raw images: a file, a block device, or numbered parts (`NAME.001`, `NAME.002`, ...) as one space."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from snapscan.model.errors import MediaFault, NotFound, ParentRefused
from snapscan.model.snapshot import SnapshotRef, SourceStamp
from snapscan.model.space import Range, Space, joined
from snapscan.spaces.chain import Source
from snapscan.spaces.file import Int64, UInt8, printable
from snapscan.spaces.ranges import shifted


class RawSpace:
    """The bytes of one file as they are."""

    def __init__(self, source: Source) -> None:
        self._file = source.file
        self.size_bytes = source.file.size_bytes
        self.snapshot = SnapshotRef("raw", f"{source.label}:{self.size_bytes}", source.label, self.size_bytes)
        self.notes: tuple[str, ...] = ()

    def stored_ranges(self) -> Iterator[Range]:
        return self._file.stored_ranges()

    def read_into(self, offset: int, view: memoryview) -> None:
        assert offset >= 0 and offset + len(view) <= self.size_bytes
        self._file.read_into(offset, view)

    def gather(self, offsets: Int64) -> UInt8:
        """The byte at each offset (sorted); 0 where it cannot be read."""
        return self._file.gather(offsets)

    def stamps(self) -> tuple[SourceStamp, ...]:
        return (self._file.stamp,)

    def close(self) -> None:
        self._file.close()


class SplitRawSpace:
    """Several files, one after the other."""

    def __init__(self, sources: list[Source]) -> None:
        self._files = [source.file for source in sources]
        self._starts = [0, *accumulate(file.size_bytes for file in self._files)]
        self.size_bytes = self._starts[-1]
        label = sources[0].label
        self.snapshot = SnapshotRef("raw", f"{label}:{self.size_bytes}", label, self.size_bytes)
        self.notes: tuple[str, ...] = (f"{len(sources)} numbered parts read as one image",)

    def stored_ranges(self) -> Iterator[Range]:
        return joined(part for file, start in zip(self._files, self._starts, strict=False) for part in shifted(file.stored_ranges(), start))

    def read_into(self, offset: int, view: memoryview) -> None:
        assert offset >= 0 and offset + len(view) <= self.size_bytes
        done = 0
        while done < len(view):
            at = offset + done
            index = bisect_right(self._starts, at) - 1
            count = min(len(view) - done, self._starts[index + 1] - at)
            try:
                self._files[index].read_into(at - self._starts[index], view[done : done + count])
            except MediaFault as fault:
                raise MediaFault(fault.reference, fault.message, offset=at, length=count) from fault
            done += count

    def gather(self, offsets: Int64) -> UInt8:
        """The byte at each offset (sorted); 0 where it cannot be read."""
        cuts = np.searchsorted(offsets, self._starts)
        parts = [
            file.gather(offsets[first:last] - start) for file, start, first, last in zip(self._files, self._starts, cuts, cuts[1:], strict=False)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)

    def stamps(self) -> tuple[SourceStamp, ...]:
        return tuple(file.stamp for file in self._files)

    def close(self) -> None:
        for file in self._files:
            file.close()


_FIRST_PART = re.compile(r"^(.+\.)(0+[01])$", re.DOTALL)
"""`NAME.001`, and `NAME.000` for tools that count from nought; at least three digits, so that `disk.01` stays a file of its own."""
PARTS_MOST = 10_000


def open_raw(source: Source) -> Space:
    """The space of a raw file; with its further parts where its name says that it is the first. Raises NotFound for a gap in the numbers."""
    match = _FIRST_PART.match(source.label)
    if match is None or len(match[2]) < 3 or source.above:
        return RawSpace(source)
    first, width = int(match[2]), len(match[2])
    sources = [source]
    for number in range(first + 1, first + PARTS_MOST):
        part = _part(source, match[1], number, width)
        if part is None:
            break
        sources.append(part)
    following = _part(source, match[1], first + len(sources) + 1, width)
    if following is not None:
        for part in (*sources[1:], following):
            part.file.close()
        missing = f"{match[1]}{first + len(sources):0{width}d}"
        raise NotFound("part-missing", f"{printable(missing)} is missing between the numbered parts of {printable(source.label)}")
    return SplitRawSpace(sources) if len(sources) > 1 else RawSpace(source)


def _part(source: Source, stem: str, number: int, width: int) -> Source | None:
    try:
        return source.named(os.fsencode(f"./{stem}{number:0{width}d}"), "next part")
    except ParentRefused as refusal:
        if refusal.reference == "parent-missing":
            return None
        raise
