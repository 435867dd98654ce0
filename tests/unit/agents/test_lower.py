"""A lower tier answers where the budget does not carry the chosen model, and nobody else, and it is said."""

from __future__ import annotations

from typing import Any

import pytest

from alfred.llm import prices
from alfred.llm.contract import ModelError
from tests.unit.agents.conftest import Desk, fails, say

BOSS, HELPER, CHEAP = "scripted:/x", "scripted:/helper", "scripted:/cheap"
LOOK = ("w.look", {})


@pytest.fixture
def tiers(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Answers are held at 0.30, 0.20 and 0.01 USD; a day has 0.50."""
    held = {BOSS: 300_000, HELPER: 200_000, CHEAP: 10_000}
    monkeypatch.setattr(prices, "upper_bound", lambda model, size, most: held[model])
    desk.lower = (HELPER, CHEAP)
    desk.configure(budget={"per_day_usd": "0.5"})
    return desk


def notes(desk: Desk, run: Any) -> list[str]:
    return [item["text"] for item in desk.items(run) if item["kind"] == "note"]


def test_the_first_tier_that_the_budget_carries_answers_and_the_change_is_said_once(
    tiers: Desk,
) -> None:
    run = tiers.does(
        say("a", LOOK, usd="0.29"),
        say("b", LOOK, usd="0.19"),  # 0.21 are left
        say("c", LOOK, usd="0.001"),  # 0.02
        say("d", LOOK, usd="0.001"),
        say("e", usd="0.001"),
    )
    assert (run.status, run.result) == ("completed", "e")
    assert [model for _, model, *_ in tiers.usage()] == [BOSS, HELPER, CHEAP, CHEAP, CHEAP]
    said = [
        f"{model} answers instead of {BOSS}, which budget.per_day_usd does not carry."
        for model in (HELPER, CHEAP)
    ]
    assert notes(tiers, run) == said
    assert [b["note"] for kind, b in tiers.watched if kind == "text" and "note" in b] == said
    for before, after in zip(tiers.sent, tiers.sent[1:], strict=False):
        assert after.startswith(before), (
            "what it is told of the change is part of every later prompt"
        )


def test_the_chosen_model_is_back_as_soon_as_the_budget_carries_it(tiers: Desk) -> None:
    def raised(_request: Any) -> Any:
        tiers.configure(budget={"per_day_usd": 9})
        return say("b", LOOK)

    tiers.does(say("a", LOOK, usd="0.29"), raised, say("c"))
    assert [model for _, model, *_ in tiers.usage()] == [BOSS, HELPER, BOSS]


@pytest.mark.parametrize(("budget", "max_cost"), [({"per_run_usd": "0.5"}, None), ({}, 500_000)])
def test_a_run_goes_on_with_a_lower_tier_before_its_own_cap_ends_it(
    tiers: Desk, budget: dict[str, Any], max_cost: int | None
) -> None:
    tiers.configure(budget=budget)
    run = tiers.does(say("a", LOOK, usd="0.29"), say("b", usd="0.1"), max_cost=max_cost)
    assert (run.status, run.result) == ("completed", "b")
    assert ("--max-cost" if max_cost else "budget.per_run_usd") in notes(tiers, run)[0]


@pytest.mark.parametrize("kind", ["auth", "budget", "context"])
def test_whatever_keeps_the_lower_tiers_from_answering_leaves_the_run_to_the_budget(
    tiers: Desk, kind: Any
) -> None:
    said = [ModelError(kind, "no", provider=p) for p in ("helper", "cheap")]
    run = tiers.does(say("a", LOOK, usd="0.29"), *said)
    assert (run.status, run.wait, notes(tiers, run)) == ("parked", "budget", [])
    assert [outcome for _, _, outcome, _ in tiers.usage()] == ["ok", kind, kind]


@pytest.mark.parametrize(
    "budget",
    [{"per_day_tokens": 9_000}, {"per_agent": {"main": {"turns_per_day": 1}}}],
    ids=["tokens", "turns"],
)
def test_a_cheaper_model_is_no_help_where_money_is_not_what_is_short(
    tiers: Desk, monkeypatch: pytest.MonkeyPatch, budget: dict[str, Any]
) -> None:
    monkeypatch.setattr(prices, "tokens_bound", lambda model, *a: 9_000 if model == BOSS else 9)
    tiers.configure(budget=budget)
    run = tiers.does(say("a", LOOK, tokens=(5_000, 10)))
    assert run.wait == "budget"
    assert len(tiers.requests) == 1


def test_a_provider_that_is_away_is_no_reason_for_a_lower_tier(tiers: Desk) -> None:
    run = tiers.does(fails("budget"))
    assert (run.wait, len(tiers.requests)) == ("limit", 1)


def test_a_lower_tier_that_has_no_place_is_waited_for(tiers: Desk) -> None:
    tiers.configure(budget={"per_day_usd": "0.5"}, limits={"per_provider": {"claude-cli": 1}})
    tiers.lower = ("claude-cli",)

    def meanwhile(_request: Any) -> Any:
        tiers.asked_elsewhere("claude-cli")
        return say("a", LOOK, usd="0.29")

    run = tiers.does(meanwhile)
    assert (run.wait, tiers.all("select 1 from approvals")) == ("timer", [])
