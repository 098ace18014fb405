"""PDF (ISO 32000-1): compressed streams, decoded, each a member named by its object's number; of a page's content the text it shows.

Streams are found by their keyword, not by the cross-reference table, so former versions of a file and damaged ones are read too. Images, and
streams that are not compressed, are left out; so is everything in an encrypted file.
"""

from __future__ import annotations

import binascii
import re
import zlib
from base64 import a85decode
from collections.abc import Iterator

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import KIB, MIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.deflate import inflate
from snapscan.views.names import Names
from snapscan.views.parts import parts
from snapscan.views.pdf_text import shown_text
from snapscan.views.stored import sliced
from snapscan.views.verdict import Ended, Verdict

_MAGIC = re.compile(rb"%PDF-\d\.\d")
_STREAM = re.compile(rb">>\s{0,8}stream\r?\n")
_OBJECT = re.compile(rb"(\d{1,10})\s+\d{1,5}\s+obj\b")
_FILTERS = re.compile(rb"/Filter\s*(?:\[([^\]]{0,200})\]|/(\w+))")
_START = re.compile(rb"startxref\s+(\d{1,12})")
_IMAGE = re.compile(rb"/Subtype\s*/Image|/Type\s*/XRef|/FontFile|/Length1\s")

_BLOCK_BYTES = 256 * KIB
_LONGEST_DICTIONARY = 4 * KIB
_LONGEST_TEXT = 4 * MIB
"""A page's content that is longer is given as it is."""
_LONGEST_CODED = 16 * MIB
_ZLIB_HEADER_BYTES = 2
_SHORT = {b"Fl": b"FlateDecode", b"A85": b"ASCII85Decode", b"AHx": b"ASCIIHexDecode"}
_CHAINS = ((b"FlateDecode",), (b"ASCII85Decode",), (b"ASCIIHexDecode",), (b"ASCII85Decode", b"FlateDecode"), (b"ASCIIHexDecode", b"FlateDecode"))


class Pdf:
    """See the module's head."""

    kind = "pdf"

    def recognise(self, head: bytes) -> bool:
        """The first line."""
        return _MAGIC.match(head) is not None

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """A member for each stream that is decoded, in stored order."""
        verdict = Verdict(budget, outcome)
        cursor = Cursor(reader)
        try:
            if _is_encrypted(cursor):
                verdict.fault("encrypted", "pdf: the file is encrypted")
                return
            yield from _members(cursor, verdict)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


def _is_encrypted(cursor: Cursor) -> bool:
    """By the last trailer, which is at the end, or in the dictionary of a stream that the end points at (7.5.5, 7.5.8)."""
    cursor.position = max(0, cursor.end - 2 * KIB)
    tail = cursor.read(2 * KIB)
    if b"/Encrypt" in tail:
        return True
    found = _START.search(tail)
    if found is None or int(found[1]) >= cursor.end:
        return False
    cursor.position = int(found[1])
    return b"/Encrypt" in cursor.read(2 * KIB).partition(b"stream")[0]


def _members(cursor: Cursor, verdict: Verdict) -> Iterator[Member]:
    names = Names()
    position = 0
    while position < cursor.end and verdict.decoded(0):
        cursor.position = position
        block = cursor.peek(_BLOCK_BYTES)
        match = _STREAM.search(block)
        if match is None:
            if len(block) < _BLOCK_BYTES:
                return
            position += _BLOCK_BYTES - 32
            continue
        start = position + match.end()
        cursor.position = max(0, start - (match.end() - match.start()) - _LONGEST_DICTIONARY)
        dictionary = cursor.read(start - cursor.position)
        *_, last = [None, *_OBJECT.finditer(dictionary)]
        position = cursor.position = start
        if last is None:
            continue
        dictionary = dictionary[last.end() :]
        filters = _filters(dictionary)
        if filters not in _CHAINS or _IMAGE.search(dictionary):
            continue
        if not verdict.member():
            return
        chunks = _text(_decoded(cursor, filters)) if filters[-1] == b"FlateDecode" else _decoded(cursor, filters)
        yield Member(ViewStep("pdf", names.unique(last[1])), parts(chunks, verdict, f"object {last[1].decode()}: "))
        if verdict.stopped:
            return
        position = max(start, cursor.position)


def _filters(dictionary: bytes) -> tuple[bytes, ...]:
    found = _FILTERS.search(dictionary)
    if found is None:
        return ()
    words = re.findall(rb"/(\w+)", found[1]) if found[1] is not None else [found[2]]
    return tuple(_SHORT.get(word, word) for word in words)


def _decoded(cursor: Cursor, filters: tuple[bytes, ...]) -> Iterator[bytes]:
    """The stream at the cursor. Raises Ended."""
    if filters == (b"FlateDecode",):
        header = cursor.read(_ZLIB_HEADER_BYTES)
        if len(header) < _ZLIB_HEADER_BYTES or header[0] & 0x0F != 8 or int.from_bytes(header, "big") % 31:
            raise Ended("damaged", "pdf: no zlib stream")
        yield from inflate(cursor)
        return
    coded = cursor.peek(_LONGEST_CODED)
    mark = b"~>" if filters[0] == b"ASCII85Decode" else b">"
    end = coded.find(mark)
    if end < 0:
        raise Ended("truncated" if len(coded) < _LONGEST_CODED else "memory-limit", "pdf: a stream of text does not end")
    cursor.position += end
    coded = coded[:end]
    try:
        data = a85decode(coded.lstrip(b"<~")) if mark == b"~>" else binascii.a2b_hex(_even(re.sub(rb"\s+", b"", coded)))
    except ValueError as error:
        raise Ended("damaged", f"pdf: {error}") from error
    if len(filters) == 1:
        yield from sliced(data)
        return
    inflater = zlib.decompressobj()
    while data and not inflater.eof:
        try:
            yield inflater.decompress(data, _BLOCK_BYTES)
        except zlib.error as error:
            raise Ended("damaged", f"pdf: {error}") from error
        data = inflater.unconsumed_tail


def _even(digits: bytes) -> bytes:
    return digits + b"0" if len(digits) % 2 else digits


def _text(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The text that a page's content shows; anything else as it is."""
    held: list[bytes] = []
    held_bytes = 0
    ended: Ended | None = None
    try:
        for chunk in chunks:
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes > _LONGEST_TEXT:
                yield from held
                yield from chunks
                return
            yield b""
    except Ended as end:
        ended = end
    whole = b"".join(held)
    yield from sliced(shown_text(whole) or whole)
    if ended is not None:
        raise ended
