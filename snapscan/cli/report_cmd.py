"""`snapscan report CASE`"""

from __future__ import annotations

from pathlib import Path

import click

from snapscan.cli.case_option import CASE, judged_case, open_case
from snapscan.cli.options import opened_output, output_options
from snapscan.report.base import ReportOptions, reporter


@click.command("report")
@CASE
@click.option("--all", "everything", is_flag=True, help="Do not cut long lists.")
@output_options
def command(case: Path, everything: bool, form: str, output: Path | None) -> int:
    """Print what a case holds.

    \b
    snapscan report vm.snapscan --format jsonl
    """
    with open_case(case) as reader:
        view = judged_case(reader)
    with opened_output(output) as out:
        reporter(form, ReportOptions(everything)).write(view, out)
    return 0
