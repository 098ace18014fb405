"""What a report is, and which there are. A reporter is a pure function of a RunView that writes one document."""

from __future__ import annotations

import importlib
from typing import Protocol, TextIO

import msgspec

from snapscan.model.errors import UsageError
from snapscan.model.finding import Confidence
from snapscan.model.runview import RunView


class ReportOptions(msgspec.Struct, frozen=True):
    """Options that a document may heed.

    `everything`: long lists are not cut (`--all`). `color` None: as the terminal and NO_COLOR say. `min_confidence`: findings below it are
    counted, not shown; at low all are shown, with their evidence. Documents for machines hold every finding, whatever its confidence.
    """

    everything: bool = False
    min_confidence: Confidence = Confidence.MEDIUM
    color: bool | None = None


class Reporter(Protocol):
    """One format. The RunView is judged (gate.judged); `out` is text, UTF-8, and stays open. Errors of `out` pass through."""

    def write(self, view: RunView, out: TextIO) -> None: ...


class ReporterType(Protocol):
    def __call__(self, options: ReportOptions) -> Reporter: ...


REPORTERS: dict[str, str] = {}
"""Format word -> `module:class`, imported when first asked for."""


def register(name: str, place: str) -> None:
    """Add a format; a word is given once."""
    assert name not in REPORTERS, name
    REPORTERS[name] = place


def reporter(name: str, options: ReportOptions | None = None) -> Reporter:
    """The reporter of a format word. Raises UsageError `unknown-format`."""
    if name not in REPORTERS:
        raise UsageError("unknown-format", f"there is no format {safe_text(name)!r}", hint=f"known: {', '.join(REPORTERS)}")
    module, _, attribute = REPORTERS[name].partition(":")
    made: ReporterType = getattr(importlib.import_module(module), attribute)
    return made(options or ReportOptions())


def safe_text(text: str) -> str:
    """Text from an image on one line of a terminal or log: what does not print (controls, escapes, bidi overrides) as `\\x1b` or `\\u202e`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


register("console", "snapscan.report.console:ConsoleReporter")
register("jsonl", "snapscan.report.jsonl:JsonlReporter")
