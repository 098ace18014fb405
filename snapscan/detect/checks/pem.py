"""What the beginning of an armoured private key tells: whether a passphrase guards it, and whether it is more than a header."""

from __future__ import annotations

import re

from snapscan.detect.checks.decode import from_base64
from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

_MAGIC = b"openssh-key-v1\0"
_BODY = re.compile(rb"-{4,5}(?:\s|\\[rn])+([A-Za-z0-9+/=\s\\]{24,})")


def pem(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Notes `encrypted` or `plain` where the text says it; against a body that is masked or one letter repeated."""
    header = value[:64]
    body = _BODY.search(value)
    if body is not None and len(set(body[1][:64])) < 8:
        return Evidence("pem", "no-body", -2)
    if b"ENCRYPTED" in value or b"Encryption: aes" in value:
        return Evidence("pem", "encrypted", 0, "guarded by a passphrase")
    if b"Encryption: none" in value:
        return Evidence("pem", "plain", 1, "no passphrase")
    if b"OPENSSH" in header:
        return _openssh(body[1] if body else b"")
    if b"PGP" in header or b"SSH2" in header:
        return None
    return Evidence("pem", "plain", 1, "no passphrase")


def _openssh(body: bytes) -> Evidence | None:
    """OpenSSH PROTOCOL.key: the magic, then the cipher's name with its length before it."""
    text = re.sub(rb"\s|\\[rn]", b"", body)[:64]
    decoded = from_base64(text[: len(text) // 4 * 4]) or b""
    if not decoded.startswith(_MAGIC):
        return Evidence("pem", "no-magic", -2)
    start = len(_MAGIC) + 4
    cipher = decoded[start : start + min(int.from_bytes(decoded[start - 4 : start], "big"), 32)]
    if cipher == b"none":
        return Evidence("pem", "plain", 1, "no passphrase")
    return Evidence("pem", "encrypted", 0, "guarded by a passphrase")
