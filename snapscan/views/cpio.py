"""cpio, the portable text forms: newc (070701, and 070702 with checksums) and odc (070707).

An initial RAM disk is several archives laid end to end, the last one compressed (Linux, early-userspace/buffer-format): what follows
the last archive is a member named `@OFFSET`, opened like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import KIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.names import Names, shown
from snapscan.views.parts import PART_BYTES, parts
from snapscan.views.stored import stored
from snapscan.views.verdict import Ended, Verdict

_NEWC, _NEWC_SUMS, _ODC = b"070701", b"070702", b"070707"
_NEWC_BYTES, _ODC_BYTES = 110, 76
_TRAILER = b"TRAILER!!!"
_LONGEST_NAME = 64 * KIB
_TYPE_MASK, _REGULAR = 0o170000, 0o100000


class Entry(NamedTuple):
    """One header. `padding` is what names and contents are padded to."""

    mode: int
    name: bytes
    size_bytes: int
    padding: int


class Cpio:
    """See the module's head."""

    kind = "cpio"

    def recognise(self, head: bytes) -> bool:
        """A whole header of digits."""
        return _fields(head) is not None

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """A member for each regular file with content (of hard links in newc only the last has it), and one for what follows."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        try:
            yield from _members(cursor, verdict)
        except Ended as end:
            verdict.fault(end.reason, end.detail)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


def _members(cursor: Cursor, verdict: Verdict) -> Iterator[Member]:
    names = Names()
    while verdict.member():
        entry = _entry(cursor)
        start = cursor.position
        if entry.name == _TRAILER:
            _skip_zeros(cursor, verdict)
            if cursor.position >= cursor.end or verdict.stopped:
                return
            if _fields(cursor.peek(_NEWC_BYTES)) is None:
                yield from _rest(cursor, verdict)
                return
            continue
        if entry.mode & _TYPE_MASK == _REGULAR and entry.size_bytes:
            content = parts(stored(cursor, entry.size_bytes), verdict, f"{shown(entry.name)}: cpio: ")
            yield Member(ViewStep("cpio", names.unique(entry.name)), content, entry.size_bytes)
            if verdict.stopped:
                return
        end = start + entry.size_bytes
        cursor.position = end + -end % entry.padding


def _rest(cursor: Cursor, verdict: Verdict) -> Iterator[Member]:
    size_bytes = cursor.end - cursor.position
    if verdict.member():
        yield Member(ViewStep("cpio", b"@%d" % cursor.position), parts(stored(cursor, size_bytes), verdict), size_bytes)


def _skip_zeros(cursor: Cursor, verdict: Verdict) -> None:
    """Behind a trailer stands padding to a block of the archive's or the medium's size."""
    while verdict.decoded(0):
        window = cursor.peek(PART_BYTES)
        content = window.lstrip(b"\0")
        cursor.position += len(window) - len(content)
        if content or not window:
            return


def _fields(head: bytes) -> tuple[int, int, int, int, int] | None:
    """(header length, mode, name length, content length, padding); None when it is no header."""
    magic = head[:6]
    try:
        if magic in (_NEWC, _NEWC_SUMS) and len(head) >= _NEWC_BYTES and head[6:_NEWC_BYTES].isalnum():
            values = [int(head[place : place + 8], 16) for place in range(6, _NEWC_BYTES, 8)]
            fields = _NEWC_BYTES, values[1], values[11], values[6], 4
        elif magic == _ODC and len(head) >= _ODC_BYTES and head[6:_ODC_BYTES].isdigit():
            fields = _ODC_BYTES, int(head[18:24], 8), int(head[59:65], 8), int(head[65:76], 8), 1
        else:
            return None
    except ValueError:
        return None
    return fields if 0 < fields[2] <= _LONGEST_NAME else None


def _entry(cursor: Cursor) -> Entry:
    """Step over a header and its name. Raises Ended."""
    position = cursor.position
    head = cursor.peek(_NEWC_BYTES)
    fields = _fields(head)
    if fields is None:
        reason = "truncated" if len(head) < _NEWC_BYTES and position + len(head) >= cursor.end else "damaged"
        raise Ended(reason, f"cpio: no header at {position}")
    header_bytes, mode, name_bytes, size_bytes, padding = fields
    cursor.position += header_bytes
    name = cursor.read(name_bytes)
    if len(name) < name_bytes:
        raise Ended("truncated", "cpio: ends inside a name")
    # The archive may begin at any place of a file, always at a multiple of four: padding counts from the file's start.
    cursor.position += -cursor.position % padding
    return Entry(mode, name.rstrip(b"\0"), size_bytes, padding)
