"""What the prompt of a run is made of, read from its rows and from those of the turns before it in its session.

Invariants: the same rows give the same items in the same order, and what was shown once is shown again before all that
came since, so every prompt of a session begins with the bytes of the one before. A summary replaces what it stands for
only in what is shown, never in what is stored. A turn that ended otherwise than with its answer is closed by a note, and
a message that it did not come to read stands before that: what somebody said is read by whoever answers next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from alfred.runs import rows, sessions
from alfred.runs.rows import Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import text

_ITEMS = Sql(
    "select run_id,n,item from transcript where run_id in :runs and kind<>'system' order by run_id,n"
)
_SPOKEN = Sql(
    "select item from transcript where run_id in :runs and kind in('user','assistant') order by run_id,n"
)
_SUMMARIES = Sql(
    "select run_id,n,item from transcript where run_id in :runs and kind='note'"
    " and item like '%\"summary_of\"%' order by n"
)
_ENDED = Sql(
    "select id,case when cancel=1 then 'cancelled' else status end as status,error,brief"
    " from runs where id in :runs and (status<>'completed' or id in :warned) order by id"
)
_UNREAD = Sql(
    "select run_id,body from interjections where run_id in :runs and consumed_seq is null order by at,id"
)
_ANSWERS = Sql(
    "select n,item from transcript where run_id=:run_id and kind='assistant' order by n limit 1 offset :turn"
)
_BRIEF = Sql("select brief from runs where id=:run_id")
_HEAD = Sql(
    "select t.item,r.tenant from transcript t join runs r on r.id=t.run_id"
    " where t.run_id=:run_id and t.kind='system' order by t.n limit 1"
)
_TOOLS = Sql("select body from tool_lists where tenant=:tenant and digest=:digest")
_KEEP_TOOLS = Sql(
    "insert into tool_lists(tenant,digest,body,at) values(:tenant,:digest,:body,alfred_now())"
    " on conflict do nothing"
)
_IDLE = Sql(
    "select r.created_at-b.ended_at from runs r"
    " join session_turns own on own.session_id=r.session_id and own.run_id=r.id"
    " join session_turns t on t.session_id=own.session_id and t.n=own.n-1"
    " join runs b on b.id=t.run_id where r.id=:run_id"
)
_CHILDREN = Sql(f"select {rows.RUN_COLUMNS} from runs where parent_id=:id order by id")

EVERY = 2**31 - 1
"""Behind every item of a transcript."""


class Shown(NamedTuple):
    """An item that the model is shown, its run, and its number there; 0: a summary, or the brief above it. What closes a
    turn is numbered on behind its transcript, which has ended."""

    run_id: str
    n: int
    item: dict[str, Any]


class ToolList(NamedTuple):
    """The tools that a run is offered, as they are kept: once for all runs that are offered the same."""

    digest: str
    body: str

    @classmethod
    def of(cls, tools: list[dict[str, Any]]) -> ToolList:
        body = json.dumps(tools, ensure_ascii=False)
        return cls(hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest(), body)

    def keep(self, tx: Tx, tenant: str) -> None:
        """Stores it, in the transaction of the head that names it."""
        tx(_KEEP_TOOLS, tenant=tenant, digest=self.digest, body=self.body)


def stored_head(tx: Tx, run_id: str) -> dict[str, Any] | None:
    """The head that the run began with, its tools with it; None before its first turn."""
    found = tx(_HEAD, run_id=run_id).one_or_none()
    if found is None:
        return None
    head = json.loads(found.item)
    tools = tx(_TOOLS, tenant=found.tenant, digest=head["tools"]).scalar_one()
    return head | {"tools": json.loads(tools)}


def answer(tx: Tx, run_id: str, turn: int) -> tuple[int, dict[str, Any] | None]:
    """The model's answer of a turn, counted from 0, with its number in the transcript; (0, None) when there is none."""
    found = tx(_ANSWERS, run_id=run_id, turn=turn).one_or_none()
    return (found.n, json.loads(found.item)) if found else (0, None)


def brief(tx: Tx, run_id: str) -> str:
    """What the run was asked."""
    return tx(_BRIEF, run_id=run_id).scalar() or ""


def idle(tx: Tx, run_id: str) -> int:
    """Microseconds between the end of the turn before this one and its beginning; 0 for the first of a session."""
    return tx(_IDLE, run_id=run_id).scalar() or 0


def children(tx: Tx, run_id: str) -> dict[str, list[Run]]:
    """The children of a run in the order in which they were started, by the id of the call that did."""
    found: dict[str, list[Run]] = {}
    for row in tx(_CHILDREN, id=run_id).all():
        child = Run(*row)
        found.setdefault((child.parent_call or "").partition(":")[0], []).append(child)
    return found


