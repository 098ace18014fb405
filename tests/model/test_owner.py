"""OwnerMap and MapBuilder against a model that asks every row about every byte."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapscan.model.owner import MEMBERS_MOST, PATH_BYTES_MOST, Extent, OwnerKind, OwnerMap, OwnerState, RowFlag
from snapscan.model.owner_builder import MapBuilder, empty_like
from snapscan.model.volume import Segment, Volume

SPACE = 96
OWNERS = 4

row_lists = st.lists(
    st.tuples(
        st.integers(-10, 70),
        st.integers(-10, 70),
        st.integers(-1, OWNERS),
        st.integers(0, 500),
        st.sampled_from([0, 0, 0, int(RowFlag.UNWRITTEN), int(RowFlag.BACKGROUND)]),
    ),
    max_size=MEMBERS_MOST - 1,
)


@st.composite
def volumes(draw):
    """One to three segments with holes between, laid into the space in any order; a hostile one may lay two over the same bytes."""
    if draw(st.booleans()):
        return Volume("part:1", (Segment(0, draw(st.integers(0, 30)), 60),))
    segments = []
    at = 0
    for _ in range(draw(st.integers(1, 3))):
        at += draw(st.integers(0, 5))
        length = draw(st.integers(1, 20))
        segments.append(Segment(at, draw(st.integers(0, SPACE - length)), length))
        at += length
    return Volume("lvm:a-b", tuple(segments))


def built(volume, rows):
    builder = MapBuilder()
    for inode in range(OWNERS):
        builder.owner(OwnerKind.FILE, inode=inode + 10)
    for start, end, owner, offset, flags in rows:
        builder.row(start, end, owner, offset, flags)
    return builder.finish(volume)


def claims_of_each_byte(volume, rows):
    """For every byte of the space: (foreground claims, background claims), by asking each row about each byte."""
    model = [(set(), set()) for _ in range(SPACE)]
    for segment in volume.segments:
        for k in range(segment.length):
            at = segment.volume_start + k
            for start, end, owner, offset, flags in rows:
                if max(start, 0) <= at < min(end, volume.size_bytes) and 0 <= owner < OWNERS:
                    model[segment.space_start + k][bool(flags & RowFlag.BACKGROUND)].add((owner, offset + at - start, flags))
    return model


@given(volumes(), row_lists)
@settings(max_examples=300)
def test_every_byte_has_the_owners_that_the_rows_say(volume, rows):
    owners = built(volume, rows)
    for at, (front, behind) in enumerate(claims_of_each_byte(volume, rows)):
        found = [tuple(claim) for claim in owners.claims(at)]
        assert found == sorted(found)
        if front or not behind:
            assert set(found) == front
        else:
            assert len(found) == 1
            assert set(found) <= behind


@given(volumes(), row_lists)
@settings(max_examples=300)
def test_the_bulk_join_gives_one_of_the_owners_of_each_byte_and_none_only_where_there_is_none(volume, rows):
    owners = built(volume, rows)
    joined = owners.join(np.arange(SPACE, dtype=np.int64))
    for at, row in enumerate(joined.tolist()):
        claims = [tuple(claim) for claim in owners.claims(at)]
        if row < 0:
            assert claims == []
        else:
            assert owners.start[row] <= at < owners.end[row]
            assert (int(owners.owner[row]), int(owners.offset[row]) + at - int(owners.start[row]), int(owners.flags[row])) in claims


@given(volumes(), row_lists)
@settings(max_examples=300)
def test_the_owners_stay_the_same_up_to_the_next_edge(volume, rows):
    owners = built(volume, rows)
    claims = [[tuple(claim) for claim in owners.claims(at)] for at in range(SPACE)]
    for at in range(SPACE):
        edge = owners.next_edge(at)
        assert edge > at
        for further in range(at + 1, min(edge, SPACE)):
            assert claims[further] == [(owner, offset + further - at, flags) for owner, offset, flags in claims[at]]


@given(volumes(), row_lists)
@settings(max_examples=300)
def test_the_extents_of_an_owner_are_its_claims_in_the_order_of_its_bytes(volume, rows):
    owners = built(volume, rows)
    model = claims_of_each_byte(volume, rows)
    claimed = [{tuple(claim) for claim in owners.claims(at)} for at in range(SPACE)]
    for owner in range(OWNERS):
        extents = owners.extents(owner)
        assert [extent.owner_offset for extent in extents] == sorted(extent.owner_offset for extent in extents)
        held = {(at, (owner, extent.owner_offset + at - extent.start, extent.flags)) for extent in extents for at in range(extent.start, extent.end)}
        assert held == {(at, claim) for at in range(SPACE) for claim in claimed[at] if claim[0] == owner}
        assert held >= {(at, claim) for at in range(SPACE) for claim in model[at][0] if claim[0] == owner}


@given(volumes(), row_lists)
def test_a_saved_map_is_read_back_the_same(tmp_path_factory, volume, rows):
    folder = tmp_path_factory.mktemp("map")
    owners = built(volume, rows)
    owners.save(folder)
    again = OwnerMap.load(folder)
    assert again.owners == OWNERS
    assert [again.claims(at) for at in range(SPACE)] == [owners.claims(at) for at in range(SPACE)]
    assert [again.extents(owner) for owner in range(OWNERS)] == [owners.extents(owner) for owner in range(OWNERS)]


def test_a_row_that_lies_inside_a_longer_one_does_not_hide_what_follows_it():
    owners = built(Volume("", (Segment(0, 0, 96),)), [(0, 90, 0, 0, 0), (10, 20, 1, 0, 0)])
    assert owners.owner[owners.join(np.array([50], dtype=np.int64))].tolist() == [0]


def test_background_gives_way_and_keeps_its_own_offsets():
    owners = built(Volume("", (Segment(0, 1000, 96),)), [(0, 60, 0, 0, RowFlag.BACKGROUND), (20, 30, 1, 7, 0)])
    assert owners.extents(0) == [Extent(1000, 1020, 0, RowFlag.BACKGROUND), Extent(1030, 1060, 30, RowFlag.BACKGROUND)]
    assert owners.extents(1) == [Extent(1020, 1030, 7, 0)]


def test_bulk_rows_and_owners_equal_those_added_one_by_one():
    volume = Volume("", (Segment(0, 0, 96),))
    rows = [(0, 10, 0, 5, 0), (10, 20, 1, 0, 1), (5, 12, 2, 0, 0)]
    bulk = MapBuilder()
    assert bulk.owners(kind=[OwnerKind.FILE] * OWNERS, state=0, mode=0, uid=0, inode=np.arange(10, 10 + OWNERS), mtime=0, size_bytes=0) == 0
    start, end, owner, offset, flags = (np.array(column) for column in zip(*rows, strict=True))
    bulk.rows(start, end, owner, offset, flags)
    one, many = built(volume, rows), bulk.finish(volume)
    assert [one.claims(at) for at in range(SPACE)] == [many.claims(at) for at in range(SPACE)]
    assert [one.record(k) for k in range(OWNERS)] == [many.record(k) for k in range(OWNERS)]


def test_an_owner_is_given_back_as_it_was_added():
    builder = MapBuilder()
    owner = builder.owner(OwnerKind.FREE, state=OwnerState.DELETED, inode=2**64 - 1, mode=0o100644, uid=2**32 - 1, mtime=-5, size_bytes=2**64 - 1)
    record = builder.finish(Volume("", (Segment(0, 0, 1),))).record(owner)
    assert record == (OwnerKind.FREE, OwnerState.DELETED, 2**64 - 1, 0o100644, 2**32 - 1, -5, 2**64 - 1)
    assert record.kind.word == "free"


def test_a_byte_claimed_a_thousand_times_keeps_a_bounded_number_of_owners():
    owners = built(Volume("", (Segment(0, 0, 96),)), [(0, 50, k % OWNERS, k, 0) for k in range(1000)])
    assert len(owners.claims(10)) == MEMBERS_MOST
    assert owners.claims(60) == []


@pytest.mark.parametrize(
    ("name", "starts", "ends", "flags"),
    [
        ("staircase", lambda k, n: k, lambda k, n: k + n, 0),
        ("nested", lambda k, n: k, lambda k, n: 2 * n - k, 0),
        ("comb over one row", lambda k, n: 2 * k, lambda k, n: np.where(k == 0, 2 * n, 2 * k + 1), 0),
        ("background comb under fronts", lambda k, n: k, lambda k, n: np.where(k % 2 == 0, k + 2, k + n), lambda k: np.where(k % 2 == 0, 0, 2)),
        ("background staircase", lambda k, n: k, lambda k, n: k + n, lambda k: np.where(k < 100, 0, 2)),
    ],
)
def test_hostile_overlaps_are_resolved_in_bounded_time(name, starts, ends, flags):
    count = 100_000
    k = np.arange(count)
    builder = MapBuilder()
    builder.owner(OwnerKind.FILE)
    builder.rows(starts(k, count), ends(k, count), 0, 0, flags(k) if callable(flags) else flags)
    began = time.process_time()
    owners = builder.finish(Volume("", (Segment(0, 0, 2 * count),)))
    assert time.process_time() - began < 10, name
    assert owners.claims(count // 2)


def tree():
    builder = MapBuilder()
    root = builder.owner(OwnerKind.DIRECTORY, inode=2)
    builder.root = root
    return builder, root


def paths_of(builder, owner):
    return builder.finish(Volume("", (Segment(0, 0, 1),))).paths(owner)


def test_a_path_is_put_together_from_parents_and_any_bytes():
    builder, root = tree()
    folder = builder.owner(OwnerKind.DIRECTORY)
    file = builder.owner(OwnerKind.FILE)
    name = bytes(range(1, 47)) + bytes(range(48, 256))
    builder.name(folder, root, b"srv")
    builder.name(file, folder, name)
    assert paths_of(builder, file) == [b"/srv/" + name]
    assert paths_of(builder, root) == []


def test_hard_links_are_listed_smallest_path_first():
    builder, root = tree()
    file = builder.owner(OwnerKind.FILE)
    for name in (b"z", b"a", b"m", b"a"):
        builder.name(file, root, name)
    owners = builder.finish(Volume("", (Segment(0, 0, 1),)))
    assert owners.paths(file) == [b"/a", b"/m", b"/z"]
    assert owners.path(file) == b"/a"


def test_a_directory_loop_ends_and_says_so():
    builder, _ = tree()
    one, two, file = (builder.owner(OwnerKind.DIRECTORY, inode=n) for n in (11, 12, 13))
    builder.name(one, two, b"one")
    builder.name(two, one, b"two")
    builder.name(file, one, b"f")
    (path,) = paths_of(builder, file)
    assert path.startswith(b"/?loop/")
    assert path.endswith(b"/one/f")


def test_an_orphan_names_the_directory_it_was_in_by_inode():
    builder, _ = tree()
    lost = builder.owner(OwnerKind.DIRECTORY, inode=4711)
    file = builder.owner(OwnerKind.FILE)
    builder.name(file, lost, b"f")
    nowhere = builder.owner(OwnerKind.FILE)
    builder.name(nowhere, -1, b"g")
    assert paths_of(builder, file) == [b"/?inode-4711/f"]
    assert paths_of(builder, nowhere) == [b"/?inode-0/g"]


def test_names_of_owners_that_do_not_exist_are_dropped():
    builder, root = tree()
    file = builder.owner(OwnerKind.FILE)
    builder.name(99, root, b"ghost")
    builder.name(file, 99, b"child of a ghost")
    builder.name(file, root, b"real")
    assert paths_of(builder, file) == [b"/real"]


def test_a_path_of_hostile_depth_is_cut():
    builder, root = tree()
    at = root
    for _ in range(2000):
        deeper = builder.owner(OwnerKind.DIRECTORY)
        builder.name(deeper, at, b"d" * 255)
        at = deeper
    file = builder.owner(OwnerKind.FILE)
    builder.name(file, at, b"f")
    (path,) = paths_of(builder, file)
    assert path.startswith(b"/?long/")
    assert path.endswith(b"/f")
    assert len(path) <= PATH_BYTES_MOST + 300


def test_an_empty_map_owns_nothing(tmp_path):
    owners = empty_like(Volume("", (Segment(0, 0, 100),)))
    owners.save(tmp_path)
    for each in (owners, OwnerMap.load(tmp_path)):
        assert each.join(np.array([0, 5], dtype=np.int64)).tolist() == [-1, -1]
        assert each.claims(5) == []
        assert each.next_edge(5) == 2**63 - 1
