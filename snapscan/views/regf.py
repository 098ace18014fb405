"""Windows registry hives (Windows registry file format specification, M. Suhanov): a line `key\\path: name = value` for each value.

Names and texts are UTF-16 or latin-1 in the file, and far from each other; here they are UTF-8 and side by side. Short binary data is left
out: the sweep reads it where it is. Data above 16 KiB is stored in pieces and is given. A key is visited once, whatever the lists say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import MIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.blocks import Blocks
from snapscan.views.parts import parts
from snapscan.views.stored import sliced
from snapscan.views.verdict import Ended, Verdict

_MAGIC = b"regf"
_BASE_BYTES = 4096
_NONE = 0xFFFFFFFF
_DEEPEST = 512
"""The registry's own limit of levels."""
_LEAST_KEY_BYTES = 80
_LONGEST_CELL = 16 * MIB
_LONGEST_VALUE = 64 * MIB
_SEGMENT_BYTES = 16_344
_LONGEST_PATH = 4096
_ASCII_KEY, _ASCII_VALUE = 0x20, 0x01
_TEXTS = (1, 2, 6)
_DWORD, _DWORD_BIG, _MULTI, _QWORD = 4, 5, 7, 11


class Key(NamedTuple):
    """What of an `nk` cell is needed."""

    name: bytes
    subkeys: int
    value_count: int
    values: int


class Regf:
    """See the module's head."""

    kind = "regf"

    def recognise(self, head: bytes) -> bool:
        """A primary file (transaction logs begin alike) whose version is 1."""
        return len(head) >= 48 and head.startswith(_MAGIC) and head[28:36] == b"\0\0\0\0\1\0\0\0" and head[20:24] == b"\1\0\0\0"

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """One member, `values`."""
        verdict = Verdict(budget, outcome)
        if verdict.member():
            yield Member(ViewStep(self.kind, b"values"), parts(_Hive(reader, verdict).lines(), verdict))


