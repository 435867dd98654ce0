"""The transitions of a run, one function each, every one a guarded statement. The only writer of run status.

Rules of this file (docs/state_machine.md draws them):
- The connection comes first and is never opened here, so that one transaction can span packages.
- Run rows are locked before anything else is read, parent before child; facts of other tables are read in
  later statements, because a row that was waited for makes an older snapshot of everything else.
- Every statement repeats what its caller believes (status, attempt, seq, park_no); 0 rows is an answer, not an
  error. Ids and tokens come from the caller, so that a verb that is run again says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from alfred import clock
from alfred.runs import commits, endings, events, outbox, rows
from alfred.runs.commits import Committed
from alfred.runs.rows import Lease, NewRun, Run, Step
from alfred.runs.states import ON_A_PERSON, Status, Wait
from alfred.store.guarded import Guarded
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

_NEW_COLUMNS = [f.name for f in fields(NewRun)]

_START = Guarded(
    f"insert into runs({','.join(_NEW_COLUMNS)},status,ready_at,created_at)"
    f" values({','.join(':' + c for c in _NEW_COLUMNS)},'queued',alfred_now(),alfred_now())"
    " on conflict do nothing returning tenant",
    events.WITH,
)

_HEAD = Sql(
    "select p.kind from calls c left join approvals p on p.call_id=c.id and p.status='pending' where c.run_id=:id"
    # read once, and mostly the end: a run has few cards, and may have thousands of calls
    " and exists(select 1 from approvals where run_id=:id and status='pending') and c.status in('proposed','staged','approved','unknown')"
    " order by c.turn,c.ordinal limit 1"
)

_UNFINISHED = Sql(
    f"select (select count(*) from runs where parent_id=:id and status in{rows.LIVE_SQL}) children,"
    "(select count(*) from interjections where run_id=:id and consumed_seq is null) messages"
)

_PARK = Guarded(
    "update runs set status='parked',wait=:wait,wake_at=alfred_now()+:for_us,park_us=:for_us,park_no=park_no+1,"
    f"driver='worker',worker=null,lease_until=null,{rows.RAN_SQL}"
    " where id=:id and attempt=:attempt and status='running' and cancel=0 returning tenant",
    rows.WITH_LEASE,
    events.WITH,
)

_WAKE = Sql(
    "update runs set status='queued',wait=null,wake_at=null,ready_at=alfred_now()"
    " where id=:id and status='parked' and wait in :waits and (:park_no=-1 or park_no=:park_no)"
    " and (:due=0 or wake_at<=alfred_now())"
)

_MESSAGE = Sql(
    "insert into interjections(id,run_id,body,author,at)"
    " select :id,:run_id,:body,:author,alfred_now() from runs"
    f" where id=:run_id and status in{rows.LIVE_SQL} and cancel=0 on conflict do nothing"
)

_MESSAGE_IS_THERE = Sql("select 1 from interjections where id=:id")

_MESSAGES = Sql(
    "select id,body,author,at from interjections where run_id=:id and consumed_seq is null order by at,id"
)

_CONSUME = Sql("update interjections set consumed_seq=:seq where id=:id and consumed_seq is null")


def start(tx: Tx, new: NewRun) -> bool:
    """Inserts a queued run, its brief without secrets. False when there is one with its id or of its parent's call, a live
    one of its session or with its key, or when its parent is over or being cancelled."""
    if new.parent_id:
        rows.lock(tx, new.parent_id)
        parent = rows.get(tx, new.parent_id)
        if parent is None or not parent.live or parent.cancel:
            return False
        # what the parent has read speaks out of its child's brief
        new = replace(
            new, external=new.external | parent.external, private=new.private | parent.private
        )
    values: dict[str, Any] = {name: getattr(new, name) for name in _NEW_COLUMNS}
    values["root_id"] = new.root_id or new.id
    values["session_id"] = new.session_id or new.id
    values["title"] = redact.redact(new.title)
    values["brief"] = None if new.brief is None else redact.redact(new.brief)
    told = events.body({"agent": new.agent, "workflow": new.workflow})
    if _START(tx, **values, event="run.queued", told=told) is None:
        return False
    tx.wakes.add(new.id)
    return True


def head_wait(tx: Tx, run_id: str) -> Wait | None:
    """What the first unsettled call waits for; None when nobody is asked, so the run can go on.

    Read under the run's lock, in a statement of its own: calls have a total order, and with an open card
    nothing behind it runs.
    """
    kind = tx(_HEAD, id=run_id).scalar()
    return {"action": Wait.APPROVAL, "question": Wait.QUESTION, "outcome": Wait.OPERATOR}.get(
        kind or ""
    )


def messages(tx: Tx, run_id: str) -> list[tuple[str, str, str]]:
    """Messages that no turn has taken yet, oldest first: (id, text, author)."""
    return [(row.id, row.body, row.author) for row in tx(_MESSAGES, id=run_id).all()]


def advance(tx: Tx, lease: Lease, seq: int, step: Step, *, to: str, lease_us: int) -> Committed:
    """running -> running: the step is committed, the lease renewed, the next step is `to`.

    Raises:
        LeaseLost: another worker owns the run, or it is over or being cancelled.
    """
    return commits.commit(tx, lease, seq, step, to=to, outcome="ok", lease_us=lease_us)


def park(
    tx: Tx,
    lease: Lease,
    seq: int,
    step: Step,
    *,
    to: str,
    wait: Wait,
    for_us: int,
    lease_us: int,
    children: Sequence[str] = (),
    hears: bool = False,
) -> Committed:
    """running -> parked, after the facts that it would wait for were read again under the lock.

    Args:
        children: Those that it waits for, of all that live; none named: all of them.
        hears: Whether it waits for no children while there is a message.

    When they came meanwhile (the card is decided, the last child is done, a message arrived), the step is
    committed all the same and the run goes on at `to`.

    Raises:
        LeaseLost: as for `advance`.
    """
    done = commits.commit(tx, lease, seq, step, to=to, outcome="parked", lease_us=lease_us)
    if done.earlier:
        return done
    held = _still_waits(tx, lease.run_id, wait, children, hears)
    if held is None:
        return done
    return _parked(tx, lease, done, held, for_us)


def _parked(tx: Tx, lease: Lease, done: Committed, wait: Wait, for_us: int) -> Committed:
    _PARK(
        tx,
        id=lease.run_id,
        attempt=lease.attempt,
        wait=wait,
        for_us=for_us,
        why="parked",
        event="run.parked",
        told=events.body({"wait": wait}),
    )
    return replace(done, status=Status.PARKED, wait=wait)


def _still_waits(
    tx: Tx, run_id: str, wait: Wait, children: Sequence[str], hears: bool
) -> Wait | None:
    if wait in ON_A_PERSON:
        return head_wait(tx, run_id)
    if wait is Wait.CHILDREN:
        if hears and tx(rows.OPEN_MESSAGES, id=run_id).scalar():
            return None
        if children:
            return wait if tx(rows.OPEN_OF, ids=list(children)).scalar() else None
        return wait if tx(rows.OPEN_CHILDREN, id=run_id).scalar() else None
    if wait in (Wait.TIMER, Wait.EVENT):
        return None if tx(rows.OPEN_MESSAGES, id=run_id).scalar() else wait
    return wait


def finish(
    tx: Tx,
    lease: Lease,
    seq: int,
    step: Step,
    *,
    again: str,
    status: Status,
    result: str | None = None,
    error: dict[str, Any] | None = None,
    dead_man_us: int = clock.HOUR,
    lease_us: int,
) -> Committed:
    """running -> completed | failed | cancelled, with everything that hangs on the run, and its parent told.

    A run that would complete while children are out waits for them, and one that has an unread message goes
    on at `again`, its answer said where somebody listens: nothing that somebody sent is dropped, nor what was said to it.

    Raises:
        LeaseLost: as for `advance`.
    """
    rows.lock(tx, lease.parent_id)
    done = commits.commit(tx, lease, seq, step, to=again, outcome=str(status), lease_us=lease_us)
    if done.earlier:
        return done
    if status is Status.COMPLETED:
        unfinished = tx(_UNFINISHED, id=lease.run_id).one()
        if unfinished.children:
            return _parked(tx, lease, done, Wait.CHILDREN, dead_man_us)
        if unfinished.messages:
            outbox.answer(tx, lease.run_id, done.seq, result or "")
            return done
    if status is not Status.COMPLETED:
        endings.cancel_children(tx, lease.run_id, by="parent")
    endings.terminal(tx, lease.run_id, status, result=result, error=error, attempt=lease.attempt)
    return replace(done, status=status)


def wake(
    tx: Tx, run_id: str, waits: Sequence[Wait], *, park_no: int | None = None, due: bool = False
) -> bool:
    """parked -> queued, when it waits for one of `waits` (and is in that very park, and is due). Caller has locked."""
    if (
        tx(
            _WAKE,
            id=run_id,
            waits=[str(w) for w in waits],
            park_no=-1 if park_no is None else park_no,
            due=int(due),
        ).rowcount
        == 0
    ):
        return False
    tx.wakes.add(run_id)
    return True


def wake_decided(tx: Tx, run_id: str) -> bool:
    """Wakes a run whose first open call is no longer asked about. Caller has locked the run."""
    return head_wait(tx, run_id) is None and wake(tx, run_id, ON_A_PERSON)


def message(tx: Tx, run_id: str, *, message_id: str, body: str, author: str) -> Run | None:
    """Gives a live run a message, to be read at its next boss turn. None when the run is over or being cancelled.

    A run that waits for a timer, an event or children is woken by it, and one that is in the middle of a turn waits on for
    its children; one that waits for people or money keeps waiting, with the message behind it.
    """
    rows.lock(tx, run_id)
    said = redact.redact(body)
    taken = tx(_MESSAGE, id=message_id, run_id=run_id, body=said, author=author).rowcount
    if not taken and tx(_MESSAGE_IS_THERE, id=message_id).scalar() is None:
        return None
    wake(tx, run_id, (Wait.TIMER, Wait.EVENT, Wait.CHILDREN))
    return rows.get(tx, run_id)


def consume(ids: Sequence[str]) -> Callable[[Tx, int], None]:
    """A write for `Step.writes`: these messages were read by this step."""

    def write(tx: Tx, seq: int) -> None:
        tx.many(_CONSUME, [{"id": message_id, "seq": seq} for message_id in ids])

    return write
