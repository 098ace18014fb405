"""rpm packages: lead, signature header, header, and a compressed cpio, which is the only member (rpm.org, Package format V3 and V4).

Scripts and descriptions stand uncompressed in the header, where the sweep reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.parts import parts
from snapscan.views.stored import stored
from snapscan.views.verdict import Ended, Verdict

_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_LEAD_BYTES = 96
_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_HEADER_BYTES = 16
_ENTRY_BYTES = 16


class Rpm:
    """See the module's head."""

    kind = "rpm"

    def recognise(self, head: bytes) -> bool:
        """The lead's magic, and the signature header behind it."""
        return head.startswith(_LEAD_MAGIC) and head[_LEAD_BYTES : _LEAD_BYTES + 4] == _HEADER_MAGIC

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member, named `payload`."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader, _LEAD_BYTES)
        try:
            _skip_header(cursor)
            cursor.position += -cursor.position % 8
            _skip_header(cursor)
        except Ended as end:
            verdict.fault(end.reason, end.detail)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)
        else:
            size_bytes = cursor.end - cursor.position
            if size_bytes <= 0:
                verdict.fault("truncated", "rpm: ends before the payload")
            elif verdict.member():
                yield Member(ViewStep(self.kind, b"payload"), parts(stored(cursor, size_bytes), verdict), size_bytes)


def _skip_header(cursor: Cursor) -> None:
    """Raises Ended."""
    head = cursor.read(_HEADER_BYTES)
    if not head.startswith(_HEADER_MAGIC):
        raise Ended("damaged" if len(head) >= 4 else "truncated", f"rpm: no header at {cursor.position - len(head)}")
    if len(head) < _HEADER_BYTES:
        raise Ended("truncated", "rpm: ends inside a header")
    entries, data_bytes = struct.unpack_from(">II", head, 8)
    cursor.position += entries * _ENTRY_BYTES + data_bytes