class _Hive:
    """One opening of one hive."""

    def __init__(self, reader: Reader, verdict: Verdict) -> None:
        self._blocks = Blocks(reader)
        self._verdict = verdict

    def lines(self) -> Iterator[bytes]:
        """All values, keys in the order of the tree. Raises Ended, ReadFault for the base block only."""
        base = self._blocks.read(0, 48)
        if len(base) < 48:
            raise Ended("truncated", "regf: ends inside the base block")
        (root,) = struct.unpack_from("<I", base, 36)
        waiting = [(root, b"", 0)]
        seen = {root}
        while waiting:
            place, parent, depth = waiting.pop()
            yield b""
            try:
                key = self._key(place)
                path = (parent + b"\\" + key.name)[-_LONGEST_PATH:] if depth else b""
                yield from self._values(key, path)
                if key.subkeys != _NONE and depth < _DEEPEST:
                    # Lists of lists can claim billions of keys: there are no more than fit into the file, and each is queued once.
                    listed = islice(self._subkeys(key.subkeys), self._blocks.size_bytes // _LEAST_KEY_BYTES + 1)
                    children = [child for child in dict.fromkeys(listed) if child not in seen]
                    seen.update(children)
                    waiting += ((child, path, depth + 1) for child in reversed(children))
            except Ended as end:
                self._verdict.fault(end.reason, end.detail)
            except ReadFault as fault:
                self._verdict.fault("damaged", fault.message)

    def _cell(self, place: int, signature: bytes = b"") -> bytes:
        """The content of the cell at `place`. Raises Ended, ReadFault."""
        start = _BASE_BYTES + place
        head = self._blocks.read(start, 4)
        if len(head) < 4:
            raise Ended("truncated" if place != _NONE else "damaged", f"regf: no cell at {place:#x}")
        size = abs(int.from_bytes(head, "little", signed=True))
        if not 8 <= size <= _LONGEST_CELL or place % 8:
            raise Ended("damaged", f"regf: no cell at {place:#x}")
        content = self._blocks.read(start + 4, size - 4)
        if len(content) < size - 4:
            raise Ended("truncated", f"regf: the cell at {place:#x} ends behind the file")
        if not content.startswith(signature):
            raise Ended("damaged", f"regf: the cell at {place:#x} is something else")
        return content

    def _key(self, place: int) -> Key:
        cell = self._cell(place, b"nk")
        if len(cell) < 76:
            raise Ended("damaged", f"regf: a short key at {place:#x}")
        (subkeys,) = struct.unpack_from("<I", cell, 28)
        count, values = struct.unpack_from("<II", cell, 36)
        flags, name_bytes = struct.unpack_from("<H", cell, 2)[0], struct.unpack_from("<H", cell, 72)[0]
        return Key(_name(cell[76 : 76 + name_bytes], bool(flags & _ASCII_KEY)), subkeys, count if values != _NONE else 0, values)

    def _subkeys(self, place: int, *, nested: bool = False) -> Iterator[int]:
        cell = self._cell(place)
        kind = cell[:2]
        count = int.from_bytes(cell[2:4], "little")
        step = 8 if kind in (b"lf", b"lh") else 4
        if kind not in (b"lf", b"lh", b"li", b"ri") or 4 + count * step > len(cell) or (nested and kind == b"ri"):
            raise Ended("damaged", f"regf: no list of keys at {place:#x}")
        for at in range(4, 4 + count * step, step):
            child = int.from_bytes(cell[at : at + 4], "little")
            if kind == b"ri":
                yield from self._subkeys(child, nested=True)
            else:
                yield child

    def _values(self, key: Key, path: bytes) -> Iterator[bytes]:
        if not key.value_count:
            return
        offsets = self._cell(key.values)
        if key.value_count * 4 > len(offsets):
            raise Ended("damaged", f"regf: {key.value_count} values do not fit their list")
        for at in range(0, key.value_count * 4, 4):
            try:
                line = self._value(int.from_bytes(offsets[at : at + 4], "little"))
            except Ended as end:
                self._verdict.fault(end.reason, end.detail)
                continue
            if line:
                yield from sliced(path + b": " + line + b"\n")
            else:
                yield b""

    def _value(self, place: int) -> bytes:
        """`name = value`, empty for what is left out."""
        cell = self._cell(place, b"vk")
        if len(cell) < 20:
            raise Ended("damaged", f"regf: a short value at {place:#x}")
        name_bytes, size, offset, kind, flags = struct.unpack_from("<HIIIH", cell, 2)
        name = _name(cell[20 : 20 + name_bytes], bool(flags & _ASCII_VALUE))
        in_place = size & 0x80000000
        text = _text(kind, cell[8 : 8 + min(size & 0x7FFFFFFF, 4)] if in_place else self._data(offset, size))
        return (name or b"(default)") + b" = " + text if text else b""

    def _data(self, place: int, size: int) -> bytes:
        if size == 0:
            return b""
        if size > _LONGEST_VALUE:
            raise Ended("memory-limit", f"regf: a value of {size} bytes")
        cell = self._cell(place)
        if size <= _SEGMENT_BYTES or not cell.startswith(b"db") or len(cell) < 8:
            return cell[:size]
        (count,) = struct.unpack_from("<H", cell, 2)
        places = self._cell(struct.unpack_from("<I", cell, 4)[0])
        pieces = [self._cell(int.from_bytes(places[at : at + 4], "little"))[:_SEGMENT_BYTES] for at in range(0, min(count * 4, len(places)), 4)]
        return b"".join(pieces)[:size]


def _name(raw: bytes, is_ascii: bool) -> bytes:
    return raw.decode("latin-1" if is_ascii else "utf-16-le", "replace").encode()


def _text(kind: int, data: bytes) -> bytes:
    """A value for people; empty for binary data that the sweep sees whole."""
    if kind in _TEXTS:
        return data.decode("utf-16-le", "replace").rstrip("\0").encode()
    if kind == _MULTI:
        return data.decode("utf-16-le", "replace").rstrip("\0").replace("\0", " ").encode()
    if kind in (_DWORD, _QWORD):
        return b"%d" % int.from_bytes(data[:8], "little")
    if kind == _DWORD_BIG:
        return b"%d" % int.from_bytes(data[:4], "big")
    if len(data) > _SEGMENT_BYTES:
        return data
    return b""
