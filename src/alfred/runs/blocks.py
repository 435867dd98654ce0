"""Providers that are not asked for a while, because they said so or failed too often.

Invariant: of two blocks of one provider the longer one stands; only the operator takes one away before its time.
"""

from __future__ import annotations

from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

_BLOCK = Sql(
    "insert into blocks(tenant,provider,until,reason,at)"
    " values(:tenant,:provider,alfred_now()+:for_us,:reason,alfred_now())"
    " on conflict(tenant,provider) do update"
    " set until=excluded.until,reason=excluded.reason,at=excluded.at"
    " where blocks.until<excluded.until or blocks.at>excluded.at"
)
STANDS = "until>alfred_now() and at<=alfred_now()"
"""Which rows of `blocks` count: one from later than now was made while the clock was ahead, and would never end."""
_BLOCKED = Sql(
    f"select until-alfred_now() from blocks where tenant=:tenant and provider=:provider and {STANDS}"
)
_CLEAR = Sql("delete from blocks where tenant=:tenant and (:provider='' or provider=:provider)")


def block(tx: Tx, tenant: str, provider: str, for_us: int, reason: str) -> None:
    """Nothing is asked of the provider for so long (microseconds); of two blocks the longer one stands."""
    said = redact.redact(reason)
    tx(_BLOCK, tenant=tenant, provider=provider, for_us=for_us, reason=said)


def left(tx: Tx, tenant: str, provider: str) -> int | None:
    """How much longer the provider is blocked (microseconds), None when it is not."""
    return tx(_BLOCKED, tenant=tenant, provider=provider).scalar()


def clear(tx: Tx, tenant: str, provider: str = "") -> int:
    """Takes a provider's block away, or all of the tenant's. How many there were."""
    return tx(_CLEAR, tenant=tenant, provider=provider).rowcount
