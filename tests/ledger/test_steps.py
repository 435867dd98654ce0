"""A step is committed once, by the holder, whole: advance, park, finish."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from alfred import clock, errors, ids
from alfred.runs import claims, ledger, rows
from alfred.runs.rows import Item, Lease, NewRun
from alfred.runs.states import Status, Wait
from alfred.store.tx import Tx
from tests.ledger.core import Core, holder


def test_an_advance_commits_the_step_and_everything_with_it(core: Core) -> None:
    lease = core.held()
    wrote: list[int] = []
    done = core.advance(
        lease,
        step=core.step(
            lambda tx, seq: wrote.append(seq), state='{"a":1}', answers=1, external=True
        ),
    )
    run = core.run(lease.run_id)
    assert (done.seq, done.status) == (1, Status.RUNNING)
    assert (run.seq, run.step, run.turn, run.answers, run.state, run.external) == (
        1,
        "next",
        1,
        1,
        '{"a":1}',
        1,
    )
    assert wrote == [1]
    assert core.all("select n,seq,kind from transcript where run_id=:r", r=lease.run_id) == [
        (1, 1, "note")
    ]
    assert core.all(
        "select seq,attempt,outcome from run_steps where run_id=:r", r=lease.run_id
    ) == [(1, 1, "ok")]


@pytest.mark.parametrize("items", [0, 1, 3])
def test_a_step_that_only_goes_on_is_one_journey_to_a_server(
    core: Core, monkeypatch: pytest.MonkeyPatch, items: int
) -> None:
    """What commits by itself must be one statement, or a death between two of them would leave half a step."""
    lease = core.held()
    sent: list[str] = []
    me = threading.get_ident()  # what a test before this one began may still write

    def mine(statement: str) -> None:
        if threading.get_ident() == me:
            sent.append(statement)

    monkeypatch.setattr("alfred.store.tx.trace", mine)
    note = Item(kind="note", item={"kind": "note", "text": "a % and a \0 and a \ud800"})
    step = replace(core.step(), items=(note,) * items)
    done = core.store.transact_alone(
        ledger.advance, lease, 0, step, to="next", lease_us=core.me.lease_us
    )
    assert (done.seq, done.after["items"]) == (1, items)
    assert len(sent) == 1 if core.store.pg else sent[-1] == "commit"
    monkeypatch.undo()
    assert core.all("select n,seq,kind from transcript order by n") == [
        (n, 1, "note") for n in range(1, items + 1)
    ]
    assert core.one("select count(*) from run_steps") == 1


def test_what_is_not_said_anew_stays(core: Core) -> None:
    lease = core.held()
    core.advance(lease, step=core.step(state='{"a":1}', external=True))
    core.advance(lease)
    run = core.run(lease.run_id)
    assert (run.state, run.external) == ('{"a":1}', 1)


def test_the_same_commit_twice_is_one_step(core: Core) -> None:
    lease = core.held()
    step = core.step()
    first = core.advance(lease, step=step, seq=0)
    again = core.advance(lease, step=step, seq=0)
    assert again.earlier and (again.seq, again.status) == (first.seq, first.status)
    assert core.run(lease.run_id).seq == 1
    assert core.one("select count(*) from transcript where run_id=:r", r=lease.run_id) == 1


def test_the_same_park_twice_is_one_park(core: Core) -> None:
    lease = core.held()
    step = core.step()
    first = core.park(lease, Wait.TIMER, step=step, seq=0)
    again = core.park(lease, Wait.TIMER, step=step, seq=0)
    assert again.earlier and (again.seq, again.status) == (first.seq, first.status)
    assert first.status is Status.PARKED and first.wait is Wait.TIMER
    assert core.run(lease.run_id).park_no == 1


def test_the_same_end_twice_is_one_end(core: Core) -> None:
    lease = core.held()
    step = core.step()
    first = core.finish(lease, step=step, seq=0, result="r")
    again = core.finish(lease, step=step, seq=0, result="r")
    assert again.earlier and (again.seq, again.status) == (first.seq, first.status)
    assert core.events(lease.run_id).count("run.terminal") == 1


def test_a_commit_that_arrived_is_recognised_after_others_went_on(core: Core) -> None:
    lease = core.held()
    step = core.step()
    core.park(lease, Wait.TIMER, step=step, seq=0)
    core.due(lease.run_id)
    core.do(lambda tx: ledger.wake(tx, lease.run_id, (Wait.TIMER,)))
    again = core.park(lease, Wait.TIMER, step=step, seq=0)
    assert (again.seq, again.status) == (1, Status.QUEUED)
    core.take(lease.run_id, by=holder())
    assert core.park(lease, Wait.TIMER, step=step, seq=0).status is Status.QUEUED


def _superseded(core: Core) -> Lease:
    lease = core.held()
    core.do(claims.release, lease)
    core.take(lease.run_id, by=holder())
    return lease


def _held_anew(core: Core) -> Lease:
    """By the same worker: its first hold's step comes late."""
    lease = core.held()
    core.do(claims.release, lease)
    core.take(lease.run_id)
    return lease


