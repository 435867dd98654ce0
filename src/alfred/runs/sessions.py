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

Sessions are locked before runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from alfred.runs import ledger, rows
from alfred.runs.rows import NewRun, Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx

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
TAKES_OVER = "handoff"
"""What stands behind the call in the `parent_call` of a child that takes the conversation over."""

_LIVE = Sql(
    f"select id from runs where session_id=:id and depth=0 and status in{rows.LIVE_SQL} and cancel=0"
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
_TURNS = Sql("select run_id from session_turns where session_id=:id order by n")
_BEFORE = Sql(
    "select t.run_id from runs r join session_turns own on own.session_id=r.session_id and own.run_id=r.id"
    " join session_turns t on t.session_id=own.session_id and t.n<own.n where r.id=:run_id order by t.n"
)
_BRANCH = Sql(
    "insert into session_turns(session_id,n,run_id) select :new,n,run_id from session_turns"
    " where session_id=:id and n<=:upto"
)

_TRIES = 100
"""So many runs of one session do not begin and end while a message waits for its locks."""


_HEIR = Sql(
    "select id from runs where parent_id=:id and parent_call like :call and cancel=0"
    f" and (status='completed' or status in{rows.LIVE_SQL}) order by id desc limit 1"
)


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
    while (found := tx(_HEIR, id=run.id, call=f"%:{TAKES_OVER}").scalar()) is not None:
        run = _row(tx, found)
    return run


def turns(tx: Tx, session_id: str) -> list[str]:
    """The runs that are its turns, oldest first."""
    return tx(_TURNS, id=session_id).scalars()


def before(tx: Tx, run_id: str) -> list[str]:
    """The turns before this one in its session, oldest first: what its model reads before its own brief."""
    return tx(_BEFORE, run_id=run_id).scalars()


def deliver(tx: Tx, session_id: str, new: NewRun, *, author: str) -> Run:
    """Says something to a session; the run that has it: the live one as a message, else `new` as the next turn.

    Args:
        new: The turn, with what is said as its brief. Its id is that of what is said. Its session is this one, and what
            the turns before it have read it has read too.
    """
    tx(_USED, id=session_id, title=new.title)  # whoever speaks next waits here
    # who brings it at the same moment has waited above
    if (there := having(tx, new.id)) is not None:
        return there
    for _ in range(_TRIES):
        if (now := live(tx, session_id)) is not None:
            if told := _tell(tx, now, new, author):
                return told
            continue  # it was over before it was told
        label = tx(_LABEL, id=session_id).one()
        turn = replace(
            new,
            session_id=session_id,
            external=new.external | label.external,
            private=new.private | label.private,
        )
        if ledger.start(tx, turn):
            tx(_TURN, id=session_id, run_id=turn.id)
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
    return ledger.message(tx, run.id, message_id=new.id, body=new.brief or "", author=author)


def _row(tx: Tx, run_id: str) -> Run:
    found = rows.get(tx, run_id)
    if found is None:
        raise AssertionError(f"run {run_id} is not there; runs are never deleted")
    return found
