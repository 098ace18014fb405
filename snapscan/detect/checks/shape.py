"""What a value looks like as a whole: a row of keys, an identifier, a word, a UUID, a digest."""

from __future__ import annotations

import re

from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

_ROWS = (
    b"0123456789",
    b"1234567890",
    b"9876543210",
    b"abcdefghij",
    b"zyxwvutsrq",
    b"12345678",
    b"qwertyui",
    b"asdfghjk",
    b"deadbeef",
    b"abcd1234",
    b"1234abcd",
    b"a1b2c3d4",
    b"cafebabe",
    b"00000000",
)
_RUN = re.compile(rb"(.)\1{6,}", re.DOTALL)
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
_DIGEST_LENGTHS = frozenset((32, 40, 56, 64, 96, 128))
_CODE = re.compile(
    rb"[A-Za-z_$@&*][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)+[;,)]*"  # settings.DATABASE, self->password
    rb"|[\w$:]+->\{.*"  # Perl: self->{password}
    rb"|(?:[a-z]+:)?//.*|(?:~|\.{1,2})?/[\w.@%+-]+(?:/.*)?|[A-Za-z]:\\.*"  # URL, path
    rb"|(?:[\w.-]+/)+[\w.-]*\.[a-z]{1,5}"  # a/b/c.py
    rb"|[abglstvw]:[A-Za-z_][\w.]*|[a-z]+(?:_[a-z0-9]+){3,}"  # Vim's scopes; long snake_case with digits
    rb"|[a-z]{3,}/[\w.-]+/[\w./-]*"
    rb"|[\w-]+\.(?:py|pl|rb|js|ts|c|h|cc|cpp|go|rs|java|php|sh|txt|md|xml|html?|json|ya?ml|conf|cfg|ini|key|pem|crt|so|png|svg|css)"
    rb"|[A-Z][A-Z]+(?:_[A-Z0-9]+)+|[a-z]+(?:_[a-z]+){1,8}|[a-z]+(?:-[a-z]+){1,8}"  # CONSTANT_NAME, snake_case, kebab-case
    rb"|[a-z]+(?:[A-Z][a-z]+){1,8}|(?:[A-Z][a-z]+){2,8}"  # camelCase, PascalCase
)
_WEAK = re.compile(rb"(?i)change[_-]?(?:me|it|this)|(?:my|our|some|the|an?)?[_-]?(?:secret|password|passwd|passphrase)[0-9!]{0,4}")
_CALL = re.compile(rb"[A-Za-z_$@&*][\w.$:>-]*[(\[](?:.*[)\](,;:'\"](?:\.\w+)*)?")  # call(...), table[...].field
_LONGEST_NAME = 96
_ENDS = b",;:.)]}\"'="
_WORD = re.compile(rb"[A-Za-z]?[a-z]{1,24}|[A-Z]{2,16}")
_COMMON = frozenset(
    b"""
    admin administrator default guest hello letmein pass passw0rd passwd postgres root secret test test123 test1234 testing toor user welcome
    123456 12345678 abc123 qwerty
    """.split()
)


def sequence(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against rows of keys (`12345678`, `qwertyui`), one byte or a short piece repeated, and few distinct bytes in a long value."""
    head = value[:256]
    length = len(head)
    lowered = head.lower()
    if any(row in lowered for row in _ROWS):
        return Evidence("sequence", "row", -2)
    if _RUN.search(head):
        return Evidence("sequence", "run", -2)
    if length >= 12 and len(set(head)) <= 4:
        return Evidence("sequence", "few-distinct", -2)
    for period in range(1, min(9, length // 2 + 1)):
        if length >= 8 and head[period:] == head[:-period]:
            return Evidence("sequence", "repeats", -2)
    return None


def uuid(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against a UUID where the rule asks for something else."""
    return Evidence("uuid", "uuid", -1) if len(value) == 36 and _UUID.fullmatch(value) else None


def digest(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against plain hexadecimal of a length that MD5 and the SHA family have: digests of files fill a disk."""
    if len(value) in _DIGEST_LENGTHS and _HEX.fullmatch(value):
        return Evidence("hash", "digest-like", -1)
    return None


def identifier(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against what a programmer writes where the value would stand: names, calls, paths, URLs, file names."""
    if len(value) <= _LONGEST_NAME and (_CALL.fullmatch(value) or _CODE.fullmatch(value.rstrip(_ENDS))):
        return Evidence("identifier", "code", -2)
    return None


def word(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Says of a value that it is one plain word, or among the commonest passwords: weak if real, and more often a word of a text."""
    value = value.strip(_ENDS)
    if len(value) < 6:
        return Evidence("word", "short", -2)
    if value.lower() in _COMMON or _WEAK.fullmatch(value):
        return Evidence("word", "common", -2)
    return Evidence("word", "letters-only", -2) if _WORD.fullmatch(value) else None


def mixed(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against a value that lacks a digit or a letter: random values of the length rules ask for have both."""
    if value.isdigit():
        return Evidence("mixed", "digits-only", -2)
    if not any(48 <= byte <= 57 for byte in value):
        return Evidence("mixed", "no-digit", -2)
    return None


def uncertain(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Against a bare word that stands unquoted: it is a keyword or a variable more often than a password."""
    value = value.rstrip(_ENDS)
    if _WORD.fullmatch(value) and value.lower() not in _COMMON and not _WEAK.fullmatch(value):
        return Evidence("uncertain", "word", -2)
    return None
