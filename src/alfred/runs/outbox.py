"""What is to be said in chats: a row for each message, until a channel has taken it or it is given up.

Invariants:
- A message is written in the transaction of what it tells. Its id is the key of every try to send it.
- In a chat one message is sent at a time, in the order in which they were written: nothing overtakes one that is open.
- Who sends claims the message first, in a transaction of its own: of two that send one has it. When nobody says what came of
  a claim, nobody knows whether it arrived: then it is sent again where the channel drops what it has seen (by the key), and
  elsewhere it is given up and never sent a second time. A late word of its last holder that it was sent still counts.
- What is given up stays, with the reason, and holds back nothing behind it.
- While everything is stopped nothing is claimed: a claim takes the lock that `stop.switch` takes.

What a channel and a target are is for the channels to say: two texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alfred import clock
from alfred.runs import events, rows
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import display, redact

SENDING = 5 * clock.MINUTE
"""Longer than a message takes to be sent; who has not said by then what came of it is gone."""

KEPT = 7 * clock.DAY
"""How long messages are kept after they were sent or given up."""

WAITS = 30 * clock.DAY
"""How long a message waits for a process that serves its channel, which may be gone for good."""

FAR = 2 * clock.DAY
"""Nothing is put off or held for so long."""

UNKNOWN = "nobody knows whether it arrived"

LATE = clock.MINUTE
"""What was not tried so long after it was due waits for a process that is not there, or hangs."""

_OPEN = "o.sent_at is null and o.dead_at is null"
_GOES_ON = "not exists(select 1 from switches s where s.tenant=o.tenant and s.name='stop')"
_FIRST = (
    "not exists(select 1 from outbox e where e.tenant=o.tenant and e.channel=o.channel and e.target=o.target"
    " and e.n<o.n and e.sent_at is null and e.dead_at is null)"
)
_MAY = (
    f"{_OPEN} and {_GOES_ON} and o.next_at<=alfred_now()"
    " and (o.holder is null or (:again=1 and o.holder_until<=alfred_now()))"
    f" and {_FIRST}"
)
_WRITE = Sql(
    "insert into outbox(id,tenant,channel,target,run_id,body,next_at,at)"
    " values(:id,:tenant,:channel,:target,:run_id,:body,alfred_now(),alfred_now()) on conflict do nothing"
)
TO_LISTENERS = (
    "insert into outbox(id,tenant,channel,target,run_id,body,next_at,at)"
    " select l.run_id||'@'||l.target,held.tenant,l.channel,l.target,l.run_id,:said,alfred_now(),alfred_now()"
    " from held,listeners l where l.run_id=:id and :says=1"
)
"""Behind the guard that ends a run (`id`) and returns its tenant: `said` goes to every chat that listens, if it `says` 1."""
_MEANWHILE = Sql(
    "insert into outbox(id,tenant,channel,target,run_id,body,next_at,at)"
    " select :key||l.target,r.tenant,l.channel,l.target,r.root_id,:said,alfred_now(),alfred_now()"
    " from runs r join listeners l on l.run_id=r.root_id"
    f" where r.id=:id and (r.depth=0 or r.parent_call like '%{rows.TAKES_OVER}') order by l.target"
)
_DUE = Sql(
    f"select o.n from outbox o where o.tenant=:tenant and o.channel=:channel and {_MAY} order by o.n limit 1"
)
_CLAIM = Sql(
    "update outbox as o set holder=:holder,holder_until=alfred_now()+:sending,attempts=attempts+1"
    f" where o.n=:n and {_MAY} returning n,id,tenant,channel,target,run_id,body,attempts,"
    "alfred_now()-at as age"
)
_SENT = Sql(
    "update outbox set sent_at=alfred_now(),ref=:ref,dead_at=null,error=null,holder=null,holder_until=null"
    " where n=:n and holder=:holder and sent_at is null"
)
_LATER = Sql(
    "update outbox set holder=null,holder_until=null,next_at=alfred_now()+:later,error=:why"
    " where n=:n and holder=:holder and sent_at is null and dead_at is null"
)
_DIES = Sql(
    "update outbox set dead_at=alfred_now(),holder_until=null,error=:why"
    " where n=:n and holder=:holder and sent_at is null and dead_at is null"
)
_LAPSED = Sql(
    f"select o.n,o.tenant,o.target,o.run_id,o.holder from outbox o where o.tenant=:tenant and o.channel=:channel and {_OPEN}"
    " and o.holder_until<=alfred_now() and o.at<=alfred_now()-:age and o.attempts>=:tries order by o.n limit 100"
)
_COMING = Sql(
    f"select 1 from outbox o where o.tenant=:tenant and o.channel in :channels and {_OPEN}"
    f" and {_GOES_ON} and o.next_at<=alfred_now()+:within and {_FIRST} limit 1"
)
_UNSENT = Sql(
    "select sum(case when dead_at is null then 1 else 0 end) as waiting,"
    "sum(case when dead_at is null then 0 else 1 end) as dead,"
    "(select error from outbox where tenant=:tenant and sent_at is null and error is not null"
    " order by n desc limit 1) as why,"
    f"(select o.channel from outbox o where o.tenant=:tenant and {_OPEN} and {_GOES_ON}"
    f" and o.next_at<=alfred_now()-:late and {_FIRST} order by o.n limit 1) as untried"
    " from outbox where tenant=:tenant and sent_at is null and (error is not null or next_at<=alfred_now()-:late)"
)
_RESTORED = Sql(
    f"update outbox as o set dead_at=alfred_now(),holder=null,holder_until=null,error=:why where {_OPEN}"
)
_OLD = "sent_at<alfred_now()-:age or dead_at<alfred_now()-:age"
_UNSERVED = Sql(
    f"select o.n,o.tenant,o.channel,o.target,o.run_id from outbox o where {_OPEN} and o.at<alfred_now()-:waits"
    " and (o.holder is null or o.holder_until<alfred_now()) order by o.n limit 100"
)
_DISMISS = Sql(
    f"update outbox as o set dead_at=alfred_now(),holder_until=null,error=:why where o.n=:n and {_OPEN}"
    " and (o.holder is null or o.holder_until<alfred_now())"
)
_TOO_FAR = "(o.next_at>alfred_now()+:far or o.holder_until>alfred_now()+:far)"
_PUT_RIGHT = Sql(
    "update outbox as o set next_at=case when next_at>alfred_now()+:far then alfred_now() else next_at end,"
    "holder_until=case when holder_until>alfred_now()+:far then alfred_now() else holder_until end"
    f" where {_OPEN} and {_TOO_FAR}"
)
_ANY_OLD = Sql(
    f"select 1 from outbox o where {_OLD} or {_OPEN} and (o.at<alfred_now()-:waits or {_TOO_FAR}) limit 1"
)
_FORGET = Sql(f"delete from outbox where {_OLD}")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that its holder sends now."""

    n: int
    id: str
    tenant: str
    channel: str
    target: str
    run_id: str | None
    body: str
    attempts: int
    """This one is counted."""
    age: int
    """Microseconds since it was written."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """How many messages were not sent when they should have been, how many were given up, and why the last of them."""

    waiting: int
    dead: int
    why: str | None

    @property
    def words(self) -> str:
        """For people; empty where nothing is to be told."""
        if not self.waiting and not self.dead:
            return ""
        why = " ".join(redact.redact(self.why or "").split())
        why = f" ({display.display(why, limit=200)})" if why else ""
        return f"{self.waiting} not sent yet, {self.dead} given up{why}"


def write(
    tx: Tx, *, id: str, tenant: str, channel: str, target: str, body: str, run_id: str | None = None
) -> None:
    """Puts a message behind those for the same chat, without secrets. The same id again is the same message."""
    said = redact.redact(body)
    tx(_WRITE, id=id, tenant=tenant, channel=channel, target=target, run_id=run_id, body=said)


def answer(tx: Tx, run_id: str, seq: int, said: str) -> None:
    """What a run has answered that does not end with it, because something else was said to it meanwhile: it goes to every
    chat that listens. Of the commit of step `seq`."""
    if body := redact.redact(said).strip():
        tx(_MEANWHILE, id=run_id, key=f"{run_id}.{seq}@", said=body)


def due(look: Tx, tenant: str, channel: str, *, again: bool) -> int | None:
    """The number of a message of this channel that may be claimed now, the oldest of them; None: there is none.

    Args:
        again: Whether one counts whose holder is gone, because the channel drops what it has seen.
    """
    return look(_DUE, tenant=tenant, channel=channel, again=int(again)).scalar()


def claim(tx: Tx, tenant: str, n: int, *, holder: str, again: bool) -> Message | None:
    """Takes a message of a tenant, to be sent by its holder alone. None: it is somebody else's, or no longer due."""
    tx.alone(f"cap:{tenant}")
    row = tx(_CLAIM, n=n, holder=holder, sending=SENDING, again=int(again)).one_or_none()
    return Message(*row) if row else None


