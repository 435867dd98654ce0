"""What a model call costs whom: subscriptions, and providers that said when they may be asked again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from alfred import clock as clock_module
from alfred import ids
from alfred.llm import prices
from alfred.llm.contract import LONGEST_WAIT, ModelAnswer, ModelError, Usage
from alfred.runs import endings, places, sweep, views
from alfred.runs.states import Status, Wait
from tests.unit.agents.conftest import Desk, fails, say


def of_a_subscription(answer: ModelAnswer, *, notional: bool = True, usd: str = "0.25") -> Any:
    used = Usage(
        input_tokens=100,
        output_tokens=10,
        cost_usd=Decimal(usd),
        notional=notional,
        model_served="x",
    )
    return replace(answer, usage=used)


MODELS = ("claude-cli", "claude-cli:sonnet", "claude-cli:claude-opus-4-8")


@pytest.mark.parametrize("model", MODELS)
def test_what_a_subscription_includes_is_no_money(desk: Desk, model: str) -> None:
    desk.configure(budget={"per_run_usd": 0.01, "per_day_usd": 0.01})
    run = desk.does(
        of_a_subscription(say("", ("w.look", {}))), of_a_subscription(say("Done.")), model=model
    )
    assert run.status == Status.COMPLETED
    assert [cost for *_, cost in desk.usage()] == [250_000, 250_000]
    budgets = desk.budgets()
    assert {budgets["run"], budgets["day"]} == {(0, 0)}
    assert budgets["run:tokens"] == (0, 220)


@pytest.mark.parametrize("model", MODELS)
def test_a_budget_that_counts_subscriptions_holds_them(desk: Desk, model: str) -> None:
    desk.configure(budget={"per_run_usd": 1, "count_notional": True})
    turns = [of_a_subscription(say(f"turn {n}", ("w.look", {"n": n})), usd="0.9") for n in range(9)]
    run = desk.does(*turns, model=model)
    assert run.status == Status.FAILED
    spent = desk.budgets()["run"]
    assert spent == (0, 1_800_000)
    # a price that is known before holds one turn earlier: the second is the last one, and cheap
    assert desk.requests[1].max_output == (1_000 if "opus" in model else None)


def test_a_program_whose_login_is_charged_is_booked(desk: Desk) -> None:
    run = desk.does(of_a_subscription(say("Done."), notional=False), model="claude-cli")
    assert run.status == Status.COMPLETED
    assert desk.budgets()["run"] == (0, 250_000)


def test_a_price_that_is_known_only_afterwards_counts_all_the_same(desk: Desk) -> None:
    desk.configure(budget={"per_run_usd": "0.5"})
    turns = [say(f"turn {n}", ("w.look", {"n": n}), usd="0.3") for n in range(9)]
    run = desk.does(*turns)
    assert (run.status, run.result) == (Status.FAILED, "turn 1")
    assert desk.budgets()["run"] == desk.budgets()["day"] == (0, 600_000)


def test_a_provider_that_said_when_is_left_alone_until_then_also_by_what_has_a_fallback(
    desk: Desk, clock: Any
) -> None:
    desk.configure(models={"fallback": ["ollama:small"]})
    used_up = ModelError("budget", "used up", retry_after_s=9_000, provider="claude-cli")
    run = desk.does(
        used_up,
        say("", ("w.look", {})),
        say("", ("w.look", {"n": 1})),
        say("Done."),
        model="claude-cli",
    )
    assert run.status == Status.COMPLETED
    asked = [request.model for request in desk.requests]
    assert asked == ["claude-cli", "ollama:small", "ollama:small", "ollama:small"]
    [(provider, reason, until)] = desk.all("select provider, reason, until from blocks")
    assert (provider, reason, until - clock.now()) == ("claude-cli", "budget", 9_000_000_000)


def test_a_fallback_goes_to_openrouter_where_its_own_provider_has_no_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.configure(models={"fallback": ["openai/small"]})
    desk.secrets["OPENROUTER_API_KEY"] = "k"
    run = desk.does(
        ModelError("budget", "used up", provider="claude-cli"), say("Done."), model="claude-cli"
    )
    assert run.status == Status.COMPLETED
    assert [request.model for request in desk.requests] == ["claude-cli", "openrouter:openai/small"]


def test_a_fallback_without_a_key_ends_nothing_while_the_model_before_it_can_be_waited_for(
    desk: Desk,
) -> None:
    desk.configure(models={"fallback": ["openai:small"]})
    run = desk.does(*[fails("network")] * 3, fails("auth"))
    assert (run.status, run.wait) == (Status.PARKED, Wait.LIMIT)
    [note] = [body["note"] for _, body in desk.watched if "cannot" in body.get("note", "")]
    assert note == "openai:small cannot answer instead. it said auth"
    assert [reason for (reason,) in desk.all("select reason from blocks")] == ["network"]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (9_000, 9_000),
        (1e300, LONGEST_WAIT),
        (float("inf"), LONGEST_WAIT),
        (float("nan"), 900),
        (-5, 900),
    ],
)
def test_a_run_waits_for_the_reset_that_the_provider_gave_if_it_is_one(
    desk: Desk, clock: Any, said: float, seconds: float
) -> None:
    used_up = ModelError("budget", "used up", retry_after_s=said, provider="claude-cli")
    run = desk.does(used_up, model="claude-cli")
    assert (run.status, run.wait) == (Status.PARKED, Wait.LIMIT)
    assert run.wake_at == clock.now() + seconds * clock_module.SECOND


@pytest.mark.parametrize(
    ("first", "second", "seconds", "by"),
    [
        (("rate_limit", 90), ("overloaded", 0), 90, "scripted"),
        (("overloaded", 0), ("budget", 70), 70, "ollama"),
        (("budget", 9_000), ("budget", 3_600), 3_600, "ollama"),
        (("budget", 3_600), ("budget", None), 900, "ollama"),
    ],
)
def test_of_several_providers_the_first_that_can_be_asked_again_is_waited_for(
    desk: Desk, clock: Any, first: Any, second: Any, seconds: int, by: str
) -> None:
    desk.configure(models={"fallback": ["ollama:small"]})
    said = [
        ModelError(kind, "no", retry_after_s=after, provider=provider)
        for (kind, after), provider in ((first, "scripted"), (second, "ollama"))
        for _ in range(3 if kind == "overloaded" else 1)
    ]
    run = desk.does(*said)
    assert (run.wake_at or 0) - clock.now() == seconds * clock_module.SECOND
    with desk.store.read() as look:
        assert [held["id"] for held in views.end(look, run.id)["waiting"]] == [by]


@pytest.mark.parametrize(
    ("caps", "reset", "waits", "asked"),
    [
        ({"per_run_usd": 1}, 7_200, 7_200, "claude-cli"),
        ({"per_day_usd": 1}, 7_200, 7_200, "claude-cli"),
        ({"per_day_usd": 1}, 500_000, 50_400, "anthropic:dear"),
    ],
)
def test_a_fallback_that_no_cap_carries_ends_nothing_while_the_model_before_it_can_be_waited_for(
    desk: Desk,
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    caps: Any,
    reset: int,
    waits: int,
    asked: str,
) -> None:
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 2_000_000)
    fallback = {"fallback": ["anthropic:dear"]}
    desk.configure(models=fallback, budget={"per_run_usd": 9} | caps)
    used_up = ModelError("budget", "used up", retry_after_s=reset, provider="claude-cli")
    run = desk.does(say("", ("w.look", {})), used_up, say("done"), model="claude-cli")
    assert (run.wait, run.wake_at) == (Wait.LIMIT, clock.now() + waits * clock_module.SECOND)
    assert not desk.all("select 1 from approvals")
    clock.advance(waits + 1)
    desk.configure(models=fallback, budget={"per_run_usd": 9} | caps | {"per_day_usd": 9})
    sweep.beat(desk.store)
    desk.go()
    assert (desk.run(run.id).result, desk.requests[-1].model) == ("done", asked)
    assert desk.requests[-1].tools, "it is no last turn"


# ---- places at a provider


def crowd(desk: Desk, others: int) -> list[str]:
    """As the first run is answered so many others begin, at a provider that answers one at a time."""
    desk.configure(limits={"per_provider": {"scripted": 1}})
    runs: list[str] = []

    def meanwhile(_request: Any) -> Any:
        runs.extend(desk.start(f"other {n}") for n in range(others))
        desk.go()
        assert len(desk.requests) == 1
        assert [desk.run(r).wait for r in runs] == [Wait.TIMER] * others
        with desk.store.read() as look:
            [held] = views.end(look, runs[0])["waiting"]
        assert (held["id"], held["kind"]) == ("scripted", "limit")
        return say("first")

    desk.does(meanwhile, *(say(f"other {n}") for n in range(others)))
    return runs


def test_who_finds_no_place_at_a_provider_holds_no_thread_and_goes_on_when_one_is_free(
    desk: Desk,
) -> None:
    runs = crowd(desk, 3)
    assert [desk.run(r).result for r in runs] == ["other 0", "other 1", "other 2"]
    assert len(desk.usage()) == 4, "nothing was asked or paid for in vain"
    said = [body["note"] for kind, body in desk.watched if kind == "text" and "note" in body]
    assert len(said) == 3 and "limits.per_provider" in said[0]
    assert not desk.all("select 1 from runs where asks is not null")


def test_a_message_to_a_run_without_a_place_is_read_when_it_has_one(desk: Desk, clock: Any) -> None:
    desk.configure(limits={"per_provider": {"scripted": 1}})
    killed = desk.asked_elsewhere("scripted")
    desk.model[:] = [say("done")]
    run = desk.start()
    desk.tell(run, "and this")
    desk.go()
    assert (desk.run(run).wait, desk.run(run).seq) == (Wait.TIMER, 1), "it was tried once"
    desk.tell(run, "and that")
    desk.go()
    assert (desk.run(run).wait, desk.run(run).seq) == (Wait.TIMER, 2)
    desk.store.transact(endings.cancel, killed, by="me", token=ids.new())
    clock.advance(40)
    sweep.beat(desk.store)
    desk.go()
    assert desk.run(run).result == "done"
    said = [item["text"] for item in desk.requests[-1].items if item["kind"] == "user"]
    assert said == ["do it", "and this", "and that"]


@pytest.mark.parametrize(
    "ends", [fails("auth"), fails("budget"), RuntimeError("boom")], ids=["auth", "budget", "crash"]
)
def test_a_place_is_given_back_whatever_came_of_the_request(desk: Desk, ends: Any) -> None:
    desk.configure(limits={"per_provider": {"scripted": 1}})
    desk.does(ends)
    assert not desk.all("select 1 from runs where asks is not null")


def test_a_place_that_nobody_handed_over_is_found_by_itself(desk: Desk, clock: Any) -> None:
    desk.configure(limits={"per_provider": {"scripted": 1}})
    killed = desk.asked_elsewhere("scripted")
    run = desk.does(say("done"), say("killed, and taken over"))
    assert (run.wait, run.park_no) == (Wait.TIMER, 1)
    clock.advance(40)
    sweep.beat(desk.store)
    desk.go()
    assert {desk.run(r).result for r in (run.id, killed)} == {"done", "killed, and taken over"}


@pytest.mark.parametrize(
    ("model", "configured", "most"),
    [
        ("claude-cli", {}, 4),
        ("codex-cli:gpt-5.5", {"claude-cli": 1}, 4),
        ("claude-cli:opus", {"claude-cli": 2}, 2),
        ("scripted:/x", {}, None),
        ("scripted:/x", {"scripted": 3}, 3),
    ],
)
def test_a_program_has_four_places_and_other_providers_what_is_configured(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, model: str, configured: Any, most: int | None
) -> None:
    counted: list[int | None] = []
    before = places.take

    def take(tx: Any, lease: Any, provider: str, most: int) -> bool:
        counted.append(most)
        return before(tx, lease, provider, most)

    monkeypatch.setattr(places, "take", take)
    desk.configure(limits={"per_provider": configured})
    assert desk.does(say("done"), model=model).status == Status.COMPLETED
    assert counted == ([most] if most else [])
