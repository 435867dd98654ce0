"""The commit of a step: the guard on the run's row first, and every row that belongs to the step behind it.

Invariants: a step is stored once, under its (run, seq) and its token, whoever repeats the commit; nothing of it is
stored unless the guard found the run held by this attempt at this seq. The guard locks the run's row, so what is read
after it sees whatever it had to wait for. The cost does not depend on how long the run is.

On Postgres the guard and its rows are one statement (`store.guarded`); the guard reads no table but its own, so that
nothing is decided on an old snapshot.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from alfred import errors
from alfred.runs import rows
from alfred.runs.rows import Lease, Step
from alfred.runs.states import Status, Wait
from alfred.store.guarded import Guarded
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_GUARD = (
    "update runs set seq=seq+1,step=:step,turn=turn+:raise,answers=answers+:answers,items=items+:items,"
    "state=coalesce(:state,state),external=case when :external=1 then 1 else external end,"
    "private=case when :private=1 then 1 else private end,"
    "lease_until=alfred_mono()+:lease_us,reclaims=0"
    " where id=:id and attempt=:attempt and worker=:worker and seq=:seq and status='running' and cancel=0"
    " returning seq,turn,answers,items,external,private"
)
_RAN = (
    "insert into run_steps(run_id,seq,attempt,token,name,worker,outcome,started,ended,next_step,state,turn,"
    "answers,external,private) select :id,held.seq,:attempt,:token,:name,:worker,:outcome,:started,alfred_now(),:step,"
    ":state,held.turn,held.answers,held.external,held.private from held"
)
_SAID = (
    "insert into transcript(run_id,n,seq,kind,item,integrity,confidentiality,at)"
    f" select :id,held.items-:items+{rows.ITEM_NUMBER},held.seq,{rows.ITEM_COLUMNS},alfred_now() from held,{rows.ITEMS}"
)
_TOLD = (
    "insert into events(tenant,run_id,kind,body,at)"
    " select :tenant,:id,'step',:event,alfred_now() from held"
)
_COMMIT = Guarded(_GUARD, _RAN, _SAID, _TOLD)
_TOKEN = Sql("select seq from run_steps where token=:token")


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit came to: what it changed in the run's row, and where the run is now (`running` means: go on)."""

    after: dict[str, Any]
    status: Status
    wait: Wait | None = None
    earlier: bool = False
    """This very commit had arrived before, and its answer was lost."""

    @property
    def seq(self) -> int:
        return self.after["seq"]


def commit(
    tx: Tx, lease: Lease, seq: int, step: Step, *, to: str, outcome: str, lease_us: int
) -> Committed:
    """running -> running at `to`, with the rows of the step. The first statement of its transaction that locks the run.

    Raises:
        LeaseLost: another worker owns the run, or it is over or being cancelled.
    """
    # words of the program alone: nothing that would have to be redacted
    told = {"name": step.name, "seq": seq + 1, "outcome": outcome}
    values = {
        "id": lease.run_id,
        "tenant": lease.tenant,
        "attempt": lease.attempt,
        "worker": lease.worker,
        "seq": seq,
        "step": to,
        "raise": int(outcome != "parked"),
        "answers": step.answers,
        "items": len(step.items),
        "said": rows.said(step.items),
        "state": step.state,
        "external": int(step.external),
        "private": int(step.private),
        "lease_us": lease_us,
        "token": step.token,
        "name": step.name,
        "outcome": outcome,
        "started": step.started,
        "event": json.dumps(told),
    }
    held = _COMMIT(tx, **values)
    if held is None:
        return _earlier(tx, lease, step)
    for write in step.writes:
        write(tx, held.seq)
    after = held._asdict() | {"step": to}
    if step.state is not None:
        after["state"] = step.state
    return Committed(after, Status.RUNNING)


def _earlier(tx: Tx, lease: Lease, step: Step) -> Committed:
    seq = tx(_TOKEN, token=step.token).scalar()
    run = rows.get(tx, lease.run_id)
    if seq is None or run is None:
        raise errors.LeaseLost(
            f"Run {lease.run_id} is no longer held by attempt {lease.attempt}.",
            next="The work is dropped.",
        )
    held = run.status == Status.RUNNING and run.attempt == lease.attempt
    status = (
        Status(run.status) if held or not run.live or run.status == Status.PARKED else Status.QUEUED
    )
    names = ("seq", "turn", "answers", "items", "external", "private", "step", "state")
    after = {name: getattr(run, name) for name in names}
    return Committed(after, status, Wait(run.wait) if run.wait else None, earlier=True)