def sent(tx: Tx, message: Message, *, holder: str, ref: str | None) -> None:
    """It arrived. Counts also when its claim has lapsed meanwhile, unless somebody else has taken it since."""
    tx(_SENT, n=message.n, holder=holder, ref=ref)


def later(tx: Tx, message: Message, *, holder: str, why: str, after_us: int) -> None:
    """It is tried again after a while."""
    tx(_LATER, n=message.n, holder=holder, why=why, later=after_us)


def give_up(tx: Tx, message: Message, *, holder: str, why: str) -> None:
    """It is not tried again; the feed says so."""
    if tx(_DIES, n=message.n, holder=holder, why=why).rowcount:
        _tell(tx, message.tenant, message.run_id, message.target, why)


def lapse(tx: Tx, tenant: str, channel: str, *, age_us: int = 0, tries: int = 0) -> None:
    """Gives up what was claimed by somebody who is gone.

    Args:
        age_us: How long ago it was written at least, for channels that drop what they have seen.
        tries: How often it was tried at least, for these.
    """
    for row in tx(_LAPSED, tenant=tenant, channel=channel, age=age_us, tries=tries).all():
        if tx(_DIES, n=row.n, holder=row.holder, why=UNKNOWN).rowcount:
            _tell(tx, row.tenant, row.run_id, row.target, UNKNOWN)


