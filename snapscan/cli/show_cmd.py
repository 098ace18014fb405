"""`snapscan show CASE LOCATOR`: the bytes behind a finding."""

from __future__ import annotations

from pathlib import Path

import click

from snapscan.cli.case_option import CASE, open_case
from snapscan.detect.redact import redact
from snapscan.model.locator import parse
from snapscan.report.base import safe_text
from snapscan.run.resolve import bytes_at, open_record, record_of


@click.command("show")
@CASE
@click.argument("locator")
@click.option("--reveal", is_flag=True, help="Print the value itself.")
def command(case: Path, locator: str, reveal: bool) -> int:
    """Read the bytes at LOCATOR again from the source; redacted unless --reveal is typed.

    \b
    snapscan show vm.snapscan 'qcow2:vm.qcow2/part:1/ext4/srv/app/.env@118+40'
    """
    wanted = parse(locator)
    with open_case(case) as reader:
        opened = open_record(reader, record_of(reader, wanted))
        try:
            value = bytes_at(opened, wanted)
        finally:
            opened.close()
    plain = value[::2] if len(value) > 2 and not any(value[1::2]) else value
    click.echo(safe_text(plain.decode("utf-8", "backslashreplace")) if reveal else redact(plain))
    return 0
