"""Many small things are no small thing: the sixth low call of an action within ten minutes waits for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alfred import clock as clock_module
from alfred.actions import risk
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger import history
from alfred.runs.workflow import Done, StepContext, Verdict
from alfred.store.statement import Sql
from tests.promises.gate.conftest import Bench

done: list[str] = []


@action("t.clean", integration="t", risk=Risk.LOW, effect=Effect.BLIND, touches=lambda a, c: ())
def clean(text: str) -> str:
    """Cleans.

    Args:
        text: What.
    """
    done.append(text)
    return text


@action("t.tidy", integration="t", risk=Risk.LOW, effect=Effect.BLIND, touches=lambda a, c: ())
def tidy(text: str) -> str:
    """Tidies.

    Args:
        text: What.
    """
    done.append(text)
    return text


@action("t.peek", integration="t", risk=Risk.LOW, effect=Effect.PURE)
def peek(text: str) -> str:
    """Peeks.

    Args:
        text: At what.
    """
    done.append(text)
    return text


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Iterator[Bench]:
    done.clear()
    made = new_bench(clean, tidy, peek)
    yield made


def many(bench: Bench, count: int, action: str = "t.clean", **more: Any) -> list[str]:
    """The risks of so many calls of one turn."""
    run = bench.start(*[(action, {"text": str(n)}) for n in range(count)], **more)
    bench.go()
    return [call.risk or "" for call in bench.calls(run)]


def test_the_sixth_of_a_turn_is_medium(bench: Bench) -> None:
    assert many(bench, 8) == ["low"] * 5 + ["medium"] * 3


def test_those_of_a_step_count_one_after_another_too(bench: Bench) -> None:
    def step(ctx: StepContext) -> Verdict:
        for n in range(7):
            ctx.call("t.peek", {"text": str(n)})
        return Done(None)

    bench.policy("autonomous")
    run = bench.start()
    bench.step = step
    bench.go()
    assert [call.risk for call in bench.calls(run)] == ["low"] * 5 + ["medium"] * 2


def test_they_are_counted_over_turns_and_runs(bench: Bench) -> None:
    assert many(bench, 3) == ["low"] * 3
    assert many(bench, 3) == ["low", "low", "medium"]
    assert many(bench, 1, "t.tidy") == ["low"], "another action has its own"


def test_after_ten_minutes_they_are_small_again(bench: Bench) -> None:
    many(bench, 5)
    bench.sql("update calls set created_at=created_at-:m", m=11 * clock_module.MINUTE)
    assert many(bench, 1) == ["low"]


def test_what_was_shown_as_medium_stays_so_when_time_has_passed(bench: Bench) -> None:
    run = bench.start(*[("t.clean", {"text": str(n)}) for n in range(6)])
    bench.go()
    for card in bench.cards():
        bench.decide("approve", card)
    bench.sql("update calls set created_at=created_at-:m", m=11 * clock_module.MINUTE)
    bench.go()
    assert bench.run(run).status == "completed" and len(done) == 6


def test_those_of_runs_that_are_over_count_as_well(bench: Bench) -> None:
    bench.policy("autonomous")
    assert many(bench, 3) == ["low"] * 3
    assert {row.status for row in bench.all("select status from runs")} == {"completed"}
    assert many(bench, 3) == ["low", "low", "medium"]


def test_a_tree_is_one_whatever_its_agents_are_called(bench: Bench) -> None:
    bench.policy("autonomous")
    root = bench.start(agent="lead", driver="process")  # no worker ends it
    below = {"root_id": root, "depth": 1, "parent_id": root}
    found = [many(bench, 2, agent=f"a{n}", parent_call=f"c:{n}", **below) for n in range(3)]
    assert found == [["low", "low"], ["low", "low"], ["low", "medium"]]
    assert many(bench, 1, agent="a9") == ["low"], "another tree has its own"


def test_they_are_found_without_a_look_at_the_runs_and_calls_of_years(bench: Bench) -> None:
    run = bench.run(bench.start(("t.tidy", {"text": "x"})))
    bench.go()
    (call,) = bench.calls(run.id)
    copied = "run_id,turn,action,effect,risk,args,args_hash,status,created_at"
    bench.sql(
        f"insert into calls(id,ordinal,{copied}) with recursive n(i) as (select 1 union all select i+1 from n where i<2000)"
        f" select id||i,i,{copied.replace('risk', ':risk').replace('status', ':status')} from calls,n",
        risk="none",
        status="approved",
    )
    bench.sql("analyze calls")
    plan = Sql("")
    plan.sqlite, plan.pg = (
        f"explain query plan {history._LOWS.sqlite}",
        f"explain {history._LOWS.pg}",
    )
    whose = {
        "tenant": "main",
        "agent": run.agent,
        "root": run.id,
        "run_id": run.id,
        "turn": 0,
        "ordinal": 0,
    }
    with bench.store.read() as look:
        found = str(
            look(plan, **whose, id=call.id, action="t.clean", within=risk.MANY_WITHIN).all()
        )
    assert "calls_low" in found and not any(walk in found for walk in ("Seq Scan", "SCAN")), found


def test_in_autonomous_mode_too_a_person_sees_the_sixth_as_medium(bench: Bench) -> None:
    bench.policy("autonomous")
    assert many(bench, 6) == ["low"] * 5 + ["medium"]
