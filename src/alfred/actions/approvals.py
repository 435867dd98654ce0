"""Cards: what waits for a person, and the one decision that each of them gets.

Invariants: one pending card a call; the first decision wins, among people, the timer, expiry and cancel,
because every decision is one conditional update under the run's lock; a decision is bound to the content that
was shown (`args_hash`); an expired card is a rejected call; a run is woken when its first open call is decided.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from alfred import clock, errors
from alfred.runs import audit, endings, events, ledger, rows, schedule
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

AUTO_PER_HOUR = 30
AUTO_PENDING = 10
"""How many low cards of a tenant may approve themselves in an hour, and may be waiting to at once."""

VALID = clock.DAY
"""After so long a decision is stale: what it allowed is asked again before it happens."""

Kind = Literal["action", "question", "outcome"]

DECISIONS: dict[str, tuple[str, ...]] = {
    "action": ("approve", "reject", "reject_and_end"),
    "question": ("answer", "reject", "reject_and_end"),
    "outcome": ("happened", "retry", "skip", "reject_and_end"),
}
"""Which decisions a kind of card takes."""


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
    auto_ok: bool = False
    expire_us: int = 7 * clock.DAY
    low_after_us: int = 5 * clock.MINUTE
    counts_from_staging: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody decided. `token` is made by the caller, so that the same decision said twice is one."""

    approval_id: str
    decision: str
    by: str
    via: str
    token: str
    args_hash: str | None = None
    text: str | None = None
    reason: str | None = None


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
_CARD = Sql(
    "insert into approvals(id,call_id,version,run_id,tenant,agent,kind,action,args_hash,risk,auto_ok,title,"
    "preview,claim,status,created_at,auto_approve_at,expires_at)"
    " select :id,:call_id,coalesce(max(version),0)+1,:run_id,:tenant,:agent,:kind,:action,:args_hash,:risk,"
    ":auto_ok,:title,:preview,:claim,'pending',alfred_now(),"
    "case when :auto_from_now=1 then alfred_now()+:low_after_us end,alfred_now()+:expire_us"
    " from approvals where call_id=:call_id on conflict do nothing"
)
_PENDING_AUTO = Sql(
    "select count(*) from approvals where tenant=:tenant and status='pending' and auto_approve_at is not null"
)
_AUTO_LAST_HOUR = Sql(
    "select count(*) from approvals where tenant=:tenant and status='auto_approved' and decided_at>alfred_now()-:hour"
)
_AUTO_LOCK = Sql("select pg_advisory_xact_lock(hashtextextended(:key,0))")
_DECIDE = Sql(
    "update approvals set status=:status,decision=:decision,decided_by=:by,decided_via=:via,"
    "decided_at=alfred_now(),decision_token=:token,reason=:reason"
    " where id=:id and status='pending' and args_hash=:hash"
    " and (:via<>'auto' or auto_approve_at<=alfred_now()) and (:status<>'expired' or expires_at<=alfred_now())"
    " and (:status='expired' or expires_at>alfred_now())"
    " and exists(select 1 from runs where id=approvals.run_id and cancel=0"
    " and status in('queued','running','parked'))"
)
_NOTICE = Sql("update notices set want=want+1 where approval_id=:id")
_CALL_APPROVED = Sql(
    "update calls set status='approved',run_args_hash=args_hash where id=:id and status='staged'"
)
_CALL_REJECTED = Sql(
    "update calls set status='rejected',result=:result where id=:id and status='staged'"
)
_CALL_ANSWERED = Sql(
    "update calls set status='done',result=:result,intent_at=alfred_now(),outcome_at=alfred_now()"
    " where id=:id and status='staged'"
)
_CALL_HAPPENED = Sql(
    "update calls set status='done',outcome_at=alfred_now(),result=:result where id=:id and status='unknown'"
)
_CALL_SKIPPED = Sql(
    "update calls set status='skipped',result=:result where id=:id and status='unknown'"
)
_SUPERSEDE = Sql(
    "update approvals set status='superseded' where call_id=:call_id and kind='action'"
    " and status in('approved','auto_approved')"
)
_RESTAGE = Sql(
    "update calls set status='staged',args_hash=:hash,run_args_hash=null,target=:target,preview=:preview,risk=:risk"
    " where id=:id and status='approved'"
)
_WITHDRAW = Sql(
    "update calls set status='refused',run_args_hash=null,result=:result where id=:id and status='approved'"
)
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


def stage(tx: Tx, card: NewCard) -> None:
    """Makes the card of a call, in the transaction that stages the call. Caller holds the run's lock."""
    from_now = card.auto_ok and card.counts_from_staging and _room_for_auto(tx, card.tenant)
    tx(
        _CARD,
        id=card.id,
        call_id=card.call_id,
        run_id=card.run_id,
        tenant=card.tenant,
        agent=card.agent,
        kind=card.kind,
        action=card.action,
        args_hash=card.args_hash,
        risk=card.risk,
        auto_ok=int(card.auto_ok),
        title=card.title,
        preview=card.preview,
        claim=card.claim,
        auto_from_now=int(from_now),
        low_after_us=card.low_after_us,
        expire_us=card.expire_us,
    )
    events.emit(
        tx,
        tenant=card.tenant,
        run_id=card.run_id,
        kind="approval",
        id=card.id,
        approval=card.kind,
        title=card.title,
        risk=card.risk,
        status="pending",
    )


