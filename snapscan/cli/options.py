"""Options that several commands share: the same word means the same thing everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from snapscan.model.errors import StoreError
from snapscan.report.base import REPORTERS

F = TypeVar("F", bound=Callable[..., Any])

SEVERITIES = click.Choice(["info", "low", "medium", "high", "critical", "never"])
FORMATS = click.Choice(sorted(REPORTERS))


def output_options(function: F) -> F:
    """`--format` and `--output`."""
    function = click.option("--format", "form", type=FORMATS, default="console", show_default=True, help="Form of the report.")(function)
    return click.option("--output", type=click.Path(path_type=Path), help="Write the report to a file (mode 0600) instead of standard output.")(
        function
    )


@contextmanager
def opened_output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or the file, new or replaced, readable by its owner only. Raises StoreError."""
    import os
    import sys

    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError("output", f"{path}: {error.strerror}", hint="check that the folder exists and has room") from error
