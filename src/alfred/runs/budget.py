"""Money and tokens: reserved before a model is asked, settled by what it took, counted against every cap at once.

Invariants:
- Nothing is asked that a cap does not hold at its worst price: a reservation raises `reserved` of all its
  scopes, each by one statement that repeats the cap, or it leaves nothing behind.
- A scope's `reserved` is the sum of its open reservations; `spent` what was settled, and what lapsed, in full:
  a process that died may have paid.
- A reservation is settled by its own id, never fenced by a run, also after it lapsed, and once.
- Scopes are always updated in the order of `_order`, money before tokens before turns, so that two transactions that
  share scopes cannot wait for each other. Who reserves or settles several in one transaction does it in that order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from alfred import clock, errors
from alfred.runs import ledger, rows, schedule
from alfred.runs.states import Wait
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_RESERVE = Sql(
    "insert into reservations(id,tenant,run_id,attempt,seq,scopes,day,amount,status,expires_at)"
    " values(:id,:tenant,:run_id,:attempt,:seq,:scopes,:day,:amount,'open',alfred_now()+:expires_us)"
    " on conflict do nothing"
)
_SCOPE = Sql(
    "insert into budgets(tenant,scope,day,cap) values(:tenant,:scope,:day,:cap) on conflict do nothing"
)
_TAKE = Sql(
    "update budgets set reserved=reserved+:amount,cap=:cap"
    " where tenant=:tenant and scope=:scope and day=:day"
    " and (cast(:cap as bigint) is null or reserved+spent+:amount<=:cap)"
)
_HELD = Sql("select reserved+spent from budgets where tenant=:tenant and scope=:scope and day=:day")
_SHORT_SCOPE = "{pg:state::json->'unpaid'->>'scope'}{sqlite:json_extract(state,'$.unpaid.scope')}"
_SHORT_BY = "{pg:state::json->'unpaid'->>'amount'}{sqlite:json_extract(state,'$.unpaid.amount')}"
_UNPAID = Sql(
    f"select id,tenant,agent,root_id as root,max_cost,park_no,{_SHORT_SCOPE} as scope,{_SHORT_BY} as amount"
    " from runs where status='parked' and wait='budget' and wake_at>alfred_now()"
    " and state like '%\"unpaid\"%' order by wake_at,id"
)
_WOKEN = Sql(
    f"select tenant,{_SHORT_SCOPE} as scope,sum(cast({_SHORT_BY} as bigint)) as amount from runs"
    " where status='queued' and state like '%\"unpaid\"%' group by 1,2"
)
_FIND = Sql("select tenant,scopes,day,amount,status from reservations where id=:id {lock}")
_SETTLED = Sql(
    "update reservations set status='settled',actual=:actual where id=:id and status=:was"
)
_COUNT = Sql(
    "update budgets set reserved=reserved-:freed,spent=spent+:spent"
    " where tenant=:tenant and scope=:scope and day=:day"
)
_EXPIRED = Sql(
    "select id,tenant,scopes,day,amount from reservations"
    " where status='open' and expires_at<=alfred_now() order by expires_at,id limit :limit {skip}"
)
_LAPSED = Sql("update reservations set status='lapsed' where id=:id and status='open'")

_STEPS_OF_TREE = Sql(
    "with recursive tree(id,turn) as (select id,turn from runs where id=:root"
    " union all select r.id,r.turn from runs r join tree t on r.parent_id=t.id) select coalesce(sum(turn),0) from tree"
)
_ABOVE = Sql(
    "with recursive up(id,parent_id,max_cost) as (select id,parent_id,max_cost from runs where id=:id"
    " union all select r.id,r.parent_id,r.max_cost from runs r join up on r.id=up.parent_id)"
    " select id,max_cost from up"
)
UNPAID = "unpaid"
"""Where the state of a run that waits on `budget` says what did not fit: `{"scope","amount"}`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reservation counts against.

    Args:
        name: `day`, `agent:<id>` or `run:<root>`, or what `beyond` makes of one; the ones that count tokens end with
            `:tokens`.
        day: The tenant's date; empty for a run.
        cap: The most that may be reserved and spent, micro-USD or tokens; None for no cap.
    """

    name: str
    day: str
    cap: int | None


class BudgetFull(errors.AlfredError):
    """A cap leaves no room."""

    code: ClassVar[str] = "budget_full"
    status: ClassVar[int] = 429

    def __init__(self, scope: Scope, *, held: int, amount: int):
        what = {"usd": "micro-USD"}.get(unit(scope.name), unit(scope.name))
        super().__init__(
            f"The budget {scope.name!r} has {held} of {scope.cap} {what} taken; {amount} more do not fit.",
            next="Wait for the next day, or raise the cap under `budget` in config.yaml.",
        )
        self.scope = scope.name
        self.amount = amount


def reserve(
    tx: Tx,
    *,
    id: str,
    tenant: str,
    run_id: str,
    attempt: int,
    seq: int,
    day: str,
    amount: int,
    scopes: Sequence[Scope],
    expires_us: int,
) -> None:
    """Takes `amount` out of every scope, or out of none. Reserving an id again changes nothing.

    In a transaction of its own (a day's row is wanted by every run of the tenant). The caps that are given now
    are the ones that count.

    Args:
        id: The request's, with its unit.
        day: The tenant's date now; the reservation stays with it over midnight.
        amount: The worst case, micro-USD or tokens: one unit a reservation.
        expires_us: After so many microseconds nobody settles it any more, and it counts as spent.

    Raises:
        BudgetFull: a cap is reached. It must leave the transaction, which takes everything back.
        ValueError: a negative amount, a scope's day that is not this one's, a name that cannot be stored.
    """
    ordered = sorted(scopes, key=lambda scope: _order(scope.name))
    for scope in ordered:
        if scope.day != _day_of(scope.name, day) or "|" in scope.name:
            raise ValueError(f"{scope!r} is no scope of the day {day!r}.")
    if amount < 0:
        raise ValueError(f"{amount} cannot be reserved.")
    names = "".join(f"|{scope.name}" for scope in ordered) + "|"
    made = tx(
        _RESERVE,
        id=id,
        tenant=tenant,
        run_id=run_id,
        attempt=attempt,
        seq=seq,
        scopes=names,
        day=day,
        amount=amount,
        expires_us=expires_us,
    )
    if made.rowcount == 0:
        return
    for scope in ordered:
        key = {"tenant": tenant, "scope": scope.name, "day": scope.day}
        if tx(_TAKE, **key, amount=amount, cap=scope.cap).rowcount:
            continue
        made = tx(_SCOPE, **key, cap=scope.cap)
        # Somebody else may have made it, or the cap is full: the guard of the same statement says which.
        if tx(_TAKE, **key, amount=amount, cap=scope.cap).rowcount == 0:
            raise BudgetFull(scope, held=tx(_HELD, **key).scalar() or 0, amount=amount)


def settle(tx: Tx, id: str, actual: int) -> bool:
    """What a reservation came to, micro-USD or tokens. False when it was settled before, or never made.

    One that has lapsed counted as spent in full: the difference is corrected.
    """
    found = tx(_FIND, id=id).one_or_none()
    if found is None or found.status == "settled":
        return False
    if tx(_SETTLED, id=id, actual=actual, was=found.status).rowcount == 0:
        return False
    lapsed = found.status == "lapsed"
    freed, spent = (0, actual - found.amount) if lapsed else (found.amount, actual)
    _count(tx, ((key, (freed, spent)) for key in _keys(found)))
    return True


def lapse(tx: Tx, *, limit: int = 200) -> int:
    """open -> lapsed, for reservations that nobody settled in time: they count as spent. How many there were."""
    changes: dict[tuple[str, str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    lapsed = 0
    for found in tx(_EXPIRED, limit=limit).all():
        if tx(_LAPSED, id=found.id).rowcount == 0:
            continue
        lapsed += 1
        for key in _keys(found):
            freed, spent = changes[key]
            changes[key] = (freed + found.amount, spent + found.amount)
    _count(tx, changes.items())
    return lapsed


def beyond(run_id: str, scope: str) -> str:
    """The scope of what a run may take when that one has no room: nobody else's reservations are in it."""
    return f"beyond:{run_id}:{scope}"


def unit(scope: str) -> str:
    """What a scope counts, by its name: `usd` (in millionths), `tokens` or `turns`; an agent may be called so itself."""
    named = scope.split(":")[2:] if scope.startswith("beyond:") else scope.split(":")
    whose = 1 if named[0] == "day" else 2
    return named[-1] if len(named) > whose and named[-1] in ("tokens", "turns") else "usd"


def _order(name: str) -> tuple[int, str]:
    return ("usd", "tokens", "turns").index(unit(name)), name


def _day_of(name: str, day: str) -> str:
    return "" if name.startswith("run:") else day


def _keys(found: Any) -> list[tuple[str, str, str]]:
    names = found.scopes.strip("|").split("|") if found.scopes.strip("|") else []
    return [(found.tenant, name, _day_of(name, found.day)) for name in names]


def _count(tx: Tx, changes: Iterable[tuple[tuple[str, str, str], tuple[int, int]]]) -> None:
    for (tenant, scope, day), (freed, spent) in sorted(
        changes, key=lambda change: (*_order(change[0][1]), change[0])
    ):
        tx(_COUNT, tenant=tenant, scope=scope, day=day, freed=freed, spent=spent)


# ---- who waits ----


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that is parked because `amount` did not fit under the cap of `scope`."""

    id: str
    tenant: str
    agent: str
    root: str
    max_cost: int | None
    park_no: int
    scope: str
    amount: int


def unpaid(tx: Tx) -> list[Waiting]:
    """The runs that wait for a cap, of every tenant; those whose deadline is over the sweep wakes anyway."""
    return [
        Waiting(**row._asdict() | {"amount": int(row.amount)})
        for row in tx(_UNPAID).all()
        if row.scope is not None and row.amount is not None
    ]


def woken(tx: Tx) -> dict[tuple[str, str], int]:
    """What those need that were woken for it and did not come to ask for it yet, by tenant and scope."""
    rows_ = tx(_WOKEN).all()
    return {(row.tenant, row.scope): int(row.amount) for row in rows_ if row.scope is not None}


def held(tx: Tx, tenant: str, scope: str, day: str) -> int:
    """What is reserved and spent of a scope on this day, micro-USD, tokens or turns."""
    key = {"tenant": tenant, "scope": scope, "day": _day_of(scope, day)}
    return int(tx(_HELD, **key).scalar() or 0)


def wake_unpaid(tx: Tx, run: Waiting) -> bool:
    """parked -> queued, when it is still in the park that was looked at."""
    rows.lock(tx, run.id)
    return ledger.wake(tx, run.id, (Wait.BUDGET,), park_no=run.park_no)


# ---- days ----


def day(zone: str) -> str:
    """Today's date in the tenant's zone: `2026-11-21`."""
    return schedule.day(clock.now(), zone)


def until_tomorrow(zone: str) -> int:
    """Microseconds until the zone's next day begins: how long a full day budget is waited for."""
    now = clock.now()
    return schedule.midnight(now, zone, days=1) - now


# ---- trees of runs ----


def steps_of_tree(tx: Tx, root: str) -> int:
    """Steps that a run and everything below it have committed, but for those in which they began to wait: whoever waits for
    a place at a provider looks again four times a minute, and does nothing."""
    return int(tx(_STEPS_OF_TREE, root=root).scalar_one())


def caps_of_chain(tx: Tx, run_id: str) -> dict[str, int | None]:
    """What a run and each one above it may cost at most, micro-USD, by their ids."""
    return {row.id: row.max_cost for row in tx(_ABOVE, id=run_id).all()}
