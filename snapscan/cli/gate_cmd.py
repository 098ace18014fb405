"""`snapscan gate SOURCE|CASE`: pass only what is clean and was read completely."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from snapscan.cli.case_option import judged_case, open_case
from snapscan.cli.options import SEVERITIES
from snapscan.model.policy import GATE_DEFAULTS, POLICY_FILE, load_policy
from snapscan.model.runview import RunView
from snapscan.report.base import reporter
from snapscan.run.scan import ScanOptions, scan


@click.command("gate")
@click.argument("subject", metavar="SOURCE|CASE", type=click.Path(path_type=Path))
@click.option("--fail-on", type=SEVERITIES, help="Fail from this severity on (low unless the policy says otherwise).")
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), help=f"Policy file; {POLICY_FILE} in this folder if there is one.")
@click.option("--case", type=click.Path(path_type=Path), help="Keep the case of a SOURCE here; thrown away otherwise.")
def command(subject: Path, fail_on: str | None, policy_file: Path | None, case: Path | None) -> int:
    """Pass (exit 0) only a snapshot without findings that was read completely; what may be missing must stand in the policy.

    \b
    snapscan gate image.qcow2 && aws ec2 modify-image-attribute ...
    """
    if policy_file is None and Path(POLICY_FILE).is_file():
        policy_file = Path(POLICY_FILE)
    policy = load_policy(policy_file, {"gate.fail_on": fail_on} if fail_on else {}, base=GATE_DEFAULTS)
    if (subject / "case.sqlite").is_file():
        with open_case(subject) as reader:
            view = judged_case(reader, policy)
        return _verdict(view)
    with tempfile.TemporaryDirectory(prefix="snapscan-gate-") as temporary:
        result = scan([str(subject)], ScanOptions(case=case or Path(temporary) / "case", policy=policy))
        for error in result.errors:
            print(f"error: {error}", file=sys.stderr)
        _verdict(result.view)
        return int(result.exit)


def _verdict(view: RunView) -> int:
    reporter("console").write(view, sys.stdout)
    verdict = view.verdict
    print("gate: " + ("pass" if verdict.exit == 0 else "fail" if verdict.failing else "incomplete"))
    return int(verdict.exit)
