"""Text written with escapes, and the short base64 values of Kubernetes Secrets: (start, end, decoded) of each place in a text."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

Found = tuple[int, int, bytes]

_REACH_BYTES = 4096
"""The most of a token that is looked at on each side of its first escape."""

_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
_URL_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%"
_URL_TOKEN = re.compile(rb"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%%]{1,%d}" % _REACH_BYTES)
_LEAST_PERCENT = 2

_BACKSLASH = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})")
_STRING = re.compile(rb'(?:[^"\\\r\n\x00]|\\[^\r\n\x00]){1,%d}' % _REACH_BYTES)
_ANY_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

_SECRET = re.compile(rb"""kind["']?\s{0,9}:\s{0,9}["']?Secret(?:List)?\b""")
_SECRET_REACH_BYTES = 64 * 1024
_SECRET_VALUE = re.compile(
    rb"""
    (?: ^[ \t]{1,64} | [{,\s] ) ["']?
    ([A-Za-z0-9_.-]{1,253}) ["']? [ \t]{0,9} : [ \t]{0,9} ["']?
    ([A-Za-z0-9+/]{8,65536}={0,2})
    (?= ["']? [ \t]{0,9} (?: [,}\r\n] | \Z ) )
    """,
    re.MULTILINE | re.VERBOSE,
)


def percent(data: bytes) -> Iterator[Found]:
    """Tokens with two percent-encoded bytes or more (RFC 3986, 2.1), decoded once."""
    behind = 0
    while match := _PERCENT.search(data, behind):
        low = max(behind, match.start() - _REACH_BYTES)
        start = low + len(data[low : match.start()].rstrip(_URL_CHARACTERS))
        token = _URL_TOKEN.match(data, match.start())
        behind = token.end() if token else match.end()
        text = data[start:behind]
        decoded, count = _PERCENT.subn(lambda escape: bytes([int(escape[0][1:], 16)]), text)
        if count >= _LEAST_PERCENT:
            yield start, behind, decoded


def backslash(data: bytes) -> Iterator[Found]:
    r"""Strings with `\u0041` or `\x41` in them, from quote to quote or within the line, every escape of JSON decoded."""
    behind = 0
    while match := _BACKSLASH.search(data, behind):
        low = max(behind, match.start() - _REACH_BYTES)
        start = max(data.rfind(mark, low, match.start()) + 1 for mark in (b'"', b"\n", b"\r", b"\0"))
        start = max(start, low)
        rest = _STRING.match(data, match.start())
        behind = max(rest.end() if rest else 0, match.end())
        yield start, behind, _unescaped(data[start:behind])


def _unescaped(text: bytes) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return int(match[1], 16).to_bytes(2, "big")
        return bytes([int(match[2], 16)]) if match[2] else _SIMPLE.get(match[3], match[3])

    # Pairs of surrogates are one character: neighbours of the u form are decoded together.
    def wide(match: re.Match[bytes]) -> bytes:
        return _ANY_ESCAPE.sub(one, match[0]).decode("utf-16-be", "replace").encode()

    out = []
    at = 0
    for match in re.finditer(rb"(?:\\u[0-9A-Fa-f]{4})+|\\(?:x[0-9A-Fa-f]{2}|.)", text, re.DOTALL):
        out.append(text[at : match.start()])
        out.append(wide(match) if match[0][1:2] == b"u" and len(match[0]) >= 6 else _ANY_ESCAPE.sub(one, match[0]))
        at = match.end()
    return b"".join(out) + text[at:]


def secret_values(data: bytes) -> Iterator[Found]:
    """`name=value` for each value near the words `kind: Secret`, which hold base64 of any length, in YAML and JSON."""
    for low, high in _around(data):
        for value in _SECRET_VALUE.finditer(data, low, high):
            text = value[2]
            if len(text) % 4 == 0:
                yield value.start(1), value.end(2), value[1] + b"=" + binascii.a2b_base64(text)


def _around(data: bytes) -> Iterator[tuple[int, int]]:
    """What lies within reach of the words, joined where it overlaps."""
    start = end = 0
    for match in _SECRET.finditer(data):
        low, high = max(0, match.start() - _SECRET_REACH_BYTES), min(len(data), match.end() + _SECRET_REACH_BYTES)
        if low > end:
            if end:
                yield start, end
            start = low
        end = high
    if end:
        yield start, end
