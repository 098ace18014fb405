"""zip, and with it jar, docx, apk and the rest of the family: by the central directory, and by local headers where that is missing.

The directory is what programs go by. What lies between the members it lists is looked at too: deleted members, and those of a damaged
directory, are found by their local headers. A truncated archive has no directory: it is walked from its start.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import MIB
from snapscan.model.view import Budget, Member, Outcome, Part, Reader
from snapscan.views import zip_records as records
from snapscan.views.cursor import Cursor
from snapscan.views.deflate import crc32
from snapscan.views.names import Names, shown
from snapscan.views.parts import PART_BYTES, parts
from snapscan.views.verdict import Ended, Verdict
from snapscan.views.zip_methods import STORED, decode_member
from snapscan.views.zip_records import Entry

_SEARCH_BYTES = 64 * MIB
"""How far the next local header is looked for behind damage."""

_LONGEST_DESCRIPTOR = 24


class Zip:
    """See the module's head."""

    kind = "zip"

    def recognise(self, head: bytes) -> bool:
        """A local header with a version and a method that exist, and a name."""
        return records.sane(head)

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """A member for each entry with content we can decode, empty files included; folders and encrypted entries have none."""
        verdict = Verdict(budget, outcome)
        try:
            yield from _Archive(reader, verdict).members()
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


