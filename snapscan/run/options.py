"""What a scan may be told, and what it gives back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from snapscan.model.errors import Exit, SnapscanError
from snapscan.model.policy import SCAN_DEFAULTS, RunPolicy
from snapscan.model.runview import RunView


class ScanOptions(msgspec.Struct, frozen=True):
    """All that a scan may be told besides its sources."""

    case: Path | None = None
    resume: bool = False
    workers: int = 0
    """0: one for each processor we may use."""
    policy: RunPolicy = SCAN_DEFAULTS
    rules: tuple[Path, ...] = ()
    """Folders of further rules; the built-in ones are always there."""
    yara: tuple[Path, ...] = ()
    key_file: Path | None = None
    kind: str = ""
    parents_from: tuple[str, ...] = ()
    rule_cache: bool = True


class ScanResult(msgspec.Struct, frozen=True):
    """The case's folder, its content as reports see it, and the errors of the sources that could not be opened."""

    case: Path
    view: RunView
    errors: tuple[SnapscanError, ...]

    @property
    def exit(self) -> Exit:
        if self.errors and self.view.verdict.exit is not Exit.FINDINGS:
            return self.errors[0].exit_code
        return Exit.INTERRUPTED if self.view.run.interrupted else self.view.verdict.exit
