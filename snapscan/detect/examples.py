"""Fills the templates in which rules write their examples, so that no file of ours holds a live-looking secret.

    ${base62:36}              36 random characters of an alphabet (see ALPHABETS)
    ${uuid}  ${password}      a random UUID (version 4); 16 characters as a password manager makes them
    ${github_checksum:30}     30 characters of base62 and the six of their checksum; likewise npm_checksum, grafana_checksum, gitlab_checksum
    ${b64:user:${password}}   Base64 of what stands inside (also b64url, without padding)
    ${pem:RSA PRIVATE KEY}    a whole armoured block with a random body
    ${akia:AKIA}              an AWS key id with a well-formed account number
    ${bitlocker:8}            a BitLocker recovery key
    $${HOME}                  the text ${HOME}
    \\n \\t \\r \\\\ \\xNN \\}      as in Python; a brace that closes no template

The same template and seed give the same bytes on every machine and version.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from itertools import count
from zlib import crc32

from snapscan.detect.checks.checksum import BASE36, BASE62, crc32_base62, in_base

_DIGITS = b"0123456789"
_LOWER = b"abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
ALPHABETS = {
    "base32": _UPPER + b"234567",
    "base36": _DIGITS + _LOWER,
    "BASE36": _DIGITS + _UPPER,
    "base58": bytes(byte for byte in BASE62 if byte not in b"0OIl"),
    "base62": BASE62,
    "alnum": BASE62,
    "base64": BASE62 + b"+/",
    "base64url": BASE62 + b"-_",
    "bech32": b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "hex": b"0123456789abcdef",
    "HEX": b"0123456789ABCDEF",
    "digits": _DIGITS,
    "lower": _LOWER,
    "upper": _UPPER,
    "word": BASE62 + b"_",
}
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\\": b"\\", b"}": b"}"}
_PIECES = re.compile(rb"\$\$\{|\$\{|\}|\\(?:x[0-9a-fA-F]{2}|.)|[^$\\}]+|.", re.DOTALL)


class _Randomness:
    """Bytes from SHA-256 in counter mode: the same on every Python."""

    def __init__(self, seed: str) -> None:
        self._blocks = (hashlib.sha256(f"{seed}/{number}".encode()).digest() for number in count())
        self._pool = b""

    def raw(self, length: int) -> bytes:
        while len(self._pool) < length:
            self._pool += next(self._blocks)
        taken, self._pool = self._pool[:length], self._pool[length:]
        return taken

    def text(self, alphabet: bytes, length: int) -> bytes:
        return bytes(alphabet[int.from_bytes(self.raw(4), "big") % len(alphabet)] for _ in range(length))


def fill(template: str, seed: str) -> bytes:
    """The bytes that `template` stands for under `seed`. Raises ValueError, naming the piece, for a template that is not well formed."""
    return fill_marked(template, seed)[0]


def fill_marked(template: str, seed: str) -> tuple[bytes, list[tuple[int, int]]]:
    """As `fill`, with the half-open ranges of the outermost generated pieces, in order."""
    randomness = _Randomness(f"{seed}/{template}")
    tokens = [match[0] for match in _PIECES.finditer(template.encode())]
    out, marks, rest = _filled(tokens, 0, randomness, template, nested=False)
    assert rest == len(tokens)
    return out, marks


def _filled(tokens: list[bytes], at: int, randomness: _Randomness, template: str, *, nested: bool) -> tuple[bytes, list[tuple[int, int]], int]:
    out = bytearray()
    marks: list[tuple[int, int]] = []
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token == b"$${":
            literal = b"${"
            while at < len(tokens) and tokens[at] != b"}":
                literal += tokens[at]
                at += 1
            out += literal
        elif token == b"${":
            inner, _, at = _filled(tokens, at, randomness, template, nested=True)
            name, _, argument = inner.partition(b":")
            made = _generated(name.decode(), argument, randomness, template)
            marks.append((len(out), len(out) + len(made)))
            out += made
        elif token == b"}" and nested:
            return bytes(out), marks, at
        elif token.startswith(b"\\") and len(token) > 1:
            out += bytes.fromhex(token[2:].decode()) if token[1:2] == b"x" else _ESCAPES.get(token[1:], token)
        else:
            out += token
    if nested:
        raise ValueError(f"a ${{ without its }} in {template!r}")
    return bytes(out), marks, at


def _generated(name: str, argument: bytes, randomness: _Randomness, template: str) -> bytes:
    if name in ALPHABETS and argument.isdigit():
        return randomness.text(ALPHABETS[name], int(argument))
    if name in _GENERATORS:
        return _GENERATORS[name](argument, randomness)
    raise ValueError(f"no generator {name!r} with argument {argument.decode()!r} in {template!r}")


def _uuid(argument: bytes, randomness: _Randomness) -> bytes:
    digits = bytearray(randomness.raw(16).hex().encode())
    digits[12:13], digits[16:17] = b"4", b"89ab"[digits[16] % 4 : digits[16] % 4 + 1]
    return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _password(argument: bytes, randomness: _Randomness) -> bytes:
    """Letters and digits with one sign inside; always a digit and both cases, so that no check may doubt it."""
    body = randomness.text(BASE62, int(argument or b"16") - 4)
    return body[:5] + randomness.text(b"!+-_^", 1) + body[5:] + randomness.text(_LOWER, 1) + randomness.text(_UPPER, 1) + randomness.text(_DIGITS, 1)


def _checksummed(checksum: Callable[[bytes], bytes]) -> Callable[[bytes, _Randomness], bytes]:
    def make(argument: bytes, randomness: _Randomness) -> bytes:
        body = randomness.text(BASE62, int(argument))
        return body + checksum(body)

    return make


def _gitlab(argument: bytes, randomness: _Randomness) -> bytes:
    """The argument is the prefix and the payload's length: `glpat-,37`."""
    prefix, _, length = argument.partition(b",")
    payload = randomness.text(ALPHABETS["base64url"], int(length))
    covered = prefix + payload + b"." + in_base(int(length), BASE36, 2)
    return covered + in_base(crc32(covered), BASE36, 7)


