"""The audit chain: who decided what, each row sealed to the one before it.

`hash = SHA-256(prev || n || at || row)`. The head of a tenant's chain is locked by every writer, as the last
lock of its transaction (deferred to its end), so that two writers cannot seal to one predecessor.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from alfred import clock
from alfred.runs import seldom
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact, text

_SEED = Sql("insert into audit_heads(tenant,n,hash) values(:tenant,0,'') on conflict do nothing")
_HEAD = Sql("select n, hash, alfred_now() as now from audit_heads where tenant=:tenant {lock}")
_APPEND = Sql(
    "insert into audit(tenant,n,prev,hash,row,at) values(:tenant,:n,:prev,:hash,:row,:at)"
)
_ADVANCE = Sql("update audit_heads set n=:n, hash=:hash where tenant=:tenant")
# Bytes on SQLite: what somebody wrote there need be no text, and has to be found all the same.
_PREV, _HASH, _ROW = (
    f"{{pg:{name}}}{{sqlite:cast({name} as blob)}} as {name}" for name in ("prev", "hash", "row")
)
_CHAIN = Sql(
    f"select n,at,{_PREV},{_HASH},{_ROW} from audit where tenant=:tenant and n>:n order by n limit 1000"
)
_FRESH = Sql(
    "select h.n,h.hash from audit_heads h join audit l on l.tenant=h.tenant and l.n=h.n"
    " join audit f on f.tenant=h.tenant and f.n=1"
    " where h.tenant=:tenant and f.at<=alfred_now()-:day and l.at>:since"
)
_BEFORE_ALL = -(2**63)
"""Less than every number of a row, also of one that nobody has sealed."""
_HEADS = Sql(
    "select t.tenant, h.n, h.hash from"
    " (select tenant from audit_heads union select tenant from audit"
    # whose rules were sealed has a chain, also when all of it was taken away
    " union select substr(k,8) from meta where k like 'policy:%') t"
    " left join audit_heads h on h.tenant=t.tenant order by t.tenant"
)
_HELD = Sql("select v from meta where k=:key")
_HOLDS = Sql(
    "insert into meta(k,v) values(:key,:rules) on conflict(k) do update set v=excluded.v where meta.v<>excluded.v"
)


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row of a chain that does not hold."""

    tenant: str
    n: int
    why: str


def append(tx: Tx, tenant: str, what: str, **details: Any) -> None:
    """Seals one row into the tenant's chain when the transaction ends."""
    said = redact.redact_data({"what": what, **details})
    # as the store keeps it: what is no text is in no row, and has no hash
    row, _ = text.sanitize(json.dumps(said, sort_keys=True, ensure_ascii=False, default=str))
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


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row of a chain."""

    tenant: str
    n: int
    prev: str
    hash: str
    at: int
    """Microseconds UTC."""
    row: str | None
    """What happened, as JSON; None: it is kept back, and only its place in the chain can be checked."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a tenant's chain goes. `n` is None when nothing says so."""

    tenant: str
    n: int | None
    hash: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of a chain as somebody noted it elsewhere, when it was the last one. As text `TENANT:N:HASH`."""

    tenant: str
    n: int
    hash: str

    def __str__(self) -> str:
        """`TENANT:N:HASH`"""
        return f"{self.tenant}:{self.n}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Kept | None:
        """What such a text says; None: it is none."""
        found = re.fullmatch(r"([^:\s]+):([1-9][0-9]{0,17}):([0-9a-f]{64})", text.strip())
        return cls(found[1], int(found[2]), found[3]) if found else None


def fresh(tx: Tx, tenant: str) -> Kept | None:
    """The end of a chain that is to be kept elsewhere; None: a day has not gone by since it began, or nothing was sealed
    since the last one was."""
    row = tx(_FRESH, tenant=tenant, day=clock.DAY, since=seldom.last(tx, _kept(tenant)) or 0)
    head = row.one_or_none()
    return Kept(tenant, head.n, head.hash) if head else None


def keep(tx: Tx, tenant: str) -> Kept | None:
    """What `fresh` says, for one caller a day, who tells it elsewhere in the same transaction. A verb's part."""
    found = fresh(tx, tenant)
    return found if found and seldom.take(tx, _kept(tenant), every_us=clock.DAY) else None


