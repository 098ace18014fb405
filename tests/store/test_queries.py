from __future__ import annotations

import pytest

from snapscan.model.finding import Severity
from snapscan.model.ledger import LedgerRow
from snapscan.model.rule import Rule
from snapscan.model.snapshot import SnapshotRef, SourceSpec
from snapscan.model.volume import Segment, Volume, VolumeMap
from snapscan.store.queries import run_view
from snapscan.store.store import Store, Task


def rule(name, severity):
    return Rule(name, name.upper(), "secret", severity, "x", "why", "fix", [], [])


def test_sightings_of_one_secret_under_one_rule_are_one_finding(store, add_space, sighting):
    one, two = add_space(store), add_space(store)
    store.add_rules([rule("a.one", "high"), rule("b.two", "low")])
    store.add_sightings("t1", one, [sighting(1, "a.one", fingerprint="f", path="/z", confidence=0), sighting(9, "a.one", fingerprint="f", path="")])
    store.add_sightings("t2", two, [sighting(5, "a.one", fingerprint="f", path="/b", confidence=2, redacted="best")])
    store.add_sightings("t3", one, [sighting(5, "b.two", fingerprint="f")])
    view = run_view(store)
    first, second = view.findings
    assert (first.fingerprint, first.rule.id, first.rule.severity, first.confidence, first.redacted) == ("f", "a.one", Severity.HIGH, 2, "best")
    assert [(place.space.id, place.sighting.path) for place in first.sightings] == [(two, "/b"), (one, "/z"), (one, "")]
    assert (second.rule.id, len(second.sightings)) == ("b.two", 1)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_place_that_several_tasks_saw_is_one_sighting_the_most_certain_of_them(store, add_space, sighting, order):
    space, other = add_space(store), add_space(store)
    seen = [sighting(1, confidence=0), sighting(1, confidence=2, redacted="proved"), sighting(1, confidence=2, evidence=(), redacted="bare")]
    for task, number in enumerate(order):
        store.add_sightings(f"t{task}", space, [seen[number]])
    store.add_sightings("u", space, [sighting(1, locator="raw:disk.img/ext4/other@0+40")])
    store.add_sightings("v", other, [sighting(1)])
    (finding,) = run_view(store).findings
    assert len(finding.sightings) == 3
    assert {(place.space.id, place.sighting.redacted) for place in finding.sightings if "other" not in place.sighting.locator} == {
        (space, "proved"), (other, "acme…"),
    }  # fmt: skip
    assert (finding.confidence, finding.redacted) == (2, "proved")


def test_findings_are_ordered_by_severity_confidence_rule_and_path(store, add_space, sighting):
    space = add_space(store)
    store.add_rules([rule("a.low", "low"), rule("b.high", "high"), rule("c.high", "high"), rule("d.crit", "critical")])
    given = [
        sighting(1, "a.low", confidence=2), sighting(2, "c.high", confidence=2), sighting(3, "b.high", path="/z"),
        sighting(4, "b.high", path="/a"), sighting(5, "d.crit", confidence=0), sighting(6, "b.high", confidence=2),
    ]  # fmt: skip
    store.add_sightings("t", space, given)
    assert [finding.sightings[0].sighting.space_offset for finding in run_view(store).findings] == [5, 6, 2, 4, 3, 1]


def test_a_rule_that_the_case_does_not_know_counts_as_grave(store, add_space, sighting):
    store.add_sightings("t", add_space(store), [sighting(1, "un.known")])
    assert run_view(store).findings[0].rule.severity == Severity.HIGH


def test_the_ledger_of_an_unfinished_run_adds_up_all_the_same(store, add_space):
    space = add_space(store, 1000)
    store.mark_pending([Task("a", "sweep", space), Task("b", "sweep", space)])
    store.add_task_result("a", space=space, ledger=[LedgerRow(100, 200, "swept"), LedgerRow(200, 300, "swept"), LedgerRow(300, 400, "absent")])
    view = run_view(store)
    assert view.spaces[0].ledger == (
        LedgerRow(0, 100, "unread", "not-reached"),
        LedgerRow(100, 300, "swept"),
        LedgerRow(300, 400, "absent"),
        LedgerRow(400, 1000, "unread", "not-reached"),
    )
    assert view.totals.total == view.size_bytes == 1000
    assert (view.totals.swept, view.totals.unread, view.pending_tasks) == (200, 700, 1)


def test_the_facts_of_the_run_are_read_and_what_else_is_in_meta_is_left_alone(store):
    store.set_meta(version="0.2", seconds=1.5, interrupted=True, finished="2026-01-01T00:00:02Z", something_else=[1])
    run = run_view(store).run
    assert (run.version, run.seconds, run.interrupted, run.finished, run.started) == (
        "0.2",
        1.5,
        True,
        "2026-01-01T00:00:02Z",
        "2026-01-01T00:00:00Z",
    )


def test_the_name_of_a_space_is_the_beginning_of_its_locators(store):
    store.add_space(SnapshotRef("qcow2", "id", "a b@.qcow2", 10), SourceSpec("/a"), (), 10, state="before/after")
    assert run_view(store).spaces[0].name == "qcow2:a%20b%40.qcow2%state:before%2Fafter"


def test_volumes_are_named_with_their_filesystem(store, add_space):
    space = add_space(store)
    segment = (Segment(0, 0, 10),)
    store.set_volume_map(space, VolumeMap((Volume("part:1", segment, "ext4"), Volume("", segment, "xfs"), Volume("part:3", segment))))
    assert run_view(store).spaces[0].volumes == ("part:1 ext4", "xfs", "part:3")


def test_a_case_is_read_as_one_moment_while_it_is_written(store, case, add_space, sighting):
    space = add_space(store)
    store.add_task_result("t", space=space, sightings=[sighting(1)])
    with Store.open_read_only(case) as reader:
        before = run_view(reader)
        store.add_task_result("u", space=space, sightings=[sighting(2)])
        after = run_view(reader)
    assert (len(before.findings), len(after.findings)) == (1, 2)
