"""Values that only stand where a secret would: written for a reader, or looked up when the program runs."""

from __future__ import annotations

import re

from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

_LOOKED_AT_BYTES = 128
"""Placeholders say so early; in what follows of a long key, short words turn up by chance."""

_WORDS = re.compile(
    rb"example|place_?holder|replace[_-]?(?:me|this|with)|redacted|your[_-]?(?:own|api|app|key|token|secret|pass|user|account)"
    rb"|(?:my|some|the|an?)[_-]?(?:token|api[_-]?key|secret[_-]?key)|insert[_-]|enter[_-]|goes[_-]?here|not[_-]?real|sanitized|censored|snipped|foobar"
)
_SHORT_WORDS = re.compile(
    rb"(?<![a-z0-9])(?:your|dummy|fake|sample|demo|todo|fixme|tbd|none|null|nil|undefined|empty|hidden|masked|removed|invalid|foo|bar|baz)(?![a-z0-9])"
)
_MASKS = re.compile(rb"x{5,}|(?:x{4}[-_ ]){2}|\*{3,}|\*[a-z]{3,}\*|\.{3}|\xe2\x80\xa6|_{4,}|\?{3,}|#{4,}|-{4,}")
_SLOTS = re.compile(
    rb"\A(?:<[^<>]{1,80}>?|\[[^\[\]]{1,80}\]|\{[^{}]{1,80}\}|%[A-Za-z_][A-Za-z0-9_]*%|@[A-Za-z_][A-Za-z0-9_]*@|%[sdr]|%[-+0-9.]*[a-z])\Z"
)
_REFERENCES = re.compile(
    rb"(?i)\$\{|\$\(|\$\[|\{\{|#\{|<%|%\(\w|%\{|\A`|"
    rb"\b(?:os\.environ|getenv|process\.env|import\.meta|System\.get|ENV\[|env\(|config\(|var\.|local\.|data\.|secrets\.|vault[:(/]|ssm:|sops:|keyring:|"
    rb"file:/|fromJson|lookup\()|arn:aws|secretsmanager|secretKeyRef|valueFrom|!vault|!secret|!Ref|!Sub|ENC\[AES"
)
_FROM_MANUALS = frozenset(
    (
        b"czZCaGRSa3F0MzpnWDFmQmF0M2JW",  # RFC 6749, 2.3.1
        b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==",  # RFC 7617, 2
        b"mF_9.B5f-4.1JqM",  # RFC 6750, 2.1
        b"uXFGweU9l35qcif",  # kubectl config set-credentials --help
        b"2YotnFZFEjr1zCsicMWpAA",  # RFC 6749, 4.1.4
        b"tGzv3JOkF0XG5Qx2TlKWIA",  # RFC 6749, 4.1.4
        b"SplxlOBeZQQYbYS6WxSbIA",  # RFC 6749, 4.1.2
        b"geheim$parole",  # Python's urllib.request
        b"password_here",  # wp-config-sample.php
    )
)
"""Values that manuals print and every copy of the manual carries."""

_EXAMPLE_HOST = re.compile(rb"@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|example|invalid|test)(?![\w.-])", re.IGNORECASE)

_VARIABLE = re.compile(rb"\A\$(?:[A-Z_][A-Z0-9_]*|[a-z_]+)\Z")
"""Only a whole value: people write `Sup3r$ecret` too."""

_NOT_A_LOOKUP = re.compile(rb"\A\$(?:[0-9][a-z0-9]{0,2}|y|gy|7|apr1|argon2|pbkdf2|scrypt|bcrypt)[$,-]")
"""Hashes in modular crypt format (`$6$...`) begin with the sign that shells use for variables."""


def placeholder(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against masked values (`xxxxx`, `****`), slots (`<token>`, `%TOKEN%`) and words that say so (`example`, `your_key`)."""
    if value in _FROM_MANUALS:
        return Evidence("placeholder", "from-a-manual", -2)
    lowered = value[:_LOOKED_AT_BYTES].lower()  # a pattern without (?i) skips to its first letters, one with it tries every byte: 10 times slower
    for outcome, pattern in (("mask", _MASKS), ("word", _WORDS), ("word", _SHORT_WORDS)):
        if pattern.search(lowered):
            return Evidence("placeholder", outcome, -2)
    if _SLOTS.match(value):
        return Evidence("placeholder", "slot", -2)
    return None


def reference(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against values that name the place of a secret: shell and template variables, environment and vault look-ups."""
    if _NOT_A_LOOKUP.match(value):
        return None
    if _REFERENCES.search(value, 0, _LOOKED_AT_BYTES) or _VARIABLE.match(value):
        return Evidence("reference", "look-up", -2)
    return None


def example_host(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against a password in an address whose host is set aside for documentation (RFC 2606)."""
    at = window.find(value)
    if at >= 0 and _EXAMPLE_HOST.match(window, at + len(value)):
        return Evidence("example-host", "reserved", -2)
    return None
