"""Sessions: conversations, each of them runs that follow each other, its turns.

Invariants:
- A session has one live run. Whatever is said while one lives is a message to it; only what finds none begins the next
  turn. Who speaks holds the session's row, and the unique index `runs_session` refuses a second live run from wherever.
  A run that is being cancelled commits nothing more and reads nothing more, so it is no longer the session's.
- What is said has an id, made by whoever brings it: it is the id of the turn that it begins, or of the message that it
  becomes. Brought again, it is where it was.
- A turn points to its run, whose transcript it is: nothing is copied. Two sessions may have turns in common (a branch).
- A turn begins with the labels of all turns before it, because its model reads them.
- A key is where messages come from, no conversation: it points to one session, and may be pointed to another. Two keys may
  point to one.
- A turn that is handed over ends its session as long as the child that took it over lives or has answered: that child is the
  first turn of a session of its own agent, in which the conversation goes on. Whatever is said to the one is said to the
  other, also what nobody had read by then; when the child fails, what it did not read goes back. So no agent reads what was
  said to another one, but for the words of the conversation that it was handed.

Sessions are locked before runs, and a session before the one that it was handed to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from alfred import errors
from alfred.runs import ledger, rows
from alfred.runs.rows import NewRun, Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

_COLUMNS = (
    "s.id,s.tenant,s.agent,s.title,s.model,s.used_at,"
    "(select count(*) from session_turns t where t.session_id=s.id) as turns"
)
_GET = Sql(f"select {_COLUMNS} from sessions s where s.id=:id")
_OF_KEY = Sql(
    f"select {_COLUMNS} from session_keys k join sessions s on s.id=k.session_id"
    " where k.tenant=:tenant and k.key=:key"
)
_LISTED = Sql(
    f"select {_COLUMNS} from sessions s where s.tenant=:tenant and s.agent=:agent"
    " and exists(select 1 from session_turns t where t.session_id=s.id)"
    " order by s.used_at desc,s.id desc limit :limit"
)
_BEGIN = Sql(
    "insert into sessions(id,tenant,agent,model,created_at,used_at)"
    " values(:id,:tenant,:agent,:model,alfred_now(),alfred_now()) on conflict do nothing"
)
_FIRST = Sql(
    "insert into session_keys(tenant,key,session_id) values(:tenant,:key,:id) on conflict do nothing"
)
_POINT = Sql(
    "insert into session_keys(tenant,key,session_id) values(:tenant,:key,:id)"
    " on conflict(tenant,key) do update set session_id=excluded.session_id"
)
_MODEL = Sql("update sessions set model=:model where id=:id")
_USED = Sql("update sessions set used_at=alfred_now(),title=coalesce(title,:title) where id=:id")
_LOCK = Sql("select 1 from sessions where id=:id {lock}")
_LIVE = Sql(
    f"select id from runs where session_id=:id and depth=0 and status in{rows.LIVE_SQL} and cancel=0"
    " union all select r.id from session_turns t join runs r on r.id=t.run_id"
    f" where t.session_id=:id and t.n=1 and r.depth>0 and r.status in{rows.LIVE_SQL} and r.cancel=0"
)
_TAKEN_BY = Sql("select run_id from interjections where id=:id")
_LABEL = Sql(
    "select coalesce(max(r.external),0) as external,coalesce(max(r.private),0) as private"
    " from session_turns t join runs r on r.id=t.run_id where t.session_id=:id"
)
_TURN = Sql(
    "insert into session_turns(session_id,n,run_id)"
    " select :id,coalesce(max(n),0)+1,:run_id from session_turns where session_id=:id"
)
_ADOPT = Sql(
    "insert into session_turns(session_id,n,run_id) select :id,1,:run_id"
    " where not exists(select 1 from session_turns where session_id=:id) on conflict do nothing"
)
_LAST = Sql("select run_id from session_turns where session_id=:id order by n desc limit 1")
_TURNS = Sql("select run_id from session_turns where session_id=:id order by n")
_AROUND = Sql(
    "select t.run_id from runs r join session_turns t on t.session_id=r.session_id"
    " where r.id=:run_id order by t.n"
)
_BRANCH = Sql(
    "insert into session_turns(session_id,n,run_id) select :new,n,run_id from session_turns"
    " where session_id=:id and n<=:upto"
)

_TRIES = 100
"""So many runs of one session do not begin and end while a message waits for its locks."""


_HEIR = Sql(
    f"select id from runs where parent_id=:id and parent_call like '%{rows.TAKES_OVER}' and cancel=0"
    f" and (status='completed' or status in{rows.LIVE_SQL}) order by id desc limit 1"
)
_HAND_ON = Sql("update interjections set run_id=:to where run_id=:id and consumed_seq is null")


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation."""

    id: str
    tenant: str
    agent: str
    title: str | None
    """What was said first."""
    model: str | None
    """Who answers, None for the agent's own."""
    used_at: int
    turns: int


