"""What was found: a finding is a secret, a sighting is a place where it lies.

No record here holds a secret's value: `redacted` shows at most four characters of it, `fingerprint` is a keyed hash.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Severity(IntEnum):
    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        return self.name.lower()


class Confidence(IntEnum):
    LOW = 0
    MEDIUM = 1
    HIGH = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class Evidence(msgspec.Struct, frozen=True):
    """What one check says of a value. `weight` moves the confidence: above 0 for, below 0 against; `veto` ends the candidate."""

    check: str
    outcome: str
    weight: int = 0
    note: str = ""
    veto: bool = False


class Hit(msgspec.Struct, frozen=True, array_like=True):
    """A secret found in a run of bytes, before anybody knows whose bytes they are. Crosses pipes and goes to the store.

    `start` counts in the bytes that were scanned (the space, or a decoded member); `length` is that of the value in those bytes.
    `wide` is 2 for UTF-16 text and 1 for bytes.
    """

    rule: str
    start: int
    length: int
    fingerprint: str
    redacted: str
    confidence: int
    evidence: tuple[Evidence, ...] = ()
    wide: int = 1


class Attribution(msgspec.Struct, frozen=True):
    """More about a place: formerly whose it was, which process or container it belongs to. Empty fields are left out of reports."""

    formerly: str = ""
    offset: int = 0
    known_from: str = ""
    container: str = ""
    slack_of: str = ""


class Sighting(msgspec.Struct, frozen=True):
    """One place of a finding; see docs/outputs.md for the fields."""

    fingerprint: str
    rule: str
    locator: str
    path: str
    offset: int
    length: int
    space_offset: int
    owner: str
    owner_state: str
    mode: int = 0
    uid: int = 0
    mtime: int = 0
    redacted: str = ""
    confidence: int = 1
    attribution: Attribution | None = None
    evidence: tuple[Evidence, ...] = ()
