"""Who holds a run: claiming it, taking a dead firing over, giving it back. See `ledger` for the rules.

Invariant: `attempt` rises with every hold and never falls; caps are counted behind their lock.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from alfred import clock, errors
from alfred.runs import events, rows
from alfred.runs.rows import Caps, Full, Holder, Lease, Run
from alfred.store import migrate
from alfred.store.guarded import Guarded
from alfred.store.statement import Sql
from alfred.store.tx import Tx

log = logging.getLogger(__name__)

PATIENCE = 5 * clock.MINUTE
"""So long a run whose holder died waits for a process that has nothing else to do; then it is taken beside others."""

_MAY = (
    "status='queued' and driver='worker' and cancel=0 and ready_at<=alfred_now()"
    " and (reclaims=0 or :suspects=1 or ready_at<alfred_now()-:patience) and (:root='' or root_id=:root)"
)
_HINT = Sql(f"select id,agent,tenant from runs where id=:id and {_MAY} {{lock}}")

_NEXT = Sql(
    f"select id,agent,tenant from runs where {_MAY} order by priority,ready_at,id limit 1 {{skip}}"
)

# Whose runs are queued, by one look into the index for each: what is full may have thousands, which nobody walks through.
_QUEUED = "from runs {sqlite:indexed by runs_queues} where status='queued'"
# As a range: where few agents are known, Postgres takes the order of `runs_ready` for what is equal, and walks through all.
_OF_AGENT = (
    "{sqlite:indexed by runs_queues where tenant=%(t)s and agent=%(a)s}"
    "{pg:where (tenant,agent)>=(%(t)s,%(a)s) and (tenant,agent)<=(%(t)s,%(a)s)}"
    f" and {_MAY} order by {{pg:tenant,agent,}}priority,ready_at,id limit 1"
)
_HEADS = Sql(
    f"with recursive owner(tenant) as (select (select min(tenant) {_QUEUED}) union all"
    f" select (select min(tenant) {_QUEUED} and tenant>owner.tenant) from owner where tenant is not null),"
    f" queue(tenant,agent) as (select tenant,(select min(agent) {_QUEUED} and tenant=owner.tenant) from owner"
    " where tenant is not null union all"
    f" select tenant,(select min(agent) {_QUEUED} and tenant=queue.tenant and agent>queue.agent) from queue"
    " where agent is not null)"
    f" select (select id from runs {_OF_AGENT % {'t': 'queue.tenant', 'a': 'queue.agent'}}) as id from queue"
    " where tenant not in :full and tenant||'/'||agent not in :full"
)
_IN_ORDER = Sql("select tenant,agent from runs where id in :heads order by priority,ready_at,id")
_NEXT_OF = Sql(
    f"select id,agent,tenant from runs {_OF_AGENT % {'t': ':tenant', 'a': ':agent'}} {{skip}}"
)

_RUNS = "status='running' and not (driver='process' and lease_until<alfred_mono())"
_PLACES = Sql(
    f"select tenant,agent,count(*) as taken from runs where {_RUNS} group by tenant,agent order by tenant,agent"
)
_STOPPED = Sql("select tenant from switches where name='stop'")

_TAKEN = Sql(
    "select count(*) total, coalesce(sum(case when agent=:agent then 1 else 0 end),0) mine,"
    "(select at from switches where tenant=:tenant and name='stop') stopped,"
    "(select v from meta where k='schema') made_for from runs"
    f" where tenant=:tenant and {_RUNS}"
)

_HOLDS = (
    "insert into leases(run_id,attempt,worker,at)"
    " select held.id,held.attempt,held.worker,alfred_now() from held"
)
_STARTED = (
    "insert into events(tenant,run_id,kind,body,at) select held.tenant,held.id,'run.started',"
    "cast({pg:json_build_object}{sqlite:json_object}('attempt',held.attempt) as text),alfred_now() from held"
)

_CLAIM = Guarded(
    "update runs set status='running',attempt=attempt+1,worker=:worker,lease_until=alfred_mono()+:lease_us,"
    "lease_boot=:boot,running_since=alfred_mono(),asks=case when asks like '+%' then asks end"
    " where id=:id and status='queued' and driver=:driver and cancel=0"
    f" returning {rows.RUN_COLUMNS}",
    _HOLDS,
    _STARTED,
)

_TAKE = Guarded(
    "update runs set attempt=attempt+1,worker=:worker,lease_until=alfred_mono()+:lease_us,lease_boot=:boot,"
    "running_since=alfred_mono() where id=:id and driver='process' and status='running' and attempt=:seen"
    " and (lease_until<alfred_mono() {sqlite:or lease_boot<>:boot}) and cancel=0"
    " and not exists(select 1 from switches s where s.tenant=runs.tenant and s.name='stop')"
    f" returning {rows.RUN_COLUMNS}",
    "update leases set ended='taken' from held where run_id=held.id and leases.attempt<held.attempt and ended is null",
    _HOLDS,
    _STARTED,
)

_RELEASE = Guarded(
    f"update runs set status='queued',worker=null,lease_until=null,ready_at=alfred_now()+:delay_us,{rows.RAN_SQL}"
    " where id=:id and attempt=:attempt and worker=:worker and status='running' and cancel=0"
    " returning tenant",
    rows.WITH_LEASE,
    events.WITH,
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
    the search for the next one skips locked rows. None: nothing to claim. Full: a cap is reached, or everything
    of the tenant was stopped, or its settings cannot be read.

    Raises:
        SchemaMismatch: the database was migrated for another program since it was opened.

    Args:
        caps: (tenant, agent) -> caps.
        full: what was found full in this pass, as `str(Full)`.
        root: only runs of this tree.
        suspects: whether a run whose holder died may be taken; a process with other work leaves it alone.
    """
    may = {"suspects": int(suspects), "patience": PATIENCE, "root": root or ""}
    if hint and driver != "worker":
        found = rows.get(tx, hint)
    elif hint:
        found = tx(_HINT, id=hint, **may).one_or_none()
    else:
        found = _next(tx, full, may)
    if found is None:
        return None
    tx.alone(f"cap:{found.tenant}")
    taken = tx(_TAKEN, tenant=found.tenant, agent=found.agent).one()
    if taken.made_for != migrate.HEAD:
        raise errors.SchemaMismatch(
            f"The database was brought to the schema {taken.made_for} meanwhile; this program works with {migrate.HEAD}.",
            next="Start it again in its new version.",
        )
    try:
        cap = caps(found.tenant, found.agent)
    except errors.ConfigError as problem:
        log.warning("nothing of %s is claimed: %s", found.tenant, problem.detail)
        return Full(found.tenant)
    if taken.stopped is not None or taken.total >= cap.total:
        return Full(found.tenant)
    if taken.mine >= cap.per_agent:
        return Full(found.tenant, found.agent)
    row = _CLAIM(
        tx,
        id=found.id,
        driver=driver,
        worker=holder.worker,
        boot=holder.boot,
        lease_us=holder.lease_us,
    )
    return _held(tx, row, holder)


