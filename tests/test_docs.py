"""Documents that would lie if nobody looked: commands, the public names, the README's commands.

`python tests/test_docs.py` writes docs/commands.md anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from snapscan.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands.md"


def page() -> str:
    """The help texts of all commands, as one document."""
    parts = ["# Commands\n\nWritten by `python tests/test_docs.py` from the commands themselves; a test fails when it is stale.\n"]
    for name in COMMANDS:
        parts += section(cli.get_command(click.Context(cli), name), f"snapscan {name}")
    return "\n".join(parts)


def section(command: click.Command | None, name: str) -> list[str]:
    assert command is not None
    context = click.Context(command, info_name=name, max_content_width=110, terminal_width=110)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    found = [f"## {name}\n\n```\n{text}\n```\n"]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found += section(command.get_command(context, inner), f"{name} {inner}")
    return found


def test_page_of_commands_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_in_the_readme(name: str) -> None:
    assert f"snapscan {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_public_names_are_there() -> None:
    import snapscan

    for name in snapscan.__all__:
        assert getattr(snapscan, name) is not None


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
