"""How runs end: once, with everything that hangs on them, and the parent told. See `ledger` for the rules.

Invariant: every write of a terminal status goes through `terminal`.
"""

from __future__ import annotations

import json
from typing import Any

from alfred.runs import audit, events, idempotency, rows
from alfred.runs.states import Status
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_TERMINAL = Sql(
    "update runs set status=:status,wait=null,wake_at=null,worker=null,lease_until=null,"
    f"ended_at=alfred_now(),error=coalesce(:error,error),result=coalesce(:result,result),{rows.RAN_SQL}"
    f" where id=:id and status in{rows.LIVE_SQL} and (:attempt=-1 or attempt=:attempt)"
    " and (:status='cancelled' or cancel=0)"
    " returning tenant,parent_id"
)

_CARDS_END = Sql(
    "update approvals set status='cancelled',decided_at=alfred_now() where run_id=:id and status='pending'"
    " returning id"
)

_NOTICE = Sql("update notices set want=want+1 where approval_id=:id")

_CALLS_END = Sql(
    "update calls set status=case when status='executing' then 'unknown' else 'skipped' end"
    " where run_id=:id and status in('proposed','staged','approved','executing') returning status,action"
)

_PARENT_WAKES = Sql(
    "update runs set status='queued',wait=null,wake_at=null,ready_at=alfred_now()"
    " where id=:id and status='parked' and wait='children'"
)

_CANCEL_RUNNING = Sql(
    "update runs set cancel=1,error=coalesce(:error,error) where id=:id and status='running'"
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
    still be recorded), one terminal event is written, and the last child to end wakes its parent.
    """
    text = json.dumps(error, ensure_ascii=False) if error else None
    run = tx(
        _TERMINAL, id=run_id, status=status, error=text, result=result, attempt=attempt
    ).one_or_none()
    if run is None:
        return False
    _end_cards(tx, run_id)
    ended = tx(_CALLS_END, id=run_id).all()
    open_intents = [call.action for call in ended if call.status == "unknown"]
    tx(rows.LEASE_ENDS, id=run_id, why=status)
    events.emit(
        tx,
        tenant=run.tenant,
        run_id=run_id,
        kind="run.terminal",
        status=status,
        error=error,
        result=result,
    )
    unread = tx(rows.OPEN_MESSAGES, id=run_id).scalar_one() if status != Status.COMPLETED else 0
    if unread:
        events.emit(tx, tenant=run.tenant, run_id=run_id, kind="notice", unread=unread)
    if open_intents:
        events.emit(tx, tenant=run.tenant, run_id=run_id, kind="notice", unknown=open_intents)
    last = run.parent_id and tx(rows.OPEN_CHILDREN, id=run.parent_id).scalar() == 0
    if last and tx(_PARENT_WAKES, id=run.parent_id).rowcount:
        tx.wakes.add(run.parent_id)
    return True


def _end_cards(tx: Tx, run_id: str) -> None:
    for (approval_id,) in tx(_CARDS_END, id=run_id).all():
        tx(_NOTICE, id=approval_id)


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
    text = json.dumps(error, ensure_ascii=False) if error else None
    if tx(_CANCEL_RUNNING, id=run_id, error=text).rowcount:
        _end_cards(tx, run_id)
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
