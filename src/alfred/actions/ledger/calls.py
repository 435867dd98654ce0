"""The rows of calls: proposed, judged, decided, intended, and what became of them.

Invariants: an intent is committed before the first byte of an effect leaves, and only by the run's holder; an
outcome is recorded by call and intent, never fenced by the run, so a known outcome survives a cancel or a
takeover; a call's identity is (run, turn, ordinal), the provider's own call id is data. A `Call` has its arguments as
they are carried out, its row has them without secrets (`sealed`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from alfred import errors
from alfred.actions.ledger import sealed
from alfred.runs import events, shapes
from alfred.runs.rows import Lease
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import labels
from alfred.trust.labels import Label

SETTLED = ("done", "failed", "rejected", "refused", "skipped")
"""Statuses that a call does not leave: nothing in its turn waits for it any more."""

TOLD = 20
"""Of one turn so many calls that were not carried out are told of one by one; a model may propose thousands."""

WHY = 500
"""Characters that an event keeps of why a call came to nothing; the call has the whole."""


class Call(NamedTuple):
    """A call's row, as it was when it was read, with its seals opened."""

    id: str
    run_id: str
    turn: int
    ordinal: int
    tool_call_id: str | None
    action: str
    integration: str | None
    effect: str
    risk: str | None
    gated: int
    args: str
    sealed: str | None
    args_hash: str
    run_args_hash: str | None
    asked_args: str | None
    asked_sealed: str | None
    target: str | None
    preview: str | None
    claim: str | None
    decision: str | None
    integrity: str
    confidentiality: str
    status: str
    effect_key: str | None
    intent_attempt: int | None
    intent_at: int | None
    outcome_at: int | None
    result: str | None
    label: str | None
    """Of the result: integrity and confidentiality. The two above are those of the call itself."""
    error: str | None
    created_at: int

    @property
    def arguments(self) -> dict[str, Any]:
        return json.loads(self.args)

    @property
    def asked(self) -> str:
        """The arguments as they were proposed, whatever a person made of them."""
        return self.asked_args or self.args

    @property
    def settled(self) -> bool:
        return self.status in SETTLED

    @property
    def unjudged(self) -> bool:
        """Nothing was decided about it yet."""
        return self.status == "proposed" and self.risk is None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call as the model proposed it. `refusal` is given when it is refused unread (too many, malformed)."""

    id: str
    run_id: str
    turn: int
    ordinal: int
    action: str
    args: str
    args_hash: str
    tool_call_id: str | None = None
    effect: str = "blind"
    integration: str | None = None
    claim: str | None = None
    integrity: str = "external"
    confidentiality: str = "secret"
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the gate decided about one proposed call, ready to be written."""

    call_id: str
    status: str  # proposed (it executes), staged, refused, skipped
    action: str
    integration: str | None = None
    effect: str = "blind"
    risk: str = "high"
    args: str = "{}"
    args_hash: str = ""
    target: str | None = None
    preview: str | None = None
    decision: str | None = None
    result: str | None = None
    question: bool = False
    """Staged for an answer: there is nothing to approve."""


