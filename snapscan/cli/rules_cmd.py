"""`snapscan rules list|check`"""

from __future__ import annotations

from pathlib import Path

import click

from snapscan.detect.rules import builtin_rule_folders, load_rules


@click.group("rules")
def command() -> None:
    """List the rules, or check rule files of your own."""


@command.command("list")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True))
def list_rules(folders: tuple[Path, ...]) -> int:
    """Print every rule: id, severity, name. Without FOLDERS, the built-in ones."""
    for rule in load_rules(list(folders) or builtin_rule_folders()):
        click.echo(f"{rule.severity:8}  {rule.id:40}  {rule.name}")
    return 0


@command.command("check")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True))
def check(folders: tuple[Path, ...]) -> int:
    """Try every rule on its own examples, in all the ways in which a scan meets them. Exit 2 when a rule fails."""
    from snapscan.run.rule_check import check_rules

    rules = load_rules(list(folders) or builtin_rule_folders())
    faults = check_rules(rules)
    for fault in faults:
        click.echo(fault)
    click.echo(f"{len(rules)} rules, {len({fault.split(':')[0] for fault in faults})} with faults")
    return 2 if faults else 0
