"""Encoded runs inside ordinary text: base64, hexadecimal, percent-encoding, `\\u` and `\\x` escapes, the values of Kubernetes Secrets.

Pure: bytes in, runs out. Most text has no run, so nearly all the time goes into saying so: base64 and hexadecimal are looked for by numpy
in one word of four (a line of 60 characters covers six whole words of eight bytes), the others by a rare first byte.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapscan.views import escapes

LEAST_CHARACTERS = 64
"""Of a base64 or hexadecimal run, all its lines together."""
LEAST_LINE = 60
"""Of its first line: six whole aligned words, wherever it begins. `xxd -p` writes 60, PEM 64, OpenSSH 70, MIME 76."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_IN_ALPHABET = np.zeros(256, dtype=np.uint8)
_IN_ALPHABET[list(_ALPHABET)] = 1
_ALL_IN = np.uint64(0x0101010101010101)
_STRIDE = 4
_BLOCK_WORDS = 16_384

_LINE = re.compile(rb"[A-Za-z0-9+/_-]+")
_BREAK = re.compile(rb"[ \t]*\\?\r?\n[ \t]*|(?:\\r)?\\n")
"""Between the lines of one run: a line end with the next line's indentation, or the escape of one in a JSON string."""
_PADDING = re.compile(rb"={0,2}")
_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]+")
_STANDARD = re.compile(rb"[A-Za-z0-9+/]{%d,}" % LEAST_CHARACTERS)
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")

_WORTH_BYTES = 256
_WORTH = re.compile(
    rb"[ -~\t\r\n]{12}|(?:[ -~]\x00){8}|^(?:\x1f\x8b\x08|PK\x03\x04|\xfd7zXZ|\x28\xb5\x2f\xfd|BZh|\x78[\x01\x5e\x9c\xda])",
)
"""A digest is 16 to 64 random bytes: it has no text of this length in it (once in 2000) and is no archive."""


class Run(NamedTuple):
    """`data[start:end]` is written in `kind` (base64, hex, percent, escapes, secret-value) and means `decoded`."""

    start: int
    end: int
    kind: str
    decoded: bytes


def encoded_runs(data: bytes) -> Iterator[Run]:
    """The runs in `data`, kind by kind and rising within each; runs of different kinds may overlap. Raises nothing, whatever the bytes.

    Short runs that hold neither text nor an archive are left out: they are digests. UTF-16 inside (PowerShell's -EncodedCommand) is left
    as it is. A run that goes on behind `data` is given as far as it goes.
    """
    yield from _alphabet_runs(data)
    for kind, found in (("percent", escapes.percent(data)), ("escapes", escapes.backslash(data)), ("secret-value", escapes.secret_values(data))):
        for start, end, decoded in found:
            yield Run(start, end, kind, decoded)


def _alphabet_runs(data: bytes) -> Iterator[Run]:
    behind = 0
    for place in _candidates(data):
        if place < behind:
            continue
        start = _first_of_line(data, place, behind)
        lines, behind = _lines(data, start)
        if sum(map(len, lines)) < LEAST_CHARACTERS:
            continue
        for run in _decoded(lines, start, behind):
            if len(run.decoded) >= _WORTH_BYTES or _WORTH.search(run.decoded):
                yield run


def _candidates(data: bytes) -> Iterator[int]:
    """Places of words within lines of LEAST_LINE characters of the alphabet, and of some shorter ones; rising."""
    words = np.frombuffer(data, dtype=np.uint64, count=len(data) // 8)
    for first in range(0, len(words), _BLOCK_WORDS):
        block = words[first : first + _BLOCK_WORDS]
        found = _full(block[::_STRIDE]).nonzero()[0] * _STRIDE
        if not len(found):
            continue
        found += first
        # Of six whole words in a row, three are before this one or three behind it.
        before = _all_full(words, found, (-1, -2, -3))
        behind = _all_full(words, found, (1, 2, 3))
        yield from (found[before | behind] * 8).tolist()


def _all_full(words: NDArray[np.uint64], places: NDArray[np.intp], steps: tuple[int, ...]) -> NDArray[np.bool_]:
    last = len(words) - 1
    result = np.ones(len(places), dtype=bool)
    for step in steps:
        result[result] = _full(words[np.clip(places[result] + step, 0, last)])
    return result


def _full(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether all eight bytes of a word are in the alphabet."""
    result: NDArray[np.bool_] = _IN_ALPHABET[np.ascontiguousarray(words).view(np.uint8)].view(np.uint64) == _ALL_IN
    return result


def _first_of_line(data: bytes, place: int, least: int) -> int:
    reach = 256
    while True:
        low = max(least, place - reach)
        start = low + len(data[low:place].rstrip(_ALPHABET))
        if start > low or low == least:
            break
        reach *= 4
    # "\nMIIE" in a JSON string: the n belongs to the escape.
    return start + 1 if start and data[start - 1 : start] == b"\\" and data[start : start + 1] in (b"n", b"r", b"t") else start


def _lines(data: bytes, start: int) -> tuple[list[bytes], int]:
    """The lines of the run at `start`, all but the last of one length, and where it ends, padding included."""
    lines: list[bytes] = []
    place = end = start
    while match := _LINE.match(data, place):
        line = match[0]
        if lines and (len(line) > len(lines[0]) or line.startswith(b"--")):
            break
        lines.append(line)
        end = match.end()
        between = _BREAK.match(data, end)
        if between is None or len(line) < len(lines[0]) or len(line) < LEAST_LINE:
            break
        place = between.end()
    padding = _PADDING.match(data, end)
    return lines, padding.end() if padding else end


def _decoded(lines: list[bytes], start: int, end: int) -> Iterator[Run]:
    text = b"".join(lines)
    if _HEXADECIMAL.fullmatch(text):
        yield Run(start, end, "hex", binascii.a2b_hex(text[: len(text) & ~1]))
        return
    is_url = b"-" in text or b"_" in text
    if is_url and (b"+" in text or b"/" in text):
        # Both alphabets at once are none: a path, or a base64 value behind one.
        if len(lines) == 1:
            for match in _STANDARD.finditer(text):
                yield Run(start + match.start(), start + match.end(), "base64", _base64(match[0]))
        return
    yield Run(start, end, "base64", _base64(text.translate(_TO_STANDARD) if is_url else text))


def _base64(text: bytes) -> bytes:
    if len(text) % 4 == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
