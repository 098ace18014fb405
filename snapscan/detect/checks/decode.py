"""Values that say more once decoded: the account in an AWS key id, the header of a JWT, user and password in Base64."""

from __future__ import annotations

import binascii
import json
import re

from snapscan.detect.checks.placeholder import placeholder, reference
from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ALGORITHM = re.compile(r"[A-Za-z0-9+-]{2,24}")
_FROM_MANUALS = (b"eyJzdWIiOiIxMjM0NTY3ODkw", b"eyJzb21lIjoicGF5bG9hZCJ9")
"""`{"sub":"1234567890` and `{"some":"payload"}`: the examples of jwt.io and PyJWT, which stand in the manuals of most libraries."""

_PRINTABLE = re.compile(rb"[\x20-\x7e\x80-\xff]+")


def from_base64(text: bytes) -> bytes | None:
    """The bytes behind Base64 of either alphabet, padded or not; None where it is none."""
    text = text.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return None


def aws_account(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """The account number inside an AWS key id: bits 1 to 40 of what follows the four letters, in Base32 (since about 2019).

    Older ids hold none: their number lacks its highest bit, so the first of the sixteen is below Q.
    """
    number = 0
    for byte in value[4:14]:
        digit = _BASE32.find(byte)
        if digit < 0:
            return None
        number = number << 5 | digit
    if len(value) != 20 or not number >> 49:
        return None
    account = (number >> 2 & 0x7FFFFFFFFF80) >> 7
    if account >= 10**12:
        return Evidence("aws-account", "none", 0)
    return Evidence("aws-account", "decoded", 1, f"account {account:012d}")


def jwt(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """For a value whose first part is a JSON object with `alg` (RFC 7515, 4.1.1); against anything else."""
    first, _, rest = value.partition(b".")
    if rest.startswith(_FROM_MANUALS):
        return Evidence("jwt", "from-the-manual", -2)
    decoded = from_base64(first)
    try:
        header = json.loads(decoded or b"")
    except (ValueError, RecursionError):
        return Evidence("jwt", "no-header", -2)
    algorithm = header.get("alg") if isinstance(header, dict) else None
    if not isinstance(algorithm, str) or not _ALGORITHM.fullmatch(algorithm):
        return Evidence("jwt", "no-algorithm", -2)
    return Evidence("jwt", "header", 2, f"signed with {algorithm}")


def basic_auth(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """For Base64 that decodes to `user:password` (RFC 7617); against what does not, or whose password is a placeholder."""
    decoded = from_base64(value)
    if decoded is None or b":" not in decoded or not _PRINTABLE.fullmatch(decoded):
        return Evidence("basic-auth", "no-pair", -2)
    user, _, password = decoded.partition(b":")
    if len(password) < 3 or placeholder(password, window, rule) or reference(password, window, rule) or (user, password) in _FROM_THE_RFCS:
        return Evidence("basic-auth", "placeholder", -2)
    return Evidence("basic-auth", "pair", 1)


_FROM_THE_RFCS = frozenset(((b"Aladdin", b"open sesame"), (b"username", b"password"), (b"user", b"password"), (b"user", b"pass"), (b"test", b"test")))


def docker_auth(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """As `basic-auth`: the `auth` field of a Docker configuration is the same pair."""
    return basic_auth(value, window, rule)


def bitlocker(value: bytes, window: bytes, rule: Rule) -> Evidence | None:
    """For eight groups of six digits that are each eleven times a 16-bit number; against other digits."""
    groups = [int(group) for group in value.split(b"-") if group.isdigit()]
    if len(groups) == 8 and len(set(groups)) > 2 and all(group % 11 == 0 and group < 720896 for group in groups):
        return Evidence("bitlocker", "right", 4)
    return Evidence("bitlocker", "wrong", -2)