class _Archive:
    """One opening of one archive."""

    def __init__(self, reader: Reader, verdict: Verdict) -> None:
        self._reader = reader
        self._verdict = verdict
        self._cursor = Cursor(reader)
        self._names = Names()
        self._covered: list[tuple[int, int]] = []

    def members(self) -> Iterator[Member]:
        """All members: listed ones, then those between."""
        directory = self._directory()
        if directory is None:
            yield from self._walk(0, self._cursor.size_bytes, to_the_end=True)
            return
        yield from self._listed(directory)
        self._covered.append((directory.start, self._cursor.size_bytes))
        for start, end in _gaps(self._covered):
            if not self._verdict.decoded(0):
                return
            self._cursor.position = start
            place = self._cursor.peek(_LONGEST_DESCRIPTOR + len(records.LOCAL)).find(records.LOCAL)
            if place >= 0 and start + place < end:
                yield from self._walk(start + place, end, to_the_end=False)

    def _directory(self) -> records.Directory | None:
        """The directory of the archive that begins at zero. One whose offsets begin later is that of another archive inside or behind it."""
        try:
            directory = records.find_directory(Cursor(self._reader))
        except ReadFault as fault:
            self._verdict.fault("damaged", fault.message)
            return None
        return directory if directory is not None and directory.base <= 0 else None

    def _listed(self, directory: records.Directory) -> Iterator[Member]:
        count = 0
        for entry in records.central_entries(Cursor(self._reader), directory):
            count += 1
            if not self._verdict.member():
                return
            local = records.local_header(self._cursor, entry.offset) if entry.offset >= 0 else None
            if local is None:
                self._verdict.fault("damaged", f"{shown(entry.name)}: zip: no local header at {entry.offset}")
                continue
            entry = entry._replace(data=local.data)
            self._covered.append((entry.offset, entry.data + entry.stored_bytes))
            yield from self._member(entry, _stated_checksum)
            if self._verdict.stopped:
                return
        if count & 0xFFFF != directory.members & 0xFFFF:
            self._verdict.fault("damaged", f"zip: the central directory has {count} of {directory.members} entries")

    def _walk(self, start: int, end: int, *, to_the_end: bool) -> Iterator[Member]:
        """Members by their local headers, one behind the other. `to_the_end` says that a central directory must follow."""
        position = start
        directory_seen = False
        while position < end and self._verdict.member():
            entry = records.local_header(self._cursor, position)
            if entry is not None:
                directory_seen = False
                yield from self._walked(entry)
                position = self._cursor.position
                continue
            self._cursor.position = position
            if records.skip_directory(self._cursor):
                directory_seen = True
                position = self._cursor.position
            elif directory_seen or not to_the_end or not self._find_header(position, end):
                break
            else:
                position = self._cursor.position
        if to_the_end and not directory_seen and not self._verdict.stopped:
            self._verdict.fault("truncated", "zip: no central directory; read by local headers")

    def _walked(self, entry: Entry) -> Iterator[Member]:
        """One member by its local header, and its end: the cursor is left behind it, or at the next header if it has no known end."""
        unsized = entry.flags & records.SIZES_FOLLOW and not entry.stored_bytes
        if not unsized:
            yield from self._member(entry, _stated_checksum)
            self._cursor.position = entry.data + entry.stored_bytes
            self._skip_descriptor(entry)
            return
        if entry.method == STORED or entry.flags & records.ENCRYPTED:
            entry = entry._replace(stored_bytes=self._length_by_descriptor(entry))
            yield from self._member(entry, _stated_checksum)
            self._cursor.position = entry.data + entry.stored_bytes
            self._skip_descriptor(entry)
            return
        # The stream itself says where it ends.
        ends: list[int] = []

        def behind(streamed: Entry) -> int | None:
            checksum = self._skip_descriptor(streamed)
            ends.append(self._cursor.position)
            return checksum

        yield from self._member(entry._replace(stored_bytes=self._cursor.size_bytes - entry.data), behind)
        if ends:
            self._cursor.position = ends[0]
        elif not self._find_header(entry.data, self._cursor.size_bytes):
            self._cursor.position = self._cursor.size_bytes

    def _member(self, entry: Entry, checksum: Callable[[Entry], int | None]) -> Iterator[Member]:
        """The member, if it has content that can be decoded; a fault if it should have. `checksum` is asked behind the data."""
        what = f"{shown(entry.name)}: "
        name = self._names.unique(entry.name)
        if entry.name.endswith(b"/") and not entry.decoded_bytes and entry.stored_bytes <= 2:
            return
        if entry.flags & records.ENCRYPTED:
            self._verdict.fault("encrypted", f"{shown(entry.name)}")
            return
        self._cursor.position = entry.data
        self._cursor.end = min(entry.data + entry.stored_bytes, self._cursor.size_bytes)
        cut = entry.data + entry.stored_bytes > self._cursor.size_bytes
        member_parts: Iterator[Part] = parts(self._content(entry, checksum, cut), self._verdict, what)
        yield Member(ViewStep(Zip.kind, name), member_parts, entry.decoded_bytes)
        self._cursor.end = self._cursor.size_bytes

    def _content(self, entry: Entry, checksum: Callable[[Entry], int | None], cut: bool) -> Iterator[bytes]:
        window_bytes = self._verdict.budget.limits.window_bytes
        found = 0
        try:
            for chunk in decode_member(entry, self._cursor, window_bytes):
                found = crc32(chunk, found)
                yield chunk
        except Ended as end:
            # A stream that leaves its fence is truncated only if the archive is.
            if end.reason == "truncated" and not cut:
                raise Ended("damaged", end.detail) from end
            raise
        if cut and entry.method == STORED:
            raise Ended("truncated", "zip: a stored member goes on past the end of what is there")
        expected = checksum(entry)
        if expected is not None and expected != found:
            raise Ended("damaged", "zip: the checksum is wrong")

    def _skip_descriptor(self, entry: Entry) -> int | None:
        """Step over the descriptor behind a member, if there is one; returns the checksum in it (4.3.9: signature optional, sizes 4 or 8 bytes)."""
        if not entry.flags & records.SIZES_FOLLOW:
            return None
        data = self._cursor.peek(_LONGEST_DESCRIPTOR + 4)
        signature_bytes = 4 if data.startswith(records.DESCRIPTOR) else 0
        for length in (signature_bytes + 12, signature_bytes + 20):
            if data[length : length + 2] == b"PK" or len(data) == length:
                self._cursor.position += length
                return int(struct.unpack_from("<I", data, signature_bytes)[0])
        return None

    def _length_by_descriptor(self, entry: Entry) -> int:
        """Length of content that only its descriptor tells: the first one whose size is its own distance.

        Without one, up to the next local header and a fault; without that, past the end, so that the member counts as truncated.
        """
        start, end = entry.data, self._cursor.size_bytes
        for place in self._search(records.DESCRIPTOR, start, end):
            self._cursor.position = place + 8
            if int.from_bytes(self._cursor.read(4), "little") == (place - start) & 0xFFFFFFFF:
                return place - start
        if not self._find_header(start, end):
            return end - start + 1
        self._verdict.fault("damaged", f"{shown(entry.name)}: zip: nothing says how long it is")
        return self._cursor.position - start

    def _find_header(self, start: int, end: int) -> bool:
        """Move to the next local header at or behind `start`, if there is one."""
        for place in self._search(records.LOCAL, start, end):
            if records.local_header(self._cursor, place) is not None:
                self._cursor.position = place
                return True
        return False

    def _search(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        """Places of `pattern`, rising, within _SEARCH_BYTES and the time there is. The cursor may be moved between them."""
        position = start
        while position < min(end, start + _SEARCH_BYTES) and self._verdict.decoded(0):
            self._cursor.position = position
            window = self._cursor.peek(PART_BYTES)
            place = window.find(pattern)
            while place >= 0:
                yield position + place
                place = window.find(pattern, place + 1)
            if len(window) < len(pattern):
                return
            position += len(window) - len(pattern) + 1


def _stated_checksum(entry: Entry) -> int | None:
    """What the header says; a local header before a descriptor says nothing."""
    return None if entry.flags & records.SIZES_FOLLOW and not entry.checksum else entry.checksum


def _gaps(covered: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The ranges between zero and the last end that no range in `covered` touches."""
    position = 0
    for start, end in sorted(covered):
        if start > position:
            yield position, start
        position = max(position, end)