_COLUMNS = ",".join(Call._fields)
_NOTHING: dict[str, Any] = dict.fromkeys(Call._fields)
_PROPOSED = tuple(f.name for f in fields(NewCall) if f.name != "refusal")
_DECIDED = tuple(f.name for f in fields(Judgement) if f.name not in ("call_id", "question"))
_GET = Sql(f"select {_COLUMNS} from calls where id=:id")
_OF_TURN = Sql(f"select {_COLUMNS} from calls where run_id=:run_id and turn=:turn order by ordinal")
_SKIPPED = Sql(
    f"select {_COLUMNS} from calls where run_id=:run_id and status='skipped' order by turn,ordinal"
)
_EFFECTS = Sql(
    f"select {_COLUMNS} from calls where run_id=:run_id and turn>=:turn and effect<>'pure'"
    " and action<>'ask.user' and status in('executing','done','unknown') order by turn,ordinal"
)
_PROPOSE = Sql(
    "insert into calls(id,run_id,turn,ordinal,tool_call_id,action,integration,effect,args,sealed,args_hash,claim,"
    "integrity,confidentiality,status,result,created_at)"
    " values(:id,:run_id,:turn,:ordinal,:tool_call_id,:action,:integration,:effect,:args,:sealed,:args_hash,:claim,"
    ":integrity,:confidentiality,:status,:result,alfred_now()) on conflict do nothing"
)
_JUDGE = Sql(
    "update calls set status=:status,action=:action,integration=:integration,effect=:effect,risk=:risk,"
    "gated=:gated,args=:args,sealed=:sealed,args_hash=:args_hash,run_args_hash=:run_args_hash,target=:target,"
    "preview=:preview,decision=:decision,result=:result"
    " where id=:call_id and status='proposed' and risk is null"
)
_APPROVE = Sql(
    "update calls set status='approved',run_args_hash=args_hash where id=:id and status='staged'"
)
_REJECT = Sql("update calls set status='rejected',result=:result where id=:id and status='staged'")
_ANSWER = Sql(
    f"update calls set status='done',result=:result,label='{labels.SAID}',intent_at=alfred_now(),outcome_at=alfred_now()"
    " where id=:id and status='staged'"
)
_EDIT = Sql(
    "update calls set asked_sealed=case when asked_args is null then sealed else asked_sealed end,"
    "asked_args=coalesce(asked_args,args),args=:args,sealed=:sealed,args_hash=:args_hash,target=:target,"
    "preview=:preview,risk=:risk,decision=:decision where id=:call_id and status='staged'"
)
_RESTAGE = Sql(
    "update calls set status='staged',args_hash=:hash,run_args_hash=null,target=:target,preview=:preview,risk=:risk"
    " where id=:id and status='approved'"
)
_REFUSE = Sql(
    "update calls set status='refused',run_args_hash=null,result=:result where id=:id and status='approved'"
)
_RENEW = Sql(
    "update calls set args_hash=:args_hash,run_args_hash=:args_hash,target=:target,preview=:preview,risk=:risk"
    " where id=:id and status='unknown'"
)
_HAPPENED = Sql(
    f"update calls set status='done',outcome_at=alfred_now(),result=:result,label='{labels.SAID}'"
    " where id=:id and status='unknown'"
)
_SKIP = Sql("update calls set status='skipped',result=:result where id=:id and status='unknown'")
_INTENT = Sql(
    "update calls set status='executing',intent_attempt=:attempt,intent_at=alfred_now(),effect_key=:key"
    " where id=:id and status=:was and run_args_hash=:hash"
)
_WITHDRAW = Sql(
    "update calls set status=:was,intent_attempt=null,intent_at=null,effect_key=null"
    " where id=:id and intent_attempt=:attempt and status='executing' and exists(select 1 from runs r where"
    " r.id=calls.run_id and r.attempt=:attempt and (r.worker is null or r.worker=:worker))"
)
_OUTCOME = Sql(
    "update calls set status=:status,outcome_at=alfred_now(),result=:result,label=:label,error=:error"
    " where id=:id and intent_attempt=:attempt and status in('executing','unknown')"
)
_PURE = Sql(
    "update calls set status=:status,intent_attempt=:attempt,intent_at=alfred_now(),outcome_at=alfred_now(),"
    "result=:result,label=:label,error=:error where id=:id and status in('proposed','approved','unknown')"
)
_UNKNOWN = Sql(
    "update calls set status='unknown',error=:error where id=:id and intent_attempt=:attempt and status='executing'"
)
_DEFERRED = Sql(
    "select count(*) from leases where run_id=:run_id and ended='deferred'"
    " and at>=coalesce((select max(ended) from run_steps where run_id=:run_id),0)"
)
_ENTER = Sql(
    "update calls set status='unknown' where run_id=:run_id and status='executing' and intent_attempt<:attempt"
)
_ANEW = Sql(
    "update calls set risk=null where run_id=:run_id and status='proposed'"
    " and exists(select 1 from runs where id=:run_id and attempt=:attempt)"
)


def get(tx: Tx, call_id: str) -> Call | None:
    """The call's row as it is now."""
    row = tx(_GET, id=call_id).one_or_none()
    return _read(tx, row) if row else None


def of_turn(tx: Tx, run_id: str, turn: int) -> list[Call]:
    """The calls of one turn, in their order."""
    return [_read(tx, row) for row in tx(_OF_TURN, run_id=run_id, turn=turn).all()]


