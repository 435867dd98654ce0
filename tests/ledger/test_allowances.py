"""The card that asks whether a run goes on beyond a cap: its yes wakes the run, and whoever takes the run takes it away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from alfred import errors, ids
from alfred.actions import approvals
from alfred.actions.dispatch import Dispatch
from alfred.actions.ledger import allowances
from alfred.actions.ledger.allowances import Allowance
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.runs import claims, ledger, rows
from alfred.runs.rows import Lease
from alfred.runs.states import Wait
from alfred.store.tx import Tx
from tests.ledger.core import Core

MORE = Allowance("day", "2026-11-21", 3_000_000)


def asks(core: Core, lease: Lease, more: Allowance = MORE) -> str:
    """Parks a run on its budget, with the card. Its id."""
    card = core.card(lease, ids.new(), args_hash="h")

    def write(tx: Tx, _seq: int) -> None:
        allowances.stage(tx, card, more, "{}", why="there is no room")
        approvals.stage(tx, card)

    core.park(lease, Wait.BUDGET, step=core.step(write))
    return card.id


def goes_on(core: Core, run: str) -> None:
    """The next day wakes it."""

    def wake(tx: Tx) -> None:
        rows.lock(tx, run)
        ledger.wake(tx, run, (Wait.BUDGET,))

    core.do(wake)


def taken(core: Core, lease: Lease) -> None:
    """A holder has come."""
    nothing = Surroundings(home=Path, settings=lambda _: None, secrets=lambda *_: None)
    core.do(Dispatch(core.store, Registry(), nothing).enter, lease)


def allowed(core: Core, run: str, more: Allowance = MORE) -> int | None:
    with core.store.read() as look:
        return allowances.allowed(look, run, more.scope, more.day)


def test_a_yes_wakes_the_run_and_every_yes_adds_up(core: Core) -> None:
    lease = core.held()
    for n in (1, 2):
        card = asks(core, lease)
        assert core.run(lease.run_id).status == "parked"
        core.decide(card)
        assert core.run(lease.run_id).status == "queued"
        assert allowed(core, lease.run_id) == n * MORE.amount
        lease = core.take(lease.run_id)
    for other in (Allowance("day:tokens", MORE.day, 1), Allowance("day", "2026-11-22", 1)):
        assert allowed(core, lease.run_id, other) is None
    assert allowed(core, core.start()) is None
    whats = core.all("select row from audit order by n")
    assert sum('"what": "budget.raise"' in row for (row,) in whats) == 2


def test_a_no_wakes_nobody_and_is_known(core: Core) -> None:
    lease = core.held()
    core.decide(asks(core, lease), "reject")
    assert core.run(lease.run_id).status == "parked"
    assert allowed(core, lease.run_id) is None
    with core.store.read() as look:
        assert allowances.declined(look, lease.run_id, "day", MORE.day)
        assert not allowances.declined(look, lease.run_id, "day", "2026-11-22")


def test_an_action_of_that_name_is_an_action_like_any_other(core: Core) -> None:
    lease = core.held()
    [card] = core.staged(lease)
    call = core.approval(card).call_id
    core.write(
        "update calls set action='budget.raise',target=:t where id=:id", t=MORE.encode(), id=call
    )
    core.decide(card)
    assert core.call(call).status == "approved"
    assert allowed(core, lease.run_id) is None


def test_whoever_takes_the_run_takes_its_card_away_and_nobody_can_say_yes_any_more(
    core: Core,
) -> None:
    lease = core.held()
    card = asks(core, lease)
    core.write(
        "insert into notices(approval_id,channel,tenant) values(:id,'phone','main')", id=card
    )
    goes_on(core, lease.run_id)
    taken(core, core.take(lease.run_id))
    assert core.approval(card).status == "superseded"
    assert core.call_of(card).status == "skipped"
    with pytest.raises(errors.AlreadyDecided):
        core.decide(card)
    assert allowed(core, lease.run_id) is None


def test_a_holder_that_comes_after_it_lost_the_run_takes_no_card_away(core: Core) -> None:
    late = core.held()
    core.do(claims.release, late)  # or its lease was over
    card = asks(core, core.take(late.run_id))
    with pytest.raises(errors.LeaseLost):
        taken(core, late)
    assert core.approval(card).status == "pending"
    core.decide(card)
    assert core.run(late.run_id).status == "queued"


def test_a_yes_and_the_next_day_at_once_have_one_outcome(core: Core) -> None:
    for _ in range(8):
        lease = core.held()
        card = asks(core, lease)
        goes_on(core, lease.run_id)
        mine = core.take(lease.run_id)
        gate = threading.Barrier(2)

        def yes(card: str = card, gate: threading.Barrier = gate) -> None:
            gate.wait()
            try:
                core.decide(card)
            except errors.AlreadyDecided:
                return

        def enter(mine: Lease = mine, gate: threading.Barrier = gate) -> None:
            gate.wait()
            taken(core, mine)

        both = [threading.Thread(target=work) for work in (yes, enter)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(30)
        said = core.approval(card).status
        assert said in ("approved", "superseded")
        assert allowed(core, mine.run_id) == (MORE.amount if said == "approved" else None)
        assert core.run(mine.run_id).status == "running"
        core.finish(mine)
