"""`snapscan doctor`: what this machine has, and what a policy comes to."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from snapscan import __version__
from snapscan.model.policy import POLICY_FILE, SCAN_DEFAULTS, flattened, load_policy

PACKAGES = (
    *("hyperscan", "yara-python", "detect-secrets", "msgspec", "numpy", "isal", "zstandard", "multiprocessing-logging"),
    *("dissect.hypervisor", "dissect.evidence", "dissect.xfs", "dissect.ntfs", "dissect.btrfs", "dissect.fat", "dissect.apfs"),
    *("dissect.squashfs", "dissect.vmfs", "dissect.ffs"),
)


@click.command("doctor")
@click.option(
    "--policy", "policy_file", is_flag=False, flag_value="", type=str, default=None, help="Print every field of the policy and where it comes from."
)
def command(policy_file: str | None) -> int:
    """Print what a scan would run with here.

    \b
    snapscan doctor
    snapscan doctor --policy snapscan.yml
    """
    if policy_file is not None:
        return _policy(Path(policy_file) if policy_file else Path(POLICY_FILE) if Path(POLICY_FILE).is_file() else None)
    click.echo(f"snapscan {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}")
    click.echo(f"processors we may use: {len(os.sched_getaffinity(0))}")
    missing = 0
    for name in PACKAGES:
        try:
            click.echo(f"  {name:26} {version(name)}")
        except PackageNotFoundError:
            missing += 1
            click.echo(f"  {name:26} MISSING: pip install {name}")
    from snapscan.detect.rules import builtin_rule_folders, load_rules

    click.echo(f"rules: {len(load_rules(builtin_rule_folders()))}")
    if not sys.platform.startswith("linux"):
        click.echo("this system is not Linux: scans need fork and /proc")
        return 2
    return 2 if missing else 0


def _policy(path: Path | None) -> int:
    base, now = flattened(SCAN_DEFAULTS), flattened(load_policy(path))
    for name, value in now.items():
        origin = "built-in" if base.get(name) == value else str(path)
        click.echo(f"{name:36} {value!s:24} {origin}")
    return 0
