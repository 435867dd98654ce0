"""Somebody sets the wall clock: no live lease is stolen, and deadlines come by the clock that they are promised by.

SQLite: leases run on the monotonic clock, deadlines on the machine's wall clock. Postgres: both on the server's,
whatever the clocks of its clients say.
"""

from __future__ import annotations

import pytest

from alfred import clock as clocks
from alfred import ids
from alfred.actions import approvals
from alfred.runs import sweep
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
                lambda s: approvals.auto_beat(s, ids.new),
                lambda s: approvals.expire_beat(s, ids.new),
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


@pytest.mark.parametrize("jump", [HOUR, -HOUR, YEARS])
def test_a_jump_of_the_servers_clock_loses_no_run(pg_url: str, jump: float) -> None:
    """Leases are by the server's clock: ahead, they are over, and the fence stops the old holder."""
    from alfred import errors
    from alfred.store import connect

    store = connect.open_store(pg_url)
    try:
        core = Core(store)
        lease = core.held()
        core.do(lambda tx: tx.conn.exec_driver_sql(_server(jump)))
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


def _server(jump: float) -> str:
    return (
        "create or replace function alfred_now() returns bigint language sql volatile as"
        f" $$ select (extract(epoch from clock_timestamp()) * 1000000)::bigint + {int(jump * 1e6)} $$"
    )