class HandedOver(errors.AlfredError):
    """Another agent has the conversation: the turn that was made for it is that agent's."""

    code: ClassVar[str] = "handed_over"
    status: ClassVar[int] = 409


def get(tx: Tx, session_id: str) -> Session | None:
    """The session of this id."""
    row = tx(_GET, id=session_id).one_or_none()
    return Session(*row) if row else None


def of_key(tx: Tx, tenant: str, key: str) -> Session | None:
    """The session that a key points to."""
    row = tx(_OF_KEY, tenant=tenant, key=key).one_or_none()
    return Session(*row) if row else None


def listed(tx: Tx, tenant: str, agent: str, *, limit: int) -> list[Session]:
    """The sessions of an agent in which something was said, the last used first."""
    return [Session(*row) for row in tx(_LISTED, tenant=tenant, agent=agent, limit=limit).all()]


def begin(tx: Tx, *, id: str, tenant: str, agent: str, model: str | None = None) -> None:
    """Makes a session without a turn. The same id again is the same session."""
    tx(_BEGIN, id=id, tenant=tenant, agent=agent, model=model)


def opened(tx: Tx, *, tenant: str, agent: str, key: str, new_id: str) -> Session:
    """The session that a key points to; a new one for a key that points to none.

    Of two who open one key at the same time one finds the other's session; its own stays without a turn, so that nobody
    sees it.
    """
    found = of_key(tx, tenant, key)
    if found is None:
        begin(tx, id=new_id, tenant=tenant, agent=agent)
        tx(_FIRST, tenant=tenant, key=key, id=new_id)
        found = of_key(tx, tenant, key)
    assert found is not None
    return found


def point(tx: Tx, *, tenant: str, key: str, session_id: str) -> None:
    """What is said under the key from now on is said to this session."""
    tx(_POINT, tenant=tenant, key=key, id=session_id)


def answered_by(tx: Tx, session_id: str, model: str | None) -> None:
    """The model of the turns that begin from now on; None: the agent's own."""
    tx(_MODEL, id=session_id, model=model)


def hold(tx: Tx, session_id: str) -> None:
    """Locks a session's row. Nothing on SQLite: the writer lock is held."""
    if tx.pg:
        tx(_LOCK, id=session_id)


def live(tx: Tx, session_id: str) -> Run | None:
    """The live run of a session, if it has one."""
    found = tx(_LIVE, id=session_id).scalar()
    return rows.get(tx, found) if found else None


def heir(tx: Tx, run: Run) -> Run:
    """Who has the conversation of this run: itself, or the child that took it over and lives or has answered."""
    while (found := tx(_HEIR, id=run.id).scalar()) is not None:
        run = _row(tx, found)
    return run


def handed(tx: Tx, session_id: str) -> list[str]:
    """The session, the one that it was handed to, and so on: the last of them is where the conversation is now."""
    found = [session_id]
    while (
        turn := tx(_LIVE, id=found[-1]).scalar() or tx(_LAST, id=found[-1]).scalar()
    ) is not None:
        has = heir(tx, _row(tx, turn))
        if has.id == turn:
            break
        found.append(has.session_id)
    return found


def speaks(tx: Tx, run: Run) -> Run:
    """Who is meant by what is said to this run: itself while it lives, else the turn that its conversation has come to."""
    if run.live and not run.cancel and heir(tx, run).id == run.id:
        return run
    last = heir(tx, run)
    at = handed(tx, last.session_id)[-1]
    turn = tx(_LIVE, id=at).scalar() or tx(_LAST, id=at).scalar()
    return _row(tx, turn) if turn is not None else last


def take_over(tx: Tx, child: NewRun) -> None:
    """The child, which has just been started, begins the session in which its caller's conversation goes on, with what its
    caller has not read. Of the caller's verb, which holds its run's lock."""
    assert child.parent_id is not None
    begin(tx, id=child.id, tenant=child.tenant, agent=child.agent)
    tx(_USED, id=child.id, title=redact.redact(child.title))
    tx(_TURN, id=child.id, run_id=child.id)
    tx(_HAND_ON, id=child.parent_id, to=child.id)


