"""git: packs and bundles. A loose object is a zlib stream and has its view there.

Each blob is a member, named by its id. Commits and tags that follow each other are one member of text, each below a line `commit ID`; of trees
the names are given. In memory: one object, a bounded cache, and the names of objects for deltas that name their base.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from hashlib import sha1
from typing import NamedTuple

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import KIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.deflate import inflate
from snapscan.views.git_pack import BLOB, HEADER_BYTES, LONGEST_OBJECT, TREE, WORDS, Entry, NoBase, Pack, literals
from snapscan.views.names import Names
from snapscan.views.parts import parts
from snapscan.views.stored import sliced, stored
from snapscan.views.verdict import Ended, Verdict

_MAGIC = b"PACK"
_TRAILER_BYTES = 20
_BUNDLE = re.compile(rb"# v[23] git bundle\n")
_LONGEST_BUNDLE_HEADER = 4096 * KIB
_TREE_ENTRY = re.compile(rb"([0-7]{5,6} [^\0]+)\0.{20}", re.DOTALL)
_ZLIB_HEADER_BYTES = 2
_ZLIB_TRAILER_BYTES = 4
_MOST_WAITING = 1_000_000


class GitObject(NamedTuple):
    """One object, whole. `kind` zero is what a delta adds to a base that is not in the pack."""

    kind: int
    name: bytes
    offset: int
    content: bytes


Found = GitObject | Member


class GitPack:
    """See the module's head."""

    kind = "git-pack"

    def recognise(self, head: bytes) -> bool:
        """Magic, version 2 or 3, and a first object of a type that exists."""
        if len(head) < HEADER_BYTES or not head.startswith(_MAGIC) or head[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            return False
        return head[8:12] == bytes(4) or (len(head) > HEADER_BYTES and head[HEADER_BYTES] >> 4 & 7 in (1, 2, 3, 4, 6, 7))

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """Members in stored order; objects whose base comes later, at the end."""
        verdict = Verdict(budget, outcome)
        try:
            yield from _Opening(self.kind, Cursor(reader), verdict).members()
        except Ended as end:
            verdict.fault(end.reason, end.detail)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


class GitBundle:
    """A header of lines, an empty line, and a pack, which is the only member (gitformat-bundle)."""

    kind = "git-bundle"

    def recognise(self, head: bytes) -> bool:
        """The first line."""
        return _BUNDLE.match(head) is not None

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member, named `pack`."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        try:
            place = cursor.peek(_LONGEST_BUNDLE_HEADER).find(b"\n\n")
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)
            return
        if place < 0:
            verdict.fault("truncated", "git: the bundle's header does not end")
        elif verdict.member():
            cursor.position = place + 2
            yield Member(ViewStep(self.kind, b"pack"), parts(stored(cursor, cursor.end - cursor.position), verdict), cursor.end - cursor.position)


class _Opening:
    """One opening of one pack."""

    def __init__(self, kind: str, cursor: Cursor, verdict: Verdict) -> None:
        self._kind = kind
        self._cursor = cursor
        self._verdict = verdict
        self._pack = Pack(cursor, verdict)
        self._names = Names()
        self._waiting: list[int] = []
        self._next: Found | None = None
        self._position = HEADER_BYTES

    def members(self) -> Iterator[Member]:
        """Raises Ended, ReadFault."""
        objects = self._objects()
        for found in objects:
            item: Found | None = found
            while item is not None:
                self._next = None
                if isinstance(item, Member):
                    yield item
                elif not self._verdict.member():
                    return
                elif item.kind in (BLOB, 0):
                    name = self._names.unique(item.name)
                    yield Member(ViewStep(self._kind, name), parts(sliced(item.content), self._verdict), len(item.content))
                else:
                    name = b"%ss@%d" % (WORDS[item.kind], item.offset)
                    yield Member(ViewStep(self._kind, name), parts(self._run(item, objects), self._verdict))
                if self._verdict.stopped:
                    return
                item = self._next

    def _run(self, item: GitObject, objects: Iterator[Found]) -> Iterator[bytes]:
        """The text of `item` and of the objects of its type that follow it; the one that ends the run is kept in `_next`."""
        kind = item.kind
        while True:
            yield b"%s %s\n" % (WORDS[kind], item.name)
            text = b"\n".join(_TREE_ENTRY.findall(item.content)) if kind == TREE else item.content
            yield from sliced(text)
            yield b"\n"
            following = next(objects, None)
            if not isinstance(following, GitObject) or following.kind != kind:
                self._next = following
                return
            item = following

    def _objects(self) -> Iterator[Found]:
        """Every object once; one too long to hold as a member of its own. Raises Ended, ReadFault."""
        (count,) = struct.unpack(">I", self._cursor.peek(HEADER_BYTES)[8:12])
        for number in range(count):
            if not self._verdict.decoded(0):
                return
            offset = self._position
            if self._cursor.end - offset <= _TRAILER_BYTES:
                raise Ended("truncated", f"git: {number} of {count} objects are there")
            entry = self._pack.entry(offset)
            if entry.size_bytes > LONGEST_OBJECT and entry.kind in WORDS:
                chunks = self._streamed(entry)
                yield Member(ViewStep(self._kind, b"@%d" % offset), parts(chunks, self._verdict), entry.size_bytes)
                for _ in chunks:  # the receiver may have closed the member
                    if not self._verdict.decoded(0):
                        return
                self._position = self._cursor.position
                continue
            content = self._pack.content(entry)
            self._position = self._cursor.position
            yield from self._resolved(offset, entry, content, self._waiting)
        yield from self._late()

    def _resolved(self, offset: int, entry: Entry, content: bytes, waiting: list[int]) -> Iterator[GitObject]:
        """The object, unless its base is not known: then its place goes to `waiting`. What is wrong with it costs no other object."""
        try:
            kind, content = self._pack.resolve(offset, entry, content)
        except NoBase:
            if len(waiting) < _MOST_WAITING:
                waiting.append(offset)
            else:
                self._verdict.fault("memory-limit", f"git: more than {_MOST_WAITING} deltas without a base")
            return
        except Ended as end:
            self._verdict.fault(end.reason, end.detail)
            return
        identity = sha1(b"%s %d\0" % (WORDS[kind], len(content)))
        identity.update(content)
        self._pack.name(identity.digest(), offset)
        yield GitObject(kind, identity.hexdigest().encode(), offset, content)

    def _late(self) -> Iterator[GitObject]:
        """Deltas whose base stood behind them; of those whose base is in another pack, what they add."""
        waiting = self._waiting
        while waiting:
            still: list[int] = []
            for offset in waiting:
                if not self._verdict.decoded(0):
                    return
                entry = self._pack.entry(offset)
                yield from self._resolved(offset, entry, self._pack.content(entry), still)
            if len(still) == len(waiting):
                break
            waiting = still
        for offset in waiting:
            self._verdict.fault("unsupported", f"git: the delta at {offset} has its base in another pack")
            yield GitObject(0, b"delta@%d" % offset, offset, literals(self._pack.content(self._pack.entry(offset))))

    def _streamed(self, entry: Entry) -> Iterator[bytes]:
        """The content of an object that is too long to hold."""
        self._cursor.position = entry.data + _ZLIB_HEADER_BYTES
        left = entry.size_bytes
        for chunk in inflate(self._cursor):
            left -= len(chunk)
            yield chunk
        self._cursor.position += _ZLIB_TRAILER_BYTES
        if left:
            raise Ended("damaged", f"git: the object at {entry.data} is longer or shorter than it says")
