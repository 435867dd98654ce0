"""How a tenant stands, at a glance: counts, who works, what is late, what is blocked, what fires next. Reads only.

Every question is answered from an index; nothing here takes a lock or waits for one.
"""

from __future__ import annotations

import statistics

from alfred import clock
from alfred.runs import leases, shapes, spending
from alfred.runs.blocks import STANDS
from alfred.runs.shapes import Json
from alfred.runs.states import Status
from alfred.store.statement import Sql
from alfred.store.tx import Tx

GRACE = 30 * clock.SECOND
"""With a worker there, a timer is late after this: the sweep looks every 5 seconds."""

WEEK = 7 * clock.DAY
"""So far back it is counted how often people were asked, and how long they took."""

_COUNTS = Sql("select status,count(*) as n from runs where tenant=:tenant group by status")
_WAITS = Sql(
    "select wait,count(*) as n from runs where tenant=:tenant and status='parked'"
    " group by wait order by n desc,wait"
)
_PENDING = Sql("select count(*) from approvals where status='pending' and tenant=:tenant")
_QUEUED = Sql(
    "select count(*) from runs where status='queued' and driver='worker' and cancel=0"
    " and ready_at<=alfred_now() and tenant=:tenant"
)
_HELD = Sql(
    "select worker,lease_until<alfred_mono() {sqlite:or lease_boot<>:boot} as lapsed from runs"
    " where status='running' and driver='worker' and tenant=:tenant"
)
_CARDS_OVER = Sql(
    "select count(*) from approvals where status='pending' and tenant=:tenant"
    " and (expires_at<=alfred_now()-:grace or auto_approve_at<=alfred_now()-:grace)"
)
_LATE = Sql(
    "select count(*) from runs where status='parked' and wake_at<alfred_now()-:grace and tenant=:tenant"
    " and wait in('timer','children','event','budget','limit')"
)
_LATE_FIRES = Sql(
    "select count(*) from triggers where enabled=1 and next_fire_at<alfred_now()-:grace"
    " and tenant=:tenant and removed=0 and problem is null"
)
_BLOCKS = Sql(
    f"select provider,until,reason from blocks where tenant=:tenant and {STANDS} order by provider"
)
_NEXT_FIRES = Sql(
    "select id,name,next_fire_at,problem from triggers where enabled=1 and next_fire_at is not null"
    " and tenant=:tenant and removed=0 order by next_fire_at,id limit :limit"
)
_NOW = Sql("select alfred_now()")
_ASKED = Sql(
    "select count(*) from approvals where tenant=:tenant and created_at>alfred_now()-:within"
)
_DECIDED = Sql(
    "select risk,decided_at-coalesce(delivered_at,created_at) as took from approvals"
    " where tenant=:tenant and decided_by is not null and decided_by<>'timer'"
    " and decided_at>alfred_now()-:within order by decided_at desc limit 1000"
)


def counts(tx: Tx, tenant: str) -> dict[str, int]:
    """How many runs there are in each status."""
    found = {row.status: row.n for row in tx(_COUNTS, tenant=tenant).all()}
    return {str(status): found.get(status, 0) for status in Status}


def workers(tx: Tx) -> list[leases.Worker]:
    """Workers that would take a queued run: registered, heard of lately, their process not known to be gone."""
    now = tx(_NOW).scalar_one()
    takes = [worker for worker in leases.workers(tx) if worker.kind in ("worker", "serve")]
    return [worker for worker in takes if leases.alive(worker, now)]


def late(tx: Tx, tenant: str, *, workers: int) -> dict[str, int]:
    """What should have happened by now: runs that wait for a worker when there is none (also those whose holder is
    gone), cards that nobody decided in time, timers, crons."""
    grace = GRACE if workers else 0
    return {
        "runs": 0 if workers else tx(_QUEUED, tenant=tenant).scalar_one() + _left(tx, tenant),
        "cards": tx(_CARDS_OVER, tenant=tenant, grace=grace).scalar_one(),
        "timers": tx(_LATE, tenant=tenant, grace=grace).scalar_one(),
        "crons": tx(_LATE_FIRES, tenant=tenant, grace=grace).scalar_one(),
    }


def _left(tx: Tx, tenant: str) -> int:
    """Running runs whose holder's process is gone, or whose lease is over."""
    held = tx(_HELD, tenant=tenant, boot=leases.boot()).all()
    gone = {worker.id for worker in leases.workers(tx) if leases.gone(worker)} if held else set()
    return sum(1 for run in held if run.lapsed or run.worker in gone)


def blocks(tx: Tx, tenant: str) -> list[Json]:
    """Providers that are not asked now, until when and why."""
    return [
        {"provider": row.provider, "until": clock.rfc3339(row.until), "reason": row.reason}
        for row in tx(_BLOCKS, tenant=tenant).all()
    ]


def next_fires(tx: Tx, tenant: str, *, limit: int = 5) -> list[Json]:
    """The crons that fire next; of one that was tried and could not be, why."""
    return [
        {
            "id": row.id,
            "name": row.name,
            "at": clock.rfc3339(row.next_fire_at),
            "problem": row.problem,
        }
        for row in tx(_NEXT_FIRES, tenant=tenant, limit=limit).all()
    ]


def asked(tx: Tx, tenant: str) -> Json:
    """How often people were asked a day this week, and how long they took: `{"per_day", "median_s", "median_high_s"}`,
    null where nobody has decided."""
    decided = tx(_DECIDED, tenant=tenant, within=WEEK).all()
    return {
        "per_day": round(tx(_ASKED, tenant=tenant, within=WEEK).scalar_one() / 7, 1),
        "median_s": _median([row.took for row in decided]),
        "median_high_s": _median([row.took for row in decided if row.risk == "high"]),
    }


def _median(times: list[int]) -> float | None:
    return round(statistics.median(times) / clock.SECOND, 1) if times else None


def status(tx: Tx, tenant: str, zone: str) -> Json:
    """Everything at a glance. `zone` is the tenant's: it says when today began."""
    there = len(workers(tx))
    return {
        "runs": counts(tx, tenant),
        "waits": {row.wait: row.n for row in tx(_WAITS, tenant=tenant).all()},
        "approvals_pending": tx(_PENDING, tenant=tenant).scalar_one(),
        "asked": asked(tx, tenant),
        "workers": there,
        "blocks": blocks(tx, tenant),
        "spend_today": shapes.usd(spending.spent_today(tx, tenant, zone)),
        "next_fires": next_fires(tx, tenant),
        "late": late(tx, tenant, workers=there),
    }
