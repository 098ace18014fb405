"""`snapscan ledger CASE`: what became of every byte."""

from __future__ import annotations

from pathlib import Path

import click

from snapscan.cli.case_option import CASE, judged_case, open_case
from snapscan.model.ledger import OUTCOMES
from snapscan.model.units import size_text
from snapscan.report.base import safe_text


@click.command("ledger")
@CASE
def command(case: Path) -> int:
    """Print every run of bytes with one outcome, the sums, and whether they add up to the size.

    \b
    snapscan ledger vm.snapscan
    """
    with open_case(case) as reader:
        view = judged_case(reader)
    whole = True
    for space in view.spaces:
        click.echo(f"{safe_text(space.name)}  {space.size_bytes} bytes ({size_text(space.size_bytes)})")
        for row in space.ledger:
            why = f"  {row.reason} {safe_text(row.detail)}".rstrip()
            click.echo(f"  {row.start:#14x} {row.end:#14x}  {row.end - row.start:>15}  {row.outcome}{why}")
        t = space.totals
        adds_up = t.total == space.size_bytes
        whole &= adds_up
        sign = "=" if adds_up else "!="
        parts = " + ".join(f"{outcome} {getattr(t, outcome)}" for outcome in OUTCOMES)
        click.echo(f"  {parts} = {t.total} {sign} size {space.size_bytes}")
    return 0 if whole else 3
