"""Budgets on both databases: nothing is overspent, nothing that was spent is forgotten, nothing counts twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alfred import clock, ids
from alfred.runs import blocks, budget, ledger, overview, spending
from alfred.runs.budget import Scope
from alfred.runs.rows import NewRun
from alfred.runs.states import Wait
from alfred.store import connect
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.trouble import IntegrityError
from alfred.store.tx import Tx
from tests.ledger.core import Core
from tests.table import table

DAY = "2026-11-21"
SOON = clock.MINUTE


def scopes(day: int | None = None, run: int | None = None, agent: int | None = None) -> list[Scope]:
    return [Scope("run:R", "", run), Scope("day", DAY, day), Scope("agent:main", DAY, agent)]


def reserve(
    store: Store,
    amount: int,
    wanted: Sequence[Scope],
    *,
    id: str | None = None,
    tenant: str = "main",
    day: str = DAY,
    expires_us: int = SOON,
) -> str:
    made = id or ids.new()
    store.transact(
        budget.reserve,
        id=made,
        tenant=tenant,
        run_id="R",
        attempt=1,
        seq=0,
        day=day,
        amount=amount,
        scopes=wanted,
        expires_us=expires_us,
    )
    return made


def held(store: Store, scope: str = "day", day: str = DAY, tenant: str = "main") -> tuple[int, int]:
    """(reserved, spent) of a scope."""
    with store.read() as look:
        row = look(
            Sql("select reserved,spent from budgets where tenant=:t and scope=:s and day=:d"),
            t=tenant,
            s=scope,
            d=day,
        ).one_or_none()
    return (row.reserved, row.spent) if row else (0, 0)


def expire(store: Store, *reservations: str) -> None:
    """Their time is over, on whichever clock the database goes by."""
    for id in reservations:
        store.transact(
            lambda tx, id=id: tx(Sql("update reservations set expires_at=1 where id=:id"), id=id)
        )


def assert_sums_hold(store: Store) -> None:
    """I19: a scope's `reserved` is the sum of its open reservations."""
    with store.read() as look:
        rows = look(Sql("select tenant,scope,day,reserved from budgets")).all()
        found = look(
            Sql("select tenant,scopes,day,amount from reservations where status='open'")
        ).all()
    for row in rows:
        mine = [
            r.amount
            for r in found
            if r.tenant == row.tenant and f"|{row.scope}|" in r.scopes and row.day in ("", r.day)
        ]
        assert row.reserved == sum(mine), row


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Runs `work(0..count-1)` from as many threads, all let go at once."""
    gate = threading.Barrier(count)

    def one(n: int) -> Any:
        gate.wait()
        return work(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


# ---- reserve ----


def test_a_reservation_counts_against_every_scope_and_settling_frees_it(store: Store) -> None:
    made = reserve(store, 100, scopes(1000, 1000, 1000))
    for scope, day in (("day", DAY), ("agent:main", DAY), ("run:R", "")):
        assert held(store, scope, day) == (100, 0)
    assert store.transact(budget.settle, made, 30)
    for scope, day in (("day", DAY), ("agent:main", DAY), ("run:R", "")):
        assert held(store, scope, day) == (0, 30)
    assert_sums_hold(store)


@pytest.mark.parametrize(
    ("caps", "full"),
    [
        ({"day": 99, "run": 500}, "day"),
        ({"day": 500, "run": 99}, "run:R"),
        ({"day": 500, "agent": 0}, "agent:main"),
    ],
)
def test_a_full_scope_is_named_and_nothing_is_left_behind(
    store: Store, caps: dict[str, int], full: str
) -> None:
    with pytest.raises(budget.BudgetFull) as refused:
        reserve(store, 100, scopes(**caps), id="x")
    assert refused.value.scope == full
    assert full in refused.value.detail
    assert held(store) == held(store, "run:R", "") == (0, 0)
    with store.read() as look:
        assert look(Sql("select count(*) from reservations")).scalar() == 0


def test_exactly_the_cap_fits_and_one_more_does_not(store: Store) -> None:
    reserve(store, 60, scopes(100))
    reserve(store, 40, scopes(100))
    reserve(store, 0, scopes(100))
    with pytest.raises(budget.BudgetFull):
        reserve(store, 1, scopes(100))


def test_what_was_spent_takes_room_like_what_is_reserved(store: Store) -> None:
    store.transact(budget.settle, reserve(store, 60, scopes(100)), 70)
    assert held(store) == (0, 70)
    with pytest.raises(budget.BudgetFull):
        reserve(store, 31, scopes(100))
    reserve(store, 30, scopes(100))


def test_the_cap_that_is_given_now_is_the_one_that_counts(store: Store) -> None:
    reserve(store, 100, scopes(100))
    with pytest.raises(budget.BudgetFull):
        reserve(store, 1, scopes(100))
    reserve(store, 50, scopes(150))
    reserve(store, 10_000, scopes(None))
    with pytest.raises(budget.BudgetFull):
        reserve(store, 1, scopes(200))


def test_reserving_an_id_again_changes_nothing(store: Store) -> None:
    made = reserve(store, 60, scopes(100))
    reserve(store, 60, scopes(100), id=made)
    assert held(store) == (60, 0)


def test_tenants_days_and_units_do_not_share_a_budget(store: Store) -> None:
    reserve(store, 100, [Scope("day", DAY, 100)])
    reserve(store, 100, [Scope("day", DAY, 100)], tenant="other")
    reserve(store, 100, [Scope("day", "2026-11-22", 100)], day="2026-11-22")
    reserve(store, 100, [Scope("day:tokens", DAY, 100)])
    reserve(store, 100, [Scope("agent:day", DAY, 100)])
    assert_sums_hold(store)


def test_a_reservation_stays_with_its_day_over_midnight(store: Store) -> None:
    made = reserve(store, 100, scopes(100))
    reserve(
        store, 100, [Scope("day", "2026-11-22", 100), Scope("run:R", "", None)], day="2026-11-22"
    )
    store.transact(budget.settle, made, 80)
    assert held(store) == (0, 80)
    assert held(store, day="2026-11-22") == (100, 0)
    assert held(store, "run:R", "") == (100, 80)
    assert_sums_hold(store)


@pytest.mark.parametrize(
    ("wanted", "amount"),
    [
        ([Scope("day", "2026-11-22", None)], 1),
        ([Scope("run:R", DAY, None)], 1),
        ([Scope("agent:a|day", DAY, None)], 1),
        ([Scope("day", DAY, None)], -1),
    ],
)
def test_what_could_not_be_settled_is_not_reserved(
    store: Store, wanted: list[Scope], amount: int
) -> None:
    with pytest.raises(ValueError, match=r"cannot be reserved|no scope"):
        reserve(store, amount, wanted)


# ---- races ----


@pytest.mark.parametrize("tight", ["agent", "day", "run"])  # in the order in which they are locked
@pytest.mark.slow
def test_two_hundred_at_the_edge_of_a_budget_never_overspend(store: Store, tight: str) -> None:
    caps = {"agent": 1000, "day": 1000, "run": 1000} | {tight: 555}

    def one(_: int) -> bool:
        try:
            reserve(store, 10, scopes(**caps))
        except budget.BudgetFull:
            return False
        return True

    assert sum(together(200, one)) == 55
    assert held(store) == (550, 0)
    assert_sums_hold(store)


def test_reserving_settling_and_lapsing_both_units_at_once_keeps_every_sum(store: Store) -> None:
    kept: list[int] = []

    def both(tx: Tx, id: str) -> None:
        for unit, suffix in (("usd", ""), ("tokens", ":tokens")):
            budget.reserve(
                tx,
                id=f"{id}:{unit}",
                tenant="main",
                run_id="R",
                attempt=1,
                seq=0,
                day=DAY,
                amount=10,
                scopes=[Scope(f"{s.name}{suffix}", s.day, 2000) for s in scopes()],
                expires_us=SOON,
            )

    def settle(tx: Tx, id: str) -> None:
        budget.settle(tx, f"{id}:usd", 7)
        budget.settle(tx, f"{id}:tokens", 9)

    def one(n: int) -> None:
        for _ in range(4):
            id = ids.new()
            store.transact(both, id)
            if n % 3 == 0:
                expire(store, f"{id}:usd", f"{id}:tokens")
                store.transact(budget.lapse)
            if n % 3 != 1:
                store.transact(settle, id)
                kept.append(1)

    together(12, one)
    assert_sums_hold(store)
    assert held(store)[1] == 7 * len(kept)
    assert held(store, "run:R:tokens", "")[1] == 9 * len(kept)


# ---- settle, lapse ----


def test_settling_twice_counts_once(store: Store) -> None:
    made = reserve(store, 100, scopes(1000))
    assert together(8, lambda _: store.transact(budget.settle, made, 30)).count(True) == 1
    assert not store.transact(budget.settle, made, 90)
    assert held(store) == (0, 30)
    assert not store.transact(budget.settle, "never made", 5)


def test_a_reservation_that_nobody_settles_counts_as_spent(store: Store) -> None:
    lost, alive = reserve(store, 100, scopes(1000)), reserve(store, 50, scopes(1000))
    assert store.transact(budget.lapse) == 0
    expire(store, lost)
    assert sum(together(4, lambda _: store.transact(budget.lapse))) == 1
    assert held(store) == (50, 100)
    assert store.transact(budget.settle, alive, 50)
    assert held(store) == (0, 150)


@pytest.mark.parametrize("actual", [0, 30, 100, 130])
def test_a_late_settlement_corrects_what_the_lapse_assumed(store: Store, actual: int) -> None:
    made = reserve(store, 100, scopes(1000))
    expire(store, made)
    store.transact(budget.lapse)
    assert store.transact(budget.settle, made, actual)
    assert not store.transact(budget.settle, made, actual)
    assert held(store) == held(store, "run:R", "") == (0, actual)
    assert_sums_hold(store)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["reserve", "settle", "expire", "lapse"]), st.integers(0, 90)),
        max_size=25,
    )
)
def test_any_order_of_events_keeps_the_sums_and_counts_each_request_once(
    sqlite_url: str, script: list[tuple[str, int]]
) -> None:
    store = connect.open_store(sqlite_url)
    before = held(store)[1]
    made: list[str] = []
    charged: dict[str, int] = {}
    for what, n in script:
        if what == "reserve":
            made.append(reserve(store, n, scopes()))
        elif what == "lapse":
            store.transact(budget.lapse)
        elif made and what == "expire":
            chosen = made[n % len(made)]
            if chosen not in charged:
                expire(store, chosen)
        elif made and store.transact(budget.settle, chosen := made[n % len(made)], n):
            assert chosen not in charged
            charged[chosen] = n
        assert_sums_hold(store)
    for id in made:
        if id not in charged:
            store.transact(budget.settle, id, 1)
            charged[id] = 1
    assert held(store)[1] - before == sum(charged.values())
    store.close()


# ---- usage ----


def run(store: Store, run_id: str, *, parent: str | None = None, root: str | None = None) -> None:
    new = NewRun(
        id=run_id,
        workflow="agent",
        step="boss-turn",
        parent_id=parent,
        parent_call=run_id if parent else None,
        root_id=root,
        depth=1 if parent else 0,
    )
    assert store.transact(ledger.start, new)


def usage(**changes: Any) -> dict[str, Any]:
    return {
        "id": ids.new(),
        "run_id": "R",
        "tenant": "main",
        "agent": "main",
        "turn": 0,
        "seq": 0,
        "attempt": 1,
        "purpose": "boss",
        "model": "scripted:x",
        "outcome": "ok",
    } | changes


def test_a_request_is_recorded_once_and_told_once(store: Store) -> None:
    run(store, "R")
    row = usage(cost=4000, input_tokens=900, output_tokens=80)
    for _ in range(3):
        store.transact(spending.record, **row)
    with store.read() as look:
        assert spending.spent_today(look, "main", "UTC") == 4000
        assert spending.tokens_today(look, "main", "UTC")["input_tokens"] == 900
        told = look(Sql("select body from events where kind='spend'")).all()
    assert [json.loads(row.body)["cost"] for row in told] == [4000]


def test_an_unknown_price_and_a_notional_one_cost_nothing_and_count_their_tokens(
    store: Store,
) -> None:
    run(store, "R")
    store.transact(spending.record, **usage(cost=None, input_tokens=5))
    store.transact(spending.record, **usage(cost=9999, notional=True, input_tokens=6))
    store.transact(spending.record, **usage(cost=1, input_tokens=7))
    with store.read() as look:
        assert spending.tokens_today(look, "main", "UTC")["input_tokens"] == 18
        assert spending.spent_today(look, "main", "UTC") == 1


def test_failed_requests_are_those_of_the_provider_for_this_turn(store: Store) -> None:
    run(store, "R")
    for changes in (
        {"outcome": "rate_limit"},
        {"outcome": "malformed"},
        {"outcome": "ok"},
        {"outcome": "crash"},
        {"outcome": "cancelled"},
        {"outcome": "network", "turn": 1},
        {"outcome": "network", "purpose": "compact"},
    ):
        store.transact(spending.record, **usage(**changes))
    with store.read() as look:
        assert spending.failed_requests(look, "R", 0) == 2
        assert spending.failed_requests(look, "R", 1) == 1
        assert spending.failed_requests(look, "R", 2) == 0
        assert spending.failed_requests(look, "other", 0) == 0


def test_spend_tells_today_by_run_agent_and_model(store: Store) -> None:
    run(store, "R")
    run(store, "S")
    for changes in (
        {"cost": 4000, "input_tokens": 900, "output_tokens": 80, "cache_read_tokens": 700}
        | {"cache_write_tokens": 100},
        {"cost": 500, "agent": "ops", "run_id": "S", "model": "openai:m", "model_served": "m-1"},
        {"cost": None, "run_id": "S", "agent": "ops", "input_tokens": 10},
        {"cost": 77, "tenant": "other"},
    ):
        store.transact(spending.record, **usage(**changes))
    long_ago = usage(cost=1_000_000)
    store.transact(spending.record, **long_ago)
    store.transact(lambda tx: tx(Sql("update usage set at=1 where id=:id"), id=long_ago["id"]))
    with store.read() as look:
        told = spending.spend(look, "main", "Europe/Berlin")
        assert told == {
            "today_usd": 0.0045,
            "runs": [
                {
                    "id": "R",
                    "agent": "main",
                    "cost_usd": 0.004,
                    "input_tokens": 900,
                    "output_tokens": 80,
                    "cache_read_tokens": 700,
                    "cache_write_tokens": 100,
                },
                {
                    "id": "S",
                    "agent": "ops",
                    "cost_usd": 0.0005,
                    "input_tokens": 10,
                    "output_tokens": 0,
                    "cache_read_tokens": 0,
                    "cache_write_tokens": 0,
                },
            ],
            "by_agent": {"main": 0.004, "ops": 0.0005},
            "by_model": {"m-1": 0.0005, "scripted:x": 0.004},
        }
        assert spending.tokens_today(look, "main", "Europe/Berlin") == {
            "input_tokens": 910,
            "output_tokens": 80,
            "cache_read_tokens": 700,
            "cache_write_tokens": 100,
        }
        assert spending.tokens_today(look, "nobody", "UTC")["input_tokens"] == 0
        assert spending.unpriced_today(look, "main", "Europe/Berlin") == 1
        assert spending.unpriced_today(look, "nobody", "UTC") == 0
        assert spending.spend(look, "nobody", "UTC") == {
            "today_usd": 0.0,
            "runs": [],
            "by_agent": {},
            "by_model": {},
        }


def test_a_price_that_nobody_knows_is_told_as_unknown_and_what_used_nothing_as_nothing(
    store: Store,
) -> None:
    run(store, "R")
    whose = {"agent": "local", "run_id": "R"}
    for changes in (
        {"cost": None, "model": "ollama:q", "input_tokens": 900, "output_tokens": 80},
        {"cost": None, "model": "openai:m", "outcome": "auth"},
    ):
        store.transact(spending.record, **usage(**whose, **changes))
    with store.read() as look:
        told = spending.spend(look, "main", "UTC")
        assert (told["by_agent"], told["runs"][0]["cost_usd"]) == ({"local": None}, None)
        assert told["by_model"] == {"ollama:q": None, "openai:m": 0}
        assert spending.unpriced_today(look, "main", "UTC") == 1


def test_a_full_day_is_waited_for_until_the_next_one_begins(clock: Any) -> None:
    # the clock stands at 10:00 UTC, which is 11:00 in Berlin
    assert budget.day("Europe/Berlin") == "2026-11-21"
    assert budget.until_tomorrow("Europe/Berlin") == 13 * 3600 * 1_000_000
    clock.advance(budget.until_tomorrow("Europe/Berlin") / 1_000_000)
    assert budget.day("Europe/Berlin") == "2026-11-22"
    assert budget.day("UTC") == "2026-11-21"


# ---- blocks ----


def blocked(store: Store, provider: str, tenant: str = "main") -> int | None:
    """How many minutes longer, up to a whole one."""
    with store.read() as look:
        left = blocks.left(look, tenant, provider)
    return left and -(-left // clock.MINUTE)


def test_of_two_blocks_the_longer_one_stands_and_ends_by_itself(store: Store) -> None:
    block: Any = blocks.block
    store.transact(block, "main", "openai", 60 * clock.MINUTE, "rate_limit")
    store.transact(block, "main", "openai", 30 * clock.MINUTE, "overloaded")
    assert blocked(store, "openai") == 60
    assert blocked(store, "anthropic") is None
    assert blocked(store, "openai", "other") is None
    store.transact(block, "main", "openai", 90 * clock.MINUTE, "budget")
    store.transact(block, "main", "anthropic", -1, "rate_limit")
    assert blocked(store, "openai") == 90
    assert blocked(store, "anthropic") is None


def test_a_block_from_a_clock_that_was_ahead_ends_when_it_is_right(store: Store) -> None:
    store.transact(blocks.block, "main", "openai", clock.MINUTE, "network")
    ahead = Sql("update blocks set until=until+:by,at=at+:by")
    store.transact(lambda tx: tx(ahead, by=365 * clock.DAY))
    assert blocked(store, "openai") is None
    with store.read() as look:
        assert overview.blocks(look, "main") == []
    store.transact(blocks.block, "main", "openai", 2 * clock.MINUTE, "network")
    assert blocked(store, "openai") == 2


def test_blocks_are_cleared_one_by_one_or_all(store: Store) -> None:
    for provider in ("a", "b", "c"):
        store.transact(blocks.block, "main", provider, clock.HOUR, "rate_limit")
    store.transact(blocks.block, "other", "a", clock.HOUR, "rate_limit")
    assert store.transact(blocks.clear, "main", "a") == 1
    assert store.transact(blocks.clear, "main") == 2
    assert blocked(store, "b") is None
    assert blocked(store, "a", "other") is not None


def test_the_tables_refuse_what_the_guards_should_have(store: Store) -> None:
    reserve(store, 10, scopes(100))
    with pytest.raises(IntegrityError):
        store.transact(lambda tx: tx(Sql("update budgets set reserved=-1")))


def test_scopes_are_counted_in_the_order_in_which_a_request_reserves_them() -> None:
    names = ["agent:a:turns", "day:tokens", "agent:a:tokens", "day", "agent:a"]
    assert sorted(names, key=budget._order) == names[::-1]
    counted: list[str] = []

    def statement(_: object, *, scope: str, **_more: object) -> None:
        counted.append(scope)

    changes = [(("main", name, "d"), (1, 1)) for name in names]
    budget._count(statement, changes)  # type: ignore[arg-type]
    assert counted == names[::-1]


@table(
    [
        *(("day", "usd"), ("day:tokens", "tokens"), ("run:R", "usd"), ("run:R:tokens", "tokens")),
        *(("agent:main", "usd"), ("agent:main:tokens", "tokens"), ("agent:main:turns", "turns")),
        *(("agent:tokens", "usd"), ("agent:turns:tokens", "tokens"), ("agent:day", "usd")),
        *(("beyond:R:day:tokens", "tokens"), ("beyond:R:agent:turns", "usd")),
    ]
)
def test_what_a_scope_counts_is_not_what_an_agent_is_called(scope: str, unit: str) -> None:
    assert budget.unit(scope) == unit


def test_the_steps_of_a_tree_are_those_in_which_something_was_done(core: Core) -> None:
    lease = core.held()
    core.advance(core.take(core.child(lease.run_id)))
    for _ in range(3):
        core.park(lease, Wait.TIMER)
        assert core.do(ledger.wake, lease.run_id, (Wait.TIMER,))
        lease = core.take(lease.run_id)
    core.advance(lease)
    with core.store.read() as look:
        assert budget.steps_of_tree(look, lease.run_id) == 2