def full(look: Tx, caps: Callable[[str, str], Caps]) -> list[str]:
    """What no claim would get now, each as `str(Full)`, by one look: who holds many places would else be found full one
    claim after the other, each behind the ledger's lock."""
    found = set(look(_STOPPED).scalars())
    total: dict[str, int] = defaultdict(int)
    for row in look(_PLACES).all():
        total[row.tenant] += row.taken
        try:
            cap = caps(row.tenant, row.agent)
        except errors.ConfigError:
            found.add(row.tenant)
            continue
        if total[row.tenant] >= cap.total:
            found.add(row.tenant)
        if row.taken >= cap.per_agent:
            found.add(str(Full(row.tenant, row.agent)))
    return sorted(found)


def _next(tx: Tx, full: Sequence[str], may: dict[str, Any]) -> Any | None:
    """The oldest run that is ready and nobody else is just taking, of those that something is not full of. Beside what is
    full the one behind stands for an agent's oldest that somebody is just taking."""
    if not full:
        return tx(_NEXT, **may).one_or_none()
    heads = [id for id in tx(_HEADS, full=list(full), **may).scalars() if id is not None]
    queues = tx(_IN_ORDER, heads=heads).all()
    taken = (tx(_NEXT_OF, tenant=of.tenant, agent=of.agent, **may) for of in queues)
    return next((found for one in taken if (found := one.one_or_none())), None)


def take(tx: Tx, holder: Holder, run_id: str, *, seen: int) -> tuple[Lease, Run] | None:
    """A firing whose process is gone goes to its own trigger's next process: no worker ever takes it."""
    rows.lock(
        tx, run_id
    )  # the switch is read behind it, and its tenant's stop pauses the run once more
    row = _TAKE(
        tx,
        id=run_id,
        seen=seen,
        worker=holder.worker,
        boot=holder.boot,
        lease_us=holder.lease_us,
    )
    return _held(tx, row, holder)


def _held(tx: Tx, row: Any | None, holder: Holder) -> tuple[Lease, Run] | None:
    if row is None:
        return None
    run = Run(*row)
    tx.wakes.discard(run.id)
    return rows.lease_of(run, holder), run


def release(tx: Tx, lease: Lease, *, delay_us: int = 0, why: str = "released") -> bool:
    """running -> queued without a step: the worker shuts down, or cannot do this now. Not a reclaim."""
    rows.lock(tx, lease.run_id)
    given = _RELEASE(
        tx,
        id=lease.run_id,
        attempt=lease.attempt,
        worker=lease.worker,
        delay_us=delay_us,
        why=why,
        event="run.queued",
        told=events.body({"why": why}),
    )
    if given is None:
        return False
    tx.wakes.add(lease.run_id)
    return True
