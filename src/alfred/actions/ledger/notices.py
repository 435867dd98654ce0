"""The rows that say which people were told of which cards, and when: what is due, who is sending it, what came of it.

Invariants: nothing is set as a timer; what is due follows from the cards (when they were made, whether somebody saw them,
when they expire) and from these rows. Who sends claims the cards first, in a transaction of its own: of two that send one
has them, and what a crash left claimed is never sent a second time, because nobody knows whether it arrived.

The way of these rows is `channel`: the first word about a card, and the reminder before it expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from alfred import clock
from alfred.actions.ledger.approvals import Approval
from alfred.runs import events, rows
from alfred.store.statement import Sql
from alfred.store.tx import Tx

Channel = Literal["first", "reminder"]

SENDING = 5 * clock.MINUTE
"""Longer than a message takes to be sent; who has not said by then what came of it is gone."""

AGAIN = 5 * clock.MINUTE
"""After so long a message that nobody took is tried again."""

SOON = clock.HOUR
"""So long after a message that may not have arrived its cards are due for the reminder."""

BEFORE = clock.DAY
"""So long before a card expires people are reminded of it; of one that lives less than four days in its last quarter."""

_UNKNOWN = "unknown"

_DUE = {
    "first": "p.delivered_at is null and p.created_at<=alfred_now()-:after",
    "reminder": (
        "(p.expires_at-(case when (p.expires_at-p.created_at)/4<:before then (p.expires_at-p.created_at)/4"
        " else :before end)<=alfred_now()"
        " or exists(select 1 from notices u where u.approval_id=p.id and u.channel='first'"
        f" and u.message_ref='{_UNKNOWN}' and u.at<=alfred_now()-:soon))"
    ),
}
_AHEAD = f"n.holder_until>alfred_now()+{max(SENDING, AGAIN)}"
"""Was written while the clock was ahead, and would hold until that day."""

_OPEN = (
    "p.status='pending' and p.expires_at>alfred_now() and not exists(select 1 from notices n"
    " where n.approval_id=p.id and n.channel=:channel"
    f" and (n.shown>0 or n.holder is not null or n.holder_until>alfred_now() and not {_AHEAD}))"
)
_RUNS = {
    channel: Sql(
        "select p.run_id,max(case when q.risk='high' then 1 else 0 end) as high from approvals p"
        " join approvals q on q.run_id=p.run_id and q.status='pending'"
        f" where p.tenant=:tenant and {_OPEN} and {due} group by p.run_id"
        # in quiet hours only these are told of, and nobody is hidden from them by a hundred others
        " order by high desc,p.run_id limit 100"
    )
    for channel, due in _DUE.items()
}
_CLAIM = {
    channel: Sql(
        "insert into notices(approval_id,channel,tenant,want,shown,holder,holder_until)"
        " select p.id,:channel,p.tenant,1,0,:holder,alfred_now()+:sending from approvals p"
        f" where p.run_id in :runs and {_OPEN} and {which}"
        " on conflict(approval_id,channel) do update set holder=excluded.holder,holder_until=excluded.holder_until"
    )
    # with the first card of a run that is due go the others that nobody saw
    for channel, which in (("first", "p.delivered_at is null"), ("reminder", _DUE["reminder"]))
}
_MINE = Sql(
    f"select {','.join('p.' + f.name for f in fields(Approval))},n.channel,r.title as run_title from notices n"
    " join approvals p on p.id=n.approval_id join runs r on r.id=p.run_id where n.holder=:holder order by p.id"
)
_SENT = Sql(
    "update notices set shown=1,holder=null,holder_until=null,message_ref=null,at=alfred_now() where holder=:holder"
)
_NOT_SENT = Sql(
    "update notices set holder=null,holder_until=alfred_now()+:again,message_ref=:why where holder=:holder"
)
_LAPSED = Sql(
    "select distinct p.run_id from notices n join approvals p on p.id=n.approval_id"
    f" where n.tenant=:tenant and n.holder is not null and (n.holder_until<=alfred_now() or {_AHEAD})"
)
_LAPSE = Sql(
    f"update notices as n set shown=1,holder=null,holder_until=null,message_ref='{_UNKNOWN}',at=alfred_now()"
    f" where n.holder is not null and (n.holder_until<=alfred_now() or {_AHEAD}) and n.approval_id in("
    "select id from approvals where run_id=:run_id)"
)
_LAST = Sql("select alfred_now()-max(at) from notices where tenant=:tenant and at<=alfred_now()")
_SOON = Sql(
    f"select 1 from approvals p where p.tenant=:tenant and {_OPEN} and p.delivered_at is null"
    " and p.created_at<=alfred_now()-:after+:within limit 1"
)
_UNTOLD = Sql(
    "select count(*) as n,max(n.message_ref) as why from approvals p"
    " left join notices n on n.approval_id=p.id and n.channel='first'"
    " where p.tenant=:tenant and p.status='pending' and p.delivered_at is null"
    " and p.created_at<=alfred_now()-:after and coalesce(n.shown,0)=0"
)


@dataclass(frozen=True, slots=True)
class Due:
    """A run whose cards somebody is to be told of."""

    run_id: str
    high: bool
    """One of the cards that it waits for is a high risk."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A card that its holder tells of now."""

    card: Approval
    channel: Channel
    run_title: str


