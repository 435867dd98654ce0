"""The feed: what happened, in the order in which it was committed, for whoever watches or comes back later.

An event is written in the transaction that it tells of. Ids alone are not in commit order on Postgres, so a
reader that went on from the last id would lose rows: the cursor is (transaction, id), and only transactions
older than every open one are shown. A restore or a move to another database raises the epoch, and old cursors
are told so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from alfred import errors
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

_INSERT = Sql(
    "insert into events(tenant,run_id,kind,body,at) values(:tenant,:run_id,:kind,:body,alfred_now())"
)
WITH = (
    "insert into events(tenant,run_id,kind,body,at)"
    " select held.tenant,:id,:event,:told,alfred_now() from held"
)
"""The same behind a guard that returns its run's tenant."""
_PAGE = Sql(
    "select id, {pg:xid::text::bigint as} xid, tenant, run_id, kind, body, at from events"
    " where tenant=:tenant and {pg:(xid,id)>(cast(cast(:xid as text) as xid8),:id)}{sqlite:id>:id}"
    " {pg:and xid<pg_snapshot_xmin(pg_current_snapshot())}"
    " order by {pg:events.xid,} id limit :limit"
)
_NEWEST = Sql(
    "select id, {pg:xid::text::bigint as} xid from events"
    " where tenant=:tenant {pg:and xid<pg_snapshot_xmin(pg_current_snapshot())}"
    " order by {pg:events.xid desc,} id desc limit 1"
)
_EPOCH = Sql("select v from meta where k='feed_epoch'")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the feed; text form `<epoch>-<transaction>-<id>`."""

    epoch: str
    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.xid}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that a text names, None when it is none."""
        parts = text.rsplit("-", 2)
        if len(parts) != 3 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]))


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, with the cursor to go on from."""

    cursor: Cursor
    tenant: str
    run_id: str | None
    kind: str
    body: dict[str, Any]
    at: int


class CursorGone(errors.AlfredError):
    """The place in the feed is no more."""

    code: ClassVar[str] = "cursor_gone"
    status: ClassVar[int] = 410


def emit(tx: Tx, *, tenant: str, run_id: str | None, kind: str, **said: Any) -> None:
    """Tells of something in the transaction that makes it true."""
    tx(_INSERT, tenant=tenant, run_id=run_id, kind=kind, body=body(said))


def body(said: dict[str, Any]) -> str:
    """What an event says, as it is stored: without secrets."""
    return json.dumps(redact.redact_data(said), ensure_ascii=False)


def epoch(tx: Tx) -> str:
    """The feed's epoch: another one means that old cursors point nowhere."""
    return tx(_EPOCH).scalar() or "0"


def oldest(tx: Tx) -> Cursor:
    """Before the oldest event that is kept."""
    return Cursor(epoch(tx), 0, 0)


def newest(tx: Tx, tenant: str) -> Cursor:
    """After the newest event that may be shown."""
    row = tx(_NEWEST, tenant=tenant).one_or_none()
    return Cursor(epoch(tx), row.xid, row.id) if row else oldest(tx)


def after(tx: Tx, tenant: str, cursor: Cursor, *, limit: int = 500) -> list[Event]:
    """The events behind a cursor, in commit order, none left out.

    Raises:
        CursorGone: the cursor is of another epoch: a restore or a move has counted anew since.
    """
    if cursor.epoch != (now := epoch(tx)):
        raise CursorGone(
            f"The cursor {str(cursor)!r} is of an earlier life of this ledger.",
            next=f"Start again at the oldest: {Cursor(now, 0, 0)}.",
        )
    rows = tx(_PAGE, tenant=tenant, xid=cursor.xid, id=cursor.id, limit=limit).all()
    return [
        Event(
            Cursor(cursor.epoch, r.xid, r.id), r.tenant, r.run_id, r.kind, json.loads(r.body), r.at
        )
        for r in rows
    ]
