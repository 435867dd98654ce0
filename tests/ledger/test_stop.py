"""Stopping everything, and going on."""

from __future__ import annotations

import pytest

from alfred import errors, ids
from alfred.runs import endings, stop, sweep
from alfred.runs.states import Wait
from tests.ledger.core import Core


def stop_all(core: Core) -> list[str]:
    core.do(stop.switch, "main", by="me")
    return core.do(stop.stop, "main", by="me", token=ids.new())


def test_what_runs_is_parked_and_what_waits_stays(core: Core) -> None:
    running, timed = core.held(), core.held()
    core.park(timed, Wait.TIMER)
    queued = core.start()
    assert stop_all(core) == [running.run_id]
    assert (core.run(running.run_id).status, core.run(running.run_id).wait) == ("parked", "pause")
    assert core.run(queued).status == "queued"
    assert core.run(timed.run_id).wait == "timer"


def test_runs_are_locked_from_the_root_whatever_their_ids(core: Core) -> None:
    younger, older = sorted([ids.new(), ids.new()])
    parent = core.held(id=older)
    child = core.take(core.child(parent.run_id, id=younger))
    assert stop_all(core) == [parent.run_id, child.run_id]
    assert core.do(stop.resume, "main", by="me", token=ids.new()) == [parent.run_id, child.run_id]


def test_after_stop_no_effect_can_begin_and_nothing_is_committed(core: Core) -> None:
    lease = core.held()
    core.staged(lease, kinds=("none",), parked=False)
    stop_all(core)
    [call] = core.calls(lease.run_id)
    with pytest.raises(errors.LeaseLost):
        core.intend(lease, call.id)
    with pytest.raises(errors.LeaseLost):
        core.advance(lease)
    assert core.call(call.id).status == "proposed"


def test_an_outcome_is_recorded_after_stop(core: Core) -> None:
    lease = core.held()
    core.staged(lease, kinds=("none",), parked=False)
    [call] = core.calls(lease.run_id)
    core.intend(lease, call.id)
    stop_all(core)
    assert core.outcome(lease, call.id)


def test_resume_queues_what_was_paused_and_lets_claims_in(core: Core) -> None:
    lease = core.held()
    stop_all(core)
    assert core.do(stop.resume, "main", by="me", token=ids.new()) == [lease.run_id]
    assert core.take(lease.run_id).attempt == 2
    with core.store.read() as look:
        assert stop.stopped(look, "main") is None


def test_stop_is_one_tenants(core: Core) -> None:
    other = core.held(tenant="other")
    stop_all(core)
    assert core.run(other.run_id).status == "running"
    core.take(core.start(tenant="other"))


def test_a_run_that_is_being_cancelled_is_not_paused(core: Core) -> None:
    lease = core.held()
    core.cancel(lease.run_id)
    assert stop_all(core) == []
    assert core.run(lease.run_id).status == "running"


def test_stopping_twice_is_stopping_once(core: Core) -> None:
    core.held()
    stop_all(core)
    with core.store.read() as look:
        first = stop.stopped(look, "main")
    assert stop_all(core) == []
    with core.store.read() as look:
        assert stop.stopped(look, "main") == first


def test_after_a_restore_what_was_live_is_paused_and_cancels_are_honoured(core: Core) -> None:
    running, ending = core.held(), core.held()
    timed, limited, asked, caller = core.held(), core.held(), core.held(), core.held()
    child = core.child(caller.run_id)
    core.park(timed, Wait.TIMER)
    core.park(caller, Wait.CHILDREN)
    core.park(limited, Wait.LIMIT)
    core.staged(asked)
    queued = core.start()
    core.cancel(ending.run_id)
    core.do(stop.restored, by="me")
    for run_id in (running.run_id, queued, timed.run_id, limited.run_id, caller.run_id, child):
        assert core.run(run_id).wait == "pause"
    assert core.run(asked.run_id).wait == "approval", "a person decides about it anyway"
    assert core.run(ending.run_id).status == "cancelled"


def test_ten_thousand_paused_runs_go_on_in_parts(core: Core) -> None:
    leases = [core.held() for _ in range(5)]
    stop_all(core)
    parts = []
    while some := core.do(stop.resume, "main", by="me", token=ids.new(), most=2):
        parts.append(len(some))
    assert parts == [2, 2, 1]
    assert {core.run(lease.run_id).status for lease in leases} == {"queued"}


def test_what_was_said_once_is_answered_again_when_the_answer_was_lost(core: Core) -> None:
    held, other = core.held(), core.held()
    core.do(stop.switch, "main", by="me")
    for verb in (stop.stop, stop.resume):
        token = ids.new()
        first = core.do(verb, "main", by="me", token=token)
        assert sorted(first) == sorted([held.run_id, other.run_id])
        assert core.do(verb, "main", by="me", token=token) == first
    token = ids.new()
    assert core.do(endings.cancel, held.run_id, by="me", token=token) is True
    assert core.do(endings.cancel, held.run_id, by="me", token=token) is True
    assert core.do(endings.cancel, held.run_id, by="me", token=ids.new()) is False
    assert core.one("select count(*) from audit") == 3


def test_stop_and_resume_are_in_the_audit_chain(core: Core) -> None:
    stop_all(core)
    core.do(stop.resume, "main", by="me", token=ids.new())
    assert core.one("select count(*) from audit") == 2


def test_a_stop_that_was_killed_half_way_is_brought_to_its_end_by_the_sweep(core: Core) -> None:
    lease = core.held()
    cancelled = core.held()
    core.write("update runs set cancel=1 where id=:id", id=cancelled.run_id)
    core.do(stop.switch, "main", by="me")
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "running", "whoever stops may be on the way"
    core.write("update switches set at=at-:long", long=sweep.STOPS)
    sweep.beat(core.store)
    assert (core.run(lease.run_id).status, core.run(lease.run_id).wait) == ("parked", "pause")
    assert core.run(cancelled.run_id).wait is None
    rows = core.one("select count(*) from audit")
    sweep.beat(core.store)
    assert core.one("select count(*) from audit") == rows, "once"
