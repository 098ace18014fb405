"""The floors of docs/design.md: who may import whom, and where each third-party package may be imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "snapscan"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOOR = {
    "model": 0,
    "spaces": 1,
    "maps": 1,
    "views": 1,
    "detect": 1,
    "store": 1,
    "report": 1,
    "gate": 1,
    "run": 2,
    "cli": 3,
    "__main__": 4,
    "__init__": 4,
}
EVERYWHERE = {"msgspec", "numpy"}
# isal and zstandard have two: compressed clusters and compressed files are different floors' work, and siblings do not know each other.
HOMES = {
    "yaml": {"detect/rules.py", "model/policy.py"},
    "hyperscan": {"detect/match/hyperscan.py"},
    "yara": {"detect/match/yara.py"},
    "plyara": {"detect/match/atoms.py"},
    "detect_secrets": {"detect/second_opinion.py"},
    "multiprocessing_logging": {"run/logs.py"},
    "rich": {"report/terminal.py"},
    "click": {"cli/"},
    "dissect": {"spaces/dissect.py", "maps/dissect_fs.py"},
    "isal": {"views/deflate.py", "spaces/inflate.py"},
    "zstandard": {"views/zstd.py", "spaces/inflate.py"},
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            yield node.lineno, node.module or ""


def part(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def faults(path: Path) -> Iterator[str]:
    place = path.relative_to(PACKAGE).as_posix()
    mine = place.split("/")[0].removesuffix(".py")
    for line, name in imports(path):
        top = name.split(".")[0]
        if top == "snapscan":
            theirs = part(name)
            if theirs != mine and FLOOR[theirs] >= FLOOR[mine] and theirs != "__init__":
                yield f"{place}:{line} imports {name} from its own floor or above"
        elif top not in sys.stdlib_module_names and top not in EVERYWHERE:
            if top not in HOMES:
                yield f"{place}:{line} imports {top}, which has no home"
            elif not any(place == home or (home.endswith("/") and place.startswith(home)) for home in HOMES[top]):
                yield f"{place}:{line} imports {top} outside its adapter"


@pytest.mark.parametrize("path", MODULES, ids=[path.relative_to(PACKAGE).as_posix() for path in MODULES])
def test_module_imports_only_from_below(path: Path) -> None:
    assert list(faults(path)) == []


def test_every_folder_has_a_floor() -> None:
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} <= set(FLOOR)
