"""What the acceptance tests stand on: the fixtures are what they claim to be, and the comparison sees what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest
from recipe import load  # from fixtures/, see conftest.py
from tools import SEARCHED, ToolNotFound, need, run

pytestmark = pytest.mark.images

FIXTURES = Path(__file__).parents[2] / "fixtures"


def test_a_missing_program_is_a_failure_that_names_its_package(needs):
    with pytest.raises(ToolNotFound, match="no-such-tool: not found; apt-get install no-such-tool"):
        need("no-such-tool", "mke2fs")
    with pytest.raises(pytest.fail.Exception, match="apt-get install no-such-tool"):
        needs("no-such-tool")


def test_the_debian_recipe_plants_sixty_secrets_in_more_than_25_ways_under_many_rules():
    plants = load(FIXTURES / "recipes" / "debian.yml").plants
    ways = {(plant.how, plant.options.get("content", ""), bool(plant.options.get("wide")), "also" in plant.options) for plant in plants}
    assert len(plants) >= 60
    assert len(ways) >= 25
    assert len({plant.rule for plant in plants}) > 50


def test_no_recipe_holds_a_secret_only_templates():
    for path in sorted((FIXTURES / "recipes").glob("*.yml")):
        for plant in load(path).plants:
            assert not plant.template or "${" in plant.template


@pytest.mark.parametrize("recipe", ["demo", "small"])
def test_what_the_manifest_says_of_the_image_is_true(recipe, build):
    raw, manifest = build(recipe)
    assert raw.with_name("disk.raw.manifest.json").stat().st_mode & 0o777 == 0o600
    data = raw.read_bytes()
    for secret in manifest["secrets"]:
        value = secret["value"].encode("latin-1")
        wide = value.decode().encode("utf-16-le")[:-1]
        for at in secret["space_offsets"]:
            whole = data[at:].startswith(value) or data[at:].startswith(wide)
            assert whole or secret["how"] in ("fragmented", "borders"), secret["number"]
        if secret["how"] in ("gzip", "xz", "zip", "zip-in-tar-gz", "fragmented"):
            assert value not in data, f"{secret['number']} lies there as it is"
    assert len({secret["value"] for secret in manifest["secrets"]}) == len(manifest["secrets"])


def test_partitions_and_filesystems_are_sound(build, needs, tmp_path):
    needs("sfdisk", "e2fsck")
    raw, _ = build("small")
    table = json.loads(run("sfdisk", "--json", raw))["partitiontable"]
    assert table["label"] == "gpt"
    assert len(table["partitions"]) == 4
    for number in (0, 1):
        run("e2fsck", "-fn", f"{raw}?offset={table['partitions'][number]['start'] * 512}")


def test_the_demo_needs_neither_root_nor_network_nor_qemu():
    """As a user without privileges, with nothing but e2fsprogs in the path."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        for tool in ("mke2fs", "debugfs"):
            (folder / "bin" / tool).symlink_to(str(shutil.which(tool, path=SEARCHED)))
        folder.chmod(0o777)
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        line = [*words, sys.executable, str(FIXTURES / "build.py"), "demo", str(folder / "demo.img")]
        environment = {"PATH": f"{folder}/bin:/usr/bin", "PYTHONPATH": str(FIXTURES.parent), "HOME": name, "TMPDIR": name}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "9 secrets planted" in done.stdout


def test_the_comparison_sees_a_lost_a_misnamed_and_a_doubled_secret(build, scanner, wrong, unaccounted):
    raw, manifest = build("demo")
    scan = scanner.scan(raw)
    assert wrong(manifest, scan) == []
    changed = deepcopy(manifest)
    changed["secrets"][0]["named_by"] += "x"
    changed["secrets"][1]["path"] = "/elsewhere"
    changed["secrets"][2]["offsets"] = [1]
    changed["secrets"][8]["owner"] = "free"
    changed["secrets"][7]["owner_states"] = ["live"]
    assert Counter(line.split()[0] for line in wrong(changed, scan)) == Counter("01278")
    assert unaccounted(scan) == []
    hole = deepcopy(scan)
    hole.records = [record for record in hole.records if not (record["record"] == "ledger" and record["start"] > 0)]
    assert unaccounted(hole)
