"""`snapscan report CASE`"""

from __future__ import annotations

from pathlib import Path

import click

from snapscan.cli.case_option import CASE, judged_case, open_case
from snapscan.cli.options import opened_output, output_options
from snapscan.model.finding import Confidence
from snapscan.report.base import ReportOptions, reporter


@click.command("report")
@CASE
@click.option("--all", "long", is_flag=True, help="Do not cut long lists.")
@click.option(
    "--min-confidence", type=click.Choice(["low", "medium", "high"]), default="medium", show_default=True, help="Show findings from here on."
)
@click.option("--everything", is_flag=True, help="Show what was held back too, each with its evidence: --all --min-confidence low.")
@output_options
def command(case: Path, long: bool, min_confidence: str, everything: bool, form: str, output: Path | None) -> int:
    """Print what a case holds.

    \b
    snapscan report vm.snapscan --format jsonl
    """
    least = Confidence.LOW if everything else Confidence[min_confidence.upper()]
    options = ReportOptions(everything=long or everything, min_confidence=least)
    with open_case(case) as reader:
        view = judged_case(reader)
    with opened_output(output) as out:
        reporter(form, options).write(view, out)
    return 0