def restage(tx: Tx, card: NewCard, *, target: str | None) -> None:
    """approved -> staged: what was approved is not what would happen now, so it is asked again."""
    tx(_SUPERSEDE, call_id=card.call_id)
    tx(
        _RESTAGE,
        id=card.call_id,
        hash=card.args_hash,
        target=target,
        preview=card.preview,
        risk=card.risk,
    )
    stage(tx, card)


def withdraw(tx: Tx, call_id: str, result: str | None) -> None:
    """approved -> refused: the policy has changed since, and its no is stronger than the yes."""
    tx(_SUPERSEDE, call_id=call_id)
    tx(_WITHDRAW, id=call_id, result=result)


def known(tx: Tx, call_id: str) -> None:
    """The outcome that a card asks about came in after all: nobody has to say it. Caller holds the run's lock."""
    for (approval_id,) in tx(_KNOWN, call_id=call_id).all():
        tx(_NOTICE, id=approval_id)


def decide(tx: Tx, wanted: Decision) -> Approval:
    """One decision about one card; the first wins.

    Raises:
        NotFound: no such card.
        UsageError: this kind of card does not take this decision.
        StaleHash: the card shows something else by now.
        AlreadyDecided: somebody or something else was first; who and when are in the error.
    """
    card = get(tx, wanted.approval_id)
    if card is None:
        raise errors.NotFound(
            f"No approval has the id {wanted.approval_id!r}.", next="`alfred approvals list`"
        )
    ends = wanted.decision == "reject_and_end"
    run = rows.get(tx, card.run_id)
    rows.lock(tx, run.parent_id if ends and run else None, card.run_id)
    card = get(tx, wanted.approval_id)
    assert card is not None
    allowed = DECISIONS[card.kind]
    clocks = {"auto": "auto_approve", "expiry": "expire"}
    if wanted.decision not in (*allowed, clocks.get(wanted.via)):
        raise errors.UsageError(
            f"A card of the kind {card.kind!r} takes {', '.join(allowed)}, not {wanted.decision!r}."
        )
    if (
        wanted.args_hash is not None
        and wanted.args_hash != card.args_hash
        and card.status == "pending"
    ):
        raise errors.StaleHash(
            "The content of this approval changed since it was shown.",
            next="Look at the card again.",
        )
    changed = tx(
        _DECIDE,
        id=card.id,
        status=_status(card.kind, wanted.decision),
        decision=wanted.decision,
        by=wanted.by,
        via=wanted.via,
        token=wanted.token,
        reason=wanted.reason,
        hash=card.args_hash,
    )
    if changed.rowcount == 0:
        now = get(tx, card.id)
        assert now is not None
        if now.decision_token == wanted.token:
            return now  # this very decision arrived before, and its answer was lost
        raise _already(tx, now)
    _carry_out(tx, card, wanted)
    tx(_NOTICE, id=card.id)
    audit.append(
        tx,
        card.tenant,
        "decision",
        approval=card.id,
        run=card.run_id,
        action=card.action,
        risk=card.risk,
        decision=wanted.decision,
        by=wanted.by,
        via=wanted.via,
        reason=wanted.reason,
        args_hash=card.args_hash,
    )
    decided = get(tx, card.id)
    assert decided is not None
    events.emit(
        tx,
        tenant=card.tenant,
        run_id=card.run_id,
        kind="approval",
        id=card.id,
        approval=card.kind,
        title=card.title,
        risk=card.risk,
        status=decided.status,
        by=wanted.by,
    )
    if ends:
        refused = {
            "code": "refused",
            "detail": wanted.reason or "A person said no and ended the run.",
        }
        endings.cancel(
            tx,
            card.run_id,
            by=wanted.by,
            token=wanted.token,
            why=wanted.reason,
            error=refused,
        )
    else:
        ledger.wake_decided(tx, card.run_id)
    return decided


def _status(kind: str, decision: str) -> str:
    match decision:
        case "approve":
            return "approved"
        case "auto_approve":
            return "auto_approved"
        case "expire":
            return "expired"
        case "reject" | "reject_and_end":
            return "rejected"
    return "answered"


def _already(tx: Tx, card: Approval) -> errors.AlreadyDecided:
    if card.status == "pending":
        run = rows.get(tx, card.run_id)
        if run and run.live and not run.cancel:
            return errors.AlreadyDecided(
                f"Nothing was decided: this approval expired at {clock.rfc3339(card.expires_at)}, which is a no.",
                decision=None,
                decided_by=None,
            )
        ended = "is being cancelled" if run and run.live else "is over"
        return errors.AlreadyDecided(
            f"Nothing was decided: the run of this approval {ended}.",
            decision=None,
            decided_by=None,
        )
    when = clock.rfc3339(card.decided_at)
    who = card.decided_by or "alfred"
    return errors.AlreadyDecided(
        f"This approval was {card.status.replace('_', ' ')} by {who} at {when}.",
        next="Nothing was changed. `alfred runs show` tells what came of it.",
        decision=card.decision,
        decided_by=card.decided_by,
        decided_via=card.decided_via,
        decided_at=when,
    )


