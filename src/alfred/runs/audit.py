"""The audit chain: who decided what, each row sealed to the one before it.

`hash = SHA-256(prev || n || at || row)`. The head of a tenant's chain is locked by every writer, as the last
lock of its transaction (deferred to its end), so that two writers cannot seal to one predecessor.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from alfred.store.statement import Sql
from alfred.store.tx import Tx

_SEED = Sql("insert into audit_heads(tenant,n,hash) values(:tenant,0,'') on conflict do nothing")
_HEAD = Sql("select n, hash, alfred_now() as now from audit_heads where tenant=:tenant {lock}")
_APPEND = Sql(
    "insert into audit(tenant,n,prev,hash,row,at) values(:tenant,:n,:prev,:hash,:row,:at)"
)
_ADVANCE = Sql("update audit_heads set n=:n, hash=:hash where tenant=:tenant")
_CHAIN = Sql(
    "select n, prev, hash, row, at from audit where tenant=:tenant and n>:n order by n limit 1000"
)
_HEADS = Sql(
    "select t.tenant, h.n, h.hash from"
    " (select tenant from audit_heads union select tenant from audit) t"
    " left join audit_heads h on h.tenant=t.tenant order by t.tenant"
)


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row of a chain that does not hold."""

    tenant: str
    n: int
    why: str


def append(tx: Tx, tenant: str, what: str, **details: Any) -> None:
    """Seals one row into the tenant's chain when the transaction ends."""
    row = json.dumps({"what": what, **details}, sort_keys=True, ensure_ascii=False, default=str)
    tx.closing.append((tenant, row, _seal))


def _seal(tx: Tx, tenant: str, row: str) -> None:
    head = tx(_HEAD, tenant=tenant).one_or_none()
    if head is None:
        tx(_SEED, tenant=tenant)
        head = tx(_HEAD, tenant=tenant).one()
    n = head.n + 1
    digest = seal(head.hash, n, head.now, row)
    tx(_APPEND, tenant=tenant, n=n, prev=head.hash, hash=digest, row=row, at=head.now)
    tx(_ADVANCE, tenant=tenant, n=n, hash=digest)


def seal(prev: str, n: int, at: int, row: str) -> str:
    """The hash of one row of the chain, hexadecimal."""
    return hashlib.sha256(f"{prev}\n{n}\n{at}\n{row}".encode()).hexdigest()


def verify(tx: Tx) -> tuple[int, Broken | None]:
    """Walks every chain: how many rows there are, and the first that is changed, missing or out of order.

    Args:
        tx: Sees one moment (`store.backup.snapshot`): a decision in between must not look like a forgery.
    """
    rows = 0
    for head in tx(_HEADS).all():
        prev, n = "", 0
        while page := tx(_CHAIN, tenant=head.tenant, n=n).all():
            for row in page:
                if row.n != n + 1:
                    return rows, Broken(head.tenant, n + 1, "the row is missing")
                if row.prev != prev:
                    return rows, Broken(
                        head.tenant, row.n, "it does not continue the row before it"
                    )
                if row.hash != seal(prev, row.n, row.at, row.row):
                    return rows, Broken(head.tenant, row.n, "its content was changed")
                prev, n, rows = row.hash, row.n, rows + 1
        if head.n is None:
            return rows, Broken(head.tenant, 1, "the head of its chain is missing")
        if n != head.n or prev != head.hash:
            return rows, Broken(head.tenant, n + 1, "rows at the end are missing")
    return rows, None
