"""ar: a Debian package, a static library. Headers of 60 bytes of text (ar(5)), long names in GNU's table or, after BSD, before the content."""

from __future__ import annotations

from collections.abc import Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import MIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.names import Names, shown
from snapscan.views.parts import parts
from snapscan.views.stored import stored
from snapscan.views.verdict import Ended, Verdict

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_HEADER_END = b"`\n"
_LONGEST_NAMES = 16 * MIB


class Ar:
    """See the module's head."""

    kind = "ar"

    def recognise(self, head: bytes) -> bool:
        """The magic, and behind it a header or nothing."""
        return head.startswith(_MAGIC) and (len(head) == len(_MAGIC) or head[66:68] == _HEADER_END)

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """A member for each entry but GNU's table of names."""
        verdict = Verdict(budget, outcome)
        try:
            yield from _members(Cursor(reader, len(_MAGIC)), verdict)
        except Ended as end:
            verdict.fault(end.reason, end.detail)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


def _members(cursor: Cursor, verdict: Verdict) -> Iterator[Member]:
    names = Names()
    table = b""
    while cursor.position < cursor.end and verdict.member():
        position = cursor.position
        header = cursor.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            if header.strip(b"\n\0"):
                raise Ended("truncated", "ar: ends inside a header")
            return
        size = header[48:58].strip()
        if header[58:] != _HEADER_END or not size.isdigit():
            raise Ended("damaged", f"ar: no header at {position}")
        size_bytes = int(size)
        start = cursor.position
        name = header[:16].rstrip()
        if name == b"//":
            if size_bytes > _LONGEST_NAMES:
                raise Ended("damaged", f"ar: a table of names of {size_bytes} bytes")
            table = cursor.read(size_bytes)
        else:
            name, skip = _name(name, table, cursor, size_bytes)
            content = parts(stored(cursor, size_bytes - skip), verdict, f"{shown(name)}: ar: ")
            yield Member(ViewStep("ar", names.unique(name)), content, size_bytes - skip)
            if verdict.stopped:
                return
        cursor.position = start + size_bytes + size_bytes % 2


def _name(field: bytes, table: bytes, cursor: Cursor, size_bytes: int) -> tuple[bytes, int]:
    """The name, and how many bytes of the content it took."""
    if field.startswith(b"#1/") and field[3:].isdigit():
        length = min(int(field[3:]), size_bytes, 4096)
        return cursor.read(length).rstrip(b"\0"), length
    if field[:1] == b"/" and field[1:].isdigit():
        return table[int(field[1:]) :].partition(b"\n")[0].rstrip(b"/"), 0
    return field.rstrip(b"/") or field, 0
