"""The foreman as a table of events: what happens, and what it answers."""

from __future__ import annotations

from snapscan.model.ledger import missing
from snapscan.model.snapshot import SnapshotRef, SourceSpec
from snapscan.model.units import KIB
from snapscan.model.volume import VolumeMap
from snapscan.run.events import (
    Announce,
    Assign,
    Died,
    Finish,
    Got,
    Interrupted,
    Lose,
    OpenCase,
    Opened,
    PlanJoin,
    Planned,
    Ready,
    Refuse,
    Replace,
    Save,
)
from snapscan.run.foreman import START_FAILURES_MOST, Foreman
from snapscan.run.messages import JoinTask, LookItem, MapTask, Part, Probed, ProbeTask, ProofTask, RangeTask, SpaceSpec, ViewItem, ViewTask

SOURCE = SourceSpec("/disk.img")
PROBE = ProbeTask("0:probe:0", 0, SOURCE, "", 1 << 20)
SPEC = SpaceSpec(1, SOURCE, SnapshotRef("raw", "x", "disk.img", 1 << 20), VolumeMap(()), "/maps")
PROBED = Probed(SPEC.snapshot, 1 << 20, 1 << 20, (), VolumeMap(()), ())
RANGE = RangeTask("1:range:0-1048576", 1, 0, 1 << 20)
MAP = MapTask("1:map:0", 1, 0)
JOIN = JoinTask("1:join:0", 1)


def done(task, **fields) -> Got:
    return Got(0, Part(task.id, 0, True, **fields))


def kinds(actions) -> list[str]:
    return [type(action).__name__ for action in actions]


def opened(*tasks) -> Foreman:
    """A foreman with one idle worker 0, whose source was opened with these tasks; the first of them is assigned."""
    foreman = Foreman([PROBE])
    assert foreman.on(Ready(0)) == [Assign(0, PROBE)]
    (action,) = foreman.on(done(PROBE, probed=PROBED))
    assert isinstance(action, OpenCase)
    assert kinds(foreman.on(Opened(SPEC, tasks))) == ["Announce", "Assign"]
    return foreman


def test_a_run_goes_through_its_stages_and_finishes() -> None:
    foreman = opened(MAP, RANGE)
    assert foreman.on(done(MAP, owners=7)) == [Save(MAP, (Part(MAP.id, 0, True, owners=7),)), Assign(0, RANGE)]
    assert foreman.on(done(RANGE))[-1] == PlanJoin(1, ((0, 7),))
    assert kinds(foreman.on(Planned(1, (JOIN,)))) == ["Announce", "Assign"]
    item = ViewItem(0, 5, "gzip", 4096, 5000, 904, "l")
    actions = foreman.on(done(JOIN, items=(item,), looks=(LookItem(0, 9),)))
    assert kinds(actions) == ["Save", "Announce", "Assign"]
    look, view = actions[1].tasks
    assert actions[2] == Assign(0, look)
    assert foreman.on(done(look))[-1] == Assign(0, view)
    assert kinds(foreman.on(done(view))) == ["Save", "PlanProof"]
    proof = ProofTask("1:proof:1", 1, ("/a",))
    assert kinds(foreman.on(Planned(1, (proof,)))) == ["Announce", "Assign"]
    assert kinds(foreman.on(done(proof, proofs=(("/a", "dpkg a"),)))) == ["Save", "Finish"]


def test_parts_count_only_when_the_last_is_in() -> None:
    foreman = opened(RANGE)
    assert foreman.on(Got(0, Part(RANGE.id, 0, False))) == []
    assert foreman.on(Died(0, "worker-crashed", "signal SIGKILL", 0, 0)) == [Replace(0)]
    assert foreman.on(Ready(0)) == [Assign(0, RANGE)]
    (save, _) = foreman.on(done(RANGE))
    assert save == Save(RANGE, (Part(RANGE.id, 0, True),))


def test_parts_of_an_attempt_that_was_given_up_are_dropped() -> None:
    foreman = opened(RANGE)
    assert foreman.on(done(MAP)) == []


