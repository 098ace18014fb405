"""`snapscan scan SOURCE...`"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from snapscan.cli.options import SEVERITIES, opened_output, output_options
from snapscan.model.errors import UsageError
from snapscan.model.policy import POLICY_FILE, SCAN_DEFAULTS, load_policy
from snapscan.report.base import reporter
from snapscan.run.progress import progress
from snapscan.run.scan import ScanOptions, scan
from snapscan.spaces.registry import KINDS


@click.command("scan")
@click.argument("sources", nargs=-1)
@click.option("--case", type=click.Path(path_type=Path), help="Folder for all that is learnt; NAME.snapscan in this folder unless given.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="CASE", help="Go on with an interrupted case; sources may be left out.")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes; one for each processor unless given.")
@click.option("--no-views", is_flag=True, help="Do not open archives and compressed content.")
@click.option("--fail-on", type=SEVERITIES, help="Exit 1 from this severity on (high unless the policy says otherwise).")
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), help=f"Policy file; {POLICY_FILE} in this folder if there is one.")
@click.option(
    "--rules",
    "rule_folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Further rules: a folder or a file, ours or another tool's.",
)
@click.option("--yara", "yara_folders", multiple=True, type=click.Path(path_type=Path, exists=True), help="Further YARA rules: a folder.")
@click.option("--kind", type=click.Choice(KINDS), help="Kind of the container, instead of a look at its content.")
@click.option("--parents-from", multiple=True, metavar="DIR", help="A further folder in which parents of images may lie.")
@click.option("--key-file", type=click.Path(path_type=Path), help="Key for fingerprints, to compare cases of several users.")
@click.option("--progress", "progress_kind", type=click.Choice(["auto", "bar", "plain", "json", "off"]), default="auto", show_default=True)
@output_options
def command(
    sources: tuple[str, ...],
    case: Path | None,
    resume: Path | None,
    workers: int | None,
    no_views: bool,
    fail_on: str | None,
    policy_file: Path | None,
    rule_folders: tuple[Path, ...],
    yara_folders: tuple[Path, ...],
    kind: str | None,
    parents_from: tuple[str, ...],
    key_file: Path | None,
    progress_kind: str,
    form: str,
    output: Path | None,
) -> int:
    """Read every stored byte of SOURCE (a disk image, a device, a folder) and report the secrets in it.

    \b
    snapscan scan vm.qcow2
    snapscan scan /dev/nvme1n1 --case web01 --format jsonl --output web01.jsonl
    """
    if not sources and resume is None:
        raise UsageError("no-source", "nothing to scan", hint="snapscan scan disk.qcow2")
    if resume is not None and case is not None:
        raise UsageError("case-twice", "--resume names the case; --case cannot name another")
    overrides: dict[str, object] = {}
    if fail_on:
        overrides["gate.fail_on"] = fail_on
    if no_views:
        overrides["scope.views"] = False
    if policy_file is None and Path(POLICY_FILE).is_file():
        policy_file = Path(POLICY_FILE)
    options = ScanOptions(
        case=resume or case,
        resume=resume is not None,
        workers=workers or 0,
        policy=load_policy(policy_file, overrides, base=SCAN_DEFAULTS),
        rules=rule_folders,
        yara=yara_folders,
        key_file=key_file,
        kind=kind or "",
        parents_from=parents_from,
    )
    result = scan(sources, options, progress=progress(progress_kind, sys.stderr))
    with opened_output(output) as out:
        reporter(form).write(result.view, out)
    for error in result.errors:
        print(f"error: {error}", file=sys.stderr)
    if form == "console" or output:
        print(f"case: {result.case}", file=sys.stderr)
    return int(result.exit)
