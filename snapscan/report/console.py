"""The report for a person: totals first, then each secret with its places, then what was not read, always."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TextIO, TypeVar

from snapscan.model.finding import Confidence, Severity, Sighting
from snapscan.model.ledger import LedgerRow
from snapscan.model.runview import FindingView, RunView, SpaceView
from snapscan.model.units import size_text
from snapscan.report.base import ReportOptions, safe_text
from snapscan.report.terminal import Terminal

FINDINGS_MOST = 50
PLACES_MOST = 5
LINES_MOST = 20
"""How long each list gets without --all: a screen for a person; the JSONL has everything."""

_STYLES = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan", Severity.INFO: "dim"}
_WITH_INODE = frozenset(("file", "directory", "symlink", "attribute", "encrypted"))

T = TypeVar("T")


class ConsoleReporter:
    def __init__(self, options: ReportOptions) -> None:
        self._options = options

    def write(self, view: RunView, out: TextIO) -> None:
        page = _Page(Terminal(out, color=self._options.color), self._options)
        page.totals(view)
        page.findings(view)
        page.not_read(view)


class _Page:
    """One report on its way to the terminal."""

    def __init__(self, terminal: Terminal, options: ReportOptions) -> None:
        self._line = terminal.line
        self._everything = options.everything
        self._least = options.min_confidence

    def totals(self, view: RunView) -> None:
        for space in view.spaces:
            self._line(
                (safe_text(space.name), "bold"),
                f"  {size_text(space.size_bytes)}" + (f"  {safe_text(', '.join(space.volumes))}" if space.volumes else ""),
            )
        findings = self._shown(view)
        places = sum(len(finding.sightings) for finding in findings)
        by_severity = Counter(finding.rule.severity for finding in findings)
        counts = [f"{by_severity[severity]} {severity.word}" for severity in sorted(by_severity, reverse=True)]
        found = f"{_count(len(findings), 'secret')} in {_count(places, 'place')}" if findings else "no secrets found"
        self._line((found, "bold"), f" ({', '.join(counts)})" if counts else "")
        totals = view.totals
        shares = ", ".join(f"{size_text(getattr(totals, word))} {word}" for word in ("swept", "absent", "excluded", "unread", "lost"))
        self._line(f"{shares}; {view.run.seconds:.1f} s")
        verdict = view.verdict
        if verdict.complete:
            self._line(("complete", "green"), f"; exit {int(verdict.exit)}")
        else:
            self._line(("INCOMPLETE", "bold yellow"), f": something was not read, see below; exit {int(verdict.exit)}")

    def findings(self, view: RunView) -> None:
        shown = self._shown(view)
        self._cut(shown, FINDINGS_MOST, "secrets", self._finding)
        held = len(view.findings) - len(shown)
        if held:
            vendor = sum(_is_vendors(finding) for finding in view.findings if finding.confidence < self._least)
            why = f", {vendor} of them in unchanged files of packages" if vendor else ""
            self._line()
            self._line(f"{_count(held, 'finding')} below {self._least.word} confidence held back{why}; report --everything shows them and why")

    def _shown(self, view: RunView) -> list[FindingView]:
        return [finding for finding in view.findings if finding.confidence >= self._least]

    def _finding(self, finding: FindingView) -> None:
        rule = finding.rule
        self._line()
        self._line((rule.severity.word.upper(), _STYLES[rule.severity]), f"  {safe_text(rule.name)}  ", (safe_text(rule.id), "dim"))
        confidence = Confidence(finding.confidence).word
        self._line("  ", (safe_text(finding.redacted), "bold"), f"  confidence {confidence}, {_count(len(finding.sightings), 'place')}")
        self._cut(finding.sightings, PLACES_MOST, "places", lambda place: self._place(place.sighting), indent="    ")
        if rule.fix:
            self._line("  fix: ", (safe_text(rule.fix), ""))

    def _place(self, item: Sighting) -> None:
        self._line("    ", safe_text(item.path) or "no file", f"  {_owner(item)}")
        known = item.attribution
        if known and known.formerly:
            self._line(f"      formerly {safe_text(known.formerly)} at {known.offset}, known from {safe_text(known.known_from or 'the image')}")
        if known and known.container:
            self._line(f"      container {safe_text(known.container)}")
        if known and known.slack_of:
            self._line(f"      in the slack of {safe_text(known.slack_of)}")
        if self._least is Confidence.LOW:
            for said in item.evidence:
                self._line(f"      {safe_text(said.check)}: {safe_text(said.outcome)}" + (f", {safe_text(said.note)}" if said.note else ""))
        self._line("      ", (safe_text(item.locator), "dim"))

    def not_read(self, view: RunView) -> None:
        self._line()
        self._line(("WHAT WAS NOT READ", "bold"))
        rows = [(space, row) for space in view.spaces for row in space.ledger if row.outcome not in ("swept", "absent")]
        views = [entry for entry in view.views if entry.row.outcome != "opened"]
        if not (rows or views or view.gaps or view.verdict.reasons):
            self._line("  nothing: every stored byte was read, and everything that had to be opened was opened")
        for reason in view.verdict.reasons:
            self._line("  ", ("not accepted", "yellow"), f"  {safe_text(reason)}")
        for reason in view.verdict.accepted:
            self._line("  ", ("accepted by the policy", "dim"), f"  {safe_text(reason)}")
        self._cut(rows, LINES_MOST, "ranges", lambda pair: self._range(*pair, many=len(view.spaces) > 1), indent="  ")
        self._cut(
            views,
            LINES_MOST,
            "views",
            lambda entry: self._entry(entry.row.outcome, entry.row.reason, entry.row.locator, entry.row.detail),
            indent="  ",
        )
        self._cut(view.gaps, LINES_MOST, "gaps", lambda entry: self._entry("gap", entry.gap.reason, entry.gap.where, entry.gap.detail), indent="  ")
        if view.notes:
            self._line()
            self._line(("NOTES", "bold"))
            self._cut(view.notes, LINES_MOST, "notes", lambda note: self._line("  ", safe_text(note)), indent="  ")

    def _range(self, space: SpaceView, row: LedgerRow, *, many: bool) -> None:
        where = f"{hex(row.start)}..{hex(row.end)}, {size_text(row.end - row.start)}"
        self._entry(row.outcome, row.reason, f"{space.name}  {where}" if many else where, row.detail)

    def _entry(self, word: str, reason: str, where: str, detail: str) -> None:
        self._line(
            "  ", (safe_text(word), "yellow"), f"  {safe_text(reason or '-')}  {safe_text(where)}" + (f"  ({safe_text(detail)})" if detail else "")
        )

    def _cut(self, items: Sequence[T], most: int, word: str, show: Callable[[T], None], *, indent: str = "") -> None:
        """Show the first `most` items, and say how many are left out and how to see them."""
        shown = items if self._everything else items[:most]
        for item in shown:
            show(item)
        if len(shown) < len(items):
            if not indent:
                self._line()
            self._line(f"{indent}... and {len(items) - len(shown)} more {word}; --all shows them")


def _is_vendors(finding: FindingView) -> bool:
    return all(any(said.outcome == "vendor" for said in place.sighting.evidence) for place in finding.sightings)


def _owner(item: Sighting) -> str:
    """Whose bytes: `live file, -rw-r--r--, uid 0`; the offset is in the locator."""
    owner = f"{item.owner_state} {item.owner}".strip() if item.owner_state != "live" or item.owner in _WITH_INODE else item.owner
    return f"{safe_text(owner)}, {stat.filemode(item.mode & 0xFFFF)}, uid {item.uid}" if item.owner in _WITH_INODE else safe_text(owner)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
