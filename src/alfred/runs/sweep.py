"""Repairs what a crash, a lost signal or a clock left behind: one pass is one `beat`.

Every statement repeats what the look before it saw, one run per transaction, so that any number of sweepers
may run at once and none can undo what a live worker does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from alfred import clock, ids
from alfred.runs import endings, idempotency, leases, ledger, outbox, rows, stop
from alfred.runs.states import Wait
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two beats of the sweep."""

_DUE = Sql(
    "select id,park_no,wait from runs where status='parked' and wake_at<=alfred_now()"
    " order by wake_at limit :limit"
)
_FORGOTTEN = Sql(
    "select id from runs where status='queued' and cancel=0 and driver='worker' and ready_at<=alfred_now()"
    " and woken_at<alfred_now()-:age and ready_at<alfred_now()-:age order by priority,ready_at,id limit :limit"
)
_WOKEN = Sql("update runs set woken_at=alfred_now() where id=:id and status='queued'")

_LATER = Sql(
    "update runs set wake_at=alfred_now()+:later where id=:id and status='parked' and park_no=:park_no"
)
_TOO_FAR = Sql(
    "update runs set ready_at=alfred_now() where status='queued' and ready_at>alfred_now()+:far"
)

_ANY_TOO_FAR = Sql(
    "select 1 from runs where status='queued' and ready_at>alfred_now()+:far limit 1"
)
_OVERLONG = Sql(
    "select id from runs where status='parked' and wake_at>alfred_now()+park_us+:slack limit :limit"
)
_SHORTENED = Sql(
    "update runs set wake_at=alfred_now()+park_us where id=:id and status='parked'"
    " and wake_at>alfred_now()+park_us"
)
_ANY_OLD_KEY = Sql("select 1 from idem where at<alfred_now()-:age limit 1")

FAR = clock.HOUR
"""Nothing is put off for so long: a run that is ready only then was queued by a clock that was wrong."""

SLACK = clock.MINUTE
"""By so much a clock may be put back without a deadline moving."""

STOPS = 10 * clock.SECOND
"""Between the two commits of a stop there is less time than this, unless whoever stops was killed."""

KEYS_KEPT = 2 * clock.DAY
"""Longer than anybody sends the same request again (product: 24 hours)."""

_TIMED = (Wait.TIMER, Wait.CHILDREN, Wait.EVENT, Wait.BUDGET, Wait.LIMIT)
"""Waits whose deadline simply wakes the run. A card's deadline is its expiry, which decides it."""

Beat = Callable[[Store], None]


def beat(store: Store, *, free_slots: int = 0, others: Sequence[Beat] = ()) -> None:
    """One pass: a stop that was cut short, leases of the gone and the lapsed, cancels nobody honours, due timers, lost wakes; then `others`.

    Args:
        free_slots: how many lost wakes may be repeated: more would only be refused by a full cap.
        others: beats of upper floors (expiry of cards, crons, delivery), filled in `app`.
    """
    for part in (
        _half_stopped,
        _gone_workers,
        _lapsed,
        _cancelled,
        _shorten,
        _due,
        _put_right,
        *others,
    ):
        try:
            part(store)
        except Exception:
            log.exception("sweep: %s failed", getattr(part, "__name__", part))
    if free_slots:
        _lost_wakes(store, free_slots)


def release_gone(store: Store) -> int:
    """At start: runs of workers of this machine whose process is provably gone are queued at once."""
    with store.read() as look:
        dead = [worker for worker in leases.workers(look) if leases.gone(worker)]
    released = 0
    for worker in dead:
        with store.read() as look:
            held = leases.held_by(look, worker.id)
        same_boot = worker.boot == leases.boot()
        for seen in held:
            released += store.transact(leases.reclaim, seen, gone=True, counts=same_boot)
        store.transact(leases.leave, worker.id)
    return released


def _half_stopped(store: Store) -> None:
    with store.read() as look:
        half = stop.half(look, after_us=STOPS)
    for tenant, by in half:
        store.transact(stop.stop, tenant, by=by, token=ids.new())


def _gone_workers(store: Store) -> None:
    release_gone(store)
    store.transact(leases.forget)


def _lapsed(store: Store) -> None:
    with store.read() as look:
        lapsed = leases.lapsed(look)
    for seen in lapsed:
        store.transact(leases.reclaim, seen)


def _cancelled(store: Store) -> None:
    with store.read() as look:
        cancelled = leases.cancelled(look)
    for run_id in cancelled:
        store.transact(endings.honour_cancel, run_id)


def _due(store: Store) -> None:
    with store.read() as look:
        due = look(_DUE, limit=100).all()
    for row in due:
        store.transact(_wake_due, row.id, row.park_no, Wait(row.wait))


def _shorten(store: Store) -> None:
    """A park never lasts longer, from now on, than it was to last in all: one that would was made while the clock was
    ahead. Which of the two clocks was wrong nobody can say; either way it has waited no longer than its length since."""
    with store.read() as look:
        overlong = look(_OVERLONG, slack=SLACK, limit=100).scalars()
    for run_id in overlong:
        store.transact(_last_no_longer, run_id)


def _last_no_longer(tx: Tx, run_id: str) -> None:
    rows.lock(tx, run_id)
    tx(_SHORTENED, id=run_id)


def _put_right(store: Store) -> None:
    """What a wrong clock has queued for a time that nobody lives to see; keys and messages that nobody asks for any more."""
    with store.read() as look:
        wrong = look(_ANY_TOO_FAR, far=FAR).scalar()
        old = look(_ANY_OLD_KEY, age=KEYS_KEPT).scalar()
        said = outbox.any_old(look)
    if wrong:
        store.transact(lambda tx: tx(_TOO_FAR, far=FAR))
    if old:
        store.transact(idempotency.forget, age_us=KEYS_KEPT)
    if said:
        store.transact(outbox.forget)


def _wake_due(tx: Tx, run_id: str, park_no: int, wait: Wait) -> None:
    rows.lock(tx, run_id)
    if wait in _TIMED:
        ledger.wake(tx, run_id, (wait,), park_no=park_no, due=True)
    else:
        # People are waited for through their cards; should all cards be decided, the run was left behind. Else it is
        # looked at later again, or a hundred of them would hide everybody's timers.
        ledger.wake_decided(tx, run_id)
        tx(_LATER, id=run_id, park_no=park_no, later=clock.HOUR)


def _lost_wakes(store: Store, free_slots: int) -> None:
    with store.read() as look:
        forgotten = [
            row.id
            for row in look(_FORGOTTEN, age=int(INTERVAL * clock.SECOND), limit=free_slots).all()
        ]
    for run_id in forgotten:
        store.transact(_wake_again, run_id)


def _wake_again(tx: Tx, run_id: str) -> None:
    if tx(_WOKEN, id=run_id).rowcount:
        tx.wakes.add(run_id)
