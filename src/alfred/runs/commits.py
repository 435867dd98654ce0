"""The commit of a step: the guard on the run's row first, and every row that belongs to the step behind it.

Invariants: a step is stored once, under its (run, seq) and its token, whoever repeats the commit; nothing of it is
stored unless the guard found the run held by this attempt at this seq. The guard locks the run's row, so what is read
after it sees whatever it had to wait for. The cost does not depend on how long the run is.

On Postgres the guard and its rows are one statement: each statement there is a journey to the server, and the guard
reads no table but its own, so that nothing is decided on an old snapshot.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alfred import errors
from alfred.runs import events, rows
from alfred.runs.rows import Item, Lease, Step
from alfred.runs.states import Status, Wait
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_GUARD = (
    "update runs set seq=seq+1,step=:step,turn=turn+:raise,answers=answers+:answers,items=items+:items,"
    "state=coalesce(:state,state),external=case when :external=1 then 1 else external end,"
    "lease_until=alfred_mono()+:lease_us,reclaims=0"
    " where id=:id and attempt=:attempt and worker=:worker and seq=:seq and status='running' and cancel=0"
    " returning seq,turn,answers,items,external"
)
_STEP = (
    "insert into run_steps(run_id,seq,attempt,token,name,worker,outcome,started,ended)"
    " select :id,seq,:attempt,:token,:name,:worker,:outcome,:started,alfred_now()"
)
_ITEM = "insert into transcript(run_id,n,seq,kind,item,integrity,confidentiality,at)"
_EVENT = (
    "insert into events(tenant,run_id,kind,body,at) select :tenant,:id,'step',:event,alfred_now()"
)

_ADVANCE = Sql(_GUARD)
_RAN = Sql(f"{_STEP} from runs where id=:id")
_SAID = Sql(f"{_ITEM} values(:id,:n,:seq,:kind,:item,:integrity,:confidentiality,alfred_now())")
_TOLD = Sql(_EVENT)
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
        "state": step.state,
        "external": int(step.external),
        "lease_us": lease_us,
        "token": step.token,
        "name": step.name,
        "outcome": outcome,
        "started": step.started,
        "event": events.body(told),
    }
    held = _at_once(tx, values, step.items) if tx.pg else _one_by_one(tx, values, step.items)
    if held is None:
        return _earlier(tx, lease, step)
    for write in step.writes:
        write(tx, held.seq)
    after = held._asdict() | {"step": to}
    if step.state is not None:
        after["state"] = step.state
    return Committed(after, Status.RUNNING)


@functools.cache
def _with_items(count: int) -> Sql:
    """The guard and the rows of a step with so many items, as one statement."""
    said = ",".join(
        f"({n},:kind{n},:item{n},:integrity{n},:confidentiality{n})" for n in range(count)
    )
    parts = [f"held as ({_GUARD})", f"ran as ({_STEP} from held)", f"told as ({_EVENT} from held)"]
    if count:
        parts.append(
            f"said as ({_ITEM} select :id,items-:items+1+n,seq,kind,item,integrity,confidentiality,alfred_now()"
            f" from held,(values {said}) as i(n,kind,item,integrity,confidentiality))"
        )
    return Sql(f"with {','.join(parts)} select seq,turn,answers,items,external from held")


def _at_once(tx: Tx, values: dict[str, Any], items: Sequence[Item]) -> Any:
    for n, item in enumerate(items):
        values[f"kind{n}"], values[f"item{n}"] = item.kind, _text(item)
        values[f"integrity{n}"] = item.integrity
        values[f"confidentiality{n}"] = item.confidentiality
    return tx(_with_items(len(items)), **values).one_or_none()


def _one_by_one(tx: Tx, values: dict[str, Any], items: Sequence[Item]) -> Any:
    held = tx(_ADVANCE, **values).one_or_none()
    if held is None:
        return None
    tx(_RAN, **values)
    for n, item in enumerate(items, held.items - len(items) + 1):
        tx(
            _SAID,
            id=values["id"],
            n=n,
            seq=held.seq,
            kind=item.kind,
            item=_text(item),
            integrity=item.integrity,
            confidentiality=item.confidentiality,
        )
    tx(_TOLD, **values)
    return held


def _text(item: Item) -> str:
    return json.dumps(item.item, ensure_ascii=False)


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
    names = ("seq", "turn", "answers", "items", "external", "step", "state")
    after = {name: getattr(run, name) for name in names}
    return Committed(after, status, Wait(run.wait) if run.wait else None, earlier=True)
