from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from snapscan.model.finding import Confidence
from snapscan.report.base import ReportOptions, reporter

GOLDEN = Path(__file__).parent / "golden"
EVERYTHING = {"everything": True, "min_confidence": Confidence.LOW}


def page(view, **options):
    out = io.StringIO()
    reporter("console", ReportOptions(**options)).write(view, out)
    return out.getvalue()


class Tty(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("name", "options"), [("sample.txt", {}), ("sample-all.txt", EVERYTHING)])
def test_the_page_is_the_golden_one(sample, name, options):
    assert page(sample, **options) == (GOLDEN / name).read_text()


def test_totals_come_first_then_findings_then_what_was_not_read(sample):
    text = page(sample)
    assert text.index("2 secrets") < text.index("Acme deploy token") < text.index("Private key") < text.index("WHAT WAS NOT READ")


def test_findings_of_low_confidence_are_counted_and_shown_when_asked_for(sample):
    text = page(sample)
    assert "1 finding below medium confidence held back" in text and "Card number" not in text
    assert "Card number" in page(sample, min_confidence=Confidence.LOW)


def test_what_was_not_read_is_said_also_when_that_is_nothing(clean):
    text = page(clean)
    assert "no secrets found" in text
    assert "WHAT WAS NOT READ\n  nothing:" in text
    assert "complete; exit 0" in text


def test_a_long_list_is_cut_with_a_count_and_a_hint(sample):
    assert "... and 2 more places; --all shows them" in page(sample)
    assert "more places" not in page(sample, everything=True)
    many = msgspec.structs.replace(sample, findings=sample.findings * 40, notes=tuple(f"note {n}" for n in range(30)))
    text = page(many)
    assert "... and 30 more secrets; --all shows them" in text
    assert "... and 10 more notes; --all shows them" in text


def test_a_name_can_not_steer_the_terminal(sample, hostile_name):
    text = page(sample)
    assert all(character == "\n" or character.isprintable() for character in text)
    assert "/srv/\\x1b[31mred\\u202egnp.exe\\x0a\\x9b2J\\u2028[bold]x[/bold].env" in text


def test_every_place_has_its_locator_on_a_line_that_is_never_broken(sample):
    long = sample.findings[0].sightings[0]
    path = "/" + "d" * 3000
    place = msgspec.structs.replace(long, sighting=msgspec.structs.replace(long.sighting, path=path, locator=f"raw:x{path}@0+1"))
    finding = msgspec.structs.replace(sample.findings[0], sightings=(place,))
    assert f"\n      raw:x{path}@0+1\n" in page(msgspec.structs.replace(sample, findings=(finding,)))


def test_colour_is_for_terminals_only_and_not_when_no_color_is_set(sample, monkeypatch):
    def written(out, **options):
        reporter("console", ReportOptions(**options)).write(sample, out)
        return out.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in written(Tty())
    assert "\x1b" not in written(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in written(Tty())
    assert "\x1b[" in written(io.StringIO(), color=True)


def test_colour_changes_nothing_else(sample, monkeypatch):
    import re

    assert re.sub(r"\x1b\[[0-9;]*m", "", page(sample, color=True)) == page(sample, color=False)


def test_a_run_with_findings_that_is_incomplete_names_both(sample):
    text = page(sample)
    assert "INCOMPLETE" in text
    assert "exit 1" in text
