"""The documents that others build on say what the code does."""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path

import pytest

import snapscan
from snapscan.model import errors
from snapscan.model.errors import Exit, ReadFault, SnapscanError
from snapscan.model.ledger import OUTCOMES
from snapscan.model.locator import FILESYSTEMS, parse
from snapscan.report.base import reporter

PACKAGE = Path(snapscan.__file__).parent
DOCS = PACKAGE.parent / "docs"
OUTPUTS, LEDGER, LOCATOR = ((DOCS / name).read_text() for name in ("outputs.md", "ledger.md", "locator.md"))


def section(text, title):
    return re.split(r"^#{2,3} ", text.partition(f" {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def words(text):
    """The words in the first column of the tables, and in the second where the first is an outcome."""
    return {word for line in text.splitlines() if line.startswith("| `") for cell in line.split("|")[1:3] for word in re.findall(r"`([\w-]+)`", cell)}


def references():
    """(class, reference) of every error that the package raises with a literal reference."""
    classes = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, SnapscanError)}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.Call) and name in classes and node.args and isinstance(node.args[0], ast.Constant):
                yield classes[name], node.args[0].value


def test_every_error_reference_is_listed_with_its_exit_code():
    rows = dict(re.findall(r"^\| `([\w-]+)`[^|]*\| (\d+) \|", section(OUTPUTS, "Error references"), re.MULTILINE))
    found = {(cls, reference) for cls, reference in references() if not issubclass(cls, ReadFault)}
    assert len(found) > 30
    missing = sorted({reference for cls, reference in found if rows.get(reference) != str(int(cls.exit_code))})
    assert missing == []


def test_every_fault_in_what_is_read_is_listed_as_a_reason_of_the_ledger():
    reasons = words(section(LEDGER, "Reasons"))
    assert {reference for cls, reference in references() if issubclass(cls, ReadFault)} - reasons == set()


def test_every_exit_code_is_listed_once():
    codes = re.findall(r"^\| (\d+) \|", section(OUTPUTS, "Exit codes"), re.MULTILINE)
    assert codes == [str(int(code)) for code in Exit]


@pytest.mark.parametrize("kind", ["run", "finding", "sighting", "ledger", "view", "summary"])
def test_every_field_of_the_jsonl_is_listed_in_its_order(sample, kind):
    out = io.StringIO()
    reporter("jsonl").write(sample, out)
    record = next(record for record in map(json.loads, out.getvalue().splitlines()) if record["record"] == kind)
    listed = re.findall(r"^\| `(\w+)` \|", section(OUTPUTS, kind), re.MULTILINE)
    assert ["record", "schema", *listed] == list(record)


def test_every_outcome_of_the_ledger_is_listed():
    assert set(OUTCOMES) == words(section(LEDGER, "Outcomes"))


def test_every_filesystem_word_is_listed_and_every_example_is_a_locator():
    line = next(line for line in LOCATOR.splitlines() if line.startswith("**Filesystems:**"))
    assert set(re.findall(r"`([\w+-]+)`", line)) == FILESYSTEMS
    examples = [line.strip() for line in LOCATOR.partition("## ")[0].splitlines() if line.startswith("    ")]
    assert len(examples) > 3
    for example in examples:
        assert str(parse(example)) == example