def turns(tx: Tx, session_id: str) -> list[str]:
    """The runs that are its turns, oldest first."""
    return tx(_TURNS, id=session_id).scalars()


def before(tx: Tx, run_id: str) -> list[str]:
    """The turns before this one in its session, oldest first: what its model reads before its own brief."""
    # cut here: where a join says it, a database compares each turn with each
    turns = tx(_AROUND, run_id=run_id).scalars()
    return turns[: turns.index(run_id)] if run_id in turns else []


def deliver(tx: Tx, session_id: str, new: NewRun, *, author: str) -> Run:
    """Says something to a session; the run that has it: the live one as a message, else `new` as the next turn.

    Args:
        new: The turn, with what is said as its brief. Its id is that of what is said. Its session is this one, or the one
            that this one was handed to, and what the turns before it have read it has read too.

    Raises:
        HandedOver: nobody lives who could be told, and `new` is not of the agent that has the conversation now.
    """
    for _ in range(_TRIES):
        at = handed(tx, session_id)[-1]
        tx(_USED, id=at, title=new.title)  # whoever speaks next waits here
        if (there := having(tx, new.id)) is not None:  # brought twice at once
            return there
        if handed(tx, at)[-1] != at:
            continue  # it was handed over while this waited
        if (now := live(tx, at)) is not None:
            if told := _tell(tx, now, new, author):
                return told
            continue  # it was over, or handed over, before it was told
        session = get(tx, at)
        if session is not None and session.agent != new.agent:
            raise HandedOver(f"{session.agent} has this conversation now.", next="Say it again.")
        label = tx(_LABEL, id=at).one()
        turn = replace(
            new,
            session_id=at,
            external=new.external | label.external,
            private=new.private | label.private,
        )
        if ledger.start(tx, turn):
            tx(_TURN, id=at, run_id=turn.id)
            return _row(tx, turn.id)
    raise AssertionError(f"the session {session_id!r} neither has a live run nor takes one")


def having(tx: Tx, message_id: str) -> Run | None:
    """The run that has what was said under this id, as its brief or as a message; None: it was never said."""
    taken = tx(_TAKEN_BY, id=message_id).scalar()
    return _row(tx, taken) if taken is not None else rows.get(tx, message_id)


def follow(tx: Tx, run: Run, new: NewRun, *, author: str) -> Run:
    """Says something to a run: to itself while it lives, else to its session, of which it is the first turn if nobody has
    said anything there since."""
    if (there := having(tx, new.id)) is not None:
        return there
    if run.live and not run.cancel and (told := _tell(tx, run, new, author)):
        return told
    begin(tx, id=run.session_id, tenant=run.tenant, agent=run.agent)
    tx(_ADOPT, id=run.session_id, run_id=run.id)
    return deliver(tx, run.session_id, new, author=author)


def branched(tx: Tx, session: Session, *, upto: int, new_id: str) -> None:
    """Makes a session with the first turns of another one."""
    begin(tx, id=new_id, tenant=session.tenant, agent=session.agent, model=session.model)
    tx(_BRANCH, id=session.id, upto=upto, new=new_id)
    tx(_USED, id=new_id, title=session.title if upto else None)


def forked(tx: Tx, run_id: str, new_id: str) -> None:
    """A branch of a run is a turn as that one was: of a session of its own, with the same turns before it."""
    earlier = before(tx, run_id)
    if not earlier:
        return
    of = _row(tx, run_id)
    session = get(tx, of.session_id)
    assert session is not None
    branched(tx, session, upto=len(earlier), new_id=new_id)
    tx(_TURN, id=new_id, run_id=new_id)


def _tell(tx: Tx, run: Run, new: NewRun, author: str) -> Run | None:
    """None: it is over by now, or has handed the conversation over."""
    # the chats of who has taken a conversation over listen to its root: whoever ends that waits for what is said here
    rows.lock(tx, run.root_id if run.takes_over else None, run.id)
    if heir(tx, run).id != run.id:
        return None
    return ledger.message(tx, run.id, message_id=new.id, body=new.brief or "", author=author)


def _row(tx: Tx, run_id: str) -> Run:
    found = rows.get(tx, run_id)
    if found is None:
        raise AssertionError(f"run {run_id} is not there; runs are never deleted")
    return found
