"""What every worker needs and the foreman prepares once, before the first fork: rules, patterns, the compiled database, the key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from snapscan import __version__
from snapscan.detect.engine import Engine
from snapscan.detect.match.hyperscan import HyperscanMatcher, cached_database
from snapscan.detect.match.pattern import Pattern
from snapscan.detect.match.yara import YaraMatcher
from snapscan.detect.redact import Fingerprinter
from snapscan.detect.rules import rules_digest
from snapscan.detect.second_opinion import prepare
from snapscan.model.errors import UsageError
from snapscan.model.policy import Limits
from snapscan.model.rule import Rule
from snapscan.views.registry import MAGICS

KEY_BYTES = 32


class Setup:
    """Inherited by the workers when they are forked; nothing here changes afterwards."""

    def __init__(
        self, rules: Sequence[Rule], key: bytes, limits: Limits, cache: Path | None, temporary: Path, yara: YaraMatcher | None = None
    ) -> None:
        self.rules = tuple(rules)
        self.yara = yara
        self.by_id = {rule.id: rule for rule in self.rules}
        self.limits = limits
        self.temporary = temporary
        self.fingerprinter = Fingerprinter(key)
        self.patterns = [Pattern(number, rule.pattern, rule.value) for number, rule in enumerate(self.rules)]
        self.atoms_at_start: frozenset[int] = yara.at_start if yara else frozenset()
        self.marks = [pattern for _, pattern, _ in MAGICS] + list(yara.atoms if yara else ())
        self.blob = cached_database(self.patterns, self.marks, cache)
        yara_digest = hashlib.sha256(repr(yara.sources).encode()).hexdigest() if yara else ""
        if any(rule.second_opinion for rule in self.rules):
            prepare()
        self.rules_digest = hashlib.sha256(f"{rules_digest(self.rules)} {yara_digest}".encode()).hexdigest()

    def engine(self) -> Engine:
        """A new engine of this process's own: scratch is not shared."""
        return Engine(self.rules, HyperscanMatcher(self.blob, self.patterns), self.fingerprinter)

    def run_digest(self, scope: bytes) -> str:
        """Of all that decides what is found: equal digests, equal findings on equal bytes."""
        parts = (__version__.encode(), self.rules_digest.encode(), msgspec.json.encode(self.limits), self.fingerprinter.key_id.encode(), scope)
        return hashlib.sha256(b"\0".join(parts)).hexdigest()


def cache_folder() -> Path:
    """Where compiled rules are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "snapscan"


def user_key(path: Path | None) -> bytes:
    """The key of fingerprints: from `path` (at least 16 bytes), else made once for this user, mode 0600. Raises UsageError."""
    if path is not None:
        try:
            key = path.read_bytes()
        except OSError as error:
            raise UsageError("key-file", f"{path}: {error.strerror}", hint="give a file that you may read") from error
        if len(key) < 16:
            raise UsageError("key-file", f"{path} holds {len(key)} bytes; a key has at least 16")
        return key
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    place = Path(base) / "snapscan" / "fingerprint.key"
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            key = place.read_bytes()
            if len(key) >= 16:
                return key
            raise UsageError(
                "key-file", f"{place} is cut off ({len(key)} bytes)", hint="remove it; findings of older cases can then not be compared"
            ) from None
        with os.fdopen(descriptor, "wb") as file:
            key = os.urandom(KEY_BYTES)
            file.write(key)
            return key
    except OSError as error:
        raise UsageError("key-file", f"{place}: {error.strerror}", hint="give a key with --key-file") from error
