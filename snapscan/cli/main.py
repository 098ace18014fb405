"""Words on the command line <-> calls; errors on their way out."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

import click

from snapscan import __version__
from snapscan.model.errors import Exit, SnapscanError

COMMANDS = ("scan", "report", "gate", "show", "ledger", "map", "rules", "doctor")


class _Lazy(click.Group):
    """Loads a command's module when it is asked for: `snapscan --help` must not compile rules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"snapscan.cli.{cmd_name}_cmd")
        command: click.Command = module.command
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="snapscan", message="%(prog)s %(version)s")
def cli() -> None:
    """Tell which secrets a VM snapshot carries.

    \b
    snapscan scan disk.qcow2
    """


def run() -> int:
    """The exit code. The third of the three places that catch everything: a bug is told as one, with where and never with what."""
    try:
        result = cli(standalone_mode=False)
        return int(result) if isinstance(result, int) else 0
    except SnapscanError as error:
        _say(f"error: {error}")
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return int(Exit.USAGE)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _say("interrupted")
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.STORE)
    except OSError as error:
        _say(f"error: output\n  {error.strerror or type(error).__name__}\n  hint: check that there is room and that you may write there")
        return int(Exit.STORE)
    except Exception as error:  # noqa: BLE001  # the third named place; the error's text may hold bytes of an image: only its place is told
        _say(_bug(error))
        return int(Exit.STORE)


def _bug(error: Exception) -> str:
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    where = " <- ".join(reversed(frames[-4:]))
    return f"error: bug\n  {type(error).__name__} at {where}\n  hint: please report this; what was found so far is in the case"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
