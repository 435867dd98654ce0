"""Keys that callers make, so that a request that is sent again is answered again and not done again.

Invariant: the key's row and the row that it stands for are one commit; a second request with the same key waits
for the first (in the INSERT, on Postgres) and then finds its answer, or is refused when it says something else.
A key belongs to a scope (an endpoint, a channel), so that nobody can take the key of somebody else's before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from alfred import errors
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_TAKE = Sql(
    "insert into idem(tenant,scope,key,body_hash,ref,code,at)"
    " values(:tenant,:scope,:key,:body_hash,:ref,:code,alfred_now()) on conflict do nothing"
)
_FIND = Sql(
    "select body_hash,ref,code from idem where tenant=:tenant and scope=:scope and key=:key"
)
_FORGET = Sql("delete from idem where at<alfred_now()-:age")


class IdempotencyMismatch(errors.AlfredError):
    """The key was used before for another request."""

    code: ClassVar[str] = "idempotency_mismatch"
    status: ClassVar[int] = 409


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the first request with a key came to: the row that it made, and its answer's code."""

    ref: str
    code: int | None


def take(
    tx: Tx, *, tenant: str, scope: str, key: str, body_hash: str, ref: str, code: int | None = None
) -> Earlier | None:
    """Takes a key for what this transaction does. None: go on; Earlier: it was done, answer that again.

    Raises:
        IdempotencyMismatch: the key stands for another body.
    """
    taken = tx(_TAKE, tenant=tenant, scope=scope, key=key, body_hash=body_hash, ref=ref, code=code)
    if taken.rowcount:
        return None
    # A statement of its own: at READ COMMITTED the row that was waited for is visible only now.
    found = tx(_FIND, tenant=tenant, scope=scope, key=key).one()
    if found.body_hash != body_hash:
        raise IdempotencyMismatch(
            f"The idempotency key {key[:40]!r} was used before for another request.",
            next="Make a new key.",
        )
    return None if found.ref == ref else Earlier(found.ref, found.code)


def known(look: Tx, *, tenant: str, scope: str, key: str) -> Earlier | None:
    """What was done under a key, for whoever would prepare much to hear that it was."""
    found = look(_FIND, tenant=tenant, scope=scope, key=key).one_or_none()
    return Earlier(found.ref, found.code) if found else None


_VERB = "verb"


def said(tx: Tx, tenant: str, token: str) -> Any | None:
    """What a verb answered that was said before with this token, None when it was not: its commit may have arrived and
    the answer been lost. Asked behind the verb's locks."""
    found = tx(_FIND, tenant=tenant, scope=_VERB, key=token).one_or_none()
    return None if found is None else json.loads(found.ref)


def say(tx: Tx, tenant: str, token: str, answer: Any) -> None:
    """Keeps what a verb answers, in the transaction of what it did."""
    tx(
        _TAKE,
        tenant=tenant,
        scope=_VERB,
        key=token,
        body_hash="",
        ref=json.dumps(answer),
        code=None,
    )


def forget(tx: Tx, *, age_us: int) -> None:
    """Drops keys older than `age_us` (microseconds)."""
    tx(_FORGET, age=age_us)