def lapsed(look: Tx, tenant: str, channel: str, *, age_us: int = 0, tries: int = 0) -> bool:
    """Whether there is something for `lapse` to do."""
    found = look(_LAPSED, tenant=tenant, channel=channel, age=age_us, tries=tries)
    return found.first() is not None


def coming(look: Tx, tenant: str, channels: Sequence[str], *, within_us: int) -> bool:
    """Whether a message of these channels is due, or being sent, or will be due within so long."""
    return (
        look(_COMING, tenant=tenant, channels=list(channels), within=within_us).scalar() is not None
    )


def unsent(look: Tx, tenant: str) -> Unsent:
    """What failed at least once and did not arrive since, and what nobody tries."""
    row = look(_UNSENT, tenant=tenant, late=LATE).one()
    why = f"no process serves {row.untried}, or it hangs" if row.untried else row.why
    return Unsent(row.waiting or 0, row.dead or 0, why)


def restored(tx: Tx) -> None:
    """After a restore: what was open when the backup was made has arrived since, or not; it is not sent again."""
    tx(_RESTORED, why=UNKNOWN)


def any_old(look: Tx) -> bool:
    """Whether `forget` would find something."""
    return look(_ANY_OLD, age=KEPT, waits=WAITS, far=FAR).scalar() is not None


def forget(tx: Tx) -> None:
    """Drops what was sent or given up long ago, gives up what nobody has served for still longer, and makes due what a wrong
    clock has put off."""
    tx(_FORGET, age=KEPT)
    tx(_PUT_RIGHT, far=FAR)
    for row in tx(_UNSERVED, waits=WAITS).all():
        why = f"no process has served {row.channel}"
        if tx(_DISMISS, n=row.n, why=why).rowcount:
            _tell(tx, row.tenant, row.run_id, row.target, why)


def _tell(tx: Tx, tenant: str, run_id: str | None, target: str, why: str) -> None:
    events.emit(tx, tenant=tenant, run_id=run_id, kind="notice", undelivered=target, why=why)
