"""Who holds a run: claiming it, taking a dead firing over, giving it back. See `ledger` for the rules.

Invariant: `attempt` rises with every hold and never falls; caps are counted behind their lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alfred.runs import events, rows
from alfred.runs.rows import Caps, Full, Holder, Lease, Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_HINT = Sql(
    "select id,agent,tenant from runs where id=:id and status='queued' and driver='worker' and cancel=0"
    " and ready_at<=alfred_now() {lock}"
)

_NEXT = Sql(
    "select id,agent,tenant from runs where status='queued' and driver='worker' and cancel=0"
    " and ready_at<=alfred_now() and (reclaims=0 or :suspects=1) and (:root='' or root_id=:root) and tenant||'/'||agent not in :full"
    " order by priority,ready_at,id limit 1 {skip}"
)

_CAP_LOCK = Sql("select pg_advisory_xact_lock(hashtextextended(:key,0))")

_TAKEN = Sql(
    "select count(*) total, coalesce(sum(case when agent=:agent then 1 else 0 end),0) mine,"
    "(select at from switches where tenant=:tenant and name='stop') stopped from runs"
    " where tenant=:tenant and status='running' and not (driver='process' and lease_until<alfred_mono())"
)

_CLAIM = Sql(
    "update runs set status='running',attempt=attempt+1,worker=:worker,lease_until=alfred_mono()+:lease_us,"
    "lease_boot=:boot,running_since=alfred_mono()"
    " where id=:id and status='queued' and driver=:driver and cancel=0"
    f" returning {rows.RUN_COLUMNS}"
)

_TAKE = Sql(
    "update runs set attempt=attempt+1,worker=:worker,lease_until=alfred_mono()+:lease_us,lease_boot=:boot,"
    "running_since=alfred_mono() where id=:id and driver='process' and status='running' and attempt=:seen"
    " and (lease_until<alfred_mono() {sqlite:or lease_boot<>:boot}) and cancel=0"
    f" returning {rows.RUN_COLUMNS}"
)

_LEASE = Sql(
    "insert into leases(run_id,attempt,worker,at) values(:id,:attempt,:worker,alfred_now())"
)

_RELEASE = Sql(
    f"update runs set status='queued',worker=null,lease_until=null,ready_at=alfred_now()+:delay_us,{rows.RAN_SQL}"
    " where id=:id and attempt=:attempt and status='running' and cancel=0"
)


def claim(
    tx: Tx,
    holder: Holder,
    caps: Callable[[str, str], Caps],
    *,
    hint: str | None = None,
    full: Sequence[str] = (),
    suspects: bool = True,
    root: str | None = None,
    driver: str = "worker",
) -> tuple[Lease, Run] | Full | None:
    """queued -> running, for the run that `hint` names or else for the oldest that is ready.

    A claim by hint waits for the row's lock (skipping it would lose a wake that is just being committed); only
    the search for the next one skips locked rows. None: nothing to claim. Full: a cap is reached.

    Args:
        caps: (tenant, agent) -> caps.
        full: `tenant/agent` texts that were found full in this pass.
        root: only runs of this tree.
        suspects: whether a run whose holder died may be taken; a process with other work leaves it alone.
    """
    if hint:
        found = tx(_HINT, id=hint).one_or_none() if driver == "worker" else rows.get(tx, hint)
    else:
        found = tx(_NEXT, full=list(full), suspects=int(suspects), root=root or "").one_or_none()
    if found is None:
        return None
    if tx.pg:
        tx(_CAP_LOCK, key=f"cap:{found.tenant}")
    taken = tx(_TAKEN, tenant=found.tenant, agent=found.agent).one()
    cap = caps(found.tenant, found.agent)
    if taken.stopped is not None or taken.total >= cap.total or taken.mine >= cap.per_agent:
        return Full(found.tenant, found.agent)
    row = tx(
        _CLAIM,
        id=found.id,
        driver=driver,
        worker=holder.worker,
        boot=holder.boot,
        lease_us=holder.lease_us,
    ).one_or_none()
    return _held(tx, Run(*row), holder) if row else None


def take(tx: Tx, holder: Holder, run_id: str, *, seen: int) -> tuple[Lease, Run] | None:
    """A firing whose process is gone goes to its own trigger's next process: no worker ever takes it."""
    rows.lock(tx, run_id)
    row = tx(
        _TAKE,
        id=run_id,
        seen=seen,
        worker=holder.worker,
        boot=holder.boot,
        lease_us=holder.lease_us,
    ).one_or_none()
    if row is None:
        return None
    tx(rows.LEASE_ENDS, id=run_id, why="taken")
    return _held(tx, Run(*row), holder)


def _held(tx: Tx, run: Run, holder: Holder) -> tuple[Lease, Run]:
    tx(_LEASE, id=run.id, attempt=run.attempt, worker=holder.worker)
    events.emit(tx, tenant=run.tenant, run_id=run.id, kind="run.started", attempt=run.attempt)
    tx.wakes.discard(run.id)
    return (
        Lease(
            run_id=run.id,
            parent_id=run.parent_id,
            tenant=run.tenant,
            agent=run.agent,
            attempt=run.attempt,
            worker=holder.worker,
        ),
        run,
    )


def release(tx: Tx, lease: Lease, *, delay_us: int = 0, why: str = "released") -> bool:
    """running -> queued without a step: the worker shuts down, or cannot do this now. Not a reclaim."""
    rows.lock(tx, lease.run_id)
    if tx(_RELEASE, id=lease.run_id, attempt=lease.attempt, delay_us=delay_us).rowcount == 0:
        return False
    tx(rows.LEASE_ENDS, id=lease.run_id, why=why)
    events.emit(tx, tenant=lease.tenant, run_id=lease.run_id, kind="run.queued", why=why)
    tx.wakes.add(lease.run_id)
    return True
