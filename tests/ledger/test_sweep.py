"""One beat repairs what a crash, a lost signal or a clock left behind, and nothing else."""

from __future__ import annotations

import pytest

from alfred import clock, ids
from alfred.actions import card_clock
from alfred.runs import sweep
from alfred.runs.states import Wait
from alfred.store.connect import Store
from tests.ledger.core import Core


def expire(store: Store) -> None:
    card_clock.expire_beat(store, ids.new)


@pytest.mark.parametrize("wait", [Wait.TIMER, Wait.EVENT, Wait.BUDGET, Wait.LIMIT])
def test_a_deadline_wakes_who_waits_for_time(core: Core, wait: Wait) -> None:
    lease = core.held()
    core.park(lease, wait)
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "parked", "it was not due"
    core.due(lease.run_id)
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "queued"


def test_the_dead_man_timer_wakes_a_parent_whose_children_never_end(core: Core) -> None:
    lease = core.held()
    core.child(lease.run_id)
    core.park(lease, Wait.CHILDREN)
    core.due(lease.run_id)
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "queued"


def test_a_pause_has_no_end_of_its_own(core: Core) -> None:
    lease = core.held()
    core.park(lease, Wait.PAUSE)
    core.due(lease.run_id)
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "parked"


def test_the_deadline_of_a_card_is_its_expiry_and_not_the_runs(core: Core) -> None:
    lease = core.held()
    [card] = core.staged(lease)
    core.due(lease.run_id)
    sweep.beat(core.store, others=(expire,))
    assert core.run(lease.run_id).status == "parked"
    core.write("update approvals set expires_at=1")
    sweep.beat(core.store, others=(expire,))
    assert core.approval(card).status == "expired"
    assert core.call_of(card).status == "rejected"
    assert core.run(lease.run_id).status == "queued"


def test_a_run_that_sleeps_on_decided_cards_is_found(core: Core) -> None:
    lease = core.held()
    [card] = core.staged(lease)
    core.decide(card)
    # As if the decision had committed and its wake of the run had not.
    core.write(
        "update runs set status='parked',wait='approval',wake_at=1 where id=:r", r=lease.run_id
    )
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "queued"


def test_lost_wakes_are_said_again_oldest_first_and_no_more_than_there_is_room(core: Core) -> None:
    told: list[str] = []
    core.store.delivered = told.extend
    runs = [core.start() for _ in range(4)]
    old = 60 * clock.SECOND
    core.write("update runs set ready_at=ready_at-:o", o=old)
    told.clear()
    sweep.beat(core.store, free_slots=2)
    assert told == runs[:2]
    sweep.beat(core.store, free_slots=2)
    assert told == runs, "who was woken a moment ago was woken again"


def test_a_wake_a_moment_ago_is_no_lost_wake(core: Core) -> None:
    told: list[str] = []
    core.start()
    core.store.delivered = told.extend
    sweep.beat(core.store, free_slots=8)
    assert told == []


def test_one_part_that_fails_keeps_no_other_from_working(core: Core) -> None:
    lease = core.held()
    core.park(lease, Wait.TIMER)
    core.due(lease.run_id)
    seen: list[str] = []

    def fails(store: Store) -> None:
        raise ZeroDivisionError

    sweep.beat(core.store, others=(fails, lambda store: seen.append("after")))
    assert seen == ["after"] and core.run(lease.run_id).status == "queued"


def test_a_second_beat_changes_nothing(core: Core) -> None:
    for _ in range(3):
        core.lapse(core.held().run_id)
    sweep.beat(core.store)
    before = core.all("select id,status,attempt,reclaims,park_no from runs order by id")
    sweep.beat(core.store)
    assert core.all("select id,status,attempt,reclaims,park_no from runs order by id") == before


def test_a_run_that_a_wrong_clock_put_off_is_ready_now(core: Core) -> None:
    soon, never = core.start(), core.start()
    core.write("update runs set ready_at=ready_at+:later where id=:r", r=soon, later=clock.MINUTE)
    core.write(
        "update runs set ready_at=ready_at+:later where id=:r", r=never, later=30 * clock.DAY
    )
    sweep.beat(core.store)
    assert core.claim(soon) is None
    assert isinstance(core.claim(never), tuple)


def test_cards_that_wait_hide_nobodys_timer(core: Core) -> None:
    asked, timed = core.held(), core.held()
    core.staged(asked)
    core.park(timed, Wait.TIMER)
    core.write("update runs set wake_at=1 where id=:r", r=asked.run_id)
    sweep.beat(core.store)
    assert core.run(asked.run_id).status == "parked"
    assert core.one("select wake_at from runs where id=:r", r=asked.run_id) > 1


def test_a_later_park_keeps_its_time_whatever_was_seen_of_an_earlier_one(core: Core) -> None:
    lease = core.held()
    [card] = core.staged(lease)
    core.decide(card)
    core.park(core.take(lease.run_id), Wait.TIMER)
    until = core.run(lease.run_id).wake_at
    core.do(sweep._wake_due, lease.run_id, 1, Wait.APPROVAL)
    assert core.run(lease.run_id).wake_at == until
