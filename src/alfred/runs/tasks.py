"""Runs as tasks: what somebody delegated, and what crons started, with their progress in words."""

from __future__ import annotations

from alfred import clock, errors
from alfred.runs import shapes, views
from alfred.runs.shapes import Json
from alfred.runs.states import LIVE, Status, Wait
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_TASKS = Sql(
    f"select {views.LINE},r.trigger_kind,r.step,r.seq,r.ended_at,r.result,r.error from runs r"
    " where r.tenant=:tenant and r.id<:before and r.trigger_kind in :kinds and r.status in :statuses"
    " and (r.wait is null or r.wait in :waits)"
    " order by r.id desc limit :limit"
)
_TASK = Sql(
    f"select {views.LINE},r.trigger_kind,r.step,r.seq,r.ended_at,r.result,r.error from runs r where r.id=:id"
)
_LOGS = Sql(
    "select kind,body,at from events where run_id=:id order by events.xid desc,id desc limit 20"
)
_MESSAGES = Sql(
    "select i.id,i.body,i.at,s.ended from interjections i"
    " left join run_steps s on s.run_id=i.run_id and s.seq=i.consumed_seq"
    " where i.run_id=:id order by i.at,i.id"
)


def listed(
    tx: Tx, tenant: str, *, status: str = "active", limit: int = 50, cursor: str | None = None
) -> Json:
    """`{"tasks": [task...], "next"}`, newest first. `status`: active, all, or a status of tasks.

    Raises:
        UsageError: no task is ever in that status.
    """
    limit = views.page(limit)
    statuses, waits = _rows_of(status)
    found = views.every(
        tx,
        _TASKS,
        tenant=tenant,
        before=cursor or views.NEWEST,
        kinds=list(shapes.TASKS),
        statuses=statuses,
        waits=waits,
        limit=limit + 1,
    )
    shown = [_task(tx, row) for row in found[:limit]]
    return {"tasks": shown, "next": views.following(found, limit)}


def get(tx: Tx, run_id: str) -> Json:
    """One task, with the messages that it was sent.

    Raises:
        NotFound: there is no such run.
    """
    row = views.one(tx, _TASK, id=run_id)
    if row is None:
        raise errors.NotFound(f"No task has the id {run_id!r}.")
    sent = [
        {
            "id": message.id,
            "text": message.body,
            "at": clock.rfc3339(message.at),
            "consumed_at": clock.rfc3339(message.ended),
        }
        for message in tx(_MESSAGES, id=run_id).all()
    ]
    return _task(tx, row) | {"interjections": sent}


def _rows_of(status: str) -> tuple[list[str], list[str]]:
    """Which statuses of runs, and which waits of parked ones, a status of tasks stands for."""
    if status in ("active", "all"):
        return [str(s) for s in (LIVE if status == "active" else Status)], [str(w) for w in Wait]
    waits = [str(w) for w in Wait if shapes.task_status(Status.PARKED, w) == status]
    resting = [s for s in Status if s is not Status.PARKED]
    statuses = [str(s) for s in resting if shapes.task_status(s, None) == status]
    if waits:
        statuses.append(str(Status.PARKED))
    if not statuses:
        raise errors.UsageError(
            f"No task is ever {status!r}.",
            next="Known: active, all, queued, running, waiting_approval, waiting_reply, paused, done, failed, cancelled.",
        )
    return statuses, waits


def _task(tx: Tx, row: Json) -> Json:
    logs = [shapes.log(event) for event in views.every(tx, _LOGS, id=row["id"])]
    waiting = views.waiting(tx, row["id"])
    return shapes.task(row, logs[::-1], waiting[0]["id"] if waiting else None)
