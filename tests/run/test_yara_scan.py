"""The YARA rules that come along, in a scan: each example that a rule speaks on is found in a file of its own, and no other."""

from __future__ import annotations

from pathlib import Path

import yaml
import yara

from snapscan.detect.rules import builtin_rules_folder
from snapscan.run.scan import ScanOptions, scan

FOLDER = builtin_rules_folder() / "yara"


def test_every_rule_speaks_on_its_examples_through_a_scan(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    expected = set()
    for path in sorted(FOLDER.glob("*.yar")):
        (rule,) = yara.compile(str(path))
        for number, example in enumerate(yaml.safe_load(path.with_name(f"{path.stem}.examples.yml").read_text())):
            name = f"{path.stem}-{number}"
            (tree / name).write_bytes(bytes.fromhex(example["hex"]))
            if example["matches"]:
                expected.add((rule.meta["id"], f"/{name}"))
    ids = {rule for rule, _ in expected}
    result = scan([tree], ScanOptions(case=tmp_path / "case", workers=2))
    found = {(f.rule.id, place.sighting.path) for f in result.view.findings for place in f.sightings if f.rule.id in ids}
    assert found == expected
