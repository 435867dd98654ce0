"""Chats in which somebody listens to a run: where its messages came from, and where its end is told.

Invariants: a chat listens from the transaction on that gave the run a message of it. Whoever writes holds the run's lock, as
whoever ends the run does: nothing is said to a run whose end is not told there.
"""

from __future__ import annotations

from alfred.store.statement import Sql
from alfred.store.tx import Tx

_LISTEN = Sql(
    "insert into listeners(run_id,target,channel,at) values(:run_id,:target,:channel,alfred_now())"
    " on conflict(run_id,target) do update set at=excluded.at"
)
_LAST = Sql("select target from listeners where run_id=:id order by at desc,target limit 1")
_KNOWN = Sql(
    "select 1 from listeners l join runs r on r.id=l.run_id"
    " where l.target=:target and r.tenant=:tenant and r.agent=:agent limit 1"
)


def listen(tx: Tx, run_id: str, *, channel: str, target: str) -> None:
    """The chat `target` of a channel hears how the run ends. Behind the run's lock, in the transaction of the message."""
    tx(_LISTEN, run_id=run_id, target=target, channel=channel)


def last(look: Tx, run_id: str) -> str | None:
    """The chat from which something was said to the run last; None: it belongs to no chat."""
    return look(_LAST, id=run_id).scalar()


def known(look: Tx, tenant: str, agent: str, target: str) -> bool:
    """Whether somebody has spoken to this agent in a chat."""
    return look(_KNOWN, tenant=tenant, agent=agent, target=target).scalar() is not None
