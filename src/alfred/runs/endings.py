"""How runs end: once, with everything that hangs on them, and the parent told. See `ledger` for the rules.

Invariants: every write of a terminal status goes through `terminal`; whoever calls it holds the run's lock, which
all that writes to the run's cards, calls, messages, listeners and leases takes first. The chats that listen to the run are
told in the same transaction what it came to.
"""

from __future__ import annotations

import json
from typing import Any

from alfred.runs import audit, events, idempotency, outbox, rows
from alfred.runs.states import Status
from alfred.store.guarded import Guarded
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

_CARDS_TOLD = (
    "update notices set want=want+1 from held where approval_id in("
    "select id from approvals where run_id=:id and status='pending')"
)
_CARDS_END = (
    "update approvals set status='cancelled',decided_at=alfred_now() from held"
    " where run_id=:id and status='pending'"
)
_CALLS_END = (
    "update calls set status=case when status='executing' then 'unknown' else 'skipped' end from held"
    " where run_id=:id and status in('proposed','staged','approved','executing')"
)

_TERMINAL = Guarded(
    "update runs set status=:status,wait=null,wake_at=null,worker=null,lease_until=null,"
    f"ended_at=alfred_now(),error=coalesce(:error,error),result=coalesce(:result,result),{rows.RAN_SQL}"
    f" where id=:id and status in{rows.LIVE_SQL} and (:attempt=-1 or attempt=:attempt)"
    " and (:status='cancelled' or cancel=0)"
    " returning tenant,parent_id,parent_call,"
    "(select count(*) from interjections where run_id=runs.id and consumed_seq is null) as unread,"
    "(select {pg:json_agg(action)::text}{sqlite:json_group_array(action)} from calls"
    " where run_id=runs.id and status='executing') as intents",
    _CARDS_TOLD,
    _CARDS_END,
    _CALLS_END,
    rows.WITH_LEASE,
    events.WITH,
    outbox.TO_LISTENERS,
)

_CANCEL_RUNNING = Guarded(
    "update runs set cancel=1,error=coalesce(:error,error) where id=:id and status='running' returning id",
    _CARDS_TOLD,
    _CARDS_END,
)

_PARENT_WAKES = Sql(
    "update runs set status='queued',wait=null,wake_at=null,ready_at=alfred_now()"
    " where id=:id and status='parked' and wait='children'"
)

_GIVE_BACK = Sql(
    "update interjections set run_id=:to where run_id=:id and consumed_seq is null"
    f" and exists(select 1 from runs where id=:to and status in{rows.LIVE_SQL} and cancel=0)"
)

_CHILDREN = Sql(
    f"select id,parent_id from runs where parent_id=:id and status in{rows.LIVE_SQL} order by id {{lock}}"
)


def terminal(
    tx: Tx,
    run_id: str,
    status: Status,
    *,
    result: str | None = None,
    error: dict[str, Any] | None = None,
    attempt: int = -1,
) -> bool:
    """Any live status -> the end, once. The caller has locked the parent, then the run.

    Cards are cancelled, calls that did not start are skipped, open intents become `unknown` (their outcome may
    still be recorded), one terminal event is written, and the last child of a call to end wakes its parent: others may be
    out still, of calls that it waits for no more. What somebody said to a child that had the conversation, and that it has
    not read, is its parent's to read when it does not answer.
    """
    shown = None if result is None else redact.redact(result)
    said = _said(run_id, status, shown)
    run = _TERMINAL(
        tx,
        id=run_id,
        status=status,
        error=_text(error),
        result=shown,
        attempt=attempt,
        why=status,
        event="run.terminal",
        told=events.body({"status": status, "error": error, "result": result}),
        said=said,
        says=int(bool(said)),
    )
    if run is None:
        return False
    unread = run.unread if status != Status.COMPLETED else 0
    if unread and (run.parent_call or "").endswith(f":{rows.TAKES_OVER}"):
        unread -= tx(_GIVE_BACK, id=run_id, to=run.parent_id).rowcount
    if unread:
        events.emit(tx, tenant=run.tenant, run_id=run_id, kind="notice", unread=unread)
    if intents := json.loads(run.intents or "[]"):
        events.emit(tx, tenant=run.tenant, run_id=run_id, kind="notice", unknown=intents)
    of = (run.parent_call or "").partition(":")[0] + "%"
    last = run.parent_id and tx(rows.OPEN_OF_CALL, id=run.parent_id, of=of).scalar() == 0
    if last and tx(_PARENT_WAKES, id=run.parent_id).rowcount:
        tx.wakes.add(run.parent_id)
    return True


def _said(run_id: str, status: Status, result: str | None) -> str:
    """What is said in a chat at the end. Of a failure no more than that: why it failed may name files and programs."""
    ref = run_id[-6:].lower()
    said = [result.strip()] if result and result.strip() else []
    if status is Status.FAILED:
        said.append(f"I could not finish this: `alfred runs show {ref}` tells why.")
    elif status is Status.CANCELLED:
        said.append("This was ended before it was done.")
    return "\n\n".join(said)


def _text(error: dict[str, Any] | None) -> str | None:
    return json.dumps(redact.redact_data(error), ensure_ascii=False) if error else None


def cancel(
    tx: Tx,
    run_id: str,
    *,
    by: str,
    token: str,
    why: str | None = None,
    error: dict[str, Any] | None = None,
) -> bool:
    """Ends a run and everything below it, root to leaf. False when it was over. `error` says why, when not on request.

    What is running is told (`cancel=1`): its holder stops at once and nothing of it is committed any more.

    Args:
        token: made by the caller: said again, it is answered again.
    """
    run = rows.get(tx, run_id)
    if run is None:
        return False
    rows.lock(tx, run.parent_id, run_id)
    if (before := idempotency.said(tx, run.tenant, token)) is not None:
        return before
    if not _cancel_one(tx, run_id, error):
        return False
    cancel_children(tx, run_id, by=by)
    audit.append(tx, run.tenant, "run.cancel", run=run_id, by=by, why=why)
    idempotency.say(tx, run.tenant, token, True)
    return True


def _cancel_one(tx: Tx, run_id: str, error: dict[str, Any] | None = None) -> bool:
    if _CANCEL_RUNNING(tx, id=run_id, error=_text(error)) is not None:
        return True
    return terminal(tx, run_id, Status.CANCELLED, error=error)


def cancel_children(tx: Tx, run_id: str, *, by: str) -> None:
    level = [run_id]
    while level:
        below: list[str] = []
        for parent in level:
            children = [row.id for row in tx(_CHILDREN, id=parent).all()]
            for child in children:
                _cancel_one(tx, child)
            below += children
        level = below


def honour_cancel(tx: Tx, run_id: str) -> bool:
    """running with `cancel=1` -> cancelled: by its holder when it notices, or by the sweep when that is gone."""
    run = rows.get(tx, run_id)
    if run is None:
        return False
    rows.lock(tx, run.parent_id, run_id)
    fresh = rows.get(tx, run_id)
    if fresh is None or fresh.status != Status.RUNNING or not fresh.cancel:
        return False
    return terminal(tx, run_id, Status.CANCELLED)


def fail(tx: Tx, run_id: str, *, code: str, detail: str, attempt: int = -1) -> bool:
    """A live run -> failed, from outside of a step (poison, an operator)."""
    run = rows.get(tx, run_id)
    if run is None:
        return False
    rows.lock(tx, run.parent_id, run_id)
    if not terminal(
        tx, run_id, Status.FAILED, error={"code": code, "detail": detail}, attempt=attempt
    ):
        return False
    cancel_children(tx, run_id, by="parent")
    return True