def skipped(tx: Tx, run_id: str) -> list[Call]:
    """Calls that were not carried out: in a dry run, what would have been done."""
    return [_read(tx, row) for row in tx(_SKIPPED, run_id=run_id).all()]


def effects(tx: Tx, run_id: str, turn: int) -> list[Call]:
    """What a run has changed in the world since a turn, or may have. A question has changed nothing."""
    return [_read(tx, row) for row in tx(_EFFECTS, run_id=run_id, turn=turn).all()]


def propose(tx: Tx, calls: Sequence[NewCall]) -> None:
    """Stores what the model wants, before anything is decided. A place that is taken keeps what it has."""
    tx.many(
        _PROPOSE,
        [
            {
                **{name: getattr(call, name) for name in _PROPOSED},
                **_kept(tx, call.args),
                "status": "refused" if call.refusal else "proposed",
                "result": call.refusal,
            }
            for call in calls
        ],
    )


def unstored(call: NewCall) -> Call:
    """The row that a call will have, before it is stored."""
    known = {name: getattr(call, name) for name in _PROPOSED}
    return Call(**_NOTHING | known | {"gated": 0, "status": "proposed", "created_at": 0})


def judge(tx: Tx, judgement: Judgement) -> bool:
    """proposed -> what was decided, once."""
    values = _decided(judgement) | _kept(tx, judgement.args)
    return tx(_JUDGE, call_id=judgement.call_id, **values).rowcount == 1


def decided(call: Call, judgement: Judgement) -> Call:
    """The row that a call has once its judgement is stored."""
    return call._replace(**_decided(judgement))


def seen(call: Call, *, status: str, result: str | None, label: Label, error: str | None) -> Call:
    """The row that a pure call has once what it saw is stored."""
    return call._replace(status=status, result=result, label=str(label), error=error)


def _decided(judgement: Judgement) -> dict[str, Any]:
    named = {name: getattr(judgement, name) for name in _DECIDED}
    executes = judgement.status == "proposed"
    return named | {
        "gated": int(judgement.status == "staged" and not judgement.question),
        "run_args_hash": judgement.args_hash if executes else None,
    }


def approve(tx: Tx, call_id: str) -> None:
    """staged -> approved: what was shown may be sent."""
    tx(_APPROVE, id=call_id)


def reject(tx: Tx, call_id: str, result: str) -> None:
    """staged -> rejected."""
    tx(_REJECT, id=call_id, result=result)


def answer(tx: Tx, call_id: str, result: str) -> None:
    """staged -> done: the answer to a question is its outcome."""
    tx(_ANSWER, id=call_id, result=result)


def restage(
    tx: Tx, call_id: str, *, args_hash: str, target: str | None, preview: str, risk: str
) -> None:
    """approved -> staged, for other content than the one that was approved."""
    tx(_RESTAGE, id=call_id, hash=args_hash, target=target, preview=preview, risk=risk)


def edit(tx: Tx, judgement: Judgement) -> None:
    """A staged call is what a person made of it. What was proposed is kept."""
    values = {f.name: getattr(judgement, f.name) for f in fields(Judgement)}
    tx(_EDIT, **values | _kept(tx, judgement.args))


def refuse(tx: Tx, call_id: str, result: str | None) -> None:
    """approved -> refused."""
    tx(_REFUSE, id=call_id, result=result)


def renew(tx: Tx, judgement: Judgement) -> None:
    """An unknown call may be sent again, for what it was judged on now."""
    tx(
        _RENEW,
        id=judgement.call_id,
        args_hash=judgement.args_hash,
        target=judgement.target,
        preview=judgement.preview,
        risk=judgement.risk,
    )


def happened(tx: Tx, call_id: str, result: str) -> None:
    """unknown -> done, as somebody who looked says."""
    tx(_HAPPENED, id=call_id, result=result)


def skip(tx: Tx, call_id: str, result: str) -> None:
    """unknown -> skipped: nobody will know, and it is not tried again."""
    tx(_SKIP, id=call_id, result=result)


