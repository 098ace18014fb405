"""Look-alike rules, to reach 500: shipped rules with other letters in their fixed text, so that their shapes stay.

    python tests/bench/rules500.py FOLDER [--count 500]

Writes FOLDER/lookalikes.yml for `snapscan scan --rules FOLDER`. The same count gives the same file.
"""

from __future__ import annotations

import argparse
import random
import re
import string
import sys
from itertools import cycle
from pathlib import Path

import msgspec
import yaml

from snapscan.detect.rules import builtin_rules_folder, load_rules
from snapscan.model.rule import Rule

_TOKENS = re.compile(
    r"\\.|\[(?:\\.|[^\]\\])*\]|\{[^}]*\}|\(\?[a-z]*[:=!<]*|(?P<literal>(?:[A-Za-z][A-Za-z0-9]*[_-]|[A-Za-z][A-Za-z0-9]{2,})(?![?*+{]))|.", re.DOTALL
)
"""A pattern in pieces: escapes, classes, counts, openings of groups, and the text that stands for itself."""


def make(folder: Path, count: int = 500) -> int:
    """Write as many look-alikes as are missing; returns how many."""
    shipped = load_rules([builtin_rules_folder() / "secrets"])
    source = random.Random(count)
    models = [rule for rule in shipped if any(match["literal"] for match in _TOKENS.finditer(rule.pattern)) and not rule.id.startswith("generic.")]
    rows = []
    for number, model in zip(range(count - len(shipped)), cycle(models), strict=False):
        rows.append(_like(model, number, source))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lookalikes.yml").write_text(yaml.safe_dump(rows, sort_keys=False, width=1000))
    return len(rows)


def _like(model: Rule, number: int, source: random.Random) -> dict[str, object]:
    pattern = _TOKENS.sub(lambda token: "".join(_other(c, source) for c in token[0]) if token["literal"] else token[0], model.pattern)
    row: dict[str, object] = msgspec.to_builtins(model)
    return row | {
        "id": f"lookalike.n{number}",
        "name": f"Look-alike {number} of {model.id}",
        "pattern": pattern,
        "examples": ["not tested"],
        "counter_examples": [],
        "checksum": "",
        "pair": "",
        "family": "",
    }


def _other(character: str, source: random.Random) -> str:
    for letters in (string.ascii_lowercase, string.ascii_uppercase, string.digits):
        if character in letters:
            return source.choice(letters)
    return character


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    made = make(arguments.folder, arguments.count)
    print(f"{made} look-alikes; {len(load_rules([builtin_rules_folder() / 'secrets', arguments.folder]))} rules in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
