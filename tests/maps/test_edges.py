"""Edges: where an owner's bytes have strangers beside them, and where its own pieces meet."""

from __future__ import annotations

import numpy as np

from snapscan.maps.edges import edges, needing_a_look
from snapscan.model.owner import OwnerKind, RowFlag
from snapscan.model.owner_builder import MapBuilder
from snapscan.model.volume import Segment, Volume

SIZE = 100_000


def found(*pieces: tuple[int, int, int], size: int, flags: int = 0, kind: OwnerKind = OwnerKind.FILE) -> set[tuple[int, int, int]]:
    """(position, inside, outside) of the edges of one owner with these (start, end, offset) pieces."""
    builder = MapBuilder()
    owner = builder.owner(kind, size_bytes=size)
    for start, end, offset in pieces:
        builder.row(start, end, owner, offset, flags)
    result = edges(builder.finish(Volume("", (Segment(0, 0, SIZE),))), SIZE)
    return set(zip(result.position.tolist(), result.inside.tolist(), result.outside.tolist(), strict=True))


def test_one_piece_has_a_border_at_each_end() -> None:
    assert found((4096, 8192, 0), size=4096) == {(0, 4096, 4095), (4096, 8191, 8192)}


def test_the_end_is_the_owners_not_the_blocks() -> None:
    assert found((4096, 8192, 0), size=100) == {(0, 4096, 4095), (100, 4195, 4196)}


def test_pieces_that_follow_each_other_in_the_space_have_no_edge_between() -> None:
    assert found((4096, 8192, 0), (8192, 12288, 4096), size=8192) == {(0, 4096, 4095), (8192, 12287, 12288)}


def test_pieces_apart_have_a_seam() -> None:
    assert (4096, 20480, -1) in found((4096, 8192, 0), (20480, 24576, 4096), size=8192)


def test_a_hole_has_a_border_on_both_sides() -> None:
    assert {(4096, 8191, 8192), (8192, 20480, 20479)} <= found((4096, 8192, 0), (20480, 24576, 8192), size=12288)


def test_the_first_and_the_last_byte_of_a_space_have_no_stranger() -> None:
    assert found((0, SIZE, 0), size=SIZE) == set()


def test_slack_unwritten_and_unnamed_owners_have_no_edges() -> None:
    assert found((4096, 8192, 4096), size=100) == set()
    assert found((4096, 8192, 0), size=4096, flags=RowFlag.UNWRITTEN) == set()
    assert found((4096, 8192, 0), size=4096, kind=OwnerKind.FREE) == set()


def test_only_two_bytes_that_could_belong_to_a_token_need_a_look() -> None:
    inside, outside = (np.frombuffer(text, dtype=np.uint8) for text in (b'aa\0 "a', b"a\0aa\xff-"))
    assert needing_a_look(inside, outside).tolist() == [True, False, False, False, False, True]
