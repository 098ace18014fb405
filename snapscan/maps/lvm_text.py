"""The text in which LVM2 keeps a volume group (lvm2 source, lib/config/config.c and lib/format_text/*): sections, assignments, lists.

vg0 {
    extent_size = 8192
    physical_volumes { pv0 { id = "..." pe_start = 2048 } }
    logical_volumes { root { segment1 { type = "striped" stripes = ["pv0", 0] } } }
}
"""

from __future__ import annotations

import re

Value = int | str | list["int | str"] | dict[str, "Value"]
Section = dict[str, Value]

DEPTH_MOST = 16
"""Sections within sections; LVM itself writes four."""

# possessive, and content without its closing quote: a hostile text must not be scanned again from each of its quotes
_TOKEN = re.compile(r'\s+|#[^\n]*|"(?:[^"\\]|\\[\s\S])*+"?|[{}\[\],=]|[^\s{}\[\],=#"]+')


def parse_text(text: str) -> Section:
    """The sections as dictionaries. What does not fit the grammar is passed over, so a damaged text gives what can be told. Never raises."""
    root: Section = {}
    stack = [root]
    key = ""
    assigning = False
    items: list[int | str] | None = None
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = token[0]
        if first.isspace() or first == "#" or token == ",":
            continue
        if token == "{":
            inner: Section = {}
            if len(stack) > DEPTH_MOST:
                return root
            stack[-1][key] = inner
            stack.append(inner)
            key, assigning, items = "", False, None
        elif token == "}":
            if len(stack) > 1:
                stack.pop()
            key, assigning, items = "", False, None
        elif token == "=":
            assigning = True
        elif token == "[":
            items = []
        elif token == "]":
            if items is not None and assigning:
                stack[-1][key] = list(items)
            key, assigning, items = "", False, None
        elif items is not None:
            items.append(_scalar(token))
        elif assigning:
            stack[-1][key] = _scalar(token)
            key, assigning = "", False
        else:
            key = token
    return root


def _scalar(token: str) -> int | str:
    if token.startswith('"'):
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    return int(token) if re.fullmatch(r"-?[0-9]{1,19}", token) else token


def section(parent: Section, name: str) -> Section:
    """The section of that name, empty where there is none."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def number(parent: Section, name: str, default: int = 0) -> int:
    """A whole number that is not negative; the default for anything else."""
    value = parent.get(name)
    return value if isinstance(value, int) and value >= 0 else default


def word(parent: Section, name: str) -> str:
    value = parent.get(name)
    return value if isinstance(value, str) else ""


def items(parent: Section, name: str) -> list[int | str]:
    value = parent.get(name)
    return value if isinstance(value, list) else []
