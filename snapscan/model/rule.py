"""A rule as it stands in `rules/*/*.yml`; the meaning of every field is in docs/rules.md."""

from __future__ import annotations

import msgspec


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of secret.

    `pattern` is a Python `re` pattern over bytes, of bounded length but for a last open repeat; `value` is the group that is the secret.
    `refuse` names checks that veto (detect/checks), `checksum` one that proves. `follow` reads on from a hit that is only the beginning
    (`pem`). `ignore` holds patterns over the value that veto. `pair` joins this rule's value with the nearest value of another rule in the
    same owner.
    """

    id: str
    name: str
    kind: str
    severity: str
    pattern: str
    why: str
    fix: str
    references: list[str]
    examples: list[str]
    value: int = 0
    family: str = ""
    encodings: list[str] = msgspec.field(default_factory=lambda: ["ascii", "utf16"])
    entropy_at_least: float = 0.0
    refuse: list[str] = msgspec.field(default_factory=list)
    checksum: str = ""
    follow: str = ""
    pair: str = ""
    pair_within: int = 4096
    confidence: str = "medium"
    second_opinion: bool = False
    counter_examples: list[str] = msgspec.field(default_factory=list)
    ignore: list[str] = msgspec.field(default_factory=list)

    @property
    def fingerprint_family(self) -> str:
        return self.family or self.id