def test_crash_in_a_range_is_cut_down_to_64_kib_and_every_byte_stays_accounted_for() -> None:
    """Worker 0 dies on whatever holds byte 700,000."""
    foreman = opened(RANGE)
    task, rows, deaths = RANGE, [], 0
    while True:
        if isinstance(task, RangeTask) and task.start <= 700_000 < task.end:
            deaths += 1
            low = max(task.start, 700_000 // (256 * KIB) * 256 * KIB)
            actions = foreman.on(Died(0, "worker-crashed", "", low, min(task.end, low + 256 * KIB)))
            rows += [row for action in actions if isinstance(action, Lose) for row in action.ledger]
            actions += foreman.on(Ready(0))
        else:
            rows += [type("Row", (), {"start": task.start, "end": task.end})()]
            actions = foreman.on(done(task))
        assigned = [action for action in actions if isinstance(action, Assign)]
        if not assigned:
            assert isinstance(actions[-1], PlanJoin)
            break
        task = assigned[0].task
    lost = [row for row in rows if getattr(row, "outcome", "") == "lost"]
    assert [(row.start // (64 * KIB), row.end - row.start) for row in lost] == [(700_000 // (64 * KIB), 64 * KIB)]
    assert missing(rows, 1 << 20) == []
    assert deaths <= 6


def test_hung_view_is_lost_and_the_others_of_its_batch_are_done() -> None:
    items = tuple(ViewItem(0, n, "gzip", n * 4096, n * 4096 + 10, 10, f"l{n}") for n in range(5))
    view = ViewTask("1:views:0", 1, items)
    foreman = opened(view)
    actions = foreman.on(Died(0, "worker-hung", "where", 2, 3))
    lose = next(action for action in actions if isinstance(action, Lose))
    assert [(row.locator, row.outcome, row.reason) for row in lose.views] == [("l2", "lost", "worker-hung")]
    (announce,) = [action for action in actions if isinstance(action, Announce)]
    assert [item.locator for task in announce.tasks for item in task.items] == ["l0", "l1", "l3", "l4"]


def test_map_that_crashes_twice_is_a_gap_and_the_sweep_goes_on() -> None:
    foreman = opened(MAP, RANGE)
    assert foreman.on(Died(0, "worker-crashed", "", 0, 0)) == [Replace(0)]
    assert foreman.on(Ready(0)) == [Assign(0, MAP)]
    actions = foreman.on(Died(0, "worker-crashed", "", 0, 0))
    assert [gap.reason for action in actions if isinstance(action, Lose) for gap in action.gaps] == ["unmapped"]
    assert foreman.on(Ready(0)) == [Assign(0, RANGE)]


def test_source_that_cannot_be_opened_is_refused_and_the_run_ends() -> None:
    foreman = Foreman([PROBE])
    foreman.on(Ready(0))
    actions = foreman.on(done(PROBE, error=("not-found", "m", "h", 4)))
    assert actions == [Refuse(PROBE, ("not-found", "m", "h", 4)), Finish()]


def test_failed_output_stops_the_run() -> None:
    foreman = opened(MAP, RANGE)
    actions = foreman.on(done(MAP, error=("store-write", "disk full", "", 5)))
    assert kinds(actions) == ["Refuse", "Finish"]


def test_interrupt_lets_running_tasks_end_and_hands_out_no_more() -> None:
    foreman = opened(MAP, RANGE)
    assert foreman.on(Interrupted()) == []
    assert kinds(foreman.on(done(MAP))) == ["Save", "Finish"]


def test_tasks_of_an_earlier_run_are_not_done_again() -> None:
    foreman = Foreman([PROBE], done=frozenset({MAP.id, RANGE.id}))
    foreman.on(Ready(0))
    foreman.on(done(PROBE, probed=PROBED))
    assert foreman.on(Opened(SPEC, (MAP, RANGE))) == [PlanJoin(1, ())]


def test_workers_that_die_before_they_work_end_the_run() -> None:
    foreman = Foreman([PROBE])
    for _ in range(START_FAILURES_MOST):
        assert kinds(foreman.on(Died(0, "worker-crashed", "", 0, 0))) == ["Replace"]
    assert kinds(foreman.on(Died(0, "worker-crashed", "", 0, 0))) == ["Finish"]


def test_join_that_crashes_twice_keeps_its_hits_by_place() -> None:
    from snapscan.model.finding import Hit

    hit = Hit("r", 5, 4, "f", "x", 1)
    task = JoinTask("1:join:0", 1, (hit,), (), True)
    foreman = opened(RANGE)
    foreman.on(done(RANGE))
    foreman.on(Planned(1, (task,)))
    foreman.on(Died(0, "worker-crashed", "", 0, 0))
    foreman.on(Ready(0))
    lose = next(a for a in foreman.on(Died(0, "worker-crashed", "", 0, 0)) if isinstance(a, Lose))
    assert lose.unowned == (hit,) and lose.gaps[0].reason == "unmapped"
