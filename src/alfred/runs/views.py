"""What people and surfaces look at: lists of runs and cards, and one with everything. Reads only, one tenant at a time.

Every question is answered from an index or for one run; nothing here takes a lock or waits for one.
"""

from __future__ import annotations

from typing import Any, Literal

from alfred import errors
from alfred.runs import rows, shapes, spending
from alfred.runs.shapes import Json
from alfred.store.statement import Sql
from alfred.store.tx import Tx

SHORTEST = 4
"""Characters of an id that are enough to name it, when they name one."""

MOST = 200
"""Entries of a page."""

BLOCKED = "blocked"
"""Where the state of a run that waits on `limit` says for whom and why: `{"provider","code","detail","until"}`."""

Table = Literal["runs", "approvals", "proposals", "sessions", "triggers"]

NEWEST = "Z" * 27  # behind every ULID, in any collation
_KNOWN = {
    "runs": "`alfred runs list`",
    "approvals": "`alfred approvals list`",
    "proposals": "`alfred approvals list`",
    "sessions": "`/resume`",
    "triggers": "`alfred workflows list`",
}


def _resolving(table: str, guard: str = "") -> tuple[Sql, Sql]:
    where = f"from {table} where tenant=:tenant{guard}"
    return (
        Sql(f"select id {where} and id=:text"),
        Sql(
            f"select id {where} and (substr(id,1,:n)=:text or substr(id,length(id)-:n+1)=:text)"
            " order by id desc limit 11"
        ),
    )


_RESOLVE: dict[str, tuple[Sql, Sql]] = {
    "runs": _resolving("runs"),
    "approvals": _resolving("approvals"),
    "proposals": _resolving("proposals", " and status='open'"),
    "sessions": _resolving("sessions"),
    "triggers": _resolving("triggers", " and removed=0"),
}

_OPEN_OF = Sql(
    "select id from runs where tenant=:tenant and agent=:agent and status in('queued','running','parked') order by id"
)
_SUMS = f"(select {spending.COST} from usage u where u.run_id=r.id) as cost"
_TOKENS = (
    "(select coalesce(sum(input_tokens),0) from usage u where u.run_id=r.id) as input_tokens,"
    "(select coalesce(sum(output_tokens),0) from usage u where u.run_id=r.id) as output_tokens"
)
LINE = f"r.id,r.status,r.wait,r.agent,r.workflow,r.brief,r.created_at,{_SUMS}"
_RUNS = Sql(
    f"select {LINE} from runs r where r.tenant=:tenant and r.id<:before"
    " and (:status='all' or r.status=:status) order by r.id desc limit :limit"
)
_RUN = Sql(
    f"select {LINE},{_TOKENS},r.revision,r.title,r.trigger_kind,r.model,r.workspace,r.dry_run,r.step,r.seq,r.attempt,"
    "r.worker,r.driver,r.parent_id,r.root_id,r.session_id,r.forked_from,r.forked_seq,r.wake_at,r.ended_at,"
    "r.external,r.private,r.answers,r.result,r.error from runs r where r.id=:id"
)
_CHILDREN = Sql(f"select {LINE},r.result,r.error from runs r where r.parent_id=:id order by r.id")
_SCRATCH = Sql(
    "select path,value,author,origin,reason,integrity,confidentiality,at from scratch where run_id=:id"
    " order by at,path"
)
_SAID = Sql("select target,sent_at,dead_at,error,at from outbox where run_id=:id order by n")
_TREE = (
    "with recursive tree(id) as (select id from runs where id=:id"
    f" union all select r.id from runs r join tree on r.parent_id=tree.id where r.status in{rows.LIVE_SQL}) select "
)
_ALL_BELOW = Sql(
    "with recursive tree(id) as (select id from runs where id=:id"
    " union all select r.id from runs r join tree on r.parent_id=tree.id) select id from tree order by id"
)
_CARDS_OPEN = Sql(
    f"{_TREE}p.id,p.kind,p.title from approvals p join tree on p.run_id=tree.id where p.status='pending' order by p.id"
)
_BELOW = Sql(f"{_TREE}r.id,r.status,r.wait from runs r join tree on r.id=tree.id where r.id<>:id")
_BLOCKED = Sql("select state from runs where id=:id and status='parked' and wait='limit'")
_PLACE = Sql(
    "select substr(asks,2) from runs where id=:id and status='parked' and wait='timer' and asks like '?%'"
)
_STEPS = Sql(
    "select seq,attempt,name,outcome,worker,started,ended from run_steps where run_id=:id order by seq"
)
_TRANSCRIPT = Sql(
    "select n,seq,kind,item,integrity,confidentiality,at from transcript where run_id=:id order by n"
)
_CALLS = Sql(
    "select id,turn,ordinal,action,risk,effect,status,args,result,error,intent_at,outcome_at,"
    "(select p.id from approvals p where p.call_id=c.id order by p.version desc limit 1) as approval_id"
    " from calls c where run_id=:id order by turn,ordinal"
)
_CARD = (
    "select p.id,p.kind,p.run_id,p.agent,p.risk,p.action,p.title,p.preview,"
    # what it asked about: what the edit before it made of the call, else what was proposed
    "coalesce((select q.edited_args from approvals q where q.call_id=p.call_id and q.version<p.version"
    " and q.edited_args is not null order by q.version desc limit 1),c.asked_args,c.args) as args,p.args_hash,p.claim,"
    "p.provenance,p.auto_ok,p.auto_approve_at,p.expires_at,p.status,p.created_at,p.decision,p.decided_by,"
    "p.decided_via,p.decided_at,p.reason,p.edited_args,p.supersedes"
    " from approvals p join calls c on c.id=p.call_id"
)
_APPROVAL = Sql(f"{_CARD} where p.id=:id")
_APPROVALS = Sql(
    f"{_CARD} where p.tenant=:tenant and p.id<:before and (:status='all' or p.status=:status)"
    " and (:run_id='' or p.run_id=:run_id) order by p.id desc limit :limit"
)
_APPROVALS_BEFORE = Sql(
    "select count(*) from approvals where tenant=:tenant and id<:before and (:status='all' or status=:status)"
    " and (:run_id='' or run_id=:run_id)"
)
_OF_RUN = Sql(f"{_CARD} where p.run_id=:id order by p.id")


