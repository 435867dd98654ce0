"""Cards: what waits for a person, and the one decision that each of them gets.

Invariants: the first decision wins, among people, the timer, expiry and cancel, because every decision is one
conditional update under the run's lock; a decision is bound to the content that was shown (`args_hash`); an
expired card is a rejected call; a run is woken when its first open call is decided.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from alfred import clock, errors
from alfred.actions.ledger import allowances, calls
from alfred.actions.ledger import approvals as cards
from alfred.actions.ledger.allowances import Allowance
from alfred.actions.ledger.approvals import Approval, NewCard
from alfred.runs import audit, endings, events, ledger, rows
from alfred.runs.states import Wait
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import redact

AUTO_PENDING = 10
"""How many low cards of a tenant may be waiting to approve themselves at once."""

VALID = clock.DAY
"""After so long a decision is stale: what it allowed is asked again before it happens."""

_AHEAD = clock.HOUR
"""A decision may be so much ahead of this machine's clock; one from further on was made by a clock that was wrong."""

DECISIONS: dict[str, tuple[str, ...]] = {
    "action": ("approve", "reject", "reject_and_end"),
    "question": ("answer", "reject", "reject_and_end"),
    "outcome": ("happened", "retry", "skip", "reject_and_end"),
}
"""Which decisions a kind of card takes."""


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


def fresh(card: Approval) -> bool:
    """Whether a decision was made within the last day."""
    return -_AHEAD < clock.now() - (card.decided_at or 0) < VALID


def stage(tx: Tx, card: NewCard) -> None:
    """Makes the card of a call, in the transaction that stages the call. Caller holds the run's lock."""
    from_now = card.auto_ok and card.counts_from_staging and _room_for_auto(tx, card.tenant)
    cards.add(tx, card, starts_clock=from_now)
    tell(tx, card, status="pending")


def restage(tx: Tx, card: NewCard, *, target: str | None) -> None:
    """approved -> staged: what was approved is not what would happen now, so it is asked again."""
    cards.supersede(tx, card.call_id)
    calls.restage(
        tx,
        card.call_id,
        args_hash=card.args_hash,
        target=target,
        preview=card.preview,
        risk=card.risk,
    )
    stage(tx, card)


def withdraw(tx: Tx, call_id: str, result: str | None) -> None:
    """approved -> refused: the policy has changed since, and its no is stronger than the yes."""
    cards.supersede(tx, call_id)
    calls.refuse(tx, call_id, result)


def decide(tx: Tx, wanted: Decision) -> Approval:
    """One decision about one card; the first wins.

    Raises:
        NotFound: no such card.
        UsageError: this kind of card does not take this decision.
        StaleHash: the card shows something else by now.
        AlreadyDecided: somebody or something else was first; who and when are in the error.
    """
    wanted = replace(wanted, text=_clean(wanted.text), reason=_clean(wanted.reason))
    card = cards.get(tx, wanted.approval_id)
    if card is None:
        raise errors.NotFound(
            f"No approval has the id {wanted.approval_id!r}.", next="`alfred approvals list`"
        )
    ends = wanted.decision == "reject_and_end"
    run = rows.get(tx, card.run_id)
    rows.lock(tx, run.parent_id if ends and run else None, card.run_id)
    card = cards.get(tx, wanted.approval_id)
    assert card is not None
    allowed = DECISIONS[card.kind]
    clocks = {"auto": "auto_approve", "expiry": "expire"}
    if wanted.decision not in (*allowed, clocks.get(wanted.via)):
        raise errors.UsageError(
            f"A card of the kind {card.kind!r} takes {', '.join(allowed)}, not {wanted.decision!r}.",
            next="`alfred approvals list` shows how each card is decided.",
        )
    if (
        wanted.args_hash is not None
        and wanted.args_hash != card.args_hash
        and card.status == "pending"
    ):
        raise stale()
    first = cards.decide(
        tx,
        card,
        _status(wanted.decision),
        decision=wanted.decision,
        by=wanted.by,
        via=wanted.via,
        token=wanted.token,
        reason=wanted.reason,
    )
    decided = cards.get(tx, card.id)
    assert decided is not None
    if not first:
        if decided.decision_token == wanted.token:
            return decided  # this very decision arrived before, and its answer was lost
        raise already(tx, decided)
    _carry_out(tx, card, wanted)
    seal(
        tx,
        card,
        decision=wanted.decision,
        by=wanted.by,
        via=wanted.via,
        risk=card.risk,
        args_hash=card.args_hash,
        reason=wanted.reason,
    )
    tell(tx, card, status=decided.status, by=wanted.by)
    if ends:
        refused = {
            "code": "refused",
            "detail": wanted.reason or "A person said no and ended the run.",
        }
        endings.cancel(
            tx, card.run_id, by=wanted.by, token=wanted.token, why=wanted.reason, error=refused
        )
    else:
        ledger.wake_decided(tx, card.run_id)
    return decided


