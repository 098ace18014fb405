"""Opening a case named on the command line."""

from __future__ import annotations

from pathlib import Path

import click

from snapscan.gate import judged
from snapscan.model.policy import RunPolicy, merged
from snapscan.model.runview import RunView
from snapscan.store.queries import Reader, run_view
from snapscan.store.store import Store

CASE = click.argument("case", type=click.Path(path_type=Path))


def open_case(case: Path) -> Reader:
    """Raises StoreError when the folder is not a case."""
    return Store.open_read_only(case)


def judged_case(reader: Reader, policy: RunPolicy | None = None) -> RunView:
    """The run under the policy that it was made with, or another."""
    view = run_view(reader)
    if policy is None:
        policy = merged(RunPolicy(), view.run.policy or {}, "the case")
    return judged(view, policy.gate)
