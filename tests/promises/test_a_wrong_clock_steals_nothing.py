"""Somebody sets the wall clock: no live lease is stolen, and deadlines come by the clock that they are promised by.

SQLite: leases run on the monotonic clock, deadlines on the machine's wall clock. Postgres: both on the server's,
whatever the clocks of its clients say.
"""

from __future__ import annotations

import weakref

import pytest

from alfred import clock as clocks
from alfred import ids
from alfred.actions import card_clock
from alfred.runs import stop, sweep
from alfred.runs.states import Wait
from tests.conftest import FakeClock
from tests.ledger.core import Core

HOUR, YEARS = 3600.0, 10 * 365 * 86400.0


@pytest.fixture
def core(clock: FakeClock, core: Core) -> Core:
    return core


@pytest.mark.parametrize("jump", [HOUR, -HOUR, YEARS, -86400.0])
def test_no_live_lease_is_stolen(core: Core, clock: FakeClock, jump: float) -> None:
    lease = core.held()
    clock.jump(jump)
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "running"
    core.advance(lease)


def test_a_lease_is_over_after_its_time_whatever_the_wall_clock_says(
    sqlite_url: str, clock: FakeClock
) -> None:
    from alfred.store import connect

    store = connect.open_store(sqlite_url)
    try:
        core = Core(store)
        lease = core.held()
        clock.jump(-YEARS)
        clock.advance(31)
        sweep.beat(store)
        assert core.run(lease.run_id).status == "queued"
    finally:
        store.close()


@pytest.mark.parametrize("jump", [HOUR, YEARS])
def test_on_postgres_a_clients_clock_brings_no_deadline_nearer(
    pg_url: str, clock: FakeClock, jump: float
) -> None:
    from alfred.store import connect

    store = connect.open_store(pg_url)
    try:
        core = Core(store)
        timed, asked = core.held(), core.held()
        core.park(timed, Wait.TIMER, for_us=clocks.MINUTE)
        [card] = core.staged(asked, risk="low", auto_ok=True, counts_from_staging=True)
        clock.jump(jump)
        sweep.beat(
            store,
            others=(
                lambda s: card_clock.auto_beat(s, ids.new),
                lambda s: card_clock.expire_beat(s, ids.new),
            ),
        )
        assert core.run(timed.run_id).status == "parked"
        assert core.approval(card).status == "pending"
    finally:
        store.close()


def test_after_a_jump_back_a_deadline_waits_for_its_time_again(
    sqlite_url: str, clock: FakeClock
) -> None:
    from alfred.store import connect

    store = connect.open_store(sqlite_url)
    try:
        core = Core(store)
        lease = core.held()
        core.park(lease, Wait.TIMER, for_us=clocks.HOUR)
        clock.jump(-2 * HOUR)
        clock.advance(HOUR + 1)
        sweep.beat(store)
        assert core.run(lease.run_id).status == "parked"
        clock.advance(2 * HOUR)
        sweep.beat(store)
        assert core.run(lease.run_id).status == "queued"
    finally:
        store.close()


@pytest.mark.parametrize("wait", [Wait.TIMER, Wait.EVENT, Wait.LIMIT])
def test_a_park_that_was_made_while_the_clock_was_ahead_lasts_as_long_as_it_was_to(
    core: Core, clock: FakeClock, wait: Wait
) -> None:
    lease, right = core.held(), core.held()
    _set(core, clock, YEARS)
    core.park(lease, wait, for_us=10 * clocks.MINUTE)
    _set(core, clock, -YEARS)
    core.park(right, wait, for_us=10 * clocks.MINUTE)
    before = core.run(right.run_id).wake_at
    sweep.beat(core.store)
    assert core.run(right.run_id).wake_at == before, "what was parked by a right clock stays"
    at = core.run(lease.run_id).wake_at or 0
    assert abs(at - (before or 0)) < clocks.MINUTE
    assert core.run(lease.run_id).status == "parked", "it is not over either"
    _set(core, clock, 11 * 60.0)
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "queued"


def test_a_clock_that_is_put_back_by_seconds_moves_no_deadline(
    core: Core, clock: FakeClock
) -> None:
    lease = core.held()
    core.park(lease, Wait.TIMER, for_us=10 * clocks.MINUTE)
    before = core.run(lease.run_id).wake_at
    _set(core, clock, -30.0)
    sweep.beat(core.store)
    assert core.run(lease.run_id).wake_at == before


def test_a_pause_is_no_shorter_for_a_park_before_it(core: Core, clock: FakeClock) -> None:
    lease = core.held()
    core.park(lease, Wait.TIMER, for_us=clocks.MINUTE)
    core.due(lease.run_id)
    sweep.beat(core.store)
    core.take(lease.run_id)
    core.do(stop.stop, "main", by="me", token=ids.new())
    sweep.beat(core.store)
    paused = core.run(lease.run_id)
    assert paused.wait == "pause" and (paused.wake_at or 0) - paused.created_at > clocks.DAY


@pytest.mark.parametrize("jump", [HOUR, -HOUR, YEARS])
def test_a_jump_of_the_servers_clock_loses_no_run(pg_url: str, jump: float) -> None:
    """Leases are by the server's clock: ahead, they are over, and the fence stops the old holder."""
    from alfred import errors
    from alfred.store import connect

    store = connect.open_store(pg_url)
    try:
        core = Core(store)
        lease = core.held()
        core.do(lambda tx: tx.raw.execute(_server(jump)))
        sweep.beat(store)
        if jump < 0:
            assert core.run(lease.run_id).status == "running"
            core.advance(lease)
            return
        assert core.run(lease.run_id).status == "queued"
        with pytest.raises(errors.LeaseLost):
            core.advance(lease, seq=0)
        core.finish(core.take(lease.run_id))
        assert core.run(lease.run_id).status == "completed"
    finally:
        store.close()


def _set(core: Core, clock: FakeClock, jump: float) -> None:
    """Whoever's clock it is that counts is set: the machine's, or the server's, by so much from what it says now."""
    clock.jump(jump)
    if core.store.pg:
        _ahead[core] = _ahead.get(core, 0.0) + jump
        core.do(lambda tx: tx.raw.execute(_server(_ahead[core])))


_ahead: weakref.WeakKeyDictionary[Core, float] = weakref.WeakKeyDictionary()


def _server(jump: float) -> str:
    return (
        "create or replace function alfred_now() returns bigint language sql volatile as"
        f" $$ select (extract(epoch from clock_timestamp()) * 1000000)::bigint + {int(jump * 1e6)} $$"
    )