def every(tx: Tx, statement: Sql, **params: Any) -> list[Json]:
    """The rows of a statement, each by its columns' names."""
    return [row._asdict() for row in tx(statement, **params).all()]


def one(tx: Tx, statement: Sql, **params: Any) -> Json | None:
    """The row of a statement, None when there is none."""
    row = tx(statement, **params).one_or_none()
    return None if row is None else row._asdict()


# ---- names ----


def resolve(tx: Tx, table: Table, tenant: str, text: str) -> str:
    """The id that a text names: the whole id, or a beginning or an end of at least `SHORTEST` characters.

    Raises:
        NotFound: nothing of this tenant is called so.
        Ambiguous: several are; they are in the error.
    """
    exact, near = _RESOLVE[table]
    given = text.strip()
    for spelled in dict.fromkeys((given, given.upper())):
        if (found := tx(exact, tenant=tenant, text=spelled).scalar()) is not None:
            return found
    what = table.removesuffix("s")
    fits: list[str] = []
    if len(given) >= SHORTEST:
        for spelled in dict.fromkeys((given, given.upper())):
            rows = tx(near, tenant=tenant, text=spelled, n=len(spelled)).all()
            fits += [row.id for row in rows if row.id not in fits]
    if not fits:
        short = (
            f"; at least {SHORTEST} characters of it are needed" if len(given) < SHORTEST else ""
        )
        raise errors.NotFound(
            f"No {what} has the id {text[:40]!r}{short}.",
            next=f"{_KNOWN[table]} shows them.",
        )
    if len(fits) > 1:
        more = " and more" if len(fits) > 10 else ""
        raise errors.Ambiguous(
            f"{len(fits[:10])}{more} {what}s fit {text!r}: {', '.join(fits[:10])}.",
            next="Give more characters of the id.",
            ids=fits[:10],
        )
    return fits[0]


# ---- runs ----


def runs(
    tx: Tx, tenant: str, *, status: str = "all", limit: int = 50, cursor: str | None = None
) -> tuple[list[Json], str | None]:
    """A page of runs, newest first, and the cursor of the next page (None at the end)."""
    limit = page(limit)
    found = every(tx, _RUNS, tenant=tenant, status=status, before=cursor or NEWEST, limit=limit + 1)
    return [shapes.run_line(row) for row in found[:limit]], following(found, limit)


def open_of(tx: Tx, tenant: str, agent: str) -> list[str]:
    """The runs of an agent that are not over."""
    return [row.id for row in tx(_OPEN_OF, tenant=tenant, agent=agent).all()]


def end(tx: Tx, run_id: str) -> Json:
    """How a run stands, as `alfred run` prints it when it leaves.

    Raises:
        NotFound: there is no such run.
    """
    return shapes.run_end(_run(tx, run_id), _waits_for(tx, run_id))


