"""A run that a cap of the day holds asks whether it may go on: one yes, for this run, this day, this cap, this much."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alfred import errors
from alfred.actions import explaining
from alfred.actions.editing import Editing
from alfred.actions.ledger import approvals as cards
from alfred.actions.ledger.approvals import Approval
from alfred.actions.rulemaking import Rulemaking
from alfred.agents import caps
from alfred.llm import prices
from alfred.runs import audit, ledger, rows, sweep
from alfred.runs.states import Wait
from tests.unit.agents.conftest import Desk, say

LOOK = ("w.look", {})
DAY = "2026-11-21"


@pytest.fixture
def short(desk: Desk, monkeypatch: pytest.MonkeyPatch, clock: Any) -> Desk:
    """An answer is held at 0.30 USD and takes as much; a day has 0.50, so the second one does not fit."""
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 300_000)
    desk.configure(budget={"per_day_usd": "0.5", "per_run_usd": None})
    return desk


def spends(n: int, usd: str = "0.3") -> list[Any]:
    """So many answers that go on, and one that does not."""
    return [*[say(f"{i}", ("w.look", {"n": i}), usd=usd) for i in range(n)], say("done", usd=usd)]


def listed(desk: Desk, status: str = "pending") -> list[Approval]:
    with desk.store.read() as look:
        return cards.listed(look, "main", status=status)


def test_a_run_that_the_day_does_not_carry_asks_how_much_more_it_may_take(short: Desk) -> None:
    run = short.does(*spends(9))
    assert (run.status, run.wait) == ("parked", "budget")
    [card] = listed(short)
    assert (card.kind, card.risk, card.auto_ok) == ("action", "medium", 0)
    assert card.title == "Continue? budget.per_day_usd is used up"
    for said in ("$0.5;", "$0.3 of it", "may take $0.3.", f"on {DAY} this run", "$3 more"):
        assert said in card.preview, said
    assert card.expires_at > (run.wake_at or 0)


def test_a_yes_lets_it_go_on_beyond_that_cap_by_what_was_said_and_then_it_asks_again(
    short: Desk,
) -> None:
    run = short.does(*spends(40))
    short.decide("approve")
    short.go()
    run = short.run(run.id)
    assert (run.status, run.wait) == ("parked", "budget")
    assert len(short.requests) == 1 + 10, "ten of 0.30 USD were allowed"
    assert short.budgets()["day"] == (0, 300_000), "beyond the cap nobody else is held"
    short.decide("approve")
    short.go()
    assert len(short.requests) == 1 + 20
    with short.store.read() as look:
        sealed = [json.loads(row.row or "{}") for row in audit.chain(look, "main")]
    raised = [row for row in sealed if row["what"] == "budget.raise"]
    assert [(r["run"], r["by"], r["scope"], r["day"], r["amount"]) for r in raised] == [
        (run.id, "local:1", "day", DAY, 3_000_000)
    ] * 2


def test_a_yes_is_for_one_run_one_cap_and_one_day(short: Desk, clock: Any) -> None:
    first = short.does(*spends(1))
    short.decide("approve")
    short.go()
    assert short.run(first.id).status == "completed"
    other = short.does(*spends(1))
    assert other.wait == "budget", "another run has not been allowed anything"
    short.decide("approve")
    short.configure(
        budget={
            "per_day_usd": "0.5",
            "per_run_usd": None,
            "per_agent": {"main": {"per_day_usd": 0}},
        }
    )
    short.go()
    assert short.run(other.id).wait == "budget"
    [card] = listed(short)
    assert "budget.per_agent.main.per_day_usd" in card.title
    clock.advance(86_400)
    short.configure(budget={"per_day_usd": "0.1", "per_run_usd": None})
    sweep.beat(short.store)
    short.go()
    [card] = listed(short)
    assert "budget.per_day_usd" in card.title, "what was allowed yesterday is over"


def test_a_no_leaves_it_to_the_next_day_and_nobody_is_asked_again_before(
    short: Desk, clock: Any
) -> None:
    run = short.does(*spends(1))
    short.decide("reject")
    short.go()
    assert (short.run(run.id).wait, listed(short)) == ("budget", [])

    def resume(tx: Any) -> None:
        rows.lock(tx, run.id)
        ledger.wake(tx, run.id, (Wait.BUDGET,))

    short.store.transact(resume)
    short.go()
    assert (short.run(run.id).wait, short.run(run.id).park_no, listed(short)) == ("budget", 2, [])
    clock.advance(86_400)
    sweep.beat(short.store)
    short.go()
    assert short.run(run.id).status == "completed"


def test_a_no_that_ends_it_ends_it(short: Desk) -> None:
    run = short.does(*spends(1))
    short.decide("reject_and_end")
    run = short.run(run.id)
    assert (run.status, json.loads(run.error or "{}")["code"]) == ("cancelled", "refused")


@pytest.mark.parametrize("how", ["the next day", "a raised cap"])
def test_a_run_that_goes_on_by_itself_takes_its_card_away(
    short: Desk, clock: Any, how: str
) -> None:
    run = short.does(*spends(1))
    [card] = listed(short)
    if how == "the next day":
        clock.advance(86_400)
        sweep.beat(short.store)
    else:
        short.configure(budget={"per_day_usd": 9})
        caps.wake_what_fits(short.store, lambda _: short.settings)
    short.go()
    assert short.run(run.id).status == "completed"
    assert [(c.id, c.status) for c in listed(short, "all")] == [(card.id, "superseded")]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"per_day_tokens": 9_000}, "tokens more"),
        ({"per_agent": {"main": {"turns_per_day": 1}}}, "10 turns more"),
    ],
)
def test_tokens_and_turns_are_asked_for_too(short: Desk, budget: Any, said: str) -> None:
    short.configure(budget={"per_day_usd": None} | budget)
    run = short.does(say("a", LOOK, tokens=(5_000, 10)), say("b", tokens=(5_000, 10)))
    [card] = listed(short)
    assert said in card.preview
    short.decide("approve")
    short.go()
    assert short.run(run.id).status == "completed"


def test_a_cap_of_the_run_is_no_question_and_a_dry_run_asks_nobody(short: Desk) -> None:
    assert short.does(*spends(1), dry_run=True).wait == "budget"
    short.configure(budget={"per_run_usd": "0.5"})
    assert short.does(*spends(1)).status == "failed"
    assert listed(short, "all") == []


def test_such_a_card_is_explained_and_neither_edited_nor_made_a_rule_of(short: Desk) -> None:
    short.does(*spends(1))
    [card] = listed(short)
    editing = Editing(short.store, short.actions, short.gate.around)
    with pytest.raises(errors.UsageError, match="as it is"):
        editing.judged(card, {"more": "$9"})
    with pytest.raises(errors.UsageError, match="whether one run goes on"):
        Rulemaking(short.store, short.actions, short.gate.around).of_card(card)
    with short.store.read() as look:
        told = explaining.stored(look, card.id)
    assert (told.verdict, told.reason) == (
        "stage",
        "budget.per_day_usd has no room for the next answer",
    )


def test_of_many_runs_that_one_cap_holds_a_few_ask_and_the_others_wait(short: Desk) -> None:
    runs = [short.does(*spends(9), brief=f"run {n}") for n in range(5)]
    assert {(run.status, run.wait) for run in runs} == {("parked", "budget")}
    cards = listed(short)
    assert len(cards) == 3
    assert ["ask nobody" in card.preview for card in cards].count(True) == 1
    asked = short.run(cards[0].run_id)
    short.decide("reject", cards=3, only=asked.brief or "")
    runs.append(short.does(*spends(9)))
    assert runs[-1].id in {card.run_id for card in listed(short)}, "one more may ask"
    short.configure(budget={"per_day_usd": "90", "per_run_usd": None})
    caps.wake_what_fits(short.store, lambda _: short.settings)
    assert {short.run(run.id).status for run in runs} == {"queued"}