def _grafana(argument: bytes, randomness: _Randomness) -> bytes:
    body = b"glsa_" + randomness.text(BASE62, int(argument))
    return body + b"_" + crc32(body).to_bytes(4, "little").hex().encode()


def _key_id(argument: bytes, randomness: _Randomness) -> bytes:
    account = int.from_bytes(randomness.raw(8), "big") % 10**12
    number = (1 << 47 | account << 7 | randomness.raw(1)[0] & 0x7F) << 32 | int.from_bytes(randomness.raw(4), "big")
    return argument + in_base(number, ALPHABETS["base32"], 16)


def _pem(argument: bytes, randomness: _Randomness) -> bytes:
    """A body of random bytes; for OPENSSH with the magic and the cipher `none`."""
    body = randomness.raw(600)
    if argument.startswith(b"OPENSSH"):
        body = b"openssh-key-v1\0\0\0\0\4none\0\0\0\4none\0\0\0\0\0\0\0\1" + body
    text = base64.b64encode(body)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"-----BEGIN " + argument + b"-----\n" + b"\n".join(lines) + b"\n-----END " + argument + b"-----"


def _bitlocker(argument: bytes, randomness: _Randomness) -> bytes:
    """Groups of six digits, each eleven times a 16-bit number."""
    return b"-".join(b"%06d" % (int.from_bytes(randomness.raw(2), "big") * 11) for _ in range(int(argument)))


_GENERATORS: dict[str, Callable[[bytes, _Randomness], bytes]] = {
    "uuid": _uuid,
    "password": _password,
    "github_checksum": _checksummed(crc32_base62),
    "npm_checksum": _checksummed(crc32_base62),
    "gitlab_checksum": _gitlab,
    "grafana_checksum": _grafana,
    "akia": _key_id,
    "bitlocker": _bitlocker,
    "pem": _pem,
    "b64": lambda argument, randomness: base64.b64encode(argument),
    "b64url": lambda argument, randomness: base64.urlsafe_b64encode(argument).rstrip(b"="),
}
