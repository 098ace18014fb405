from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapscan.model.owner import OwnerKind

MIB = 1 << 20
pytestmark = pytest.mark.images


@pytest.fixture
def make(blank: Callable[..., Path], run_tool: Callable[..., str], source_tree: Path, mounted: Any) -> Callable[..., Path]:
    def run(*options: str) -> Path:
        image = blank("exfat.img", 64 * MIB)
        run_tool("mkfs.exfat", *options, image)
        with mounted(image, "mount.exfat-fuse", device=True) as root:
            shutil.copytree(source_tree, root, dirs_exist_ok=True, copy_function=shutil.copyfile)
            (root / "deep" / "deleted with a long name.env").write_bytes(b"gone " * 3000)
            with (root / "one").open("wb", buffering=0) as one, (root / "two").open("wb", buffering=0) as two:
                for k in range(50):
                    one.write(b"%04d" % k * 2048)
                    two.write(b"two." * 2048)
            (root / "deep" / "deleted with a long name.env").unlink()
        return image

    return run


@pytest.mark.parametrize("options", [(), ("-c", "4096"), ("-c", "32768")], ids=str)
def test_every_file_of_the_tree_is_found_with_its_bytes(
    options: tuple[str, ...], make: Any, map_file: Any, source_tree: Path, digests_of: Any
) -> None:
    mapped, contents = map_file(make(*options))
    expected = digests_of(source_tree)
    found = contents.digests()
    assert {path: found.get(path) for path in expected} == expected
    assert set(found) - set(expected) == {"one", "two"}
    assert contents.read(contents.owner_of("/one")) == b"".join(b"%04d" % k * 2048 for k in range(50))
    assert (mapped.gaps, mapped.notes) == ((), ())


def test_every_byte_has_one_owner(make: Any, map_file: Any) -> None:
    owners = map_file(make())[0].owners
    assert (owners.start[1:] >= owners.end[:-1]).all()
    assert int((owners.end - owners.start).sum()) >= 63 * MIB
    free = next(k for k in range(owners.owners) if owners.record(k).kind is OwnerKind.FREE)
    assert sum(e.end - e.start for e in owners.extents(free)) > 20 * MIB


def test_deleted_file_is_told_as_far_as_its_clusters_are_free(make: Any, map_file: Any) -> None:
    image = make()
    rows = [row for row in map_file(image)[0].former if row.path == b"/deep/deleted with a long name.env"]
    assert len(rows) == 1 and rows[0].size_bytes == 15_000
    assert image.read_bytes()[rows[0].start : rows[0].end].startswith(b"gone gone ")


def test_damaged_volume_never_raises(make: Any, survives_damage: Any) -> None:
    image = make("-c", "4096").read_bytes()
    heap = int.from_bytes(image[88:92], "little") * 512
    survives_damage(image, "exfat", [(64, 60), (int.from_bytes(image[80:84], "little") * 512, 4096), (heap, 200_000), (heap, MIB)])