def _kept(tenant: str) -> str:
    return f"audit:{tenant}"


def heads(tx: Tx) -> list[Head]:
    """The end of every chain that there is."""
    return [Head(*row) for row in tx(_HEADS).all()]


def chain(tx: Tx, tenant: str) -> Iterator[Sealed]:
    """The rows of a tenant, oldest first."""
    n = _BEFORE_ALL
    while page := tx(_CHAIN, tenant=tenant, n=n).all():
        for row in page:
            yield Sealed(tenant, row.n, _text(row.prev), _text(row.hash), row.at, _text(row.row))
            n = row.n


def _text(stored: Any) -> Any:
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored


def verify(tx: Tx, kept: Kept | None = None) -> tuple[int, Broken | None]:
    """Walks every chain: how many rows there are, and the first that is changed, missing or out of order.

    Args:
        tx: Sees one moment (`store.backup.snapshot`): a decision in between must not look like a forgery.
        kept: A row as it was noted elsewhere. Only this shows that a whole chain was written anew.
    """
    rows = 0
    for head in within(heads(tx), kept):
        found, broken = follow(head, chain(tx, head.tenant), kept)
        rows += found
        if broken:
            return rows, broken
    return rows, None


def within(ends: list[Head], kept: Kept | None) -> list[Head]:
    """The chains to walk, with one for a row that was noted of a chain that is gone."""
    if kept is None or any(head.tenant == kept.tenant for head in ends):
        return ends
    return [*ends, Head(kept.tenant, 0, "")]


def follow(
    head: Head, rows: Iterable[Sealed], kept: Kept | None = None
) -> tuple[int, Broken | None]:
    """Walks one chain up to its head: how many rows hold, and the first that does not."""
    prev, n = "", 0
    noted = kept if kept and kept.tenant == head.tenant else None
    for row in rows:
        if row.n < n + 1:
            return n, Broken(head.tenant, row.n, "it is one too many")
        if row.n != n + 1:
            return n, Broken(head.tenant, n + 1, "the row is missing")
        if row.prev != prev:
            return n, Broken(head.tenant, row.n, "it does not continue the row before it")
        if row.row is not None and row.hash != seal(prev, row.n, row.at, row.row):
            return n, Broken(head.tenant, row.n, "its content was changed")
        if noted and row.n == noted.n and row.hash != noted.hash:
            return n, Broken(head.tenant, row.n, "it is another one than was noted elsewhere")
        prev, n = row.hash, row.n
    if head.n is None:
        return n, Broken(head.tenant, 1, "the head of its chain is missing")
    if n < head.n:
        return n, Broken(head.tenant, n + 1, "rows at the end are missing")
    if n > head.n:
        return n, Broken(head.tenant, head.n + 1, "it lies behind the end of its chain")
    if prev != head.hash:
        return n, Broken(head.tenant, n, "it is not the one that its chain ends with")
    if noted and n < noted.n:
        return n, Broken(head.tenant, n + 1, "rows that were there are missing")
    return n, None


def policy(tx: Tx, tenant: str, rules: dict[str, Any]) -> bool:
    """Seals what holds for a tenant from now on, when it is not what held before. Whether it was written.

    Args:
        rules: The sections of the settings that say what may happen by itself.
    """
    text = _rules(rules)
    if tx(_HOLDS, key=f"policy:{tenant}", rules=text).rowcount == 0:
        return False
    append(tx, tenant, "policy", rules=json.loads(text))
    return True


def holds(look: Tx, tenant: str, rules: dict[str, Any]) -> bool:
    """Whether these rules are sealed already, so that nothing need be written: asked every few seconds."""
    return look(_HELD, key=f"policy:{tenant}").scalar() == _rules(rules)


def _rules(rules: dict[str, Any]) -> str:
    return json.dumps(rules, sort_keys=True, ensure_ascii=False, default=str)
