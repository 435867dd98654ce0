"""Whose lease is over, and what becomes of the run: heartbeat, reclaim, poison, the gone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from alfred import clock
from alfred.runs import claims, leases, sweep
from alfred.runs.leases import Lapsed
from alfred.store import connect
from tests.ledger.core import Core, holder


def seen(core: Core, run_id: str) -> Lapsed:
    run = core.run(run_id)
    return Lapsed(run.id, run.parent_id, run.attempt, run.cancel, run.reclaims)


def test_a_heartbeat_renews_exactly_what_the_slots_hold(core: Core) -> None:
    kept, dropped, old = core.held(), core.held(), core.held()
    core.do(claims.release, old)
    core.take(old.run_id)
    before = {r: core.lease_until(r) for r in (kept.run_id, dropped.run_id, old.run_id)}
    core.write("update runs set lease_until=lease_until-5000000")
    core.do(leases.renew, core.me, [(kept.run_id, kept.attempt), (old.run_id, old.attempt)])
    after = {r: core.lease_until(r) for r in before}
    assert after[kept.run_id] > before[kept.run_id] - 1_000_000
    assert after[dropped.run_id] == before[dropped.run_id] - 5_000_000
    assert after[old.run_id] == before[old.run_id] - 5_000_000, "another attempt was renewed"


def test_a_heartbeat_renews_nobody_elses_run(core: Core) -> None:
    other = holder()
    lease = core.held(by=other)
    core.write("update runs set lease_until=1")
    core.do(leases.renew, core.me, [(lease.run_id, lease.attempt)])
    assert core.run(lease.run_id).lease_until == 1


def test_a_lapsed_run_is_queued_and_counted(core: Core) -> None:
    lease = core.held()
    core.lapse(lease.run_id)
    with core.store.read() as look:
        [found] = leases.lapsed(look)
    assert core.do(leases.reclaim, found)
    run = core.run(lease.run_id)
    assert (run.status, run.reclaims, run.worker) == ("queued", 1, None)
    assert core.one("select ended from leases where run_id=:r", r=lease.run_id) == "lease"


def test_a_live_lease_is_not_lapsed(core: Core) -> None:
    lease = core.held()
    with core.store.read() as look:
        assert leases.lapsed(look) == []
    assert not core.do(leases.reclaim, seen(core, lease.run_id))
    assert core.run(lease.run_id).status == "running"


def test_a_lease_that_was_renewed_since_it_was_seen_is_not_stolen(core: Core) -> None:
    lease = core.held()
    core.lapse(lease.run_id)
    found = seen(core, lease.run_id)
    core.do(leases.renew, core.me, [(lease.run_id, lease.attempt)])
    assert not core.do(leases.reclaim, found)
    assert core.run(lease.run_id).attempt == 1


def test_another_attempt_than_the_one_seen_is_not_reclaimed(core: Core) -> None:
    lease = core.held()
    found = seen(core, lease.run_id)
    core.do(claims.release, lease)
    core.take(lease.run_id, by=holder())
    core.lapse(lease.run_id)
    assert not core.do(leases.reclaim, found)
    assert not core.do(leases.reclaim, found, gone=True)
    assert core.run(lease.run_id).status == "running"


def test_the_third_death_in_a_row_is_poison(core: Core) -> None:
    run_id = core.start()
    for _ in range(2):
        core.take(run_id)
        core.lapse(run_id)
        assert core.do(leases.reclaim, seen(core, run_id))
        assert core.run(run_id).status == "queued"
    assert core.take(run_id).attempt == 3
    child = core.child(run_id)
    core.lapse(run_id)
    assert core.do(leases.reclaim, seen(core, run_id))
    assert core.run(run_id).status == "failed" and '"poison"' in (core.run(run_id).error or "")
    assert core.run(child).status == "cancelled"


def test_a_committed_step_between_two_deaths_makes_it_no_poison(core: Core) -> None:
    run_id = core.start()
    for _ in range(5):
        core.advance(core.take(run_id))
        core.lapse(run_id)
        core.do(leases.reclaim, seen(core, run_id))
    assert core.run(run_id).status == "queued"


def test_a_restart_of_the_machine_is_not_held_against_a_run(core: Core) -> None:
    run_id = core.start()
    for _ in range(4):
        core.take(run_id)
        assert core.do(leases.reclaim, seen(core, run_id), gone=True, counts=False)
    assert (core.run(run_id).status, core.run(run_id).reclaims) == ("queued", 0)


def test_a_cancelled_run_of_a_dead_holder_ends_and_is_never_queued(core: Core) -> None:
    lease = core.held()
    core.cancel(lease.run_id)
    core.lapse(lease.run_id)
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "cancelled"


def test_a_cancel_that_came_after_the_look_is_honoured(core: Core) -> None:
    lease = core.held()
    core.lapse(lease.run_id)
    found = seen(core, lease.run_id)
    core.cancel(lease.run_id)
    assert not core.do(leases.reclaim, found), "a cancelled run was queued"
    sweep.beat(core.store)
    assert core.run(lease.run_id).status == "cancelled"


def test_the_last_poisoned_child_wakes_its_parent(core: Core) -> None:
    parent = core.held()
    child = core.child(parent.run_id)
    from alfred.runs.states import Wait

    core.park(parent, Wait.CHILDREN)
    core.take(child)
    core.write("update runs set reclaims=2 where id=:r", r=child)
    core.lapse(child)
    core.do(leases.reclaim, seen(core, child))
    assert core.run(child).status == "failed"
    assert core.run(parent.run_id).status == "queued"


def test_no_sweep_takes_a_firings_run(core: Core) -> None:
    run_id = core.start(driver="process")
    assert isinstance(core.claim(run_id, driver="process"), tuple)
    core.lapse(run_id)
    sweep.beat(core.store)
    assert core.run(run_id).status == "running"
    assert not core.do(leases.reclaim, seen(core, run_id), gone=True)


def test_on_sqlite_a_lease_of_another_boot_is_over(sqlite_url: str) -> None:
    store = connect.open_store(sqlite_url)
    try:
        core = Core(store)
        lease = core.held(by=replace(holder(), boot="another boot"))
        with store.read() as look:
            [found] = leases.lapsed(look)
        assert found.id == lease.run_id
        assert core.do(leases.reclaim, found)
    finally:
        store.close()


# ---- workers that are there, and those that are not ----


def test_a_process_that_is_gone_is_released_at_once_and_a_live_one_is_not(core: Core) -> None:
    core.do(leases.register, core.me, kind="worker", slots=1)
    mine = core.held()
    dead = holder()
    core.do(leases.register, dead, kind="worker", slots=1)
    theirs = core.held(by=dead)
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    core.write("update workers set pid=:p where id=:w", p=int(ended.stdout), w=dead.worker)
    assert sweep.release_gone(core.store) == 1
    assert core.run(theirs.run_id).status == "queued"
    assert core.run(mine.run_id).status == "running"
    assert core.all("select id from workers") == [(core.me.worker,)]


def _registered(core: Core) -> leases.Worker:
    core.do(leases.register, core.me, kind="worker", slots=1)
    with core.store.read() as look:
        return leases.workers(look)[0]


def test_this_very_process_is_not_gone(core: Core) -> None:
    assert leases.gone(_registered(core)) is False


def test_a_process_number_that_was_given_again_is_gone(core: Core) -> None:
    worker = _registered(core)
    assert leases.gone(replace(worker, pid_start=worker.pid_start - 60 * clock.SECOND)) is True


def test_a_worker_of_another_boot_is_gone(core: Core) -> None:
    _registered(core)
    core.write("update workers set boot='another',beat=1")
    with core.store.read() as look:
        assert leases.gone(leases.workers(look)[0]) is True


def test_a_machine_of_the_same_name_keeps_what_it_holds(pg_url: str) -> None:
    with contextlib.closing(connect.open_store(pg_url)) as store:
        core = Core(store)
        core.do(leases.register, core.me, kind="worker", slots=1)
        lease = core.held()
        core.write("update workers set boot='of that machine'")
        assert sweep.release_gone(store) == 0
        assert core.run(lease.run_id).status == "running"
        assert core.one("select count(*) from workers") == 1


def test_a_machine_that_has_just_been_started_takes_nothing_of_one_of_its_name(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose last beat is older than this machine, but not too old."""
    monkeypatch.setattr(clock, "monotonic", lambda: clock.SECOND)
    other = replace(_registered(core), boot="of that machine")
    for silent, gone in ((leases.HEARTBEAT, None), (leases.ALIVE, True)):
        assert leases.gone(replace(other, silent=silent)) is gone


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"pidns": "another"}])
def test_of_another_machine_or_namespace_nothing_can_be_told(
    core: Core, change: dict[str, Any]
) -> None:
    dead = replace(_registered(core), pid=999_999_999, **change)
    assert leases.gone(dead) is None


