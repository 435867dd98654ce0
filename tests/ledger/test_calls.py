"""Calls: an intent before the effect, by the holder alone; an outcome by the intent, whoever holds the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from alfred import errors, ids
from alfred.actions.ledger import calls, history
from alfred.runs import claims
from alfred.runs.rows import Lease
from alfred.store.tx import Tx
from alfred.trust import labels
from tests.ledger.core import Core, holder, intend


def proposed(core: Core, **more: str) -> tuple[Lease, str]:
    lease = core.held()
    core.staged(lease, kinds=("none",), parked=False, **more)  # type: ignore[arg-type]
    return lease, core.calls(lease.run_id)[0].id


def test_an_intent_is_the_holders(core: Core) -> None:
    lease, call = proposed(core)
    core.intend(lease, call)
    now = core.call(call)
    assert (now.status, now.intent_attempt) == ("executing", 1)
    assert now.intent_at is not None


@pytest.mark.parametrize("how", ["taken", "cancelled", "released", "over"])
def test_who_does_not_hold_the_run_intends_nothing(core: Core, how: str) -> None:
    lease, call = proposed(core)
    if how == "cancelled":
        core.cancel(lease.run_id)
    elif how == "over":
        core.finish(lease)
    else:
        core.do(claims.release, lease)
    if how == "taken":
        core.take(lease.run_id, by=holder())
    with pytest.raises(errors.LeaseLost):
        core.intend(lease, call)
    assert core.call(call).status in ("proposed", "skipped")


def test_an_intent_is_bound_to_the_content_that_may_be_sent(core: Core) -> None:
    lease, call = proposed(core)
    with pytest.raises(errors.LeaseLost):
        core.do(intend, lease, core.call(call), key=None, content="something else")
    assert core.call(call).status == "proposed"


def test_a_staged_call_is_not_intended(core: Core) -> None:
    lease = core.held()
    [asked] = core.staged(lease, parked=False)
    with pytest.raises(errors.LeaseLost):
        core.intend(lease, core.call_of(asked).id)


def test_intending_again_under_the_same_attempt_is_one_intent(core: Core) -> None:
    lease, call = proposed(core)
    before = core.call(call)
    core.intend(lease, call)
    core.do(intend, lease, before, key="k", content=before.run_args_hash or "")
    assert core.call(call).effect_key == f"key {call}"


def test_a_new_holder_finds_the_open_intents_of_earlier_attempts_unknown(core: Core) -> None:
    lease, call = proposed(core)
    core.intend(lease, call)
    core.do(calls.enter, lease)
    assert core.call(call).status == "executing", "its own intent became unknown"
    core.do(claims.release, lease)
    later = core.take(lease.run_id, by=holder())
    core.do(calls.enter, later)
    assert core.call(call).status == "unknown"


def test_a_holder_that_comes_after_it_lost_the_run_has_nothing_judged_anew(core: Core) -> None:
    late, call = proposed(core)
    core.do(claims.release, late)
    core.take(late.run_id, by=holder())
    core.do(calls.enter, late)
    assert core.call(call).risk == "none"


@pytest.mark.parametrize("meanwhile", ["nothing", "unknown", "cancelled", "taken over", "over"])
@pytest.mark.parametrize("status", ["done", "failed"])
def test_an_outcome_is_recorded_whatever_became_of_the_run(
    core: Core, meanwhile: str, status: str
) -> None:
    lease, call = proposed(core)
    core.intend(lease, call)
    if meanwhile == "unknown":
        core.do(calls.unknown, lease, core.call(call))
    elif meanwhile == "cancelled":
        core.cancel(lease.run_id)
    elif meanwhile == "over":
        core.finish(lease)
    elif meanwhile == "taken over":
        core.do(claims.release, lease)
        core.do(calls.enter, core.take(lease.run_id, by=holder()))
    assert core.outcome(lease, call, status)
    assert core.call(call).status == status


def test_an_outcome_belongs_to_its_intent(core: Core) -> None:
    lease, call = proposed(core)
    core.intend(lease, call)
    assert not core.outcome(replace(lease, attempt=2), call)
    assert core.call(call).status == "executing"


def test_a_settled_call_keeps_what_came_of_it(core: Core) -> None:
    lease, call = proposed(core)
    core.intend(lease, call)
    assert core.outcome(lease, call)
    assert not core.outcome(lease, call, "failed")
    core.do(calls.unknown, lease, core.call(call))
    assert core.call(call).status == "done"


def test_a_retry_keeps_the_key_and_raises_the_attempt(core: Core) -> None:
    lease, call = proposed(core)
    core.intend(lease, call)
    core.do(claims.release, lease)
    later = core.take(lease.run_id, by=holder())
    core.do(calls.enter, later)
    core.intend(later, call)
    now = core.call(call)
    assert (now.status, now.intent_attempt, now.effect_key) == ("executing", 2, f"key {call}")
    assert not core.outcome(lease, call, "failed"), "the first try spoke for the second"


def test_no_two_calls_share_a_key(core: Core) -> None:
    lease = core.held()
    core.staged(lease, kinds=("none", "none"), parked=False)
    first, second = (core.call(c.id) for c in core.calls(lease.run_id))
    core.do(intend, lease, first, key="same", content=first.run_args_hash or "")
    with pytest.raises(Exception, match=r"(?i)unique"):
        core.do(intend, lease, second, key="same", content=second.run_args_hash or "")


def test_a_place_keeps_the_call_that_has_it(core: Core) -> None:
    lease, call = proposed(core)
    twin = calls.NewCall(
        id=ids.new(),
        run_id=lease.run_id,
        turn=0,
        ordinal=0,
        action="other",
        args="{}",
        args_hash="x",
    )
    core.do(calls.propose, [twin])
    assert [c.id for c in core.calls(lease.run_id)] == [call]


def test_the_providers_own_call_id_may_repeat(core: Core) -> None:
    lease = core.held()
    new = [
        calls.NewCall(
            id=ids.new(),
            run_id=lease.run_id,
            turn=turn,
            ordinal=0,
            action="a",
            args="{}",
            args_hash="x",
            tool_call_id="call_0",
        )
        for turn in (0, 1)
    ]
    core.do(calls.propose, new)
    assert len(core.calls(lease.run_id)) == 2


def test_a_call_is_judged_once(core: Core) -> None:
    _, call = proposed(core)
    again = calls.Judgement(call_id=call, status="refused", action="world.act")
    assert not core.do(calls.judge, again)
    assert core.call(call).status == "proposed"


def looked(core: Core, lease: Lease, call: str, status: str, result: str) -> None:
    saw = calls.seen(core.call(call), status=status, result=result, label=labels.WORST, error=None)
    core.do(calls.looked, lease, saw)


@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_look_is_intent_and_outcome_in_one(core: Core, status: str) -> None:
    lease, call = proposed(core, effect="pure")
    looked(core, lease, call, status, '"seen"')
    now = core.call(call)
    assert (now.status, now.result) == (status, '"seen"')
    looked(core, lease, call, "done", '"later"')
    assert core.call(call).result == '"seen"'


def test_a_no_to_a_call_is_remembered_in_its_run_alone(core: Core) -> None:
    lease = core.held()
    [asked] = core.staged(lease)
    core.decide(asked, "reject")
    other = core.held()
    with core.store.read() as look:
        assert history.rejected_before(look, lease.run_id, "world.act", "{}")
        assert not history.rejected_before(look, lease.run_id, "world.act", '{"n":1}')
        assert not history.rejected_before(look, other.run_id, "world.act", "{}")


MOVES: dict[str, tuple[str, Callable[[Tx, str], None]]] = {
    "approve": ("staged", calls.approve),
    "reject": ("staged", lambda tx, call: calls.reject(tx, call, "no")),
    "answer": ("staged", lambda tx, call: calls.answer(tx, call, "so")),
    "restage": (
        "approved",
        lambda tx, call: calls.restage(
            tx, call, args_hash="other", target=None, preview="", risk="high"
        ),
    ),
    "refuse": ("approved", lambda tx, call: calls.refuse(tx, call, "no")),
    "happened": ("unknown", lambda tx, call: calls.happened(tx, call, "it did")),
    "skip": ("unknown", lambda tx, call: calls.skip(tx, call, "left")),
    "renew": (
        "unknown",
        lambda tx, call: calls.renew(
            tx,
            calls.Judgement(call_id=call, status="proposed", action="a", args_hash="other"),
        ),
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_call_that_has_moved_on_is_left_as_it_is(core: Core, move: str) -> None:
    """Whoever decides about it may have looked before: whatever was first stands."""
    needs, verb = MOVES[move]
    _, call = proposed(core)
    for status in ("proposed", "staged", "approved", "executing", "unknown", *calls.SETTLED):
        begun = 1 if status in ("executing", "unknown", "done", "failed") else None
        core.write(
            "update calls set status=:s,intent_at=:n,outcome_at=:n where id=:c",
            s=status,
            n=begun,
            c=call,
        )
        before = core.call(call)
        core.do(verb, call)
        assert (core.call(call) != before) is (status == needs), status
