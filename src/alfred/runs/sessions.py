"""What somebody says to a run, also when it is over: then it is said to the session that the run belongs to.

Invariant: a session has one live run. Whatever is said while one lives is a message to it; only what finds none begins
one. Two who say something at the same time, in whatever processes, begin one run together: who comes second finds it,
at the latest by the unique index `runs_session`. A run that is being cancelled commits nothing more and reads nothing
more, so it is no longer the session's.
"""

from __future__ import annotations

from alfred.runs import ledger, rows
from alfred.runs.rows import NewRun, Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_LIVE = Sql(
    "select id from runs where tenant=:tenant and session_key=:key and depth=0"
    f" and status in{rows.LIVE_SQL} and cancel=0"
)

_TURNS = 100
"""So many runs of one session do not begin and end while a message waits for its locks."""

_TAKEN_BY = Sql("select run_id from interjections where id=:id")


def key(run: Run) -> str:
    """What the live run of this run's session is found by."""
    return run.session_key or run.session_id or run.id


def live(tx: Tx, run: Run) -> Run | None:
    """The live run of this run's session: itself while it lives, else the one that follows it up, if there is one."""
    if run.live and not run.cancel:
        return run
    found = tx(_LIVE, tenant=run.tenant, key=key(run)).scalar()
    return rows.get(tx, found) if found else None


def say(tx: Tx, run: Run, new: NewRun, *, message_id: str, author: str) -> Run:
    """The run that has it now: the live one of the session as a message, else `new`, which is started with it.

    Args:
        new: The follow-up, with what is said as its brief and `key(run)` as its key.
        message_id: Made by the caller, as the id of `new`: said again, it is answered again.
    """
    if (taken := tx(_TAKEN_BY, id=message_id).scalar()) is not None:
        return _row(tx, taken)
    if (started := rows.get(tx, new.id)) is not None:
        return started
    body = new.brief or ""
    target: Run | None = run
    for _ in range(_TURNS):
        told = target and ledger.message(
            tx, target.id, message_id=message_id, body=body, author=author
        )
        if told:
            return told
        if ledger.start(tx, new):
            return _row(tx, new.id)
        target = live(tx, _row(tx, run.id))  # another one lives; it may be over before it is told
    raise AssertionError(f"the session {key(run)!r} neither has a live run nor takes one")


def _row(tx: Tx, run_id: str) -> Run:
    found = rows.get(tx, run_id)
    if found is None:
        raise AssertionError(f"run {run_id} is not there; runs are never deleted")
    return found
