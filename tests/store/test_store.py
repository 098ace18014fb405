from __future__ import annotations

import pytest

from snapscan.model.errors import StoreError
from snapscan.model.ledger import LedgerRow
from snapscan.model.rule import Rule
from snapscan.model.space import Range
from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap, Segment, Volume, VolumeMap
from snapscan.store.store import Store, Task


def swept(start, end):
    return LedgerRow(start, end, "swept")


def test_what_a_task_found_is_read_back_the_same(store, add_space, hit, sighting):
    space = add_space(store)
    hits = [hit(start) for start in (10, 500, 20_000)]
    sightings = [sighting(10), sighting(500, attribution=None, evidence=())]
    ledger = [swept(0, 65536), LedgerRow(65536, 70000, "unread", "media-error", "EIO")]
    view = ViewRow("raw:disk.img/ext4/a.zip@0+9", "zip", 9, 90, "partly", "damaged", "crc")
    gap = Gap("unmapped", "part:2", "no reader", 5, 9)
    magics = [(4096, "gzip"), (0, "zip")]
    store.add_task_result(
        "sweep:1:0", space=space, hits=hits, ledger=ledger, magics=magics, sightings=sightings, views=[view], gaps=[gap], notes=["n"]
    )  # fmt: skip
    assert list(store.hits(space)) == hits
    assert list(store.sightings(space)) == sightings
    assert store.ledger(space) == ledger
    assert list(store.magics(space)) == [(0, "zip"), (4096, "gzip")]
    assert list(store.views(space)) == [view]
    assert store.gaps(space) == [gap]
    assert store.notes(space) == ["n"]


def test_hits_and_magics_are_cut_out_by_place_in_rising_order(store, add_space, hit):
    space, other = add_space(store), add_space(store)
    store.add_task_result("b", space=space, hits=[hit(300), hit(200)], magics=[(200, "zip")])
    store.add_task_result("a", space=space, hits=[hit(100)])
    store.add_task_result("c", space=other, hits=[hit(250)])
    assert [h.start for h in store.hits(space)] == [100, 200, 300]
    assert [h.start for h in store.hits(space, 101, 300)] == [200]
    assert list(store.magics(space, 201)) == []


def test_the_result_of_a_task_replaces_all_that_an_earlier_try_left(store, add_space, hit, sighting):
    space = add_space(store)
    store.add_task_result(
        "t", space=space, hits=[hit(1), hit(2)], ledger=[swept(0, 100)], magics=[(1, "zip")], sightings=[sighting(1)],
        views=[ViewRow("old", "zip", 1, 1, "opened")], gaps=[Gap("unmapped", "x")], notes=["old"], last=False,
    )  # fmt: skip
    store.add_task_result("other", space=space, hits=[hit(3)], ledger=[swept(100, 200)])
    store.add_task_result("t", space=space, hits=[hit(2)], ledger=[LedgerRow(0, 100, "lost", "worker-crashed")])
    assert [h.start for h in store.hits(space)] == [2, 3]
    assert [row.outcome for row in store.ledger(space)] == ["lost", "swept"]
    assert (list(store.magics(space)), list(store.sightings(space)), list(store.views(space)), store.gaps(space), store.notes(space)) == (
        [],
        [],
        [],
        [],
        [],
    )


def test_a_result_may_come_in_parts_and_is_done_with_the_last(store, add_space, hit):
    space = add_space(store)
    store.mark_pending([Task("t", "sweep", space)])
    store.add_task_result("t", space=space, hits=[hit(1)], last=False)
    assert store.tasks(done=False) == ["t"]
    store.add_task_result("t", space=space, hits=[hit(2)], first=False, last=False)
    store.add_task_result("t", space=space, hits=[hit(3)], ledger=[swept(0, 10)], first=False)
    assert [h.start for h in store.hits(space)] == [1, 2, 3]
    assert store.tasks(done=True) == ["t"]


def test_a_resumed_run_knows_which_tasks_are_left(case, add_space):
    store = Store.create(case)
    space = add_space(store)
    store.mark_pending([Task(f"t{n}", "sweep", space) for n in range(4)])
    store.add_task_result("t1", space=space, ledger=[swept(0, 10)])
    store.finish("t2")
    store.close()
    with Store.open(case) as again:
        again.mark_pending([Task(f"t{n}", "sweep", space) for n in range(5)])
        assert again.tasks(done=True) == ["t1", "t2"]
        assert again.tasks(done=False) == ["t0", "t3", "t4"]
        assert again.pending_tasks() == 3
        assert again.missing(space) == [Range(10, 1 << 20)]


def test_sightings_given_twice_by_one_task_are_kept_once(store, add_space, sighting):
    space = add_space(store)
    for _ in range(2):
        store.add_sightings("owners:1", space, [sighting(1), sighting(2)])
    store.add_sightings("owners:2", space, [sighting(3)])
    assert [s.space_offset for s in store.sightings(space)] == [1, 2, 3]


