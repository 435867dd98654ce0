"""A run that waits for a cap goes on when what it could not pay fits, and is left alone until then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alfred import errors, ids
from alfred.agents import caps
from alfred.config_schema import Settings
from alfred.runs import budget
from alfred.runs.budget import Scope
from alfred.runs.states import Wait
from tests.ledger.core import Core

ROOMY = {"per_day_usd": 9, "per_day_tokens": 9_000}


def settings(**caps: Any) -> Settings:
    return Settings.model_validate({"timezone": "UTC", "budget": ROOMY | caps})


FULL = {
    "day": (settings(per_day_usd=1), settings(per_day_usd=2)),
    "day:tokens": (settings(per_day_tokens=1_000_000), settings(per_day_tokens=2_000_000)),
    "agent:main": (
        settings(per_agent={"main": {"per_day_usd": 1}}),
        settings(per_agent={"main": {"per_day_usd": 2}}),
    ),
    "agent:main:turns": (
        settings(per_agent={"main": {"turns_per_day": 1_000_000}}),
        settings(per_agent={}),
    ),
}


def spend(core: Core, scope: str, amount: int) -> str:
    """Takes so much of a scope today."""
    made, day = ids.new(), budget.day("UTC")
    core.do(
        budget.reserve,
        id=made,
        tenant="main",
        run_id="R",
        attempt=1,
        seq=0,
        day=day,
        amount=amount,
        scopes=[Scope(scope, day, None)],
        expires_us=10**9,
    )
    return made


def wait(core: Core, scope: str, amount: int) -> str:
    """A run that is parked because so much did not fit."""
    lease = core.held()
    state = json.dumps({"text": "so far", budget.UNPAID: {"scope": scope, "amount": amount}})
    core.park(lease, Wait.BUDGET, step=core.step(state=state))
    return lease.run_id


@pytest.mark.parametrize("scope", list(FULL))
def test_a_raised_cap_wakes_whom_it_held_and_nothing_else_does(core: Core, scope: str) -> None:
    before, after = FULL[scope]
    spend(core, scope, 900_000)
    run = wait(core, scope, 200_000)
    for _ in range(3):
        caps.wake_what_fits(core.store, lambda _: before)
    assert (core.run(run).status, core.run(run).park_no) == ("parked", 1)
    caps.wake_what_fits(core.store, lambda _: after)
    assert core.run(run).status == "queued"


def test_a_cap_that_was_raised_too_little_wakes_nobody(core: Core) -> None:
    spend(core, "day", 900_000)
    run = wait(core, "day", 200_000)
    caps.wake_what_fits(core.store, lambda _: settings(per_day_usd="1.09"))
    assert core.run(run).status == "parked"
    caps.wake_what_fits(core.store, lambda _: settings(per_day_usd="1.1"))
    assert core.run(run).status == "queued"


def test_room_that_came_back_wakes_too(core: Core) -> None:
    reserved = spend(core, "day", 900_000)
    run = wait(core, "day", 200_000)
    core.do(budget.settle, reserved, 100_000)
    caps.wake_what_fits(core.store, lambda _: settings(per_day_usd=1))
    assert core.run(run).status == "queued"


def test_no_more_are_woken_than_there_is_room_for(core: Core) -> None:
    reserved = spend(core, "day", 900_000)
    runs = [wait(core, "day", 300_000) for _ in range(4)]
    core.do(budget.settle, reserved, 100_000)
    caps.wake_what_fits(core.store, lambda _: settings(per_day_usd=1))
    assert [core.run(run).status for run in runs] == ["queued"] * 3 + ["parked"]


def test_what_was_woken_and_waits_for_a_place_is_counted_at_the_next_beat(core: Core) -> None:
    reserved = spend(core, "day", 900_000)
    runs = [wait(core, "day", 300_000) for _ in range(4)]
    core.do(budget.settle, reserved, 400_000)
    for _ in range(3):
        caps.wake_what_fits(core.store, lambda _: settings(per_day_usd=1))
    assert [core.run(run).status for run in runs] == ["queued"] * 2 + ["parked"] * 2


def test_of_thousands_some_are_woken_at_each_beat(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "AT_ONCE", 2)
    runs = [wait(core, "day", 1) for _ in range(5)]
    for awake in (2, 4, 5):
        caps.wake_what_fits(core.store, lambda _: settings())
        assert [core.run(run).status for run in runs].count("queued") == awake


def test_a_later_park_is_not_woken_by_what_was_seen_of_an_earlier_one(core: Core) -> None:
    run = wait(core, "day", 200_000)
    with core.store.read() as look:
        [seen] = budget.unpaid(look)
    core.write("update runs set park_no=park_no+1 where id=:r", r=run)
    assert core.do(budget.wake_unpaid, seen) is False
    assert core.run(run).status == "parked"


def test_what_waits_for_something_else_or_does_not_say_for_what_is_left_alone(core: Core) -> None:
    lease = core.held()
    core.park(lease, Wait.BUDGET)
    other = core.held()
    state = json.dumps({budget.UNPAID: {"scope": "day", "amount": 1}})
    core.park(other, Wait.LIMIT, step=core.step(state=state))
    caps.wake_what_fits(core.store, lambda _: settings())
    assert [core.run(r).status for r in (lease.run_id, other.run_id)] == ["parked"] * 2


def test_settings_that_cannot_be_read_keep_nobody_else_from_going_on(core: Core) -> None:
    broken = core.held(tenant="other")
    state = json.dumps({budget.UNPAID: {"scope": "day", "amount": 1}})
    core.park(broken, Wait.BUDGET, step=core.step(state=state))
    run = wait(core, "day", 1)

    def of(tenant: str) -> Settings:
        if tenant == "other":
            raise errors.ConfigError("broken")
        return settings()

    caps.wake_what_fits(core.store, of)
    assert (core.run(broken.run_id).status, core.run(run).status) == ("parked", "queued")