def intend(tx: Tx, lease: Lease, call: Call, *, key: str | None, content: str) -> None:
    """The intent row: the effect may be sent once this has committed. Caller holds the run (`rows.hold`).

    Raises:
        LeaseLost: the call has moved on.
    """
    done = tx(_INTENT, id=call.id, attempt=lease.attempt, key=key, was=call.status, hash=content)
    if done.rowcount == 0:
        now = get(tx, call.id)
        mine = now and now.status == "executing" and now.intent_attempt == lease.attempt
        if not mine:
            raise errors.LeaseLost(f"Call {call.id} is no longer {call.status}.")
    _tell(tx, lease, call, "executing")


def withdraw(tx: Tx, lease: Lease, call: Call) -> None:
    """executing -> what it was: it was not sent, and nobody has taken the run since. Caller holds the run's lock."""
    if call.status != "unknown":  # a retry stays what it was asked about: its yes is used up
        tx(_WITHDRAW, id=call.id, attempt=lease.attempt, worker=lease.worker, was=call.status)


def outcome(
    tx: Tx,
    lease: Lease,
    call: Call,
    *,
    status: str,
    result: str | None,
    label: Label = labels.WORST,
    error: str | None = None,
) -> bool:
    """executing | unknown -> done | failed, by the intent that it belongs to. Not fenced by the run."""
    done = tx(
        _OUTCOME,
        id=call.id,
        attempt=lease.attempt,
        status=status,
        result=result,
        label=str(label),
        error=error,
    )
    if done.rowcount:
        _tell(tx, lease, call, status, error)
    return done.rowcount == 1


def looked(tx: Tx, lease: Lease, call: Call) -> None:
    """A pure call's intent and outcome in one, as `seen` has made it: reading twice harms nobody."""
    done = tx(
        _PURE,
        id=call.id,
        attempt=lease.attempt,
        status=call.status,
        result=call.result,
        label=call.label,
        error=call.error,
    )
    if done.rowcount:
        _tell(tx, lease, call, call.status, call.error)


def unknown(tx: Tx, lease: Lease, call: Call, *, error: str | None = None) -> None:
    """executing -> unknown: it was sent, and nobody knows; `error` says why."""
    if tx(_UNKNOWN, id=call.id, attempt=lease.attempt, error=error).rowcount:
        _tell(tx, lease, call, "unknown", error)


def tell_unexecuted(tx: Tx, lease: Lease, settled: Sequence[Call]) -> None:
    """Tells whoever watches of the calls of a turn that came to nothing, which have no outcome to be told by."""
    nothing = [call for call in settled if call.status in ("refused", "skipped")]
    for call in nothing[:TOLD]:
        _tell(tx, lease, call, call.status, shapes.why(call._asdict()))
    if (more := len(nothing) - TOLD) > 0:
        said = f"{more:,} more calls of this turn were not carried out."
        events.emit(tx, tenant=lease.tenant, run_id=lease.run_id, kind="text", note=said)


def enter(tx: Tx, lease: Lease) -> None:
    """A new holder: what earlier attempts had begun is unknown, and what was let through but not begun is judged anew,
    because a run may have waited for days since."""
    tx(_ENTER, run_id=lease.run_id, attempt=lease.attempt)
    tx(_ANEW, run_id=lease.run_id, attempt=lease.attempt)


def deferred(tx: Tx, run_id: str) -> int:
    """How often the run was put off since a step of it was committed: so many times its calls went unheard."""
    return tx(_DEFERRED, run_id=run_id).scalar_one()


def _read(tx: Tx, row: Any) -> Call:
    """A call as it was proposed: the seals of its row are opened."""
    call = Call(*row)
    if call.sealed is None and call.asked_sealed is None:
        return call
    asked = call.asked_args and sealed.open_(tx, call.asked_args, call.asked_sealed)
    return call._replace(args=sealed.open_(tx, call.args, call.sealed), asked_args=asked)


def _kept(tx: Tx, args: str) -> dict[str, str | None]:
    """The columns of arguments."""
    shown, seal = sealed.close(tx, args)
    return {"args": shown, "sealed": seal}


def _tell(tx: Tx, lease: Lease, call: Call, status: str, why: str | None = None) -> None:
    events.emit(
        tx,
        tenant=lease.tenant,
        run_id=lease.run_id,
        kind="call",
        id=call.id,
        action=call.action,
        status=status,
        **({"why": why[:WHY]} if why else {}),
    )
