"""Checksums that vendors put into their tokens: proof without a request.

A wrong guess about what a checksum covers would drop every genuine token, so a mismatch lowers the confidence and never vetoes.
"""

from __future__ import annotations

from zlib import crc32

from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE36 = b"0123456789abcdefghijklmnopqrstuvwxyz"


def in_base(number: int, alphabet: bytes, width: int) -> bytes:
    """`number` written with the digits of `alphabet`, at least `width` of them."""
    digits = bytearray()
    while number:
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return bytes(reversed(digits)).rjust(width, alphabet[:1])


def crc32_base62(data: bytes) -> bytes:
    """CRC-32 of `data` as GitHub writes it: six digits of 0-9A-Za-z."""
    return in_base(crc32(data), BASE62, 6)


def github(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """GitHub: the last six characters are the CRC-32 of those between prefix and checksum (github.blog, 2021-04-05).

    For `github_pat_` the covered part is not documented; public validators take the piece after the last underscore, others all after the prefix.
    """
    body, given = value[:-6], value[-6:]
    if value.startswith(b"github_pat_"):
        scopes = (body[body.rfind(b"_") + 1 :], body[len(b"github_pat_") :], body)
        return _verdict("github", any(crc32_base62(scope) == given for scope in scopes), against=0)
    return _verdict("github", crc32_base62(body[body.find(b"_") + 1 :]) == given)


def npm(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """npm: as GitHub (github.blog, 2021-09-23); reports differ on whether the prefix is covered, so both are taken."""
    body, given = value[:-6], value[-6:]
    return _verdict("npm", given in (crc32_base62(body[len(b"npm_") :]), crc32_base62(body)))


def grafana(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """Grafana service accounts: eight hexadecimal digits, the CRC-32 of all before the last `_`, low byte first (grafana, satokengen)."""
    body, _, given = value.rpartition(b"_")
    return _verdict("grafana", crc32(body).to_bytes(4, "little").hex().encode() == given.lower())


def gitlab(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """GitLab routable tokens: seven digits of base 36, the CRC-32 of all before them (GitLab design document on routable tokens).

    Older tokens have no checksum; they have no dot either.
    """
    if b"." not in value:
        return None
    return _verdict("gitlab", in_base(crc32(value[:-7]), BASE36, 7) == value[-7:])


def _verdict(name: str, right: bool, *, against: int = -1) -> Evidence:
    """A wrong checksum is said and takes nothing away on its own: formats change, and a dropped token is the worse mistake."""
    if right:
        return Evidence(f"checksum-{name}", "right", 4)
    return Evidence(f"checksum-{name}", "wrong" if against else "unproven", against)
