"""Password files of Unix: whose hash it is, how it was made, and whether the account is locked.

Format: shadow(5), gshadow(5), crypt(5).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence

from snapscan.detect.inspect.base import Found, Inspector
from snapscan.model.finding import Evidence, Hit
from snapscan.model.rule import Rule

HASH_RULE = "linux.password-hash"
EMPTY_RULE = "linux.shadow-empty"
NAMES = frozenset((b"shadow", b"shadow-", b"gshadow", b"gshadow-", b"shadow.bak", b"opasswd", b"master.passwd", b"passwd", b"passwd-"))
LINES_MOST = 20_000

_HEAD = re.compile(rb"root:[^:\n\x00]{0,200}:[0-9]{0,6}:[0-9]{0,6}:")
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?")
_METHODS = (
    (b"$y$", "yescrypt"),
    (b"$gy$", "gost-yescrypt"),
    (b"$7$", "scrypt"),
    (b"$2", "bcrypt"),
    (b"$6$", "SHA-512"),
    (b"$5$", "SHA-256"),
    (b"$1$", "MD5"),
)
_DES = re.compile(rb"[./A-Za-z0-9]{13}")


def wants(path: bytes, head: bytes, rule_ids: Collection[str]) -> bool:
    """By name below any `etc` folder, so that images inside images and backups count, or by the look of the first line."""
    folder, name = posixpath.split(path)
    return (name in NAMES and folder.endswith((b"/etc", b"/etc/security"))) or _HEAD.match(head) is not None


def inspect(path: bytes, data: bytes, hits: Sequence[Hit], rules: Mapping[str, Rule]) -> list[Found]:
    """A Found for each account with a hash, and one for each that has none and is open; locked accounts without a hash give nothing."""
    group = posixpath.basename(path).startswith(b"gshadow")
    found = []
    at = 0
    for line in data.split(b"\n", LINES_MOST)[:LINES_MOST]:
        fields = line.split(b":")
        if len(fields) >= 3 and _NAME.fullmatch(fields[0]):
            item = _account(fields, at, group=group)
            if item is not None and item.rule_id in rules:
                found.append(item)
        at += len(line) + 1
    return found


def _account(fields: list[bytes], line_start: int, *, group: bool) -> Found | None:
    name, field = fields[0], fields[1]
    who = f"{'group' if group else 'user'} {name.decode('ascii')}"
    hashed = field.lstrip(b"!*")
    state = "locked" if len(hashed) < len(field) else "open"
    start = line_start + len(name) + 1 + len(field) - len(hashed)
    if not field:
        if group or len(fields) != 9:  # an empty field of passwd(5) or gshadow(5) opens nothing
            return None
        return Found(EMPTY_RULE, line_start, len(name), name, (Evidence("shadow", "empty", 0, f"{who}, no password"),))
    method = next((word for prefix, word in _METHODS if hashed.startswith(prefix)), "DES" if _DES.fullmatch(hashed) else "")
    if not method:
        return None
    weight = -1 if state == "locked" else 1
    return Found(HASH_RULE, start, len(hashed), hashed, (Evidence("shadow", state, weight, f"{who}, {method}, {state}"),))


SHADOW = Inspector("shadow", wants, inspect)
