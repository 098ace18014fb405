"""What may leave a worker of a secret: a redacted text and a keyed fingerprint."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from snapscan.detect.checks.entropy import bits_per_character

SHOWN_CHARACTERS = 4
SHORTEST_SHOWN = 16
HIDDEN = "…"


def redact(value: bytes) -> str:
    """`ghp_… (40 characters, letters and digits)`: at most four characters of a value of 16 or more, else length and class only.

    The text is printable ASCII but for the ellipsis, whatever the value holds.
    """
    facts = f"({len(value)} characters, {_classes(value)})"
    if len(value) < SHORTEST_SHOWN:
        return facts
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else "." for byte in value[:SHOWN_CHARACTERS]) + f"{HIDDEN} {facts}"


def _classes(value: bytes) -> str:
    classes = []
    if any(65 <= byte <= 90 or 97 <= byte <= 122 for byte in value):
        classes.append("letters")
    if any(48 <= byte <= 57 for byte in value):
        classes.append("digits")
    if any(byte < 48 or 57 < byte < 65 or 90 < byte < 97 or byte > 122 for byte in value):
        classes.append("signs")
    return " and ".join(filter(None, (", ".join(classes[:-1]), *classes[-1:]))) or "nothing"


class Fingerprinter:
    """Keyed names for secrets: the same value of the same family has one name under one key, and no name can be reversed by guessing.

    `key_id` names the key itself; names made under different keys must never be compared.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("a fingerprint key has at least 16 bytes")
        self._mac = hmac.new(key, digestmod=hashlib.sha256)
        self.key_id = hashlib.sha256(b"snapscan key id\0" + key).hexdigest()[:16]

    def of(self, family: str, value: bytes) -> str:
        """32 hexadecimal digits of HMAC-SHA256 over family, NUL, value."""
        mac = self._mac.copy()
        mac.update(family.encode() + b"\0" + value)
        return mac.hexdigest()[:32]


_URL_PASSWORD = re.compile(r"(://[^\s/:@]{0,256}:)[^\s/@]{1,256}(?=@)")
_ARGUMENT = re.compile(r"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|sig|signature|credential)s?[=:]\s?)[^\s&;,'\"]{1,512}")
_PREFIXED = re.compile(
    r"(?:gh[opsur]_|github_pat_|gl[a-z]{2,8}-|xox[a-z]-|xapp-|[sr]k_live_|sk-|npm_|hf_|AKIA|ASIA|AIza|SG\.|dop_v1_|shp[a-z]{2}_|hvs\.|pypi-|eyJ)[\w.+=-]{12,4096}"
)
_LONG = re.compile(r"[A-Za-z0-9_+=~-]{20,4096}")


def redact_text(text: str, values: Iterable[str] = ()) -> str:
    """`text` (a path, an argument, a URL) without secrets: the given `values`, URL passwords, `password=...`, and tokens by prefix or look.

    Hexadecimal names stay: containers, objects and build ids are named so.
    """
    for value in sorted(filter(None, values), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    text = _URL_PASSWORD.sub(rf"\1{HIDDEN}", text)
    text = _ARGUMENT.sub(rf"\1{HIDDEN}", text)
    text = _PREFIXED.sub(lambda match: match[0][:SHOWN_CHARACTERS] + HIDDEN, text)
    return _LONG.sub(lambda match: match[0][:SHOWN_CHARACTERS] + HIDDEN if _looks_random(match[0]) else match[0], text)


def redact_path(path: str) -> str:
    """A path without what is plainly a secret: URL passwords, and tokens by their vendor's prefix. Long names of files stay as they are: a
    report that hides where a secret lies is of no use."""
    if "://" in path:
        path = _URL_PASSWORD.sub(rf"\1{HIDDEN}", path)
    return "/".join(_PREFIXED.sub(_cut_token, part) if len(part) >= SHORTEST_SHOWN else part for part in path.split("/"))


def _cut_token(match: re.Match[str]) -> str:
    return match[0][:SHOWN_CHARACTERS] + HIDDEN if _is_token(match[0]) else match[0]


def _is_token(text: str) -> bool:
    return any("0" <= c <= "9" for c in text) and bits_per_character(text.encode()) >= 3.5


def _looks_random(token: str) -> bool:
    mixes = any("a" <= c <= "z" for c in token) and any("A" <= c <= "Z" for c in token) and any("0" <= c <= "9" for c in token)
    words = re.findall(r"[a-z]{5,}", token)
    return mixes and sum(map(len, words)) * 2 < len(token) and bits_per_character(token.encode()) >= 3.8
