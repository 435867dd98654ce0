"""The rows of cards: what they show, when their clocks run, and the one decision of each.

Invariants: a call has one pending card at most; a decision is one conditional update, which repeats the content that
was shown and asks the clocks and the run again, so that the first one wins; a decided card never changes, but
for the approval of what is no longer what would happen, which is superseded; a card that is not pending any
more is told to whoever shows it, by its notice.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from alfred import clock
from alfred.actions.ledger import sealed
from alfred.store.statement import Sql
from alfred.store.tx import Tx

Kind = Literal["action", "question", "outcome"]


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval's row, as it was when it was read."""

    id: str
    call_id: str
    version: int
    run_id: str
    tenant: str
    agent: str
    kind: str
    action: str
    args_hash: str
    risk: str
    auto_ok: int
    title: str
    preview: str
    claim: str | None
    provenance: str | None
    edited_args: str | None
    supersedes: str | None
    status: str
    created_at: int
    delivered_at: int | None
    auto_approve_at: int | None
    expires_at: int
    decision: str | None
    decided_by: str | None
    decided_via: str | None
    decided_at: int | None
    decision_token: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCard:
    """A card to be made. `low_after_us` counts from now when `counts_from_staging`, else from its delivery."""

    id: str
    call_id: str
    run_id: str
    tenant: str
    agent: str
    kind: Kind
    action: str
    args_hash: str
    risk: str
    title: str
    preview: str
    claim: str | None = None
    provenance: str | None = None
    supersedes: str | None = None
    auto_ok: bool = False
    expire_us: int = 7 * clock.DAY
    low_after_us: int = 5 * clock.MINUTE
    counts_from_staging: bool = False


_COLUMNS = ",".join(f.name for f in fields(Approval))
_GET = Sql(f"select {_COLUMNS} from approvals where id=:id")
_OF_CALL = Sql(
    f"select {_COLUMNS} from approvals where call_id=:call_id order by version desc limit 1"
)
_APPROVED = Sql(
    f"select {_COLUMNS} from approvals where call_id=:call_id and kind='action'"
    " and status in('approved','auto_approved') order by version desc limit 1"
)
_LISTED = Sql(
    f"select {_COLUMNS} from approvals where tenant=:tenant and (:status='all' or status=:status)"
    " and (:run_id='' or run_id=:run_id) and (:before='' or id<:before) order by id desc limit :limit"
)
_ADD = Sql(
    "insert into approvals(id,call_id,version,run_id,tenant,agent,kind,action,args_hash,risk,auto_ok,title,"
    "preview,claim,provenance,supersedes,status,created_at,auto_approve_at,expires_at)"
    " select :id,:call_id,coalesce(max(version),0)+1,:run_id,:tenant,:agent,:kind,:action,:args_hash,:risk,"
    ":auto_ok,:title,:preview,:claim,:provenance,:supersedes,'pending',alfred_now(),"
    "case when :auto_from_now=1 then alfred_now()+:low_after_us end,alfred_now()+:expire_us"
    " from approvals where call_id=:call_id on conflict do nothing"
)
_PENDING_AUTO = Sql(
    "select count(*) from approvals where tenant=:tenant and status='pending' and auto_approve_at is not null"
)
_AUTO_LAST_HOUR = Sql(
    "select count(*) from approvals where tenant=:tenant and status='auto_approved'"
    " and decided_at>alfred_now()-:hour and decided_at<=alfred_now()"  # the clock may have been ahead
)
_DECIDE = Sql(
    "update approvals set status=:status,decision=:decision,decided_by=:by,decided_via=:via,"
    "decided_at=alfred_now(),decision_token=:token,reason=:reason"
    " where id=:id and status='pending' and args_hash=:hash"
    " and (:via<>'auto' or auto_approve_at<=alfred_now()) and (:status<>'expired' or expires_at<=alfred_now())"
    " and (:status='expired' or expires_at>alfred_now())"
    " and exists(select 1 from runs where id=approvals.run_id and cancel=0"
    " and status in('queued','running','parked'))"
)
_EDITED = Sql("update approvals set edited_args=:args where id=:id and decision_token=:token")
_HOLD = Sql(
    "update approvals set auto_approve_at=alfred_now()+:for_us where id=:id and status='pending'"
    " and auto_approve_at<alfred_now()+:for_us"
)
_RESTORED = Sql(
    "update approvals set auto_approve_at=null,delivered_at=null,expires_at="
    "case when expires_at<alfred_now()+:for_us then alfred_now()+:for_us else expires_at end where status='pending'"
)
_NOTICE = Sql("update notices set want=want+1 where approval_id=:id")
_SUPERSEDE = Sql(
    "update approvals set status='superseded' where call_id=:call_id and kind='action'"
    " and status in('approved','auto_approved')"
)
_USED = Sql("update approvals set status='superseded' where id=:id and status='answered'")
_KNOWN = Sql(
    "update approvals set status='superseded',decided_at=alfred_now() where call_id=:call_id"
    " and kind='outcome' and status='pending' returning id"
)
_DELIVERED = Sql(
    "update approvals set delivered_at=alfred_now() where id=:id and status='pending' and delivered_at is null"
)
_START_CLOCK = Sql(
    "update approvals set auto_approve_at=alfred_now()+:after where id=:id and status='pending'"
    " and auto_ok=1 and risk='low' and auto_approve_at is null"
)
_EXPIRED = Sql(
    "select id,args_hash from approvals where status='pending' and expires_at<=alfred_now() order by expires_at limit :limit"
)
_AUTO_DUE = Sql(
    "select id,args_hash,tenant from approvals where status='pending' and auto_approve_at<=alfred_now()"
    " order by auto_approve_at limit :limit"
)