@pytest.mark.parametrize(
    "rows", [[swept(50, 60)], [swept(0, 1)], [swept(99, 101)], [swept(0, 200)], [swept(200, 220), swept(210, 230)], [swept(100, 150), swept(10, 11)]]
)
def test_a_second_outcome_for_a_byte_is_refused_and_changes_nothing(store, add_space, hit, rows):
    space = add_space(store)
    store.add_task_result("a", space=space, ledger=[swept(0, 100)])
    with pytest.raises(StoreError) as error:
        store.add_task_result("b", space=space, hits=[hit(1)], ledger=rows)
    assert error.value.reference == "ledger-overlap"
    assert store.ledger(space) == [swept(0, 100)]
    assert list(store.hits(space)) == []


def test_ledger_rows_of_two_spaces_and_of_touching_tasks_do_not_meet(store, add_space):
    one, two = add_space(store), add_space(store)
    store.add_task_result("b", space=one, ledger=[swept(100, 200)])
    store.add_ledger(one, [LedgerRow(0, 100, "absent"), LedgerRow(200, 1 << 20, "absent"), LedgerRow(7, 7, "swept")])
    store.add_ledger(two, [swept(0, 1 << 20)])
    assert store.missing(one) == store.missing(two) == []


@pytest.mark.parametrize("row", [LedgerRow(0, 1, "skipped"), LedgerRow(0, 1, "lost"), LedgerRow(5, 1, "swept"), LedgerRow(-5, 1, "swept")])
def test_a_ledger_row_that_means_nothing_is_refused(store, add_space, row):
    with pytest.raises(StoreError) as error:
        store.add_ledger(add_space(store), [row])
    assert error.value.reference == "store-refused"


def test_a_view_that_has_ended_never_becomes_pending_again(store, add_space):
    space = add_space(store)
    pending, ended = ViewRow("l", "zip", 9, 0, "pending"), ViewRow("l", "zip", 9, 90, "refused", "encrypted")
    store.add_views(space, [pending])
    assert list(store.views(space)) == [pending]
    store.add_views(space, [ended])
    store.add_views(space, [pending])
    assert list(store.views(space)) == [ended]


def test_a_view_announced_by_one_task_and_ended_by_another_outlives_a_second_try_of_both(store, add_space):
    space = add_space(store)
    pending, ended = ViewRow("l", "zip", 9, 0, "pending"), ViewRow("l", "zip", 9, 90, "opened")
    for _ in range(2):
        store.add_task_result("finder", space=space, views=[pending])
        store.add_task_result("opener", space=space, views=[ended])
    store.add_task_result("finder", space=space, views=[pending])
    assert list(store.views(space)) == [ended]


def test_gaps_and_notes_said_by_two_tasks_are_shown_once_and_survive_one_of_them(store, add_space):
    space = add_space(store)
    gap = Gap("unmapped", "part:1")
    for task in ("a", "b"):
        store.add_task_result(task, space=space, gaps=[gap, gap], notes=["n", "n"])
    assert (store.gaps(space), store.notes(space)) == ([gap], ["n"])
    store.add_task_result("a", space=space)
    assert (store.gaps(space), store.notes(space)) == ([gap], ["n"])


def test_the_volume_map_is_kept_with_its_gaps_and_notes(store, add_space):
    space = add_space(store)
    volumes = VolumeMap(
        (Volume("part:1", (Segment(0, 4096, 8192),), "ext4"),), (Range(0, 512),), (Gap("encrypted-volume", "part:2"),), ("odd table",), "disk-1"
    )
    store.set_volume_map(space, volumes)
    assert store.spaces()[0].volumes == volumes
    assert (store.gaps(space), store.notes(space)) == ([Gap("encrypted-volume", "part:2")], ["odd table"])


def test_facts_of_the_run_and_rules_are_kept_and_replaced(store):
    rule = Rule("a.b", "A", "secret", "critical", "x", "why", "fix", [], [])
    store.add_rules([rule])
    store.add_rules([rule])
    store.set_meta(finished="2026-01-01T00:01:00Z", interrupted=False, policy={"gate": {"fail_on": "high"}})
    store.set_meta(interrupted=True)
    assert store.meta()["interrupted"] is True
    assert store.meta()["policy"] == {"gate": {"fail_on": "high"}}
    assert store.meta()["version"] == "0.1"
    assert [(r.id, r.severity.word) for r in store.rules()] == [("a.b", "critical")]


def test_names_and_numbers_that_no_table_can_hold_are_made_storable(store, add_space, sighting):
    space = add_space(store)
    odd = sighting(1, path=b"/a\xff\x00b".decode("utf-8", "surrogateescape"), locator="x\ud800", mtime=2**70, uid=-(2**70))
    store.add_task_result("t", space=space, sightings=[sighting(0), odd], views=[ViewRow("l", "zip", 2**64, 0, "opened")], notes=["\udc80"])
    plain, made = store.sightings(space)
    assert plain == sighting(0)
    assert (made.path, made.locator, made.mtime, made.uid) == ("/a\\xff\x00b", "x\\ud800", 2**63 - 1, -(2**63))
    assert next(store.views(space)).stored_bytes == 2**63 - 1
    assert store.notes(space) == ["\\x80"]
