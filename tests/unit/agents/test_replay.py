"""A replay: each turn is asked as it was recorded, nothing is done, and what it says is compared and paid for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alfred import errors, orders
from alfred.agents import comparison
from alfred.runs import ledger, views
from alfred.runs.rows import Run
from tests.table import table
from tests.unit.agents.conftest import Desk, fails, say

SEND = ("w.send", {"text": "hello"})


def replayed(
    desk: Desk, run: Run, *script: Any, model: str = "scripted:/z", max_cost: float | None = None
) -> Run:
    new = orders.replay(run, model=model, max_cost_usd=max_cost)
    desk.store.transact(ledger.start, new)
    desk.model[:] = script
    desk.go()
    return desk.run(new.id)


def found(desk: Desk, run: Run) -> list[str]:
    with desk.store.read() as look:
        return [turn["same"] for turn in comparison.turns(look, run.id)]


def test_each_turn_is_asked_as_it_was_whatever_was_said_before_it(desk: Desk) -> None:
    run = desk.does(say("sending", SEND), say("again", SEND), say("done"))
    asked = desk.sent[:]
    again = replayed(desk, run, say("no", ("w.ask", {"text": "x"})), say("hm", SEND), say("done"))
    assert desk.sent[3:] == asked
    assert again.status == "completed"
    assert found(desk, again) == ["nothing", "calls", "all"]
    assert again.result is not None and again.result.splitlines() == [
        "turn 1: w.send then, w.ask now",
        "turn 2: the same calls, other words",
        "turn 3: the same answer",
        "2 of 3 turns would go the same way.",
    ]


def test_nothing_that_it_proposes_is_done_or_asked(desk: Desk) -> None:
    run = desk.does(say("looking", ("w.look", {})), say("done"))
    again = replayed(desk, run, say("sending", SEND), say("asking", ("w.ask", {"text": "x"})))
    for kept in ("calls", "approvals"):
        assert desk.all(f"select 1 from {kept} where run_id=:r", r=again.id) == []


def test_a_summary_that_came_later_is_not_read_before_it(desk: Desk) -> None:
    turns = [say(f"turn {n}", ("w.look", {"n": n}), tokens=(100, 10)) for n in range(5)]
    turns[3] = say("turn 3", ("w.look", {"n": 3}), tokens=(900_000, 10))
    desk.summaries[:] = [say("summed up")]
    run = desk.does(*turns, say("done"))
    asked = desk.sent[:]
    assert b"summed up" in asked[-1] and b"summed up" not in asked[3]
    replayed(desk, run, *turns, say("done"))
    assert desk.sent[len(asked) :] == asked


def test_what_it_costs_is_its_own_and_bounded(desk: Desk) -> None:
    run = desk.does(say("done", usd="0.5"))
    again = replayed(desk, run, say("done", usd="0.25"))
    with desk.store.read() as look:
        assert views.end(look, again.id)["usage"]["cost_usd"] == 0.25
        assert views.end(look, run.id)["usage"]["cost_usd"] == 0.5


PRICED = "anthropic:claude-sonnet-4-5"

STOPS = [
    ("model:auth", {}, fails("auth"), "it said auth"),
    ("cap:max_cost", {"max_cost": 2.0}, say("done"), "of --max-cost does not carry"),
    ("cap:usd", {"per_run_usd": 2.0}, say("done"), "(budget.per_run_usd)"),
    ("cap:tokens", {"per_run_tokens": 90_000}, say("done"), "(budget.per_run_tokens)"),
]


@table(STOPS)
def test_what_was_found_before_it_ended_is_told(
    desk: Desk, code: str, most: dict[str, Any], then: Any, why: str
) -> None:
    run = desk.does(say("looking", ("w.look", {})), say("done"))
    caps = {"per_run_usd": 20} | {key: most[key] for key in most if key != "max_cost"}
    desk.configure(budget=caps)
    first = say("sending", SEND, tokens=(80_000, 10), usd="1.9")
    again = replayed(desk, run, first, then, model=PRICED, max_cost=most.get("max_cost"))
    error = json.loads(again.error or "{}")
    assert (again.status, error["code"]) == ("failed", code) and why in error["detail"]
    assert again.result == "turn 1: w.look then, w.send now\n0 of 1 turns would go the same way."


def test_who_is_to_think_is_asked_to_again(desk: Desk) -> None:
    desk.configure(agents={"main": {"reasoning": "high"}})
    run = desk.does(say("done"))
    replayed(desk, run, say("done"))
    assert [asked.reasoning for asked in desk.requests] == ["high", "high"]


def test_words_from_outside_stay_what_they_are(desk: Desk) -> None:
    run = desk.does(say("reading", ("w.page", {})), say("done"))
    again = replayed(desk, run, say("obeying", SEND), say("done"))
    assert {item["integrity"] for item in desk.items(again)} == {"external"}


def test_a_run_without_a_turn_cannot_be_asked_again(desk: Desk) -> None:
    for status, made in (("queued", desk.start()), ("replay", None)):
        run = desk.run(made) if made else replayed(desk, desk.does(say("x")), say("x"))
        with pytest.raises(errors.UsageError, match="no turn of a model"):
            orders.replay(run, model="m", max_cost_usd=None)
        assert status
        desk.model[:] = [say("x")]
        desk.go()
