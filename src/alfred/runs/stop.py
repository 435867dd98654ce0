"""Stopping everything at once, and going on: after the commit of `stop` no new effect can start.

Invariant: `stop` takes the lock of the tenant's caps before it sets the switch, and a claim reads the switch
behind the same lock, so no run slips into `running` beside it. Whoever holds a run loses the fence: its next
intent or commit finds 0 rows.
"""

from __future__ import annotations

from alfred.runs import audit, crons, endings, events, idempotency, outbox, rows
from alfred.runs.states import Wait
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_SET = Sql(
    "insert into switches(tenant,name,at,by) values(:tenant,'stop',alfred_now(),:by) on conflict do nothing"
)
_CLEAR = Sql("delete from switches where tenant=:tenant and name='stop'")
_GET = Sql("select at from switches where tenant=:tenant and name='stop'")
_RUNNING = Sql(
    "select id from runs where tenant=:tenant and status='running' and cancel=0 order by depth,id"
)
_HALF = Sql(
    "select distinct s.tenant,s.by from switches s join runs r on r.tenant=s.tenant and r.status='running' and r.cancel=0"
    " where s.name='stop' and s.at<=alfred_now()-:after order by s.tenant"
)
_PAUSE = Sql(
    "update runs set status='parked',wait='pause',wake_at=alfred_now()+:for_us,park_us=:for_us,park_no=park_no+1,"
    f"driver='worker',worker=null,lease_until=null,{rows.RAN_SQL}"
    " where id=:id and status='running' and cancel=0"
)
_RESTORED = Sql(
    "update runs set status='parked',wait='pause',wake_at=alfred_now()+:for_us,park_us=:for_us,park_no=park_no+1,"
    "driver='worker',worker=null,lease_until=null,running_since=null"
    " where cancel=0 and (status in('queued','running')"
    " or (status='parked' and wait in('timer','children','event','budget','limit'))) returning id,tenant"
)
_HONOURED = Sql("select id from runs where status='running' and cancel=1 order by depth,id")
_PAUSED = Sql(
    "select id from runs where tenant=:tenant and status='parked' and wait='pause' order by depth,id limit :most"
)
_RESUME = Sql(
    "update runs set status='queued',wait=null,wake_at=null,ready_at=alfred_now()"
    " where id=:id and status='parked' and wait='pause'"
)


def stopped(tx: Tx, tenant: str) -> int | None:
    """When everything was stopped, None when it is not."""
    return tx(_GET, tenant=tenant).scalar()


def stop(tx: Tx, tenant: str, *, by: str, token: str) -> list[str]:
    """running -> parked on `pause` for every run of the tenant; queued ones stay queued; nothing is claimed.

    Run rows are locked one by one after the switch stands, so this takes its locks in two rounds: `switch`
    first, in a transaction of its own, then this.

    Args:
        token: made by the caller: said again, it is answered again.
    """
    if (before := idempotency.said(tx, tenant, token)) is not None:
        return before
    ids = [row.id for row in tx(_RUNNING, tenant=tenant).all()]
    rows.lock(tx, *ids)
    paused = []
    for run_id in ids:
        if tx(_PAUSE, id=run_id, for_us=rows.FOREVER).rowcount:
            tx(rows.LEASE_ENDS, id=run_id, why="stopped")
            events.emit(tx, tenant=tenant, run_id=run_id, kind="run.parked", wait=Wait.PAUSE)
            paused.append(run_id)
    audit.append(tx, tenant, "stop", by=by, runs=paused)
    idempotency.say(tx, tenant, token, paused)
    return paused


def switch(tx: Tx, tenant: str, *, by: str) -> None:
    """From the commit of this on nothing of the tenant is claimed."""
    tx.alone(f"cap:{tenant}")
    tx(_SET, tenant=tenant, by=by)


def half(look: Tx, *, after_us: int) -> list[tuple[str, str]]:
    """Tenants, and by whom, whose switch stands for so long while runs of before still go on: whoever stopped them was
    killed between `switch` and `stop`."""
    return [(row.tenant, row.by) for row in look(_HALF, after=after_us).all()]


def resume(tx: Tx, tenant: str, *, by: str, token: str, most: int = 500) -> list[str]:
    """Takes the switch away and queues what was paused, at most so many runs; the caller goes on until there are none.

    A transaction that woke ten thousand runs would outlast the time that a server gives it.

    Args:
        token: made by the caller: said again, it is answered again.
    """
    if (before := idempotency.said(tx, tenant, token)) is not None:
        return before
    ids = [row.id for row in tx(_PAUSED, tenant=tenant, most=most).all()]
    rows.lock(tx, *ids)
    tx(_CLEAR, tenant=tenant)
    woken = [run_id for run_id in ids if tx(_RESUME, id=run_id).rowcount]
    tx.wakes.update(woken)
    audit.append(tx, tenant, "resume", by=by, runs=woken)
    idempotency.say(tx, tenant, token, woken)
    return woken


def restored(tx: Tx, *, by: str) -> None:
    """After a restore: whatever would go on by itself is paused until somebody says that it may, because what it did
    after the backup is known to the world and not to this ledger. For the same reason a cron fires no slot that has
    come due since, and no chat is told what was to be said then."""
    outbox.restored(tx)
    crons.pass_over(tx)
    for row in tx(_HONOURED).all():
        endings.honour_cancel(tx, row.id)
    tenants: dict[str, list[str]] = {}
    for row in tx(_RESTORED, for_us=rows.FOREVER).all():
        tx(rows.LEASE_ENDS, id=row.id, why="restored")
        events.emit(tx, tenant=row.tenant, run_id=row.id, kind="run.parked", wait=Wait.PAUSE)
        tenants.setdefault(row.tenant, []).append(row.id)
    for tenant, paused in tenants.items():
        audit.append(tx, tenant, "restore", by=by, runs=paused)
