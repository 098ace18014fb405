"""A run as every report sees it: read from the store, judged by the gate, never changed.

Lists are in the order in which a report shows them. Sizes are bytes, times are ISO 8601 in UTC unless a name says otherwise.
"""

from __future__ import annotations

from typing import Any

import msgspec

from snapscan.model.errors import Exit
from snapscan.model.finding import Severity, Sighting
from snapscan.model.ledger import LedgerRow, Totals
from snapscan.model.locator import quote
from snapscan.model.snapshot import SnapshotRef
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap


class RunInfo(msgspec.Struct, frozen=True):
    """Facts of the run; each field is a key of the store's `meta`.

    `seconds` is what the scan took, resumed runs added up. `finished` stays empty until the run came to its end: an empty one is not complete.
    """

    tool: str = "snapscan"
    version: str = ""
    rules_digest: str = ""
    policy_digest: str = ""
    run_digest: str = ""
    key_id: str = ""
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    interrupted: bool = False
    policy: dict[str, Any] | None = None
    """The policy that the run was made under, as `policy.to_builtins` writes it."""


class RuleInfo(msgspec.Struct, frozen=True):
    """What a report says of a rule."""

    id: str
    name: str
    kind: str
    severity: Severity
    why: str = ""
    fix: str = ""


class SpaceView(msgspec.Struct, frozen=True):
    """One space: its ledger with neighbours of one outcome joined.

    The ledger adds up to `size_bytes` always: bytes that no task got to are rows `unread` with the reason `not-reached`.
    """

    id: int
    snapshot: SnapshotRef
    state: str
    size_bytes: int
    ledger: tuple[LedgerRow, ...]
    totals: Totals
    volumes: tuple[str, ...] = ()
    """`part:1 ext4`, in the order found."""

    @property
    def name(self) -> str:
        """The beginning of this space's locators: `qcow2:disk.qcow2%state:before`."""
        text = f"{self.snapshot.kind}:{quote(self.snapshot.label.encode('utf-8', 'surrogateescape'))}"
        return f"{text}%state:{quote(self.state.encode('utf-8', 'surrogateescape'))}" if self.state else text


class SightingView(msgspec.Struct, frozen=True):
    """One place of a finding, and the space that it lies in."""

    space: SpaceView
    sighting: Sighting


class FindingView(msgspec.Struct, frozen=True):
    """One distinct secret under one rule: severity from the rule, confidence the highest of its sightings."""

    fingerprint: str
    rule: RuleInfo
    confidence: int
    redacted: str
    sightings: tuple[SightingView, ...]


class ViewEntry(msgspec.Struct, frozen=True):
    space: SpaceView
    row: ViewRow


class GapEntry(msgspec.Struct, frozen=True):
    space: SpaceView
    gap: Gap


class Verdict(msgspec.Struct, frozen=True):
    """What the gate says of a run. `reasons` name all that keeps it from being complete, and `accepted` what the policy let pass."""

    exit: Exit
    complete: bool
    reasons: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    failing: int = 0
    """Findings at or above the policy's severity and confidence."""


NOT_JUDGED = Verdict(exit=Exit.INCOMPLETE, complete=False, reasons=("no policy was asked",))


class RunView(msgspec.Struct, frozen=True):
    """All that a report may show."""

    run: RunInfo
    spaces: tuple[SpaceView, ...]
    rules: tuple[RuleInfo, ...]
    findings: tuple[FindingView, ...]
    """By severity, then confidence, both falling, then rule, then path of the first sighting."""
    views: tuple[ViewEntry, ...]
    gaps: tuple[GapEntry, ...]
    notes: tuple[str, ...]
    pending_tasks: int = 0
    verdict: Verdict = NOT_JUDGED

    @property
    def size_bytes(self) -> int:
        return sum(space.size_bytes for space in self.spaces)

    @property
    def totals(self) -> Totals:
        """Bytes per outcome over all spaces."""
        result = Totals()
        for space in self.spaces:
            for name in Totals.__struct_fields__:
                setattr(result, name, getattr(result, name) + getattr(space.totals, name))
        return result

    @property
    def findings_by_severity(self) -> dict[str, int]:
        """Every severity word, the gravest first, with its number of findings."""
        counts = {severity.word: 0 for severity in sorted(Severity, reverse=True)}
        for finding in self.findings:
            counts[finding.rule.severity.word] += 1
        return counts

    @property
    def views_by_outcome(self) -> dict[str, int]:
        counts = dict.fromkeys(("opened", "partly", "refused", "lost", "pending"), 0)
        for entry in self.views:
            counts[entry.row.outcome] += 1
        return counts