def _carry_out(tx: Tx, card: Approval, wanted: Decision) -> None:
    said = wanted.text if wanted.text is not None else wanted.reason
    match wanted.decision:
        case "approve" | "auto_approve":
            tx(_CALL_APPROVED, id=card.call_id)
        case "answer":
            tx(_CALL_ANSWERED, id=card.call_id, result=_json(answer=wanted.text or ""))
        case "happened":
            tx(
                _CALL_HAPPENED,
                id=card.call_id,
                result=_json(outcome="happened", said_by=wanted.by, note=said),
            )
        case "skip":
            tx(
                _CALL_SKIPPED,
                id=card.call_id,
                result=_json(outcome="skipped", said_by=wanted.by, note=said),
            )
        case "expire":
            tx(
                _CALL_REJECTED if card.kind != "outcome" else _CALL_SKIPPED,
                id=card.call_id,
                result=_json(code="expired", detail="Nobody decided in time, which is a no."),
            )
        case "reject" | "reject_and_end":
            refused = _json(
                code="rejected_by_user",
                detail=said or "The person said no.",
                hint="Do not propose the same call again.",
            )
            tx(
                _CALL_SKIPPED if card.kind == "outcome" else _CALL_REJECTED,
                id=card.call_id,
                result=refused,
            )


def _json(**fields_: Any) -> str:
    return json.dumps({k: v for k, v in fields_.items() if v is not None}, ensure_ascii=False)


def delivered(tx: Tx, approval_id: str, *, low_after_us: int) -> None:
    """A person could see the card now: the clock of a low one starts, if there is room."""
    card = get(tx, approval_id)
    if card is None or card.status != "pending":
        return
    rows.lock(tx, card.run_id)
    if tx(_DELIVERED, id=approval_id).rowcount == 0:
        return
    if card.auto_ok and _room_for_auto(tx, card.tenant):
        tx(_START_CLOCK, id=approval_id, after=low_after_us)


def _room_for_auto(tx: Tx, tenant: str) -> bool:
    _lock_auto(tx, tenant)
    return tx(_PENDING_AUTO, tenant=tenant).scalar_one() < AUTO_PENDING


def _lock_auto(tx: Tx, tenant: str) -> None:
    if tx.pg:
        tx(_AUTO_LOCK, key=f"auto:{tenant}")


def expire_beat(store: Store, new_token: Callable[[], str]) -> None:
    """Cards whose time is over: nobody said yes, so it is a no."""
    with store.read() as look:
        due = look(_EXPIRED, limit=100).all()
    for row in due:
        _decided_by_clock(store, row.id, row.args_hash, "expire", new_token())


def auto_beat(
    store: Store,
    new_token: Callable[[], str],
    *,
    quiet: Callable[[str], bool] = lambda tenant: False,
) -> None:
    """Low cards whose five minutes are over, at most `AUTO_PER_HOUR` in an hour; none of a tenant that is `quiet`."""
    with store.read() as look:
        due = look(_AUTO_DUE, limit=100).all()
    for row in due:
        if not quiet(row.tenant):
            store.transact(_auto, row.id, row.args_hash, row.tenant, new_token())


def is_quiet(hours: str | None, zone: str) -> bool:
    """Whether it is within `hours` (`22:00-07:00`, the end is outside) in the zone now; never when there are none."""
    if hours is None:
        return False
    now = datetime.fromtimestamp(clock.now() // clock.SECOND, schedule.zone_of(zone))
    begin, _, end = hours.partition("-")
    at = now.strftime("%H:%M")
    return begin <= at < end if begin < end else at >= begin or at < end


def _auto(tx: Tx, approval_id: str, args_hash: str, tenant: str, token: str) -> None:
    card = get(tx, approval_id)
    if card is None:
        return
    rows.lock(tx, card.run_id)
    _lock_auto(tx, tenant)
    if tx(_AUTO_LAST_HOUR, tenant=tenant, hour=clock.HOUR).scalar_one() >= AUTO_PER_HOUR:
        return
    try:
        decide(
            tx,
            Decision(
                approval_id=approval_id,
                decision="auto_approve",
                by="timer",
                via="auto",
                token=token,
                args_hash=args_hash,
                reason="low risk, nobody objected",
            ),
        )
    except (errors.AlreadyDecided, errors.StaleHash):
        return  # somebody was first: that is the answer


def _decided_by_clock(
    store: Store, approval_id: str, args_hash: str, decision: str, token: str
) -> None:
    try:
        store.transact(
            decide,
            Decision(
                approval_id=approval_id,
                decision=decision,
                by="timer",
                via="expiry",
                token=token,
                args_hash=args_hash,
            ),
        )
    except (errors.AlreadyDecided, errors.StaleHash):
        return  # somebody was first: that is the answer
