"""Mail: one message, or an mbox of many (RFC 4155, 5322, 2045): the bodies that are base64 or quoted-printable.

Headers and plain bodies are text that the sweep reads. Boundaries are not matched up as a mail program would: a body ends where a line
begins with one that was announced, or with `From `, so that a damaged message costs no other.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

from snapscan.model.errors import ReadFault
from snapscan.model.locator import ViewStep
from snapscan.model.units import KIB
from snapscan.model.view import Budget, Member, Outcome, Reader
from snapscan.views.cursor import Cursor
from snapscan.views.names import Names, shown
from snapscan.views.parts import parts
from snapscan.views.verdict import Ended, Verdict

_FIRST = re.compile(rb"(?:From [^\r\n]{1,200}\r?\n)?[!-9;-~]{1,60}:[^\n]{0,512}")
_STRONG = re.compile(rb"From [^\s:]+ |Received: |Return-Path: ?|Message-I[Dd]: |MIME-Version: |Delivered-To: ")

_BLOCK_BYTES = 128 * KIB
_LONGEST_HEADERS = 64 * KIB
_MOST_BOUNDARIES = 1000
_LONGEST_BOUNDARY = 70
"""RFC 2046, 5.1.1."""

_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_ENCODING = re.compile(rb"^content-transfer-encoding:\s*([a-z0-9-]+)", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(rb"""boundary\s*=\s*(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
_FILE_NAME = re.compile(rb"""\b(?:file)?name\s*=\s*(?:"([^"\r\n]{1,255})"|([^\s;"]{1,255}))""", re.IGNORECASE)
_INNER_MESSAGE = re.compile(rb"^content-type:\s*message/rfc822", re.IGNORECASE | re.MULTILINE)
_LINE_THAT_MAY_END = re.compile(rb"\n(?=--|From )")
_NOT_BASE64 = bytes(byte for byte in range(256) if byte not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class Headers(NamedTuple):
    """What the headers of a message or a part say about its body."""

    encoding: bytes
    boundary: bytes
    name: bytes
    holds_message: bool


class Mail:
    """See the module's head."""

    kind = "mail"

    def recognise(self, head: bytes) -> bool:
        """Headers of mail from the first byte; the first is one that mail programs put first."""
        return _STRONG.match(head) is not None and _FIRST.match(head) is not None

    def open(self, reader: Reader, budget: Budget, outcome: Outcome) -> Iterator[Member]:
        """A member for each encoded body, named by its file name, else `part`."""
        verdict = Verdict(budget, outcome)
        try:
            yield from _Box(Cursor(reader), verdict).members(self.kind)
        except ReadFault as fault:
            verdict.fault("damaged", fault.message)


class _Box:
    """One opening of one message or mbox."""

    def __init__(self, cursor: Cursor, verdict: Verdict) -> None:
        self._cursor = cursor
        self._verdict = verdict
        self._boundaries: set[bytes] = set()
        self._names = Names()

    def members(self, kind: str) -> Iterator[Member]:
        """Raises ReadFault."""
        cursor = self._cursor
        in_headers = True
        while cursor.position < cursor.end and self._verdict.decoded(0):
            if in_headers:
                headers = self._headers()
                if headers.holds_message:
                    continue
                if headers.encoding in (b"base64", b"quoted-printable"):
                    if not self._verdict.member():
                        return
                    name = self._names.unique(headers.name or b"part")
                    chunks = self._decoded(headers.encoding)
                    yield Member(ViewStep(kind, name), parts(chunks, self._verdict, f"{shown(name)}: "))
                    if self._verdict.stopped:
                        return
            for _ in self._body():  # what is plain, and what the receiver left
                if not self._verdict.decoded(0):
                    return
            in_headers = self._step_over_end()

    def _headers(self) -> Headers:
        """Step over the headers at the cursor, the empty line included."""
        block = self._cursor.peek(_LONGEST_HEADERS)
        end = _HEADERS_END.search(block)
        text = block[: end.start()] if end else block
        # The newline before the body stays: a body's first line is found like any other.
        self._cursor.position += end.end() - 1 if end else len(block)
        boundary = _first_group(_BOUNDARY.search(text))
        if boundary and len(self._boundaries) < _MOST_BOUNDARIES:
            self._boundaries.add(boundary)
        encoding = _ENCODING.search(text)
        inner = _INNER_MESSAGE.search(text) is not None and (encoding is None or encoding[1].lower() not in (b"base64", b"quoted-printable"))
        if inner:
            self._cursor.position += 1
        return Headers(encoding[1].lower() if encoding and not boundary else b"", boundary, _first_group(_FILE_NAME.search(text)), inner)

    def _body(self) -> Iterator[bytes]:
        """The body at the cursor, in blocks that end with a line, up to a line that ends it; the cursor is left at the newline before that."""
        cursor = self._cursor
        while block := cursor.peek(_BLOCK_BYTES):
            at_end = len(block) < _BLOCK_BYTES
            for match in _LINE_THAT_MAY_END.finditer(block):
                if not at_end and len(block) - match.end() < _LONGEST_BOUNDARY + 4:
                    break  # is looked at again with what follows it
                if self._ends(block, match.end()):
                    cursor.position += match.start()
                    if match.start():
                        yield block[: match.start()].removesuffix(b"\r")
                    return
            cut = len(block) if at_end else block.rfind(b"\n", 0, len(block) - _LONGEST_BOUNDARY - 4)
            if cut <= 0:
                cut = len(block) - _LONGEST_BOUNDARY - 4
            cursor.position += cut
            yield block[:cut]

    def _ends(self, block: bytes, at: int) -> bool:
        if block.startswith(b"From ", at):
            return True
        line = block[at + 2 : at + 2 + _LONGEST_BOUNDARY + 4].partition(b"\n")[0].rstrip()
        return line in self._boundaries or (line.endswith(b"--") and line[:-2] in self._boundaries)

    def _step_over_end(self) -> bool:
        """Step over the line that ended a body. True if headers follow it: not behind the last boundary of a multipart."""
        line = self._cursor.peek(_BLOCK_BYTES)[1:]
        first, _, _ = line.partition(b"\n")
        if first.startswith(b"From "):
            self._boundaries.clear()
        self._cursor.position += 1 + len(first)
        if not first.rstrip().endswith(b"--") or first.startswith(b"From "):
            self._cursor.position += 1
            return True
        return False

    def _decoded(self, encoding: bytes) -> Iterator[bytes]:
        """The decoded body. Raises Ended where it is not in its encoding; a body that the file's end cuts ends there."""
        left = b""
        for block in self._body():
            if encoding == b"base64":
                left += block.translate(None, _NOT_BASE64)
                whole = len(left) & ~3
                yield binascii.a2b_base64(left[:whole])
                left = left[whole:]
            else:
                yield binascii.a2b_qp(block.lstrip(b"\n") if not left else block)
                left = b"."
        if encoding == b"base64" and len(left) > 1:
            yield binascii.a2b_base64(left + b"=" * (4 - len(left)))
        elif encoding == b"base64" and left:
            raise Ended("truncated", "mail: a base64 body ends inside a group")


def _first_group(match: re.Match[bytes] | None) -> bytes:
    return next((group for group in match.groups() if group), b"") if match else b""