def living(tx: Tx, run_id: str) -> int:
    """How many children of a run are not over."""
    return tx(rows.OPEN_CHILDREN, id=run_id).scalar_one()


def chain(tx: Tx, run_id: str) -> list[Run]:
    """The runs from the top of the tree down to this one."""
    found: list[Run] = []
    at: str | None = run_id
    while at is not None:
        run = rows.get(tx, at)
        assert run is not None, f"run {at} is not there; runs are never deleted"
        found.insert(0, run)
        at = run.parent_id
    return found


def begun_by(tx: Tx, run: Run) -> Run:
    """The run whose brief it is that this one begins with: itself, or the one that it branched off from."""
    while run.forked_from is not None and (of := rows.get(tx, run.forked_from)) is not None:
        run = of
    return run


def items(tx: Tx, run_id: str, *, before: int = EVERY) -> list[dict[str, Any]]:
    """What the model is shown behind the head: everything, or the newest summary and what came after what it stands for.

    Args:
        before: The number of an item of this run: what was shown to make it.
    """
    return [one.item for one in shown(tx, run_id, before=before)]


def shown(tx: Tx, run_id: str, *, before: int = EVERY) -> list[Shown]:
    """What `items` says, each with its place. A summary that a newer one replaced is not shown: the newer one was made of
    it."""
    turns = [*sessions.before(tx, run_id), run_id]
    told: list[Shown] = []
    first, behind = 0, 0
    if (note := _summary(tx, turns, before)) is not None:
        first, behind, item = note
        if item["brief"] is not None:
            told.append(Shown(run_id, 0, {"kind": "user", "text": item["brief"]}))
        told.append(Shown(run_id, 0, {"kind": "note", "text": item["text"]}))
    whose = turns[first:]
    said: dict[str, list[Shown]] = {turn: [] for turn in whose}
    warned: set[str] = set()
    found = [row for row in tx(_ITEMS, runs=whose).all() if row.run_id != run_id or row.n < before]
    # read as one: a conversation has hundreds
    for row, item in zip(
        found, json.loads(f"[{','.join(row.item for row in found)}]"), strict=True
    ):
        said[row.run_id].append(Shown(row.run_id, row.n, item))
        if item.get("soon"):
            warned.add(row.run_id)
    _close(tx, said, whose[:-1], warned)
    for turn in whose:
        start = behind if turn == whose[0] else 0
        told += [one for one in said[turn] if one.n > start and "summary_of" not in one.item]
    return told


def spoken(tx: Tx, run_id: str) -> list[dict[str, Any]]:
    """What was said in the conversation up to this run, by the person and by the agent, whatever summaries stand for."""
    turns = [*sessions.before(tx, run_id), run_id]
    return [json.loads(row.item) for row in tx(_SPOKEN, runs=turns).all()]


def _summary(tx: Tx, turns: Sequence[str], before: int) -> tuple[int, int, dict[str, Any]] | None:
    """The newest summary: the turn in which it ends, the last number there that it stands for, and its item."""
    newest = None
    for row in tx(_SUMMARIES, runs=turns).all():
        at = turns.index(row.run_id)
        if (row.run_id != turns[-1] or row.n < before) and (newest is None or at >= newest[0]):
            newest = at, json.loads(row.item)
    if newest is None:
        return None
    at, item = newest
    # in a branch what the run of before had summarised of itself is its own
    of = turns.index(item["of"]) if item["of"] in turns else at
    return of, item["summary_of"], item


def _close(
    tx: Tx, said: dict[str, list[Shown]], turns: Sequence[str], warned: Collection[str]
) -> None:
    """Says at the end of each of these turns, which are over, what its own answer does not.

    Args:
        warned: Those in which it was said how little was left.
    """
    if not turns:
        return
    more: dict[str, list[dict[str, Any]]] = {}
    for row in tx(_UNREAD, runs=turns).all():
        more.setdefault(row.run_id, []).append(_user(row.body))
    for run in tx(_ENDED, runs=turns, warned=[turn for turn in turns if turn in warned]).all():
        unread = more.setdefault(run.id, [])
        # it was over before its first turn; a summary of what was before it is nothing of its own
        if all("summary_of" in one.item for one in said[run.id]):
            unread.insert(0, _user(run.brief or ""))
        unread.append({"kind": "note", "text": _ended(run.status, run.error)})
    for turn, items in more.items():
        last = said[turn][-1].n if said[turn] else 0
        said[turn] += [Shown(turn, last + n, item) for n, item in enumerate(items, start=1)]


def _ended(status: str, error: str | None) -> str:
    why = json.loads(error)["code"] if error else ""
    told = status + (f" ({why})" if why else "")
    return f"That turn is over: {told}. What was said there about turns and tools that are left holds no longer."


def _user(said: str) -> dict[str, Any]:
    return {"kind": "user", "text": text.sanitize(said)[0]}
