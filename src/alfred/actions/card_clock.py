"""What the clock decides about cards: nobody said yes in time, or nobody objected to a low risk.

Invariant: the clock is one of those who decide (`approvals.decide`), by the same statement: whoever was first, it was. What
approves itself is low, at most `AUTO_PER_HOUR` of a tenant in an hour, and nothing in quiet hours or while all is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from alfred import clock, errors
from alfred.actions import approvals
from alfred.actions.approvals import Decision
from alfred.actions.ledger import approvals as cards
from alfred.runs import rows, schedule, stop
from alfred.store.connect import Store
from alfred.store.tx import Tx

AUTO_PER_HOUR = 30
"""How many low cards of a tenant may approve themselves in an hour."""

TO_OBJECT = 5 * clock.MINUTE
"""How long people can object to a low card once everything goes on again."""


def expire_beat(store: Store, new_token: Callable[[], str]) -> None:
    """Cards whose time is over: nobody said yes, so it is a no."""
    with store.read() as look:
        due = cards.expired(look, 100)
    for row in due:
        store.transact(
            _decided_by_clock, row.id, row.args_hash, "expire", via="expiry", token=new_token()
        )


def auto_beat(
    store: Store,
    new_token: Callable[[], str],
    *,
    quiet: Callable[[str], bool] = lambda tenant: False,
) -> None:
    """Low cards whose five minutes are over, at most `AUTO_PER_HOUR` in an hour; none of a tenant that is `quiet`, or where
    everything was stopped: what is due then waits for `TO_OBJECT` behind the end of that."""
    with store.read() as look:
        due = cards.auto_due(look, 100)
    for row in due:
        if not quiet(row.tenant):
            store.transact(_auto, row.id, row.args_hash, row.tenant, new_token())


def hold_due(store: Store, tenant: str) -> None:
    """Low cards of a tenant whose time has come: people can object to them for `TO_OBJECT` more."""
    with store.read() as look:
        due = [row.id for row in cards.auto_due(look, 100) if row.tenant == tenant]

    def verb(tx: Tx, approval_id: str) -> None:
        if (card := cards.get(tx, approval_id)) is not None:
            rows.lock(tx, card.run_id)
            cards.hold(tx, approval_id, TO_OBJECT)

    for approval_id in due:
        store.transact(verb, approval_id)


def is_quiet(hours: str | None, zone: str) -> bool:
    """Whether it is within `hours` (`22:00-07:00`, the end is outside) in the zone now; never when there are none."""
    if hours is None:
        return False
    now = datetime.fromtimestamp(clock.now() // clock.SECOND, schedule.zone_of(zone))
    begin, _, end = hours.partition("-")
    at = now.strftime("%H:%M")
    return begin <= at < end if begin < end else at >= begin or at < end


def _auto(tx: Tx, approval_id: str, args_hash: str, tenant: str, token: str) -> None:
    card = cards.get(tx, approval_id)
    if card is None:
        return
    rows.lock(tx, card.run_id)
    cards.lock_auto(tx, tenant)
    if stop.stopped(tx, tenant) is not None:
        cards.hold(tx, approval_id, TO_OBJECT)
        return
    if cards.auto_last_hour(tx, tenant) >= AUTO_PER_HOUR:
        return
    _decided_by_clock(
        tx,
        approval_id,
        args_hash,
        "auto_approve",
        via="auto",
        token=token,
        reason="low risk, nobody objected",
    )


def _decided_by_clock(
    tx: Tx, approval_id: str, args_hash: str, decision: str, *, via: str, token: str, **why: str
) -> None:
    wanted = Decision(
        approval_id=approval_id,
        decision=decision,
        by="timer",
        via=via,
        token=token,
        args_hash=args_hash,
        **why,
    )
    try:
        approvals.decide(tx, wanted)
    except (errors.AlreadyDecided, errors.StaleHash):
        return  # somebody was first: that is the answer