def get(tx: Tx, approval_id: str) -> Approval | None:
    """The card's row as it is now."""
    row = tx(_GET, id=approval_id).one_or_none()
    return Approval(*row) if row else None


def newest(tx: Tx, call_id: str) -> Approval | None:
    """The latest card of a call."""
    row = tx(_OF_CALL, call_id=call_id).one_or_none()
    return Approval(*row) if row else None


def approved(tx: Tx, call_id: str) -> Approval | None:
    """The decision that allows a call, None when there is none."""
    row = tx(_APPROVED, call_id=call_id).one_or_none()
    return Approval(*row) if row else None


def listed(
    tx: Tx,
    tenant: str,
    *,
    status: str = "pending",
    run_id: str = "",
    before: str = "",
    limit: int = 50,
) -> list[Approval]:
    """Cards, newest first."""
    found = tx(_LISTED, tenant=tenant, status=status, run_id=run_id, before=before, limit=limit)
    return [Approval(*row) for row in found.all()]


def add(tx: Tx, card: NewCard, *, starts_clock: bool) -> None:
    """Makes a pending card, the next version of its call's. One that is there already stays as it is."""
    values = {f.name: getattr(card, f.name) for f in fields(NewCard)}
    del values["counts_from_staging"]
    values |= {"auto_ok": int(card.auto_ok), "auto_from_now": int(starts_clock)}
    tx(_ADD, **values)


def decide(
    tx: Tx,
    card: Approval,
    status: str,
    *,
    decision: str,
    by: str,
    via: str,
    token: str,
    reason: str | None,
) -> bool:
    """pending -> decided, if it is the first decision, for the content of `card`, and none too early or too late."""
    changed = tx(
        _DECIDE,
        id=card.id,
        status=status,
        decision=decision,
        by=by,
        via=via,
        token=token,
        reason=reason,
        hash=card.args_hash,
    )
    if changed.rowcount:
        tx(_NOTICE, id=card.id)
    return changed.rowcount == 1


def edited(tx: Tx, approval_id: str, args: str, *, token: str) -> None:
    """What the person who decided a card made of its arguments."""
    tx(_EDITED, id=approval_id, args=sealed.clean(args), token=token)


def hold(tx: Tx, approval_id: str, for_us: int) -> None:
    """A card that would approve itself does not do so for so long: somebody has it before them."""
    tx(_HOLD, id=approval_id, for_us=for_us)


def restored(tx: Tx, for_us: int) -> None:
    """After a restore: what was decided since is not known here, so no clock decides before a person has seen the card, or
    has had so long to."""
    tx(_RESTORED, for_us=for_us)


def supersede(tx: Tx, call_id: str) -> None:
    """approved -> superseded: the approval of a call allows nothing any more."""
    tx(_SUPERSEDE, call_id=call_id)


def used(tx: Tx, approval_id: str) -> None:
    """answered -> superseded: a retry that was decided is carried out, once."""
    tx(_USED, id=approval_id)


def known(tx: Tx, call_id: str) -> None:
    """The outcome that a card asks about came in after all: nobody has to say it. Caller holds the run's lock."""
    for (approval_id,) in tx(_KNOWN, call_id=call_id).all():
        tx(_NOTICE, id=approval_id)


def delivered(tx: Tx, approval_id: str) -> bool:
    """A person could see the pending card now, for the first time."""
    return tx(_DELIVERED, id=approval_id).rowcount == 1


def start_clock(tx: Tx, approval_id: str, after_us: int) -> None:
    """A low card approves itself after so long, unless its clock runs already."""
    tx(_START_CLOCK, id=approval_id, after=after_us)


def lock_auto(tx: Tx, tenant: str) -> None:
    """Who counts the cards that approve themselves counts alone, until the transaction ends."""
    tx.alone(f"auto:{tenant}")


def waiting_auto(tx: Tx, tenant: str) -> int:
    """How many cards wait to approve themselves."""
    return tx(_PENDING_AUTO, tenant=tenant).scalar_one()


def auto_last_hour(tx: Tx, tenant: str) -> int:
    """How many cards approved themselves within an hour."""
    return tx(_AUTO_LAST_HOUR, tenant=tenant, hour=clock.HOUR).scalar_one()


def expired(tx: Tx, limit: int) -> list[Any]:
    """Pending cards whose time is over, the oldest first: id, args_hash."""
    return list(tx(_EXPIRED, limit=limit).all())


def auto_due(tx: Tx, limit: int) -> list[Any]:
    """Pending cards whose time to approve themselves has come, the oldest first: id, args_hash, tenant."""
    return list(tx(_AUTO_DUE, limit=limit).all())
