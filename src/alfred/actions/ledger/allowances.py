"""Going on in spite of a budget that is used up: the calls that ask a person whether a run may, and what they allowed.

Invariants: such a call is alfred's own, so it has a turn that no turn of a run has; what is allowed is one run's, on one
day, beyond one cap, by the amount that its card showed; a run that is being driven waits for nobody's yes, so its card
goes when somebody takes the run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from alfred.actions.ledger import calls
from alfred.actions.ledger.approvals import NewCard
from alfred.store.guarded import Guarded
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import labels

ACTION = "budget.raise"

TURN = -1

_TARGETS = Sql(
    f"select target from calls where run_id=:run_id and turn={TURN} and status=:status order by ordinal"
)
_MADE = Sql(f"select count(*) from calls where run_id=:run_id and turn={TURN}")
_OPEN = Sql(f"select 1 from calls where run_id=:run_id and turn={TURN} and status='staged'")
_ASKING = Sql(
    "select count(*) from (select 1 from approvals where tenant=:tenant and status='pending'"
    f" and action='{ACTION}' and title=:title limit :most) asked"
)
_WITHDRAW = Guarded(
    f"update calls set status='skipped' where run_id=:run_id and turn={TURN} and status='staged' returning id",
    "update notices set want=want+1 from held where approval_id in("
    "select id from approvals where call_id=held.id and status='pending')",
    "update approvals set status='superseded',decided_at=alfred_now() from held"
    " where call_id=held.id and status='pending'",
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So much more of a scope on a day, for one run: micro-USD, tokens or turns."""

    scope: str
    day: str
    amount: int

    def encode(self) -> str:
        return json.dumps({"scope": self.scope, "day": self.day, "amount": self.amount})


def asked(tx: Tx, call_id: str) -> Allowance | None:
    """What a call asks for, None when it is a call of a model."""
    call = calls.get(tx, call_id)
    if call is None or call.turn != TURN or call.target is None:
        return None
    return Allowance(**json.loads(call.target))


def allowed(tx: Tx, run_id: str, scope: str, day: str) -> int | None:
    """How much people have allowed a run beyond the cap of a scope on a day; None when nobody has."""
    found = [one.amount for one in _of(tx, run_id, "done") if (one.scope, one.day) == (scope, day)]
    return sum(found) if found else None


def declined(tx: Tx, run_id: str, scope: str, day: str) -> bool:
    """Whether somebody has said no on this day."""
    return any((one.scope, one.day) == (scope, day) for one in _of(tx, run_id, "rejected"))


def asking(tx: Tx, tenant: str, title: str, *, most: int) -> int:
    """How many runs of a tenant have an open card of this title: of them, so many at most are counted. Who counts them
    counts alone, until the transaction ends."""
    tx.alone(f"asking:{tenant}")
    return tx(_ASKING, tenant=tenant, title=title, most=most).scalar_one()


def stage(tx: Tx, card: NewCard, more: Allowance, args: str, *, why: str) -> None:
    """Makes the call that a card asks about. Caller holds the run's lock.

    Args:
        args: What it says of `more`, as the card shows it.
        why: What is kept for whoever asks how it was decided that a person is asked.
    """
    call = calls.NewCall(
        id=card.call_id,
        run_id=card.run_id,
        turn=TURN,
        ordinal=tx(_MADE, run_id=card.run_id).scalar_one(),
        action=ACTION,
        args=args,
        args_hash=card.args_hash,
        effect="pure",
        **labels.halves(labels.TRUSTED),
    )
    calls.propose(tx, [call])
    staged = calls.Judgement(
        call_id=card.call_id,
        status="staged",
        action=ACTION,
        effect="pure",
        risk=card.risk,
        args=args,
        args_hash=card.args_hash,
        target=more.encode(),
        preview=card.preview,
        decision=json.dumps({"verdict": "stage", "reason": why}, ensure_ascii=False),
        question=True,
    )
    calls.judge(tx, staged)


def is_open(tx: Tx, run_id: str) -> bool:
    """Whether a person is being asked."""
    return tx(_OPEN, run_id=run_id).scalar() is not None


def withdraw(tx: Tx, run_id: str) -> None:
    """staged -> skipped, its card superseded: the run goes on without a yes. Caller holds the run's lock."""
    _WITHDRAW(tx, run_id=run_id)


def _of(tx: Tx, run_id: str, status: str) -> list[Allowance]:
    found = tx(_TARGETS, run_id=run_id, status=status).scalars()
    return [Allowance(**json.loads(target)) for target in found]