@contextlib.contextmanager
def noting(store: Store, approval_id: str, decision: str, *, by: str, via: str) -> Iterator[None]:
    """A decision that comes too late, or about something else than the card shows, changes nothing; that somebody tried is in
    the audit."""
    try:
        yield
    except (errors.AlreadyDecided, errors.StaleHash) as problem:
        store.transact(_refused, approval_id, decision, why=problem.detail, by=by, via=via)
        raise


def _refused(tx: Tx, approval_id: str, decision: str, **why: str) -> None:
    if (card := cards.get(tx, approval_id)) is not None:
        _append(tx, card, "decision.refused", decision=decision, **why)


def together(group: Iterable[Approval]) -> list[Approval]:
    """Those of some cards that one yes may allow: calls that wait, and no high one, which is looked at alone."""
    return [
        card
        for card in group
        if card.kind == "action" and card.status == "pending" and card.risk != "high"
    ]


def _clean(text: str | None) -> str | None:
    """What a person says about a card, as it is kept and told to the model: without secrets."""
    return None if text is None else redact.redact(text)


def _status(decision: str) -> str:
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


def stale() -> errors.StaleHash:
    """What is said to who decides about something else than the card shows now."""
    return errors.StaleHash(
        "The content of this approval changed since it was shown.",
        next="Look at the card again.",
    )


def already(tx: Tx, card: Approval) -> errors.AlreadyDecided:
    """What is said to who comes too late."""
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
        next=f"Nothing was changed. `alfred runs show {card.run_id[-6:].lower()}` tells what came of it.",
        decision=card.decision,
        decided_by=card.decided_by,
        decided_via=card.decided_via,
        decided_at=when,
    )


def _carry_out(tx: Tx, card: Approval, wanted: Decision) -> None:
    said = wanted.text if wanted.text is not None else wanted.reason
    no = calls.skip if card.kind == "outcome" else calls.reject
    match wanted.decision:
        case "approve" if more := allowances.asked(tx, card.call_id):
            _allow(tx, card, more, by=wanted.by)
        case "approve" | "auto_approve":
            calls.approve(tx, card.call_id)
        case "answer":
            calls.answer(tx, card.call_id, _json(answer=wanted.text or ""))
        case "happened":
            told = _json(outcome="happened", said_by=wanted.by, note=said)
            calls.happened(tx, card.call_id, told)
        case "skip":
            calls.skip(tx, card.call_id, _json(outcome="skipped", said_by=wanted.by, note=said))
        case "expire":
            detail = "Nobody decided in time, which is a no."
            no(tx, card.call_id, _json(code="expired", detail=detail))
        case "reject" | "reject_and_end":
            refused = _json(
                code="rejected_by_user",
                detail=said or "The person said no.",
                hint="Do not propose the same call again.",
            )
            no(tx, card.call_id, refused)


def _allow(tx: Tx, card: Approval, more: Allowance, *, by: str) -> None:
    """A run goes on beyond a cap: the yes is all that has to happen, so it is the call's outcome."""
    calls.answer(tx, card.call_id, _json(allowed=True))
    audit.append(tx, card.tenant, allowances.ACTION, run=card.run_id, by=by, **asdict(more))
    ledger.wake(tx, card.run_id, (Wait.BUDGET,))


def _json(**fields: Any) -> str:
    return json.dumps({k: v for k, v in fields.items() if v is not None}, ensure_ascii=False)


def seal(tx: Tx, card: Approval, **decided: Any) -> None:
    """Writes a decision about a card into the audit: what was decided, by whom, about what content."""
    _append(tx, card, "decision", **decided)


def _append(tx: Tx, card: Approval, what: str, **more: Any) -> None:
    of = {"approval": card.id, "run": card.run_id, "action": card.action}
    audit.append(tx, card.tenant, what, **of, **more)


def tell(tx: Tx, card: NewCard | Approval, *, status: str, **more: Any) -> None:
    """Tells the feed how a card stands."""
    events.emit(
        tx,
        tenant=card.tenant,
        run_id=card.run_id,
        kind="approval",
        id=card.id,
        approval=card.kind,
        title=card.title,
        risk=card.risk,
        status=status,
        **more,
    )


def delivered(tx: Tx, approval_id: str, *, low_after_us: int) -> None:
    """A person could see the card now: the clock of a low one starts, if there is room."""
    card = cards.get(tx, approval_id)
    if card is None or card.status != "pending":
        return
    rows.lock(tx, card.run_id)
    if cards.delivered(tx, approval_id) and card.auto_ok and _room_for_auto(tx, card.tenant):
        cards.start_clock(tx, approval_id, low_after_us)


def _room_for_auto(tx: Tx, tenant: str) -> bool:
    cards.lock_auto(tx, tenant)
    return cards.waiting_auto(tx, tenant) < AUTO_PENDING
