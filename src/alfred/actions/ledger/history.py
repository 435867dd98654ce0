"""What came before a call: what its run was told no to, what its agent has used, and how often. It only looks."""

from __future__ import annotations

from alfred.actions.ledger import sealed
from alfred.actions.ledger.calls import Call
from alfred.runs.rows import Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx

SCHEMA = "schema"
"""The first key of a decision about a foreign action: the hash of the schema that its arguments were checked against."""

_REJECTED = Sql(
    # by its cards: a run has few of them, and may have thousands of calls
    "select distinct c.args from approvals a join calls c on c.id=a.call_id where a.run_id=:run_id"
    " and c.action=:action and c.status='rejected'"
)
_CARDED = Sql("select 1 from approvals where run_id=:run_id limit 1")
_USED = Sql(
    "select 1 from calls c join runs r on r.id=c.run_id where r.tenant=:tenant and r.agent=:agent"
    # a decision that says no schema counts for any
    " and c.action=:action and c.status='done' and (c.decision like :this or c.decision not like :any)"
    " limit 1"
)
_LOWS = Sql(
    "select count(*) from calls c join runs r on r.id=c.run_id"
    # what a tree proposes is one, whatever its agents are called
    " where r.tenant=:tenant and (r.agent=:agent or r.root_id=:root)"
    # not judged yet are those of the same turn, which are judged together; the index `calls_low` says the same
    " and c.action=:action and (c.risk='low' or c.risk is null) and c.status<>'refused'"
    # no further ahead either: a clock that was would make everything many for as long
    " and c.created_at>alfred_now()-:within and c.created_at<alfred_now()+:within and c.id<>:id"
    " and (c.run_id<>:run_id or c.turn<:turn or (c.turn=:turn and c.ordinal<:ordinal))"
)


def rejected_before(tx: Tx, run_id: str, action: str, args: str) -> bool:
    """Whether a person has said no to this very call in this run."""
    rejected = tx(_REJECTED, run_id=run_id, action=action).all()
    return bool(rejected) and (sealed.clean(args),) in rejected


def carded(tx: Tx, run_id: str) -> bool:
    """Whether a person was ever asked about a call of the run."""
    return tx(_CARDED, run_id=run_id).scalar() is not None


def used_before(tx: Tx, tenant: str, agent: str, action: str, schema: str) -> bool:
    """Whether the agent has executed this action with this schema (its hash) once."""
    any_schema = f'{{"{SCHEMA}": "'
    return (
        tx(
            _USED,
            tenant=tenant,
            agent=agent,
            action=action,
            this=f'{any_schema}{schema}"%',
            any=f"{any_schema}%",
        ).scalar()
        is not None
    )


def lows(tx: Tx, call: Call, run: Run, *, action: str, within: int) -> int:
    """How many calls of an action with a low risk, or with none said yet, the agent of the call's run or anybody in its tree
    has proposed before this one.

    Args:
        within: Microseconds that are looked back.
    """
    return tx(
        _LOWS,
        tenant=run.tenant,
        agent=run.agent,
        root=run.root_id,
        action=action,
        within=within,
        id=call.id,
        run_id=call.run_id,
        turn=call.turn,
        ordinal=call.ordinal,
    ).scalar_one()
