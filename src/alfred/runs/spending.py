"""What models were asked and what that took, one row for each request, and the sums that people are told.

Invariants:
- A request is a row of its own id, once, whatever came of it.
- What has no known price is told as unknown, never as nothing; what a subscription includes is kept and never counted.
"""

from __future__ import annotations

from typing import Any

from alfred import clock
from alfred.runs import events, schedule, shapes
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact

_USAGE = Sql(
    "insert into usage(id,run_id,tenant,agent,turn,seq,attempt,purpose,model,model_served,input_tokens,"
    "output_tokens,cache_read_tokens,cache_write_tokens,cost,notional,outcome,detail,at)"
    " values(:id,:run_id,:tenant,:agent,:turn,:seq,:attempt,:purpose,:model,:model_served,:input_tokens,"
    ":output_tokens,:cache_read_tokens,:cache_write_tokens,:cost,:notional,:outcome,:detail,alfred_now())"
    " on conflict do nothing"
)
_CHARGED = "sum(case when notional=0 then cost end)"
_FAILED = Sql(
    "select count(*) from usage where run_id=:run_id and turn=:turn and purpose=:purpose"
    " and outcome not in('ok','crash','cancelled')"
)
_SINCE = "from usage where tenant=:tenant and at>=:since"
_TODAY = Sql(f"select coalesce({_CHARGED},0) {_SINCE}")
_HAS_NO_PRICE = "notional=0 and cost is null and input_tokens+output_tokens>0"
_UNPRICED = Sql(f"select count(*) {_SINCE} and {_HAS_NO_PRICE}")
COST = (
    f"case when max(case when {_HAS_NO_PRICE} then 1 else 0 end)=1"
    f" then {_CHARGED} else coalesce({_CHARGED},0) end"
)
"""What rows of `usage` cost together, wherever that is told: what is known of it, null where nothing is. What used no token,
a request that was refused say, cost nothing, and so did what a subscription includes."""

_BY_AGENT = Sql(f"select agent as name, {COST} as cost {_SINCE} group by agent order by agent")
_BY_MODEL = Sql(
    f"select coalesce(model_served,model) as name, {COST} as cost {_SINCE}"
    " group by coalesce(model_served,model) order by name"
)
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_SUMS = ",".join(f"cast(coalesce(sum({name}),0) as bigint) as {name}" for name in _TOKENS)
_USED = Sql(f"select {_SUMS} {_SINCE}")
_RUNS = Sql(f"select count(distinct run_id) {_SINCE}")
_BY_RUN = Sql(
    f"select run_id, agent, {COST} as cost, {_SUMS} {_SINCE} group by run_id, agent"
    f" order by coalesce({COST},0) desc, run_id desc limit :limit"
)


def record(
    tx: Tx,
    *,
    id: str,
    run_id: str,
    tenant: str,
    agent: str,
    turn: int,
    seq: int,
    attempt: int,
    purpose: str,
    model: str,
    outcome: str,
    model_served: str | None = None,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    cost: int | None = None,
    notional: bool = False,
    detail: str | None = None,
) -> None:
    """Writes the row of one model request, once, and tells whoever watches.

    Args:
        turn: Boss answers that the run had committed when it asked.
        outcome: `ok`, or the kind of the failure; `crash` and `cancelled` are not the provider's.
        cost: Micro-USD; None when no price is known.
        notional: The figure is a subscription's own: it is kept, and never counted as spent.
    """
    made = tx(
        _USAGE,
        id=id,
        run_id=run_id,
        tenant=tenant,
        agent=agent,
        turn=turn,
        seq=seq,
        attempt=attempt,
        purpose=purpose,
        model=model,
        model_served=model_served,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
        cost=cost,
        notional=int(notional),
        outcome=outcome,
        detail=None if detail is None else redact.redact(detail),
    )
    if made.rowcount:
        events.emit(
            tx,
            tenant=tenant,
            run_id=run_id,
            kind="spend",
            id=id,
            model=model,
            purpose=purpose,
            outcome=outcome,
            cost=cost,
            tokens=input_tokens + output_tokens,
        )


def failed_requests(tx: Tx, run_id: str, turn: int, *, purpose: str = "boss") -> int:
    """How often the provider failed the run since its last committed answer."""
    return tx(_FAILED, run_id=run_id, turn=turn, purpose=purpose).scalar_one()


def spent_today(tx: Tx, tenant: str, zone: str) -> int:
    """Micro-USD that the tenant was charged since its midnight."""
    since = schedule.midnight(clock.now(), zone)
    return int(tx(_TODAY, tenant=tenant, since=since).scalar_one())


def unpriced_today(tx: Tx, tenant: str, zone: str) -> int:
    """How many requests since the tenant's midnight used tokens whose price is not known."""
    since = schedule.midnight(clock.now(), zone)
    return tx(_UNPRICED, tenant=tenant, since=since).scalar_one()


def runs_today(tx: Tx, tenant: str, zone: str) -> int:
    """How many runs of the tenant have asked a model since its midnight."""
    since = schedule.midnight(clock.now(), zone)
    return tx(_RUNS, tenant=tenant, since=since).scalar_one()


def tokens_today(tx: Tx, tenant: str, zone: str) -> dict[str, int]:
    """Tokens that the tenant's requests used since its midnight: in, out, and of those in what was read from a provider's
    cache, and written to it."""
    since = schedule.midnight(clock.now(), zone)
    return tx(_USED, tenant=tenant, since=since).one()._asdict()


def spend(tx: Tx, tenant: str, zone: str, *, limit: int = 50) -> dict[str, Any]:
    """Today's spending, as `alfred spend` tells it: the whole, the dearest runs (of `runs_today`), each agent, each model;
    in USD. Tokens that were read from a provider's cache or written to it are among the input.

    None where no price of anything is known. What has known and unknown prices is told as what is known, and so is the
    whole: with `unpriced_today` it is a lower bound.
    """
    since = schedule.midnight(clock.now(), zone)
    told = {"tenant": tenant, "since": since}
    return {
        "today_usd": shapes.usd(int(tx(_TODAY, **told).scalar_one())),
        "runs": [
            {
                "id": row.run_id,
                "agent": row.agent,
                "cost_usd": shapes.usd(row.cost),
                **{name: getattr(row, name) for name in _TOKENS},
            }
            for row in tx(_BY_RUN, **told, limit=limit).all()
        ],
        "by_agent": {row.name: shapes.usd(row.cost) for row in tx(_BY_AGENT, **told).all()},
        "by_model": {row.name: shapes.usd(row.cost) for row in tx(_BY_MODEL, **told).all()},
    }
