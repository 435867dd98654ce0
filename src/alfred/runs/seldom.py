"""What is done seldom: at most once in a while, whichever process comes to it.

Invariant: of two that come at once one may; who may writes that down in the transaction of what it does. What was written
while the clock was ahead holds nobody back.
"""

from __future__ import annotations

from alfred.store.statement import Sql
from alfred.store.tx import Tx

_TAKE = Sql(
    "insert into meta(k,v) values(:key,cast(alfred_now() as text)) on conflict(k) do update set v=excluded.v"
    " where cast(meta.v as bigint) not between alfred_now()-:every+1 and alfred_now()"
)
_LAST = Sql("select cast(v as bigint) from meta where k=:key")


def take(tx: Tx, key: str, *, every_us: int) -> bool:
    """Whether it may be done now, because it was not within so long. Then it counts as done."""
    return tx(_TAKE, key=_key(key), every=every_us).rowcount == 1


def last(look: Tx, key: str) -> int | None:
    """When it was done last, in microseconds UTC; None: never."""
    return look(_LAST, key=_key(key)).scalar()


def _key(key: str) -> str:
    return f"seldom:{key}"