def test_a_restart_releases_without_counting(core: Core) -> None:
    core.do(leases.register, core.me, kind="worker", slots=1)
    lease = core.held()
    core.write("update workers set boot='another',beat=1")
    assert sweep.release_gone(core.store) == 1
    assert (core.run(lease.run_id).status, core.run(lease.run_id).reclaims) == ("queued", 0)


def test_a_worker_counts_as_there_while_it_beats(core: Core) -> None:
    worker = _registered(core)
    assert leases.alive(worker, worker.beat)
    assert not leases.alive(worker, worker.beat + leases.ALIVE + 1)


@pytest.mark.parametrize(
    ("said", "lease"),
    [("", 30), ("5", 5), ("12.5", 12.5), ("1", 5), ("600", 30), ("soon", 30), ("-3", 5)],
)
def test_the_length_of_a_lease_stays_within_its_bounds(
    said: str, lease: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALFRED_TEST_LEASE_S", said)
    assert leases.lease_us() == lease * clock.SECOND


def test_workers_that_were_not_heard_of_are_forgotten(core: Core) -> None:
    core.do(leases.register, core.me, kind="worker", slots=1)
    core.do(leases.forget)
    assert core.one("select count(*) from workers") == 1
    core.write("update workers set beat=1")
    core.do(leases.forget)
    assert core.one("select count(*) from workers") == 0


def test_a_process_is_known_by_its_start_however_the_wall_clock_is_set(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psutil adds the boot's time by the wall clock, which moves when that is set."""
    core.do(leases.register, core.me, kind="worker", slots=1)
    monkeypatch.setattr("psutil.Process.create_time", lambda self: 1.0)
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1.0)
    with core.store.read() as look:
        [worker] = leases.workers(look)
    assert leases.gone(worker) is False


def test_a_worker_that_was_forgotten_is_told(core: Core) -> None:
    core.do(leases.register, core.me, kind="worker", slots=1)
    assert core.do(leases.renew, core.me, []) is True
    core.do(leases.leave, core.me.worker)
    assert core.do(leases.renew, core.me, []) is False