def show(tx: Tx, run_id: str) -> Json:
    """One run with steps, transcript, calls, approvals, children and scratch: the whole tree's, of a child its own.

    Raises:
        NotFound: there is no such run.
    """
    run = _run(tx, run_id)
    own = rows.notes_of(run_id) if run["root_id"] != run_id else ""
    noted = every(tx, _SCRATCH, id=run["root_id"])
    return {
        "run": shapes.run_whole(run, _waits_for(tx, run_id))
        | {"messages": [shapes.message(row) for row in every(tx, _SAID, id=run_id)]},
        "steps": [shapes.step(row) for row in every(tx, _STEPS, id=run_id)],
        "transcript": [shapes.item(row) for row in every(tx, _TRANSCRIPT, id=run_id)],
        "calls": [shapes.call(row) for row in every(tx, _CALLS, id=run_id)],
        "approvals": [shapes.approval(row) for row in every(tx, _OF_RUN, id=run_id)],
        "children": [
            shapes.run_line(row) | {"result": row["result"], "error": shapes.value(row["error"])}
            for row in every(tx, _CHILDREN, id=run_id)
        ],
        "scratch": [shapes.note(row) for row in noted if row["path"].startswith(own)],
    }


def _run(tx: Tx, run_id: str) -> Json:
    row = one(tx, _RUN, id=run_id)
    if row is None:
        raise errors.NotFound(
            f"No run has the id {run_id!r}.", next="`alfred runs list` shows them."
        )
    return row


def waiting(tx: Tx, run_id: str) -> list[Json]:
    """The open cards of a run and of all below it, oldest first: id, kind and title."""
    return every(tx, _CARDS_OPEN, id=run_id)


def below(tx: Tx, run_id: str) -> list[Json]:
    """The live runs below this one: id, status and wait."""
    return every(tx, _BELOW, id=run_id)


def tree(tx: Tx, run_id: str) -> list[str]:
    """The run and all that it and those below it have started."""
    return tx(_ALL_BELOW, id=run_id).scalars()


def _waits_for(tx: Tx, run_id: str) -> list[Json]:
    """Its open cards, and in their shape (kind `limit`) the provider that is not to be asked: its words, until when; or
    that as many runs ask it already as may."""
    cards = waiting(tx, run_id)
    if (provider := tx(_PLACE, id=run_id).scalar()) is not None:
        title = f"as many runs as may (limits.per_provider) ask {provider} now; it goes on when a place is free"
        return [*cards, {"id": provider, "kind": "limit", "title": title}]
    state = shapes.value(tx(_BLOCKED, id=run_id).scalar())
    why = state.get(BLOCKED) if isinstance(state, dict) else None
    if why is None:
        return cards
    title = f"{why['detail']} ({why['code']}, until {why['until']})"
    return [*cards, {"id": why["provider"], "kind": "limit", "title": title}]


def page(limit: int) -> int:
    """How many entries a page has when so many are asked for."""
    return max(1, min(limit, MOST))


def following(found: list[Json], limit: int) -> str | None:
    """The cursor of the next page, when one more entry was found than this one has."""
    return found[limit - 1]["id"] if len(found) > limit else None


# ---- approvals ----


def approvals(
    tx: Tx,
    tenant: str,
    *,
    status: str = "pending",
    run_id: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> Json:
    """`{"approvals": [card...], "next"}`, newest first; `status` may be `all`."""
    limit = page(limit)
    found = every(
        tx,
        _APPROVALS,
        tenant=tenant,
        status=status,
        run_id=run_id,
        before=cursor or NEWEST,
        limit=limit + 1,
    )
    cards = [shapes.approval(row) for row in found[:limit]]
    return {"approvals": cards, "next": following(found, limit)}


def approvals_before(
    tx: Tx, tenant: str, cursor: str, *, status: str = "pending", run_id: str = ""
) -> int:
    """How many cards the pages behind this cursor have."""
    told = {"tenant": tenant, "before": cursor, "status": status, "run_id": run_id}
    return tx(_APPROVALS_BEFORE, **told).scalar_one()


def approval(tx: Tx, approval_id: str) -> Json:
    """One card.

    Raises:
        NotFound: there is no such card.
    """
    row = one(tx, _APPROVAL, id=approval_id)
    if row is None:
        raise errors.NotFound(
            f"No approval has the id {approval_id!r}.", next="`alfred approvals list` shows them."
        )
    return shapes.approval(row)
