"""The text that a PDF content stream shows (ISO 32000-1, 9.4.3): a line is drawn in pieces with numbers between, here it is whole again.

Codes of the font are taken for characters, which holds for the common simple fonts; subset fonts with codes of their own give nothing useful.
"""

from __future__ import annotations

import binascii
import re

# Quantifiers are bounded and give nothing back: a hostile page must not take quadratic time.
_SIGNS_OF_TEXT = (re.compile(rb"\bBT\b"), re.compile(rb"\bTf\b"), re.compile(rb"\bT[jJ]\b"), re.compile(rb"\bET\b"))
_TOKEN = re.compile(
    rb"""
    (?P<string> \( [^()\\]{0,1000}+ (?: \\. [^()\\]{0,1000}+ ){0,100}+ \) )
    | < (?P<digits> [0-9A-Fa-f\s]{0,4000}+ ) >
    | (?<![\d.]) (?P<number> -?\d{1,6}+ (?:\.\d{1,9}+)? ) (?= \s{0,4}+ [(<\]] )
    | (?P<line> \b(?:T\*|Td|TD|Tm|ET)(?![A-Za-z]) | ['"](?=\s) )
    """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(\r\n|.))", re.DOTALL)
_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r": b"", b"\r\n": b""}
_GAP = 150
"""Thousandths of the font's size by which the next piece is moved to the right; half a usual space."""


def shown_text(content: bytes) -> bytes:
    """The text, pieces of a line joined; empty when the content shows none."""
    if not all(sign.search(content) for sign in _SIGNS_OF_TEXT):
        return b""
    out = bytearray()
    for token in _TOKEN.finditer(content):
        string, digits, number, _ = token.groups()
        if string is not None:
            out += _ESCAPE.sub(_escaped, string[1:-1])
        elif digits is not None:
            packed = b"".join(digits.split())
            out += binascii.a2b_hex(packed + b"0" * (len(packed) % 2))
        elif number is not None:
            if float(number) < -_GAP and out and out[-1:] != b" ":
                out += b" "
        elif out and out[-1:] != b"\n":
            out += b"\n"
    return bytes(out)


def _escaped(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 8) & 0xFF])
    return _SIMPLE.get(match[2], match[2])
