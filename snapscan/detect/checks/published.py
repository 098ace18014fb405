"""Private keys that everybody has: they are compiled into libraries for self-tests and lie on millions of disks.

Known by the bytes of the key itself, never by a path or a package's name. Such a key still counts as found, with little confidence: somebody
may use it in earnest.
"""

from __future__ import annotations

import hashlib
import re

from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

_BODY = re.compile(rb"-{4,5}(?:\s|\\[rn])+([A-Za-z0-9+/=\s\\]{24,})")
_LOOKED_AT = 128
"""Characters of Base64: past the algorithm's header, which all keys of a kind share."""

_GNUTLS_SELF_TEST = frozenset(
    (
        "a1989fb02f9fd2603308393d0a9747f1",
        "cadf1e62661d5d21a7fce2c80b331902",
        "6d03bbf47115fad00d6f990593a6465c",
        "7992d4e6056d22c06473752be07ccc5d",
        "391a6e56c5ec5ca64e4744bbe04a7e94",
        "d92a81006ae8ae4a5b23593905c997f7",
    )
)
"""SHA-256, first half, of the body's first 128 characters: the six keys in the text of libgnutls.so.30 of Debian 12 (GnuTLS 3.7.9)."""


def published(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against an armoured key that is one of the published ones."""
    body = _BODY.search(value)
    if body is None:
        return None
    text = re.sub(rb"\s|\\[rn]", b"", body[1])[:_LOOKED_AT]
    if hashlib.sha256(text).hexdigest()[:32] in _GNUTLS_SELF_TEST:
        return Evidence("published", "self-test", -6, "a key in the self-tests of GnuTLS")
    return None
