from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snapscan.maps.map_files import MapFiles


@pytest.mark.images
def test_files_are_read_by_path_through_a_map(blank: Any, run_tool: Any, map_file: Any, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "etc" / "app").mkdir(parents=True)
    (tree / "etc" / "app" / "conf").write_bytes(b"a=1\n")
    with (tree / "etc" / "holes").open("wb") as file:
        file.seek(50_000)
        file.write(b"end")
    (tree / "etc" / "link").symlink_to("app/conf")
    with (tree / "huge").open("wb") as file:
        file.truncate(40 << 20)
    image = blank("ext.img", 32 << 20)
    run_tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image)
    mapped, contents = map_file(image)
    files = MapFiles(mapped.owners, contents.space)
    assert files.list_dir("/etc") == ["app", "holes", "link"]
    assert files.list_dir("/etc/app/conf") == [] == files.list_dir("/none")
    assert files.read_file("/etc/app/conf") == b"a=1\n"
    assert files.read_file("/etc/holes") == bytes(50_000) + b"end"
    for path in ("/etc", "/etc/link", "/etc/none", "/huge", "/etc/app/conf/below"):
        assert files.read_file(path) is None
