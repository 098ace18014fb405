"""The only place that knows rich: lines with a style, on a terminal in colour, elsewhere plain.

Text is given apart from its style and is never read as markup, so a file name that looks like markup is only a file name.
"""

from __future__ import annotations

import os
from typing import TextIO

from rich.console import Console
from rich.text import Text

Span = tuple[str, str]
"""Text and its style (`bold`, `red`, `dim`, ... or empty)."""


class Terminal:
    """Writes lines to `out`. Colour: `color` decides, else whether `out` is a terminal and NO_COLOR is not set."""

    def __init__(self, out: TextIO, *, color: bool | None = None) -> None:
        wanted = color if color is not None else out.isatty() and not os.environ.get("NO_COLOR")
        # The width is not asked for: a path that was broken in two can be neither searched nor copied.
        self._console = Console(
            file=out, force_terminal=wanted, no_color=not wanted, color_system="standard" if wanted else None,
            markup=False, emoji=False, highlight=False, soft_wrap=True, legacy_windows=False,
        )  # fmt: skip

    def line(self, *spans: Span | str) -> None:
        """One line. The caller has made the text safe (report.base.safe_text)."""
        text = Text(end="")
        for span in spans:
            if isinstance(span, str):
                text.append(span)
            else:
                text.append(span[0], style=span[1] or None)
        self._console.print(text)