def _stale(core: Core) -> Lease:
    lease = core.held()
    core.advance(lease)
    return lease


def _cancelling(core: Core) -> Lease:
    lease = core.held()
    core.cancel(lease.run_id)
    return lease


def _over(core: Core) -> Lease:
    lease = core.held()
    core.finish(lease)
    return lease


def _parked(core: Core) -> Lease:
    lease = core.held()
    core.park(lease, Wait.TIMER)
    return lease


@pytest.mark.parametrize("verb", ["advance", "park", "finish"])
@pytest.mark.parametrize("how", [_superseded, _held_anew, _stale, _cancelling, _over, _parked])
def test_who_is_not_the_holder_of_that_very_step_commits_nothing(
    core: Core, verb: str, how
) -> None:
    lease = how(core)
    before = core.run(lease.run_id)
    with pytest.raises(errors.LeaseLost):
        if verb == "park":
            core.park(lease, Wait.TIMER, seq=0)
        else:
            getattr(core, verb)(lease, seq=0)
    assert core.run(lease.run_id) == before


def test_a_write_that_fails_takes_the_whole_step_with_it(core: Core) -> None:
    lease = core.held()

    def fails(tx: Tx, seq: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        core.advance(lease, step=core.step(fails))
    assert core.run(lease.run_id).seq == 0
    assert core.one("select count(*) from transcript where run_id=:r", r=lease.run_id) == 0


def test_a_commit_renews_the_lease_and_forgives_earlier_deaths(core: Core) -> None:
    lease = core.held()
    core.write(
        "update runs set reclaims=2,lease_until=lease_until-1000000 where id=:r", r=lease.run_id
    )
    before = core.lease_until(lease.run_id)
    core.advance(lease)
    run = core.run(lease.run_id)
    assert run.reclaims == 0 and core.lease_until(lease.run_id) > before


def test_parking_raises_no_turn_so_that_its_calls_keep_their_places(core: Core) -> None:
    lease = core.held()
    core.park(lease, Wait.TIMER)
    assert core.run(lease.run_id).turn == 0


@pytest.mark.parametrize("wait", [Wait.TIMER, Wait.EVENT, Wait.BUDGET, Wait.LIMIT, Wait.PAUSE])
def test_a_park_frees_the_run_and_always_has_a_deadline(core: Core, wait: Wait) -> None:
    lease = core.held()
    core.park(lease, wait, for_us=clock.MINUTE)
    run = core.run(lease.run_id)
    assert (run.status, run.wait, run.worker, run.lease_until) == ("parked", wait, None, None)
    assert run.wake_at is not None and run.park_no == 1
    assert core.one("select ended from leases where run_id=:r", r=lease.run_id) == "parked"


def test_a_park_on_people_goes_on_when_nobody_is_asked(core: Core) -> None:
    lease = core.held()
    assert core.park(lease, Wait.APPROVAL).status is Status.RUNNING
    assert core.run(lease.run_id).seq == 1


def test_a_park_goes_on_when_the_card_was_decided_meanwhile(core: Core) -> None:
    lease = core.held()
    [card] = core.staged(lease, parked=False)
    core.decide(card)
    assert core.park(lease, Wait.APPROVAL).status is Status.RUNNING


def test_a_park_says_what_the_first_open_call_really_waits_for(core: Core) -> None:
    lease = core.held()
    core.staged(lease, kinds=("question", "action"), parked=False)
    done = core.park(lease, Wait.APPROVAL)
    assert (done.status, done.wait) == (Status.PARKED, Wait.QUESTION)


def test_a_park_behind_an_approved_head_goes_on_though_a_later_card_is_open(core: Core) -> None:
    lease = core.held()
    first, _second = core.staged(lease, kinds=("action", "action"), parked=False)
    core.decide(first)
    assert core.park(lease, Wait.APPROVAL).status is Status.RUNNING


def test_a_park_on_children_goes_on_when_the_last_is_done(core: Core) -> None:
    lease = core.held()
    child = core.child(lease.run_id)
    assert core.park(lease, Wait.CHILDREN).status is Status.PARKED
    core.cancel(child)
    lease = core.take(lease.run_id)
    assert core.park(lease, Wait.CHILDREN).status is Status.RUNNING


def test_who_is_out_of_an_earlier_call_holds_nobody_that_waits_for_a_later_one(core: Core) -> None:
    lease = core.held()
    core.child(lease.run_id, parent_call="slow:0")
    first, second = (core.child(lease.run_id, parent_call=f"fast:{n}") for n in (0, 1))
    assert core.park(lease, Wait.CHILDREN, children=[first, second]).status is Status.PARKED
    core.cancel(first)
    assert core.run(lease.run_id).status == "parked"
    core.cancel(second)
    lease = core.take(lease.run_id)
    # they had ended before it parked
    assert core.park(lease, Wait.CHILDREN, children=[first, second]).status is Status.RUNNING


@pytest.mark.parametrize("wait", [Wait.TIMER, Wait.EVENT])
def test_a_park_goes_on_when_a_message_is_there(core: Core, wait: Wait) -> None:
    lease = core.held()
    core.message(lease.run_id)
    assert core.park(lease, wait).status is Status.RUNNING


@pytest.mark.parametrize("wait", [Wait.BUDGET, Wait.LIMIT, Wait.PAUSE])
def test_a_message_does_not_lift_a_limit(core: Core, wait: Wait) -> None:
    lease = core.held()
    core.message(lease.run_id)
    assert core.park(lease, wait).status is Status.PARKED
    core.message(lease.run_id)
    assert core.run(lease.run_id).status == "parked"


# ---- waking ----


def test_a_late_wake_does_not_wake_a_later_park(core: Core) -> None:
    lease = core.held()
    core.park(lease, Wait.TIMER)
    core.do(lambda tx: ledger.wake(tx, lease.run_id, (Wait.TIMER,), park_no=1))
    lease = core.take(lease.run_id)
    core.park(lease, Wait.TIMER)
    assert not core.do(lambda tx: ledger.wake(tx, lease.run_id, (Wait.TIMER,), park_no=1))
    assert core.do(lambda tx: ledger.wake(tx, lease.run_id, (Wait.TIMER,), park_no=2))


def test_a_wake_is_for_what_the_run_waits_for(core: Core) -> None:
    lease = core.held()
    core.park(lease, Wait.BUDGET)
    assert not core.do(lambda tx: ledger.wake(tx, lease.run_id, (Wait.TIMER, Wait.EVENT)))
    assert core.run(lease.run_id).status == "parked"


def test_a_timer_does_not_wake_before_its_time(core: Core) -> None:
    lease = core.held()
    core.park(lease, Wait.TIMER)
    assert not core.do(lambda tx: ledger.wake(tx, lease.run_id, (Wait.TIMER,), due=True))
    core.due(lease.run_id)
    assert core.do(lambda tx: ledger.wake(tx, lease.run_id, (Wait.TIMER,), due=True))


def test_a_wake_of_what_is_not_parked_is_nothing(core: Core) -> None:
    lease = core.held()
    assert not core.do(lambda tx: ledger.wake(tx, lease.run_id, tuple(Wait)))
    core.finish(lease)
    assert not core.do(lambda tx: ledger.wake(tx, lease.run_id, tuple(Wait)))
    assert core.run(lease.run_id).status == "completed"


# ---- messages ----


def test_a_message_is_stored_once_and_read_once(core: Core) -> None:
    lease = core.held()
    message_id = ids.new()
    core.message(lease.run_id, message_id=message_id)
    core.message(lease.run_id, message_id=message_id)
    with core.store.read() as look:
        assert [m[0] for m in ledger.messages(look, lease.run_id)] == [message_id]
    core.advance(lease, step=core.step(ledger.consume([message_id])))
    with core.store.read() as look:
        assert ledger.messages(look, lease.run_id) == []
    assert core.one("select consumed_seq from interjections where id=:i", i=message_id) == 1


@pytest.mark.parametrize("wait", [Wait.TIMER, Wait.EVENT])
def test_a_message_wakes_who_waits_for_time_alone(core: Core, wait: Wait) -> None:
    lease = core.held()
    core.park(lease, wait)
    core.message(lease.run_id)
    assert core.run(lease.run_id).status == "queued"


def test_a_message_to_a_run_that_waits_for_a_person_waits_behind_it(core: Core) -> None:
    lease = core.held()
    core.staged(lease)
    told = core.message(lease.run_id)
    assert told is not None and (told.status, told.wait) == ("parked", "approval")


def test_a_message_to_what_is_over_or_being_cancelled_is_refused(core: Core) -> None:
    over, ending = core.held(), core.held()
    core.finish(over)
    core.cancel(ending.run_id)
    assert core.message(over.run_id) is None
    assert core.message(ending.run_id) is None
    assert core.one("select count(*) from interjections") == 0


# ---- the fence ----


def test_the_fence_holds_for_the_holder_alone(core: Core) -> None:
    lease = core.held()

    def fence(of: Lease) -> bool:
        with core.store.read() as look:
            return rows.fence(look, of)

    assert fence(lease)
    core.cancel(lease.run_id)
    assert not fence(lease)
    other = core.held()
    core.do(claims.release, other)
    assert not fence(other)
    core.take(other.run_id, by=holder())
    assert not fence(other)


def test_an_attempt_that_is_counted_twice_after_a_restore_fences_all_the_same(core: Core) -> None:
    """The backup knew attempt 1; the run was held a second time since, and is so again after the restore."""
    zombie = core.held()
    core.write("update runs set worker='another' where id=:r", r=zombie.run_id)
    with pytest.raises(errors.LeaseLost):
        core.advance(zombie)
    assert core.do(claims.release, zombie) is False
    with core.store.read() as look:
        assert rows.fence(look, zombie) is False


def test_no_run_begins_below_one_that_is_over_or_being_cancelled(core: Core) -> None:
    over, ending = core.held(), core.held()
    core.finish(over)
    core.cancel(ending.run_id)
    for parent in (over.run_id, ending.run_id, "nobody"):
        child = NewRun(id=ids.new(), workflow="w", step="s", parent_id=parent, parent_call="c")
        assert core.do(ledger.start, child) is False
