from __future__ import annotations

from typing import Any

import pytest

from snapscan.maps.registry import MAPPERS, map_volume
from snapscan.model.locator import FILESYSTEMS
from snapscan.model.mapping import MapLimits
from snapscan.model.owner import OwnerKind
from snapscan.model.space import Range
from snapscan.model.volume import Segment, Volume, VolumeReader

SIZE = 300_000


def mapped_as(kind: str, space: Any) -> Any:
    volume = Volume("part:1", (Segment(0, 4096, space.size_bytes - 4096),), kind)
    return map_volume(VolumeReader(space, volume), volume, MapLimits(seconds=10))


@pytest.mark.parametrize(("kind", "owner"), [("swap", OwnerKind.SWAP), ("luks", OwnerKind.ENCRYPTED), ("bitlocker", OwnerKind.ENCRYPTED)])
def test_volume_without_files_has_one_owner(kind: str, owner: OwnerKind, bytes_space: Any) -> None:
    mapped = mapped_as(kind, bytes_space(bytes(SIZE)))
    assert mapped.owners.record(0).kind is owner
    assert [(e.start, e.end) for e in mapped.owners.extents(0)] == [(4096, SIZE)]
    assert mapped.gaps == ()


@pytest.mark.parametrize("kind", ["zfs", "refs", "f2fs", "hfs+", "a kind of the future"])
def test_recognised_filesystem_that_nothing_reads_is_a_gap(kind: str, bytes_space: Any) -> None:
    mapped = mapped_as(kind, bytes_space(bytes(SIZE)))
    assert [(gap.reason, gap.where) for gap in mapped.gaps] == [("unmapped", "part:1")]
    assert mapped.owners.rows == 0


@pytest.mark.parametrize("kind", ["", "md", "lvm2"])
def test_volume_that_is_explained_elsewhere_is_an_empty_map_without_a_gap(kind: str, bytes_space: Any) -> None:
    mapped = mapped_as(kind, bytes_space(bytes(SIZE)))
    assert (mapped.owners.owners, mapped.gaps) == (0, ())


@pytest.mark.parametrize("kind", MAPPERS)
@pytest.mark.parametrize("content", [bytes(SIZE), b"\xff" * SIZE, bytes(range(256)) * 1200], ids=["zeros", "ones", "counting"])
def test_no_mapper_raises_for_bytes_of_another_kind(kind: str, content: bytes, bytes_space: Any) -> None:
    mapped = mapped_as(kind, bytes_space(content))
    assert mapped.owners.rows == 0
    assert {gap.reason for gap in mapped.gaps} == {"unmapped"}


@pytest.mark.parametrize("kind", MAPPERS)
def test_no_mapper_raises_for_a_volume_that_cannot_be_read(kind: str, bytes_space: Any) -> None:
    mapped = mapped_as(kind, bytes_space(bytes(SIZE), (Range(0, SIZE),)))
    assert {gap.reason for gap in mapped.gaps} == {"unmapped"}


def test_every_mapped_kind_may_stand_in_a_locator() -> None:
    assert set(MAPPERS) <= FILESYSTEMS