def due(look: Tx, tenant: str, channel: Channel, *, after_us: int) -> list[Due]:
    """Runs of which people are to be told: of cards that nobody saw within `after_us`, or that expire soon."""
    when = {"after": after_us} if channel == "first" else {"before": BEFORE, "soon": SOON}
    found = look(_RUNS[channel], tenant=tenant, channel=channel, **when).all()
    return [Due(row.run_id, bool(row.high)) for row in found]


def claim(tx: Tx, run_ids: Sequence[str], reminded: Sequence[str], *, holder: str) -> list[Claimed]:
    """Takes the cards of these runs, to be told of by their holder alone.

    Args:
        run_ids: Of these the cards that nobody was told of.
        reminded: Of these the cards that expire soon.
    """
    rows.lock(tx, *sorted({*run_ids, *reminded}))
    mine = {"holder": holder, "sending": SENDING}
    tx(_CLAIM["first"], channel="first", runs=list(run_ids), **mine)
    soon = {"before": BEFORE, "soon": SOON}
    tx(_CLAIM["reminder"], channel="reminder", runs=list(reminded), **mine, **soon)
    n = len(fields(Approval))
    return [
        Claimed(Approval(*row[:n]), row.channel, row.run_title)
        for row in tx(_MINE, holder=holder).all()
    ]


def sent(tx: Tx, claimed: Sequence[Claimed], *, holder: str, to: Sequence[str]) -> None:
    """People were told."""
    _lock(tx, claimed)
    if tx(_SENT, holder=holder).rowcount:
        events.emit(
            tx,
            tenant=claimed[0].card.tenant,
            run_id=None,
            kind="notice",
            cards=[one.card.id for one in claimed],
            to=list(to),
        )


def not_sent(tx: Tx, claimed: Sequence[Claimed], *, holder: str, why: str) -> None:
    """Nobody took it, for certain: it is due again after a while."""
    _lock(tx, claimed)
    tx(_NOT_SENT, holder=holder, again=AGAIN, why=why[:200])


def lapsed(look: Tx, tenant: str) -> list[str]:
    """Runs with cards whose holder is gone, in the middle of sending."""
    return look(_LAPSED, tenant=tenant).scalars()


def lapse(tx: Tx, run_id: str) -> None:
    """Nobody knows whether it was sent: it is not sent again, and the reminder comes soon."""
    rows.lock(tx, run_id)
    tx(_LAPSE, run_id=run_id)


def since(look: Tx, tenant: str) -> int | None:
    """Microseconds since somebody was told of something last; None: nobody ever was."""
    return look(_LAST, tenant=tenant).scalar()


def coming(look: Tx, tenant: str, *, after_us: int, within_us: int) -> bool:
    """Whether a card will be due within so long that nobody has seen or was told of."""
    return (
        look(_SOON, tenant=tenant, channel="first", after=after_us, within=within_us).scalar()
        is not None
    )


def untold(look: Tx, tenant: str, *, after_us: int) -> tuple[int, str | None]:
    """How many cards nobody saw or was told of though they are due, and why the last try failed."""
    row = look(_UNTOLD, tenant=tenant, after=after_us).one()
    return row.n, row.why


def _lock(tx: Tx, claimed: Sequence[Claimed]) -> None:
    rows.lock(tx, *sorted({one.card.run_id for one in claimed}))
