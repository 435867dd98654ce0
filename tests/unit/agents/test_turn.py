"""An agent's turns: what the model is asked, what it is told, and how a run comes to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from alfred import clock as clock_module
from alfred import home, ids
from alfred.agents import caps, compact
from alfred.agents import ledger as agent_ledger
from alfred.llm import prices, sizes
from alfred.llm.contract import Usage
from alfred.runs import endings, views
from alfred.trust import redact
from tests.unit.agents.conftest import Desk, fails, say

LOOK = ("w.look", {"n": 1})


def parsed(sent: bytes) -> list[Any]:
    """System, tools, items of a request."""
    return [json.loads(line) for line in sent.splitlines()]


def error(desk: Desk, run: Any) -> str:
    return json.loads(desk.run(run.id).error or "{}")["code"]


# ---- the prompt


def test_every_request_begins_with_the_bytes_of_the_one_before(desk: Desk) -> None:
    (desk.home / "SOUL.md").write_text("Be kind.")
    turns = [say(f"é {n} \u2028", LOOK, ("w.look", {"n": n})) for n in range(4)]
    run = desk.does(*turns, fails("overloaded"), say("done"), brief="Grüße\n\u0000 \ud800")
    assert run.status == "completed"
    assert len(desk.sent) == 6
    for before, after in zip(desk.sent, desk.sent[1:], strict=False):
        assert after.startswith(before)
    assert desk.sent[4] == desk.sent[5], "a request that failed is asked again as it was"


def test_what_runs_are_offered_is_kept_once_for_all_that_are_offered_the_same(desk: Desk) -> None:
    runs = [desk.does(say("looking", LOOK), say("done")), desk.does(say("done"))]
    runs.append(desk.does(say("done"), grants='{"actions": ["w.look"]}'))
    heads = []
    for run in runs:
        [kept] = [item for item in desk.items(run) if item["kind"] == "system"]
        assert "w__look" not in json.dumps(kept)
        with desk.store.read() as look:
            heads.append(agent_ledger.stored_head(look, run.id) or {})
    first, second, third = [[tool["name"] for tool in head["tools"]] for head in heads]
    assert first == second and third == ["w__look"]
    offered = [parsed(sent)[1] for sent in desk.sent]
    assert offered[0] == offered[1] == offered[2] != offered[3]
    assert len(desk.all("select body from tool_lists")) == 2


def test_the_head_is_pinned_when_the_run_begins(desk: Desk) -> None:
    (desk.home / "SOUL.md").write_text("Be kind.")

    def and_change(_: Any) -> Any:
        (desk.home / "SOUL.md").write_text("Be cruel.")
        return say("looking", LOOK)

    desk.does(and_change, say("done"))
    assert parsed(desk.sent[0])[:2] == parsed(desk.sent[1])[:2]
    assert "Be kind." in parsed(desk.sent[1])[0]


def test_a_run_speaks_thinks_and_falls_back_as_its_agent_is_configured(desk: Desk) -> None:
    """And `personality`, `reasoning` and `models.fallback` of the top are those of who says nothing."""
    desk.configure(
        personality="Dry.",
        reasoning="low",
        models={"fallback": ["scripted:/all"]},
        agents={
            "main": None,
            "ops": {
                "personality": "Curt.",
                "reasoning": "high",
                "fallback_model": "/ops",
                "provider": "scripted",
                "max_turns": 3,
            },
        },
    )
    soul = home.agents(desk.home) / "main" / "SOUL.md"
    for agent, soul_says, spoken, effort, other in (
        ("main", None, "Dry.", "low", "/all"),
        ("main", "Kind.", "Kind.", "low", "/all"),
        ("ops", None, "Curt.", "high", "/ops"),
    ):
        if soul_says:
            soul.parent.mkdir(parents=True)
            soul.write_text(soul_says)
        desk.requests.clear()
        said = [fails("overloaded")] * 3
        run = desk.does(*said, say("a", LOOK), say("b", LOOK), say("end"), agent=agent)
        assert f"\n\n{spoken}" in desk.requests[0].system
        assert {one.reasoning for one in desk.requests[:-1]} == {effort}
        assert desk.requests[3].model == f"scripted:{other}"
        if agent == "ops":
            assert (desk.requests[-1].reasoning, desk.requests[-1].tools) == (None, [])
            assert error(desk, run) == "cap:turns"


def test_a_run_ends_with_the_agent_that_it_began_with(desk: Desk) -> None:
    """The configuration is another one by its second turn: there its agent is no more."""
    ops = {"reasoning": "high", "fallback_model": "scripted:/ops", "max_turns": 3}
    desk.configure(agents={"main": None, "ops": ops})

    def and_change(_: Any) -> Any:
        desk.configure(agents={"main": {"reasoning": "low"}})
        return say("looking", LOOK)

    said = [fails("overloaded")] * 3
    run = desk.does(and_change, *said, say("b", LOOK), say("end"), agent="ops")
    assert (run.result, error(desk, run)) == ("end", "cap:turns")
    assert [one.reasoning for one in desk.requests] == ["high"] * 5 + [None]
    assert desk.requests[4].model == "scripted:/ops"


def test_only_granted_tools_are_offered_and_in_one_order(desk: Desk) -> None:
    desk.does(say("done"))
    assert [t["name"] for t in parsed(desk.sent[0])[1]] == [
        *("w__ask", "w__look", "w__page", "w__send")
    ]
    desk.does(say("done"), grants='{"actions": ["w.look"]}')
    assert [t["name"] for t in parsed(desk.sent[1])[1]] == ["w__look"]


def test_memories_are_recalled_once_and_external_ones_make_the_run_external(desk: Desk) -> None:
    def recall(ctx: Any) -> str:
        ctx.external = True
        return "You remember: tea."

    desk.recall = recall
    run = desk.does(say("hm", LOOK), say("done"))
    texts = [i.get("text") for i in parsed(desk.sent[1])[2:]]
    assert texts[:2] == ["You remember: tea.", "do it"]
    assert texts.count("You remember: tea.") == 1
    assert run.external == 1
    first_answer = next(i for i in desk.items(run) if i["kind"] == "assistant")
    assert first_answer["integrity"] == "external"
    assert desk.items(run)[1]["integrity"] == "external"
    desk.recall = lambda ctx: "You remember: tea."
    own = desk.does(say("done"))
    assert (desk.items(own)[1]["integrity"], own.external) == ("derived", 0)
    desk.configure(agents={"main": {"memory_enabled": "false"}})
    desk.does(say("done"))
    assert [i.get("text") for i in parsed(desk.sent[-1])[2:]] == ["do it"]


# ---- messages


def test_messages_are_read_once_in_order_at_the_next_turn(desk: Desk) -> None:
    def and_tell(_: Any) -> Any:
        for text in ("first", "second"):
            desk.tell(run_id, text)
        return say("looking", LOOK)

    desk.model[:] = [and_tell, say("hm", LOOK), say("done")]
    run_id = desk.start()
    desk.go()
    users = [[i["text"] for i in parsed(s)[2:] if i["kind"] == "user"] for s in desk.sent]
    assert users == [["do it"], ["do it", "first", "second"], ["do it", "first", "second"]]
    assert desk.all("select 1 from interjections where consumed_seq is null") == []


def test_a_message_that_comes_with_the_last_answer_makes_the_run_go_on(desk: Desk) -> None:
    def and_tell(_: Any) -> Any:
        desk.tell(run_id, "one more thing")
        return say("done")

    desk.model[:] = [and_tell, say("done with that too")]
    run_id = desk.start()
    desk.go()
    run = desk.run(run_id)
    assert (run.status, run.result) == ("completed", "done with that too")
    assert parsed(desk.sent[1])[-1] == {"kind": "user", "text": "one more thing"}
    desk.model[:] = [say("cut and ", finish="length"), and_tell, say("another answer")]
    run_id = desk.start()
    desk.go()
    assert desk.run(run_id).result == "another answer"


def test_a_message_is_not_lost_to_a_turn_that_could_not_be_paid(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.configure(budget={"per_day_usd": 1})
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 2_000_000)
    desk.model[:] = [say("done")]
    run_id = desk.start()
    desk.tell(run_id, "hello")
    desk.go()
    assert desk.run(run_id).wait == "budget"
    assert desk.items(desk.run(run_id)) == [], "the turn did not happen"
    assert len(desk.all("select 1 from interjections where consumed_seq is null")) == 1


def test_a_run_that_a_cap_held_goes_on_when_the_cap_is_raised_and_only_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.configure(budget={"per_day_usd": 1, "per_run_usd": 9})
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 2_000_000)
    run = desk.does(say("done"))
    assert (run.wait, run.park_no) == ("budget", 1)
    for _ in range(3):
        caps.wake_what_fits(desk.store, lambda _: desk.settings)
        desk.go()
    assert (desk.run(run.id).park_no, desk.requests) == (1, [])
    desk.configure(budget={"per_day_usd": 2, "per_run_usd": 9})
    caps.wake_what_fits(desk.store, lambda _: desk.settings)
    desk.go()
    assert (desk.run(run.id).status, desk.run(run.id).result) == ("completed", "done")


# ---- calls


def test_results_come_back_in_order_each_with_its_calls_id(desk: Desk) -> None:
    run = desk.does(
        say("two", ("w.look", {"n": 2}), ("w.nope", {}), ("w.look", "{broken")), say("done")
    )
    results = [i for i in desk.items(run) if i["kind"] == "result"]
    assert [(i["call_id"], i["error"]) for i in results] == [
        ("c0", False),
        ("c1", True),
        ("c2", True),
    ]
    assert "malformed_call" in results[2]["text"]


def test_more_calls_than_a_turn_takes_are_told_so_and_not_looked_at(desk: Desk) -> None:
    desk.configure(limits={"calls_per_turn": 3})
    run = desk.does(say("many", *(("w.look", {"n": n}) for n in range(5))), say("done"))
    calls = desk.calls(run, 0)
    assert [c.status for c in calls] == ["done"] * 3 + ["refused"] * 2
    assert "too_many_calls" in (calls[4].result or "")


def test_an_external_result_makes_the_run_external_and_holds_the_next_effect(desk: Desk) -> None:
    run = desk.does(
        say("read", ("w.page", {}), ("w.send", {"text": "before"})),
        say("obey", ("w.send", {"text": "after"})),
        say("done"),
    )
    assert [c.status for c in desk.calls(run, 0)] == ["done", "done"]
    assert (run.external, run.wait) == (1, "approval")
    labels = [(i["kind"], i["integrity"]) for i in desk.items(run) if i["kind"] != "system"]
    assert labels == [
        ("user", "owner"),
        ("assistant", "derived"),
        ("result", "external"),
        ("result", "derived"),
        ("assistant", "external"),
    ]
    desk.decide("approve")
    desk.go()
    assert desk.run(run.id).result == "done"


def test_the_models_reason_stands_on_the_card_as_its_claim(desk: Desk) -> None:
    desk.does(say("The owner said so.", ("w.ask", {"text": "x"})))
    assert [c.claim for c in desk.all("select claim from approvals")] == ["The owner said so."]


# ---- who watches


def told_of(desk: Desk, kind: str) -> list[dict[str, Any]]:
    return [
        json.loads(row.body)
        for row in desk.all(f"select body from events where kind='{kind}' order by id")
    ]


def test_who_watches_is_told_of_calls_that_came_to_nothing_and_why(desk: Desk) -> None:
    calls = [LOOK, ("w.look", {"m": 1}), ("no.such", {}), ("w.ask", {"text": "x"})]
    run = desk.does(say("looking", *calls), say("done"), dry_run=True)
    told = [(one["action"], one["status"], one.get("why")) for one in told_of(desk, "call")]
    assert told[0] == ("w.look", "done", None)
    assert [said[:2] for said in told[1:]] == [
        ("w.look", "refused"),
        ("no__such", "refused"),
        ("w.ask", "skipped"),
    ]
    assert "`m` is not an argument of w.look" in str(told[1][2])
    assert "There is no tool 'no__such'" in str(told[2][2])
    with desk.store.read() as look:
        shown = [call["error"] for call in views.show(look, run.id)["calls"]]
    assert shown == [None, told[1][2], told[2][2], None]


def test_of_thousands_of_refused_calls_the_watcher_reads_the_first_and_how_many(desk: Desk) -> None:
    desk.does(say("all at once", *[("no.such", {"n": n}) for n in range(50)]), say("done"))
    assert len(told_of(desk, "call")) == 20
    [more] = [one["note"] for one in told_of(desk, "text") if "note" in one]
    assert more == "30 more calls of this turn were not carried out."


# ---- the mode is off


def test_where_everything_is_off_the_first_refused_call_is_the_end(desk: Desk) -> None:
    desk.configure(policy={"mode": "off"})
    run = desk.does(say("looking", LOOK))
    assert (run.status, error(desk, run), run.result) == ("failed", "refused", "looking")
    assert [c.status for c in desk.calls(run, 0)] == ["refused"]
    assert desk.items(run)[-1]["kind"] == "result"
    answered = desk.does(say("nothing to do"))
    assert answered.status == "completed"


def test_a_call_that_was_approved_before_everything_was_turned_off_is_the_end_too(
    desk: Desk,
) -> None:
    run = desk.does(say("send", ("w.ask", {"text": "x"})))
    desk.decide("approve")
    desk.configure(policy={"mode": "off"})
    desk.go()
    assert error(desk, run) == "refused"


def test_where_one_action_is_off_or_nothing_is_done_anyway_the_run_goes_on(desk: Desk) -> None:
    desk.configure(policy={"rules": [{"action": "w.look", "mode": "off"}]})
    assert desk.does(say("looking", LOOK), say("done")).status == "completed"
    desk.configure(
        policy={"mode": "off", "rules": [{"action": "w.look", "mode": "gated"}]},
    )
    assert desk.does(say("looking", LOOK), say("done")).status == "completed"
    assert desk.does(say("send", ("w.ask", {"text": "x"})), say("done"), dry_run=1).result == "done"


# ---- caps


def test_the_last_of_its_turns_has_no_tools_and_keeps_what_there_is(desk: Desk) -> None:
    desk.configure(limits={"turns": 3})
    run = desk.does(say("a", LOOK), say("b", LOOK), say("what I have"))
    assert (run.status, run.result, error(desk, run)) == ("failed", "what I have", "cap:turns")
    assert [bool(parsed(s)[1]) for s in desk.sent] == [True, True, False]
    assert "Two turns are left" in desk.sent[1].decode()
    assert "last turn (turns)" in desk.sent[2].decode()


def test_a_run_of_one_turn_answers_in_it(desk: Desk) -> None:
    desk.configure(agents={"main": {"max_turns": 1}})
    run = desk.does(say("short"))
    assert (run.result, error(desk, run), len(desk.sent)) == ("short", "cap:turns", 1)


def test_the_time_of_a_run_is_its_running_time(desk: Desk, clock: Any) -> None:
    desk.configure(limits={"run_wall_clock": "1h"})

    def slow(_: Any) -> Any:
        clock.advance(3601)
        return say("slow", LOOK)

    run = desk.does(slow, say("that is all"))
    assert (run.result, error(desk, run)) == ("that is all", "cap:wall_clock")
    assert desk.requests[-1].max_output == 1000
    assert desk.requests[-1].tools == []


def test_time_that_a_run_waits_for_a_person_does_not_count(desk: Desk, clock: Any) -> None:
    desk.configure(limits={"run_wall_clock": "1h"})
    run = desk.does(say("may I", ("w.ask", {"text": "x"})), say("done"))
    clock.advance(7200)
    desk.decide("approve")
    desk.go()
    assert desk.run(run.id).status == "completed"


@pytest.mark.parametrize(
    ("budget", "max_cost", "cap"),
    [
        ({"per_run_usd": "0.5"}, None, "usd"),
        ({"per_run_usd": 9}, 500_000, "max_cost"),
        ({"per_run_usd": "0.5"}, 900_000, "usd"),
        ({"per_run_tokens": 9_500}, None, "tokens"),
    ],
)
def test_a_run_that_used_its_money_says_what_it_has_in_one_cheap_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, budget: Any, max_cost: int | None, cap: str
) -> None:
    """A turn is held at 0.3 USD, the last one at 0.05; the first costs 0.25."""
    bound = {None: 300_000, 1000: 50_000}
    monkeypatch.setattr(prices, "upper_bound", lambda model, size, most: bound[most])
    desk.configure(budget=budget)
    run = desk.does(
        say("a", LOOK, usd="0.25", tokens=(2_000, 10)), say("so far", usd="0.01"), max_cost=max_cost
    )
    assert (run.result, error(desk, run)) == ("so far", f"cap:{cap}")
    detail = json.loads(run.error or "{}")["detail"]
    assert ("may take" if cap == "tokens" else "may cost $0.3") in detail
    assert [r.max_output for r in desk.requests] == [None, 1000]
    scopes = desk.budgets()
    assert scopes["run"] == scopes["day"] == (0, 260_000)
    assert scopes["run:tokens"] == (0, 2_120)


def test_a_last_turn_that_cannot_be_paid_either_ends_with_what_was_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 300_000)
    desk.configure(budget={"per_run_usd": "0.5"})
    run = desk.does(say("so far", LOOK, usd="0.25"))
    assert (run.status, run.result, error(desk, run)) == ("failed", "so far", "cap:usd")


# ---- what is cut


def test_an_answer_that_was_cut_is_continued_into_one(desk: Desk) -> None:
    run = desk.does(say("one ", finish="length"), say("two ", finish="length"), say("three"))
    assert (run.status, run.result) == ("completed", "one two three")
    assert "Go on exactly" in parsed(desk.sent[1])[-1]["text"]
    run = desk.does(say("cut ", finish="length"), say("look", LOOK), say("whole"))
    assert run.result == "whole"


# ---- failures


def test_what_may_pass_is_asked_again_and_every_failure_is_a_row(desk: Desk) -> None:
    run = desk.does(fails("rate_limit"), fails("network"), say("done"))
    assert run.status == "completed"
    assert [u[2] for u in desk.usage()] == ["rate_limit", "network", "ok"]
    assert [r.failed_requests for r in desk.requests] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "network", "budget"])
def test_a_provider_that_is_away_parks_the_run_which_goes_on_later(
    desk: Desk, clock: Any, kind: str
) -> None:
    tries = 1 if kind == "budget" else 3
    run = desk.does(*([fails(kind)] * tries))
    assert (run.status, run.wait, desk.model) == ("parked", "limit", [])
    assert run.wake_at == clock.now() + 15 * clock_module.MINUTE
    assert [tuple(r) for r in desk.all("select provider, reason from blocks")] == [("p", kind)]
    assert desk.items(run) == [], "the turn did not happen"
    assert [u[2] for u in desk.usage()] == [kind] * tries


def test_a_run_that_waits_for_its_provider_says_why_and_until_when_without_secrets(
    desk: Desk, clock: Any
) -> None:
    redact.register("sk-secret-0123456789", "KEY")
    problem = fails("rate_limit", retry_after=120)
    problem.detail = "p answers 429: slow down, sk-secret-0123456789"
    run = desk.does(problem)
    until = clock_module.rfc3339(run.wake_at)
    with desk.store.read() as look:
        told = views.end(look, run.id)
    [held] = told["waiting"]
    assert (held["id"], held["kind"]) == ("p", "limit")
    assert "p answers 429: slow down" in held["title"] and until in held["title"]
    [notice] = [json.loads(r.body) for r in desk.all("select body from events where kind='notice'")]
    assert (notice["code"], notice["until"]) == ("model:rate_limit", until)
    assert "slow down" in notice["detail"]
    assert "sk-secret" not in json.dumps([told, notice, run.state])


def test_a_run_that_failed_says_what_to_do(desk: Desk) -> None:
    problem = fails("auth")
    problem.next = "Check the key."
    run = desk.does(problem)
    assert json.loads(run.error or "{}") == {
        "code": "model:auth",
        "detail": "it said auth Check the key.",
    }


def test_a_provider_that_wants_a_long_pause_gets_it_at_once(desk: Desk, clock: Any) -> None:
    run = desk.does(fails("rate_limit", retry_after=120))
    assert run.wake_at == clock.now() + 120 * clock_module.SECOND


def test_fallbacks_are_asked_in_order_and_never_for_the_last_word(desk: Desk) -> None:
    desk.configure(models={"fallback": ["scripted:/b", "scripted:/c"]}, limits={"turns": 2})
    run = desk.does(fails("budget"), fails("budget"), say("c here", LOOK), fails("budget"))
    assert [m for _, m, *_ in desk.usage()] == [
        *("scripted:/x", "scripted:/b", "scripted:/c", "scripted:/x")
    ]
    assert run.wait == "limit"


@pytest.mark.parametrize("kind", ["auth", "refused"])
def test_what_will_not_pass_ends_the_run_with_its_kind(desk: Desk, kind: str) -> None:
    run = desk.does(say("some", LOOK), fails(kind))
    assert (run.status, run.result, error(desk, run)) == ("failed", "some", f"model:{kind}")


@pytest.mark.parametrize("kind", ["malformed", "empty"])
def test_a_bad_answer_is_asked_for_again_twice_with_a_note(desk: Desk, kind: str) -> None:
    run = desk.does(fails(kind), fails(kind), say("better"))
    assert run.result == "better"
    assert f"could not be used ({kind})" in desk.sent[1].decode()
    assert not any(kind in str(i) for i in desk.items(run)), "the note is not kept"
    run = desk.does(*[fails(kind)] * 3)
    assert error(desk, run) == f"model:{kind}"


@pytest.mark.parametrize(
    ("outcome", "spent", "tokens"),
    [
        (say("done", usd="0.02"), 20_000, 110),
        (say("done"), 300_000, 110),  # nobody knows what it cost: the worst
        (fails("auth"), 0, 0),
        (fails("refused", usage=Usage(input_tokens=5, cost_usd=None)), 300_000, 5),
    ],
)
def test_every_outcome_settles_what_was_reserved(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, outcome: Any, spent: int, tokens: int
) -> None:
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 300_000)
    desk.does(outcome)
    scopes = desk.budgets()
    assert scopes["day"] == scopes["run"] == (0, spent)
    assert scopes["day:tokens"] == scopes["run:tokens"] == (0, tokens)


@pytest.mark.parametrize("kind", ["network", "crash"])
def test_a_request_that_may_have_been_served_counts_as_reserved(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 300_000)
    monkeypatch.setattr(prices, "tokens_bound", lambda *a: 900)
    desk.does(fails("network", retry_after=99) if kind == "network" else RuntimeError("boom"))
    assert desk.budgets()["day"] == (0, 300_000)
    assert desk.budgets()["day:tokens"] == (0, 900)
    assert [u[2] for u in desk.usage()] == [kind]


def test_what_a_request_cost_is_recorded_though_the_run_was_cancelled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "upper_bound", lambda *a: 300_000)

    def cancel(_: Any) -> Any:
        desk.store.transact(endings.cancel, run_id, by="somebody", token=ids.new())
        return say("too late", usd="0.02")

    desk.model[:] = [cancel]
    run_id = desk.start()
    desk.go()
    assert desk.run(run_id).status == "cancelled"
    assert desk.items(desk.run(run_id)) == []
    assert desk.budgets()["day"] == (0, 20_000)
    assert [(u[2], u[3]) for u in desk.usage()] == [("ok", 20_000)]


# ---- compaction


def long_run(*, rounds: int) -> list[Any]:
    return [say(f"step {n}", ("w.look", {"n": n}), tokens=(1000, 10)) for n in range(rounds)]


FULL = (150_000, 10)
"""More than the fraction of what a scripted model holds."""


def assert_whole_pairs(sent: bytes) -> None:
    open_calls: list[str] = []
    for item in parsed(sent)[2:]:
        if item["kind"] == "assistant":
            assert open_calls == []
            open_calls = [c["id"] for c in item["calls"]]
        elif item["kind"] == "result":
            assert open_calls.pop(0) == item["call_id"]
    assert open_calls == []


def test_a_long_run_is_summarised_and_goes_on_with_brief_summary_and_the_newest(desk: Desk) -> None:
    script = [
        *long_run(rounds=6),
        say("full", LOOK, LOOK, tokens=FULL),
        say("go", LOOK),
        say("end"),
    ]
    desk.summaries[:] = [say("It went well.")]
    run = desk.does(*script, brief="the very words \u2713")
    assert run.result == "end"
    (summary,) = [r for r in desk.requests if r.purpose == "compact"]
    assert summary.model == "scripted:/cheap"
    shown = parsed(desk.sent[-2])[2:]
    assert shown[0] == {"kind": "user", "text": "the very words \u2713"}
    assert "It went well." in shown[1]["text"]
    assert shown[2]["kind"] in ("assistant", "user")
    assert len(shown) < 14
    for sent in desk.sent:
        assert_whole_pairs(sent)
    told = summary.items[0]["text"]
    kept = json.dumps(shown)
    for n in range(6):
        assert (f"step {n}" in told) != (f"step {n}" in kept), "each step is in one of the two"
    assert len(desk.items(run)) > 20, "the transcript keeps everything"
    assert desk.sent[-1].startswith(desk.sent[-2])


def test_a_second_summary_is_made_of_the_first_and_nothing_falls_between(desk: Desk) -> None:
    desk.summaries[:] = [say("FIRST"), say("SECOND")]
    again = [say(f"later {n}", LOOK) for n in range(4)]
    script = [*long_run(rounds=6), say("full", LOOK, tokens=FULL), *again]
    run = desk.does(*script, say("full again", LOOK, tokens=FULL), say("end"))
    assert run.result == "end"
    first, second = [r.items[0]["text"] for r in desk.requests if r.purpose == "compact"]
    shown = json.dumps(parsed(desk.sent[-1])[2:])
    assert "FIRST" in second
    assert "FIRST" not in shown
    assert "SECOND" in shown
    said = [f"step {n}" for n in range(6)] + [f"later {n}" for n in range(4)] + ["full again"]
    for text in said:
        assert any(text in place for place in (first, second, shown)), text
    assert [text for text in said if text in first and text in second] == []
    assert [
        text for text in said if text in second and text in shown and text != "full again"
    ] == []


def test_a_summary_right_after_a_summary_loses_nothing(desk: Desk) -> None:
    desk.summaries[:] = [say("FIRST"), say("SECOND")]
    script = [*long_run(rounds=6), say("full", LOOK, tokens=FULL), say("next", LOOK, tokens=FULL)]
    run = desk.does(*script, say("end"))
    assert run.result == "end"
    compactions = [r.items[0]["text"] for r in desk.requests if r.purpose == "compact"]
    shown = json.dumps(parsed(desk.sent[-1])[2:])
    for text in [f"step {n}" for n in range(6)] + ["next"]:
        assert any(text in place for place in (*compactions, shown)), text
    assert "FIRST" in compactions[1]
    assert "FIRST" not in shown, "the newer summary was made of it"
    assert_whole_pairs(desk.sent[-1])


def test_a_prompt_that_does_not_fit_is_summarised_and_asked_again_once(desk: Desk) -> None:
    desk.summaries[:] = [say("short")]
    run = desk.does(*long_run(rounds=6), fails("context"), say("fits now"))
    assert run.result == "fits now"
    assert "short" in desk.sent[-1].decode()
    desk.summaries[:] = [say("short")]
    run = desk.does(*long_run(rounds=6), fails("context"), fails("context"))
    assert error(desk, run) == "model:context"


def test_compaction_begins_at_its_fraction_of_the_context() -> None:
    context = sizes.limits("scripted:/x").context
    edge = int(compact.FRACTION * context)
    assert not compact.due({"tokens": edge}, "scripted:/x")
    assert compact.due({"tokens": edge + 1}, "scripted:/x")
    assert compact.due({"forced": True}, "scripted:/x")


@pytest.mark.parametrize(
    ("cheap", "kind", "replaced"),
    [
        ("scripted:/cheap", "refused", True),
        ("ollama:small", "context", True),  # it holds less than the run's own
        ("ollama:small", "refused", False),  # somebody chose it
    ],
)
def test_a_small_model_that_fails_at_summarising_is_replaced_by_the_runs_own(
    desk: Desk, cheap: str, kind: Any, replaced: bool
) -> None:
    desk.cheap = cheap
    desk.summaries[:] = [fails(kind), say("[summary]")]
    rounds = long_run(rounds=8)
    rounds[-1] = say("step 7", ("w.look", {"n": 7}), tokens=FULL)
    run = desk.does(*rounds, say("done"))
    assert run.status == ("completed" if replaced else "failed")
    asked = [r.model for r in desk.requests if r.purpose == "compact"]
    assert asked == [cheap, "scripted:/x"][: 1 + replaced]


def test_a_compaction_that_cannot_be_asked_waits_and_is_not_forgotten(desk: Desk) -> None:
    desk.summaries[:] = [fails("budget")]
    run = desk.does(*long_run(rounds=6), say("full", LOOK, tokens=FULL))
    assert (run.wait, run.step) == ("limit", "compact")


def test_a_summary_that_the_run_cannot_pay_is_its_end_and_says_its_price(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "upper_bound", lambda m, s, most: 300_000 if most == 2000 else 9)
    desk.configure(budget={"per_run_usd": "0.2"})
    run = desk.does(*long_run(rounds=6), say("full", LOOK, tokens=FULL), say("so far"))
    assert (run.result, error(desk, run)) == ("so far", "cap:usd")
    assert "may cost $0.3" in json.loads(run.error or "{}")["detail"]


# ---- streaming


def test_what_is_said_reaches_watchers_and_the_feed_without_secrets(desk: Desk) -> None:
    redact.register("open sesame please", "WORDS")
    try:
        desk.does(say("The words are open sesame please and no others. Done"))
    finally:
        redact.forget_all()
    watched = "".join(body["text"] for kind, body in desk.watched if kind == "stream")
    fed = "".join(
        json.loads(r.body)["text"]
        for r in desk.all("select body from events where kind='text' order by id")
    )
    for said in (watched, fed):
        assert said.startswith("The words are [redacted:WORDS:")
        assert said.rstrip().endswith("no others. Done")


def test_what_broke_off_is_told_before_what_is_said_next_and_who_says_it(desk: Desk) -> None:
    desk.configure(models={"fallback": ["scripted:/b", "scripted:/c"]})
    said: list[Any] = [("one", fails("network")), ("two", fails("budget")), ("t", fails("empty"))]
    desk.does(*said, fails("budget"), say("three"))
    told = [
        "one ",
        "network: asking again in 0 s",
        "two ",
        "budget: asking scripted:/b instead",
        "t ",
        "empty: asking again",
        "budget: asking scripted:/c instead",
        "three ",
    ]
    fed = [
        json.loads(r.body)
        for r in desk.all("select body from events where kind='text' order by id")
    ]
    assert [body.get("note") or body["text"] for body in fed] == told
    streamed = [
        body.get("note") or body["text"]
        for _, body in desk.watched
        if "turn" in body or "note" in body
    ]
    assert streamed == told


def test_words_come_one_by_one_to_who_watches(desk: Desk) -> None:
    desk.does(say("one two three"))
    pieces = [body["text"] for kind, body in desk.watched if kind == "stream"]
    assert pieces == ["one ", "two ", "three "]


# ---- secrets


def test_no_prompt_holds_a_secret_whoever_wrote_it(desk: Desk) -> None:
    words = "open sesame please"
    redact.register(words, "WORDS")
    desk.recall = lambda ctx: f"It was {words}."
    (desk.home / "SOUL.md").write_text(f"Never say {words}.")
    answer = say(f"I say {words}", ("w.send", {"text": words}), ("w.ask", {"text": "x"}))
    desk.model[:] = [replace(answer, native={"said": words}), say("done")]
    try:
        run_id = desk.start(f"Say {words}")
        desk.tell(run_id, f"Really {words}")
        desk.go()
        # what would leave with a secret in it is asked about too
        desk.decide("reject", cards=2, reason=f"not {words}")
        desk.go()
    finally:
        redact.forget_all()
    run = desk.run(run_id)
    assert (run.status, len(desk.requests)) == ("completed", 2)
    sent = [json.dumps([request.system, list(request.items)]) for request in desk.requests]
    assert words not in "".join(sent)
    assert sent[-1].count("[redacted:WORDS:") == 8
    kept = next(item for item in desk.items(run) if item["kind"] == "assistant")
    assert kept["native"] is None, "the provider would not take back what has something missing"
    assert kept["calls"][0]["args"]["text"].startswith("[redacted:WORDS:")
    assert [call.arguments["text"] for call in desk.calls(run, 0)] == [words, "x"]
