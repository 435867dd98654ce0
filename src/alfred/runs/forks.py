"""A run that begins where another one was: with all that was said up to a step, and nothing of what was done since.

Invariants: a branch begins behind a committed step. It has the transcript and the scratch of that moment (but for what
was written over since; of a child's tree what that child reads) with their labels, the turns of its session before it, and none of the calls, cards, messages, children, leases and reservations: an
effect's key is made of its run's id, so a call that came along would act a second time. While the outcome of an effect before that step is not
known there is no branch, because nobody could say what its past is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alfred import errors
from alfred.runs import audit, events, rows, sessions
from alfred.runs.rows import Item
from alfred.store.guarded import Guarded
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_POINT = Sql(
    "select s.seq,s.name,s.outcome,s.next_step,s.turn,s.answers,s.ended,"
    "(select t.state from run_steps t where t.run_id=:id and t.seq<=:at and t.state is not null"
    " order by t.seq desc limit 1) as state"
    " from run_steps s where s.run_id=:id and s.seq=:at"
)
_UNKNOWN = Sql(
    "select action from calls where run_id=:id and turn<:turn and status in('executing','unknown')"
    " order by turn,ordinal limit 1"
)
_SAID = Sql(
    "select kind,item from transcript where run_id=:id and seq<=:at and kind in('assistant','result') order by n"
)
_BEGUN = Sql("select 1 from transcript where run_id=:id and seq<=:at and kind='system' limit 1")
_ITEMS = Sql("select count(*) from transcript where run_id=:id and seq<=:at")

_FORK = Guarded(
    "insert into runs(id,tenant,agent,workflow,revision,title,brief,trigger_kind,model,grants,workspace,inputs,state,external,private,"
    "root_id,forked_from,forked_seq,session_id,step,seq,turn,answers,items,max_cost,status,ready_at,created_at)"
    " select :new,r.tenant,r.agent,r.workflow,r.revision,:title,r.brief,'fork',coalesce(:model,r.model),coalesce(:grants,r.grants),r.workspace,r.inputs,:state,"
    "s.external,s.private,:new,r.id,s.seq,:new,:step,s.seq,s.turn,s.answers,:items,r.max_cost,'queued',alfred_now(),alfred_now()"
    " from runs r join run_steps s on s.run_id=r.id and s.seq=:at where r.id=:id and r.dry_run=0"
    " on conflict do nothing returning id,tenant",
    "insert into transcript(run_id,n,seq,kind,item,integrity,confidentiality,at)"
    " select held.id,t.n,t.seq,t.kind,t.item,t.integrity,t.confidentiality,t.at from held,transcript t"
    " where t.run_id=:id and t.seq<=:at",
    "insert into transcript(run_id,n,seq,kind,item,integrity,confidentiality,at)"
    f" select held.id,:behind+{rows.ITEM_NUMBER},:at,{rows.ITEM_COLUMNS},alfred_now() from held,{rows.ITEMS}",
    "insert into scratch(run_id,path,value,author,origin,reason,form,integrity,confidentiality,at)"
    " select held.id,s.path,s.value,s.author,s.origin,s.reason,s.form,s.integrity,s.confidentiality,s.at from held,scratch s"
    " where s.run_id=:pad and (substr(s.path,1,length(cast(:own as text)))=:own or substr(s.path,1,7)='shared.') and s.at<=:ended",
    "insert into events(tenant,run_id,kind,body,at) select held.tenant,held.id,'run.queued',:told,alfred_now() from held",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a run was behind one of its steps."""

    run_id: str
    root_id: str
    workflow: str
    grants: str | None
    seq: int
    name: str
    """The step."""
    outcome: str
    next_step: str
    state: dict[str, Any]
    turn: int
    """Calls of this turn and later ones were made behind it."""
    answers: int
    ended: int
    begun: bool
    """Whether what its prompt begins with was there by then: whoever waits for money before the first answer has none."""
    said: tuple[dict[str, Any], ...]
    """The model's answers and the results of its calls up to here, oldest first."""


def point(tx: Tx, run_id: str, at: int) -> Point:
    """Looks at a step of a run, whose row is locked first, so that what is decided on it still holds.

    Raises:
        UsageError: there is no such step, the run is a dry run, or the outcome of an effect before it is not known.
    """
    rows.lock(tx, run_id)
    run = rows.get(tx, run_id)
    if run is None:
        raise errors.NotFound(
            f"No run has the id {run_id!r}.", next="`alfred runs list` shows them."
        )
    ref = run_id[-6:].lower()
    if run.dry_run:
        raise errors.UsageError(
            f"Run {ref} was a dry run: it has done nothing that one could branch off from.",
            next="Start it again without --dry-run.",
        )
    # a number that is no step's may be one that no column takes
    found = tx(_POINT, id=run_id, at=at).one_or_none() if 0 < at <= run.seq else None
    if found is None:
        least = (run.forked_seq or 0) + 1
        there = f"It has the steps {least} to {run.seq}." if run.seq >= least else "It has none."
        raise errors.UsageError(
            f"Run {ref} has no committed step {at}. {there}",
            next=f"`alfred runs show {ref}` lists them.",
        )
    if (unknown := tx(_UNKNOWN, id=run_id, turn=found.turn).scalar()) is not None:
        raise errors.UsageError(
            f"Nobody knows what became of {unknown} before step {at}, so there is no past to branch off from.",
            next="Say what happened first: `alfred approvals list`, then `alfred approve ID --as happened|skip`.",
        )
    return Point(
        run_id=run_id,
        root_id=run.root_id,
        workflow=run.workflow,
        grants=run.grants,
        seq=found.seq,
        name=found.name,
        outcome=found.outcome,
        next_step=found.next_step,
        state=json.loads(found.state) if found.state else {},
        turn=found.turn,
        answers=found.answers,
        ended=found.ended or 0,
        begun=tx(_BEGUN, id=run_id, at=at).scalar() is not None,
        said=tuple(json.loads(row.item) for row in tx(_SAID, id=run_id, at=at).all()),
    )


def fork(
    tx: Tx,
    point: Point,
    *,
    new_id: str,
    step: str,
    state: dict[str, Any],
    items: Sequence[Item],
    title: str,
    model: str | None,
    by: str,
    grants: str | None = None,
) -> bool:
    """Begins the branch, queued. False when it is there already: the same `new_id` begins it once.

    Args:
        step: What the branch does first.
        state: What that step is handed.
        items: What its transcript says besides.
        grants: What it may do; None: what the other may.
    """
    items_behind = tx(_ITEMS, id=point.run_id, at=point.seq).scalar_one()
    held = _FORK(
        tx,
        id=point.run_id,
        at=point.seq,
        pad=point.root_id,
        own=rows.notes_of(point.run_id) if point.root_id != point.run_id else "",
        new=new_id,
        title=title,
        model=model,
        grants=grants,
        state=json.dumps(state, ensure_ascii=False),
        step=step,
        items=items_behind + len(items),
        behind=items_behind,
        said=rows.said(items),
        ended=point.ended,
        told=events.body({"forked_from": point.run_id, "at": point.seq}),
    )
    if held is None:
        return False
    sessions.forked(tx, point.run_id, new_id)
    audit.append(
        tx, held.tenant, "run.fork", run=new_id, by=by, forked_from=point.run_id, at=point.seq
    )
    tx.wakes.add(new_id)
    return True
