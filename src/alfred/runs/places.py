"""Places at a provider: how many runs of a tenant ask it at the same moment, over all processes of a ledger.

Invariants:
- A place is a mark on the row of a running run, so that it ends with the hold on that run: a holder that died has none when
  its run was taken back, and who claims a run has none. It is taken behind a lock, after a count.
- A run that finds no place is parked on a timer, with another mark; whoever gives a place back hands it to the oldest
  of those, for whom it is kept for a moment, by a mark that ends with that moment: it may ask somebody else. Should that be
  lost, the timer wakes it.
"""

from __future__ import annotations

from alfred import clock
from alfred.runs import ledger, rows
from alfred.runs.rows import Lease
from alfred.runs.states import Wait
from alfred.store.statement import Sql
from alfred.store.tx import Tx

LOOKS_AGAIN = 15 * clock.SECOND
"""How long a run waits for a place before it looks for itself."""

KEPT = 5 * clock.SECOND
"""How long a place is kept for a run that it was handed to, until that takes it."""

_HELD = Sql(
    "select count(*) from runs where tenant=:tenant and asks in(:provider,'+'||:provider) and id<>:id"
    " and (asks=:provider and status='running'"
    " or asks<>:provider and status in('queued','running') and ready_at>alfred_now()-:kept)"
)
_TAKE = Sql(
    "update runs set asks=:provider where id=:id and attempt=:attempt and status='running' and cancel=0"
)
_GIVE_BACK = Sql("update runs set asks=null where id=:id and attempt=:attempt and asks=:provider")
_WAITS = Sql("update runs set asks='?'||:provider where id=:id")
_NEXT = Sql(
    "select id,park_no from runs where tenant=:tenant and asks='?'||:provider"
    " and status='parked' and wait='timer' order by id limit 1"
)
_KEEP = Sql("update runs set asks='+'||:provider where id=:id and status='queued'")


def take(tx: Tx, lease: Lease, provider: str, most: int) -> bool:
    """Takes one of `most` places for the run that is held. False when there is none, or the run is not held any more."""
    rows.lock(tx, lease.run_id)
    if _held(tx, lease.tenant, provider, but=lease.run_id) >= most:
        return False
    return tx(_TAKE, id=lease.run_id, attempt=lease.attempt, provider=provider).rowcount == 1


def give_back(tx: Tx, lease: Lease, provider: str) -> None:
    """The provider has answered."""
    tx(_GIVE_BACK, id=lease.run_id, attempt=lease.attempt, provider=provider)


def wait(tx: Tx, run_id: str, provider: str) -> None:
    """The run waits for a place: written with its park."""
    tx(_WAITS, id=run_id, provider=provider)


def hand_over(tx: Tx, tenant: str, provider: str, most: int) -> None:
    """Wakes the oldest run that waits for a place, if there is one, and keeps it for that. In a transaction of its own:
    it locks another run."""
    found = tx(_NEXT, tenant=tenant, provider=provider).one_or_none()
    if found is None:
        return
    rows.lock(tx, found.id)
    if _held(tx, tenant, provider, but=found.id) < most and ledger.wake(
        tx, found.id, (Wait.TIMER,), park_no=found.park_no
    ):
        tx(_KEEP, id=found.id, provider=provider)


def _held(tx: Tx, tenant: str, provider: str, *, but: str) -> int:
    """How many places are taken; whoever counts does so alone until the transaction ends."""
    tx.alone(f"asks:{tenant}:{provider}")
    return tx(_HELD, tenant=tenant, provider=provider, id=but, kept=KEPT).scalar_one()
