"""Handing work on: what a child is given, what its caller is told, and how far it goes."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from typing import Any

import pytest

from alfred import clock as clock_module
from alfred import ids
from alfred.actions.grant import Grant
from alfred.agents import branch, delegate
from alfred.agents import ledger as agent_ledger
from alfred.llm.contract import ModelAnswer, ModelRequest
from alfred.memory import conversations, scratch
from alfred.runs import endings, rows, sessions, sweep
from alfred.runs.rows import Run
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.trust import redact
from tests.table import table
from tests.unit.agents.conftest import Desk, fails, say

TOOLS = frozenset(
    [
        *("w.look", "w.page", "w.send", "w.ask", "scratch.write", "scratch.promote"),
        *("agents.delegate", "agents.ask", "agents.handoff"),
    ]
)
GRANTS = Grant(actions=TOOLS, scratch="").encode()
LOOK = ("w.look", {"n": 1})


def hands_on(*briefs: str, **more: Any) -> ModelAnswer:
    return say("", ("agents.delegate", {"briefs": list(briefs), **more}))


@pytest.fixture
def team(desk: Desk) -> Desk:
    """A desk whose agents may hand work on."""
    desk.actions.register(delegate.ACTIONS)
    desk.actions.register(scratch.ACTIONS)
    return desk


Script = dict[str, list[Any]]


def by_brief(desk: Desk, script: Script) -> Callable[[ModelRequest], Any]:
    """What the model says, by the first word of the brief of who is asked; in whatever order they come."""

    def answer(request: ModelRequest) -> Any:
        desk.model.insert(0, answer)
        said = script[request.brief.split()[0]].pop(0)
        return said(request) if callable(said) else said

    return answer


def plays(desk: Desk, script: Script, brief: str = "boss", **more: Any) -> Run:
    """A run with this script, driven as far as it goes."""
    desk.model[:] = [by_brief(desk, script)]
    run_id = desk.start(brief, **{"grants": GRANTS} | more)
    desk.go()
    return desk.run(run_id)


def children(desk: Desk, run: Run) -> list[Run]:
    return [
        desk.run(row.id)
        for row in desk.all("select id from runs where parent_id=:id order by id", id=run.id)
    ]


def told(desk: Desk, run: Run, n: int = 0) -> Any:
    """What a run was told by the n-th call of its that started somebody."""
    results = [i for i in desk.items(run) if i["kind"] == "result" and "agents__" in i["tool"]]
    return json.loads(results[n]["text"])


def test_a_boss_hands_on_two_briefs_waits_for_both_and_goes_on_with_what_they_say(
    team: Desk,
) -> None:
    redact.register("Zq8vT3nLw9Xk2Rb7Yc5Md1", "KEY")
    long = "south of it".ljust(70) + " Zq8vT3nLw9Xk2Rb7Yc5Md1"
    run = plays(
        team,
        {
            "boss": [hands_on("north of it", long), say("both")],
            "north": [say("", LOOK), say("cold")],
            "south": [say("warm")],
        },
    )
    north, south = children(team, run)
    assert (run.status, run.result) == ("completed", "both")
    said = told(team, run)
    assert said["completed"] == 2
    assert [(one["brief"], one["answer"]) for one in said["agents"]] == [
        ("north of it", "cold"),
        (redact.redact(long)[:80], "warm"),
    ]
    assert "Zq8v" not in south.title
    assert (north.depth, north.root_id, north.agent, north.model) == (1, run.id, "main", run.model)
    assert (north.workspace, south.session_id) == (south.workspace, south.id)
    # what has begun goes before what was queued earlier
    assert {row.priority for row in team.all("select priority from runs where depth=1")} == {-1}
    # nothing went down but the brief
    first = next(one for one in team.requests if one.brief == "north of it")
    assert [item.get("text") for item in first.items] == ["north of it"]
    assert "You are a sub-agent" in first.system
    notes = {row.path: row.value for row in team.all("select path,value from scratch")}
    assert notes == {f"{rows.notes_of(c.id)}result": c.result for c in (north, south)}


def test_a_child_has_the_tools_that_its_caller_its_own_policy_and_the_call_all_allow(
    team: Desk,
) -> None:
    team.configure(
        agents={
            "main": None,
            "family": {"toolsets": ["w", "agents"], "tools": {"deny": ["w.send"]}},
        }
    )
    grants = Grant(actions=TOOLS - {"w.ask"}, scratch="").encode()
    run = plays(
        team,
        {
            "boss": [
                say("", ("agents.delegate", {"briefs": ["a"], "agent": "family"})),
                hands_on("b", tools=["w.look", "w.ask", "agents"]),
                say("end"),
            ],
            "a": [say("", ("w.ask", {"text": "x"}), ("w.send", {"text": "x"})), say("no")],
            "b": [say("", ("w.page", {})), say("no")],
        },
        grants=grants,
    )
    a, b = children(team, run)
    assert Grant.decode(a.grants).actions == {
        *("w.look", "w.page", "agents.delegate", "agents.ask", "agents.handoff")
    }
    assert Grant.decode(b.grants).actions == {
        *("w.look", "agents.delegate", "agents.ask", "agents.handoff")
    }
    assert [call.status for call in team.calls(a, 0)] == ["refused", "refused"]
    assert [call.status for call in team.calls(b, 0)] == ["refused"]
    patterns = plays(
        team,
        {
            "boss": [say("", ("agents.delegate", {"briefs": ["a"], "agent": "family"})), say("e")],
            "a": [say("no")],
        },
        grants=Grant(actions=frozenset({"w.*", "agents.delegate"})).encode(),
    )
    (child,) = children(team, patterns)
    assert Grant.decode(child.grants).actions == {"agents.delegate"}, "nobody knows what w.* is"


def test_a_child_is_not_started_without_a_tool_because_its_name_was_mistyped(team: Desk) -> None:
    run = plays(team, {"boss": [hands_on("b", tools=["w.loook"]), say("end")]})
    (call,) = team.calls(run, 0)
    assert (call.status, children(team, run)) == ("failed", [])
    assert "Did you mean 'w.look'?" in (call.result or "")


LIMITS = [
    ({"subagents": 0}, {}, ["a"], "hands nothing on (subagents.max_children of main is 0)"),
    ({"subagents": {"max_depth": 0}}, {}, ["a"], "nobody is started deeper than 0"),
    ({}, {"depth": 0}, ["a"], "deeper than 0 (limits.depth)"),
    ({"subagents": {"max_children": 2}}, {}, ["a", "b", "c"], "2 may be at a time"),
    ({}, {"children_live": 1}, ["a", "b"], "1 may be at a time (limits.children_live)"),
    ({}, {"tree_steps": 1}, ["a"], "limits.tree_steps is 1"),
    ({}, {}, [], "There is no brief"),
    ({}, {}, [" "], "A brief has 0 bytes"),
    ({}, {}, ["boss"], "is what main was asked in the first place"),
]


@table(LIMITS)
def test_what_is_too_deep_too_many_or_nothing_is_refused_whole_with_what_to_do(
    team: Desk, agent: dict[str, Any], limits: dict[str, Any], briefs: list[str], why: str
) -> None:
    team.configure(agents={"main": agent or None}, limits=limits)
    run = plays(team, {"boss": [hands_on(*briefs), say("alone")]})
    assert (run.result, children(team, run)) == ("alone", [])
    error = told(team, run)["error"]
    assert why in error["detail"] and error["next"]


def test_every_agent_above_holds_the_depth_and_the_living_are_counted(team: Desk) -> None:
    team.configure(
        agents={
            "main": {"subagents": {"max_depth": 1, "max_children": 2}},
            "deep": {"subagents": {"max_depth": 3}},
        }
    )
    both = say(
        "",
        ("agents.delegate", {"briefs": ["a", "b"], "agent": "deep"}),
        ("agents.delegate", {"briefs": ["c"]}),
    )
    run = plays(
        team,
        {"boss": [both, say("end")], "a": [hands_on("further"), say("no")], "b": [say("b")]},
    )
    a, _b = children(team, run)
    assert "2 are alive" in told(team, run, 1)["error"]["detail"]
    assert "deeper than 1 (subagents.max_depth of main)" in told(team, a)["error"]["detail"]


def test_a_child_begins_with_its_callers_label_and_its_own_comes_back_with_its_answer(
    team: Desk,
) -> None:
    run = plays(
        team,
        {
            "boss": [hands_on("reads"), hands_on("looks"), say("end")],
            "reads": [say("", ("w.page", {})), say("they say so")],
            "looks": [say("fine")],
        },
    )
    reads, looks = children(team, run)
    assert (reads.external, looks.external, run.external) == (1, 1, 1)
    results = [i["integrity"] for i in team.items(run) if i["kind"] == "result"]
    assert results == ["external", "external"]
    briefs = [
        next(i["integrity"] for i in team.items(child) if i["kind"] == "user")
        for child in (reads, looks)
    ]
    assert briefs == ["derived", "external"], "it is never the owner's word"
    clean = plays(team, {"boss": [hands_on("looks"), say("end")], "looks": [say("fine")]})
    assert clean.external == 0


def test_whoever_is_still_out_at_the_deadline_is_named_and_told_of_when_it_is_over(
    team: Desk, clock: Any
) -> None:
    run_id = team.start("boss", grants=GRANTS, title="boss")
    asks = ("w.ask", {"text": "may I"})
    script: Script = {
        "boss": [hands_on("fast", "slow", "last", within_minutes=5), *map(say, ("1", "2", "all"))],
        "fast": [say("here")],
        "slow": [say("", asks), say("came late")],
        "last": [say("", asks, ("w.page", {})), say("came last")],
    }
    team.model[:] = [by_brief(team, script)]

    def waits() -> Run:
        team.go()
        run = team.run(run_id)
        assert (run.status, run.wait) == ("parked", "children")
        return run

    waits()
    clock.advance(301)
    sweep.beat(team.store)
    card = team.all("select preview from approvals order by preview")[0].preview
    assert card.startswith("for main: last\nfor main: boss\n\n"), "whose call it is"
    said = told(team, waits())  # its answer is not its last word yet
    assert (said["completed"], said["still out"]) == (1, 2)
    assert [one.get("answer") for one in said["agents"]] == ["here", None, None]
    assert said["agents"][1]["waits_for"] == "approval"
    team.decide("approve", cards=2, only="slow")
    waits()
    clock.advance(3601)
    sweep.beat(team.store)
    waits()
    team.decide("approve")
    team.go()
    over = team.run(run_id)
    assert (over.status, over.result, over.external) == ("completed", "all", 1)
    notes = "\n".join(i["text"] for i in team.items(over) if i["kind"] == "note")
    assert (notes.count("came late"), notes.count("came last")) == (1, 1), "each is told of once"
    assert not any(script.values())


def test_a_turn_does_not_wait_for_who_is_still_out_of_an_earlier_one(
    team: Desk, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = {
        "boss": [hands_on("slow", within_minutes=1), hands_on("fast"), hands_on("gone"), say("1")],
        "slow": [say("", ("w.ask", {"text": "may I"}))],
        "fast": [say("here")],
    }
    run = plays(team, script)
    looked = agent_ledger.children

    def ended_since(tx: Tx, run_id: str) -> dict[str, list[Run]]:
        found = looked(tx, run_id)
        for child in (one for some in found.values() for one in some if one.brief == "gone"):
            team.store.transact(endings.cancel, child.id, by="me", token=child.id)
        return found

    monkeypatch.setattr(agent_ledger, "children", ended_since)
    clock.advance(61)
    sweep.beat(team.store)
    team.go()
    assert [told(team, run, n) | {"agents": 0} for n in range(3)] == [
        {"still out": 1, "agents": 0},
        {"completed": 1, "agents": 0},
        {"cancelled": 1, "agents": 0},
    ]
    assert (team.run(run.id).wait, script["boss"]) == ("children", []), "its last word waits"


def test_what_failed_is_told_and_a_cancel_takes_the_tree(team: Desk) -> None:
    run = plays(
        team,
        {
            "boss": [hands_on("falls", "waits"), say("never")],
            "falls": [say("", finish="length")] * 70,
            "waits": [hands_on("below"), say("never")],
            "below": [say("", ("w.ask", {"text": "may I"})), say("never")],
        },
    )
    assert (run.status, run.wait) == ("parked", "children")
    _falls, waits = children(team, run)
    (below,) = children(team, waits)
    assert team.store.transact(endings.cancel, run.id, by="me", token="t")
    found = [team.run(one.id).status for one in (run, waits, below)]
    assert found == ["cancelled"] * 3


def test_an_answer_in_the_wrong_form_is_asked_for_again_twice(team: Desk) -> None:
    form = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    rows_ = [
        (["five", '{"n": "x"}', '```json\n{"n": 5}\n```'], "completed"),
        (['{"n": 1}'], "completed"),
        (["a", "b", "c"], "failed"),
    ]
    for answers, status in rows_:
        run = plays(
            team,
            {
                "boss": [hands_on("counts", result_schema=form), say("end")],
                "counts": [say(text) for text in answers],
            },
        )
        (child,) = children(team, run)
        (line,) = told(team, run)["agents"]
        assert (child.status, line["answer"]) == (status, answers[-1])
        assert ("does not fit" in line.get("error", "")) == (status == "failed")
        asked = [one for one in team.requests if one.brief == "counts"]
        assert '"required": ["n"]' in asked[-1].system


def test_children_spend_their_callers_money_and_no_more_of_it_than_they_were_given(
    team: Desk,
) -> None:
    run = plays(
        team,
        {
            "boss": [hands_on("poor", max_cost_usd=0.5), say("end", usd="0.1")],
            "poor": [
                say("", LOOK, usd="0.4"),
                say("", LOOK, usd="0.4"),
                say("spent", usd="0.01"),
                say("spent", usd="0.01"),
            ],
        },
        max_cost=2_000_000,
    )
    (poor,) = children(team, run)
    assert (poor.status, json.loads(poor.error or "{}")["code"]) == ("failed", "cap:max_cost")
    spent = team.budgets()
    whole = sum(row.cost for row in team.all("select cost from usage where cost is not null"))
    (held,) = team.all(f"select spent from budgets where scope='run:{run.id}'")
    assert held.spent == whole > 0
    assert any(scope.startswith("run") for scope in spent)
    # and when there is nothing left above, nobody below goes on
    broke = plays(
        team,
        {
            "boss": [say("", ("agents.delegate", {"briefs": ["b"]}), usd="0.9"), say("end")],
            "b": [say("", LOOK, usd="0.4"), say("no", usd="0.1"), say("no", usd="0.1")],
        },
        max_cost=1_000_000,
    )
    (child,) = children(team, broke)
    assert json.loads(child.error or "{}")["code"] == "cap:tree"


def test_a_lead_knows_its_team_and_the_members_that_it_asks_what_all_are_told(team: Desk) -> None:
    team.configure(
        agents={"main": None, "chief": None, "coder": None, "critic": None},
        teams={"tower": {"lead": "chief", "members": ["coder", "critic"], "brief": "Be exact."}},
    )
    script = {
        "boss": [say("", ("agents.ask", {"agent": "coder", "question": "build"})), say("end")],
        "build": [say("built")],
    }
    plays(team, {key: [*said] for key, said in script.items()}, agent="chief")
    plays(team, script)
    heads = {(one.brief, n): one.system for n, one in enumerate(team.requests)}
    told = [
        ("tower" in heads[key], "Be exact." in heads[key])
        for key in sorted(heads, key=lambda k: k[1])
    ]
    assert told == [(True, True)] * 3 + [(False, False)] * 3
    assert "You lead the team tower: coder, critic." in team.requests[0].system
    assert "You work in the team tower, which chief leads." in team.requests[1].system


def test_one_question_is_asked_of_a_named_agent(team: Desk) -> None:
    run = plays(
        team, {"boss": [say("", ("agents.ask", {"agent": "ops", "question": "q"})), say("e")]}
    )
    assert told(team, run)["error"]["code"] == "unavailable"
    team.configure(
        agents={
            "main": None,
            "ops": {"description": "Runs it.", "model": "/x", "provider": "scripted"},
        }
    )
    run = plays(
        team,
        {
            "boss": [
                say("", ("agents.ask", {"agent": "opps", "question": "q"})),
                say("", ("agents.ask", {"agent": "ops", "question": "which one"})),
                say("that"),
            ],
            "which": [say("the second")],
        },
    )
    assert "Did you mean 'ops'?" in told(team, run)["error"]["detail"]
    assert told(team, run, 1)["agents"][0]["answer"] == "the second"
    assert (
        "- ops: Runs it."
        in next(one for one in team.requests if one.brief == "boss" and "ops" in one.system).system
    )
    (child,) = children(team, run)
    assert child.agent == "ops"


def test_who_takes_a_conversation_over_has_read_it_and_answers_in_it(team: Desk) -> None:
    team.configure(agents={"main": None, "ops": None})
    run_id = team.start("boss asks about the moon", grants=GRANTS, session_id="S")
    script: Script = {
        "boss": [say("", ("agents.handoff", {"agent": "ops", "brief": "take it"}))],
        "take": [say("", ("w.ask", {"text": "may I"})), say("it is round")],
    }
    team.model[:] = [by_brief(team, script)]
    team.go()
    (child,) = children(team, team.run(run_id))
    with team.store.read() as look:
        assert sessions.heir(look, team.run(run_id)).id == child.id, "what is said now is its"
    team.decide("approve")
    team.go()
    run = team.run(run_id)
    assert (run.status, run.result) == ("completed", "it is round")
    note, brief = (i["text"] for i in team.items(child) if i["kind"] in ("note", "user"))
    assert "person: boss asks about the moon" in note and brief == "take it"
    head = next(i["text"] for i in team.items(child) if i["kind"] == "system")
    assert "gave you its conversation" in head and "reads nothing of you" not in head
    with team.store.read() as look:
        assert sessions.heir(look, run).agent == "ops"
    # what is said next is said to it
    plays(team, {"dark": [say("behind it")]}, "dark side?", session_id="S", agent="ops")
    texts = [item["text"] for item in team.requests[-1].items]
    assert texts[0] == note and texts[-1] == "dark side?" and "it is round" in texts

    def finds(agent: str, query: str) -> list[tuple[str, str]]:
        one = Grant(actions=frozenset({"sessions.search"})).encode()
        asked = say("", ("sessions.search", {"query": query}))
        with_it = {"agent": agent, "grants": one, "session_id": f"other {agent} {query}"}
        seen = plays(team, {"search": [asked, say("e")]}, "search", **with_it)
        (call,) = team.calls(seen, 0)
        return [(hit["who"], hit["text"]) for hit in json.loads(call.result or "")]

    team.actions.register(conversations.ACTIONS)
    assert finds("main", "moon round dark behind take") == [("person", "boss asks about the moon")]
    assert set(finds("ops", "moon round dark behind take")) == {
        ("an agent", "take it"),
        *(("you", text) for text in ("it is round", "behind it")),
        ("person", "dark side?"),
    }


def test_who_waits_for_days_is_asked_what_to_do_more_and_more_seldom(
    team: Desk, clock: Any
) -> None:
    script: Script = {
        "boss": [hands_on("slow", within_minutes=1), *[say("I wait")] * 100],
        "slow": [say("", ("w.ask", {"text": "may I"})), say("came late")],
    }
    run_id = plays(team, script).id
    clock.advance(61)
    for _ in range(6 * 24):
        sweep.beat(team.store)
        team.go()
        clock.advance(3601)
    assert team.run(run_id).answers == 2 + 7, "after 1, 2, 4 … 32, 48 hours"
    team.tell(run_id, "go on without")
    team.go()
    assert team.requests[-1].items[-1]["text"] == "go on without", "it need not wait for that"
    script["boss"].insert(0, lambda _: (team.tell(run_id, "and?"), say("I wait"))[1])
    team.tell(run_id, "now")
    team.go()
    assert team.requests[-1].items[-1]["text"] == "and?", "said while it answered"
    team.decide("approve")
    team.go()
    assert team.run(run_id).result == "I wait"


def test_no_conversation_is_given_away_while_a_sub_agent_is_out(team: Desk, clock: Any) -> None:
    team.configure(agents={"main": None, "ops": None})
    away = say("", ("agents.handoff", {"agent": "ops", "brief": "take it"}))
    script: Script = {
        "boss": [hands_on("slow", within_minutes=1), away, say("later"), away],
        "slow": [say("", ("w.ask", {"text": "may I"})), say("came late")],
        "take": [say("mine now")],
    }
    run_id = plays(team, script).id
    clock.advance(61)
    sweep.beat(team.store)
    team.go()
    run = team.run(run_id)
    assert "would be read by nobody" in told(team, run, 1)["error"]["detail"]
    assert (run.wait, len(children(team, run))) == ("children", 1)
    team.decide("approve")
    team.go()
    run = team.run(run_id)
    assert (run.status, run.result) == ("completed", "mine now")


def test_a_conversation_is_given_to_one_alone_and_comes_back_with_what_was_said_when_that_fails(
    team: Desk,
) -> None:
    team.configure(agents={"main": None, "ops": None})
    gives = ("agents.handoff", {"agent": "ops", "brief": "take it"})
    run_id = team.start("boss", grants=GRANTS, session_id="S")
    script: Script = {
        "boss": [say("", gives, gives), say("I am back")],
        "take": [say("", ("w.ask", {"text": "may I"})), say("which?", LOOK), fails("auth")],
    }
    team.model[:] = [by_brief(team, script)]
    team.go()
    (child,) = children(team, team.run(run_id))
    late = json.dumps(json.loads(team.run(run_id).state or "") | {"until": 1})
    due = Sql("update runs set wake_at=1,state=:state where id=:id")
    team.store.transact(lambda tx: tx(due, state=late, id=run_id))
    sweep.beat(team.store)
    team.go()
    assert team.run(run_id).wait == "children", "it says nothing while another one answers"
    team.tell(child.id, "mind the gap")
    team.decide("approve")
    team.go()
    run = team.run(run_id)
    assert (run.status, run.result) == ("completed", "I am back")
    results = [i["text"] for i in team.items(run) if i["kind"] == "result"]
    assert "person: mind the gap" in results[0] and "agent: which?" in results[0]
    assert "ops has this conversation by now" in results[1]


def test_neither_a_dry_run_nor_a_call_that_is_switched_off_starts_anybody(team: Desk) -> None:
    script = {"boss": [hands_on("a"), say("end")], "a": [say("fine")]}
    dry = plays(team, script, dry_run=1)
    assert (dry.status, children(team, dry)) == ("completed", [])
    script = {"boss": [hands_on("a"), say("end")], "a": [say("fine")]}
    team.configure(policy={"rules": [{"action": "agents.*", "mode": "off"}]})
    refused = plays(team, script)
    assert (refused.status, children(team, refused)) == ("completed", [])


def test_nobody_does_for_an_agent_what_it_may_not_do_by_itself(team: Desk) -> None:
    team.configure(
        agents={"main": None, "ops": None},
        policy={"mode": "gated", "rules": [{"agent": "ops", "mode": "autonomous"}]},
    )
    alone = plays(team, {"boss": [say("", ("w.ask", {"text": "x"})), say("end")]}, agent="ops")
    assert alone.status == "completed"
    run = plays(
        team,
        {
            "boss": [say("", ("agents.delegate", {"briefs": ["a"], "agent": "ops"})), say("end")],
            "a": [say("", ("w.ask", {"text": "x"})), say("end")],
        },
    )
    (child,) = children(team, run)
    assert (child.status, child.wait) == ("parked", "approval")


@table(
    [
        ({"briefs": ["a", "b"], "agent": "ops"}, "To ops:\n- a\n- b"),
        ({"briefs": ["a"], "max_cost_usd": 2, "tools": ["w.*"]},
         'To me with {"tools": ["w.*"], "max_cost_usd": 2}:\n- a'),
        ({"agent": "ops", "question": "Which?"}, "To ops:\n- Which?"),
        ({"agent": "ops", "brief": "All of it."}, "To ops:\n- All of it."),
    ]
)  # fmt: skip
def test_a_card_says_to_whom_what_is_handed_on_and_with_what(
    args: dict[str, Any], said: str
) -> None:
    who: Any = types.SimpleNamespace(agent="me")
    assert delegate._shown(args, who) == said


@table(
    [
        ({"within_minutes": 99_999}, "within_minutes is 99999"),
        ({"within_minutes": 0}, "within_minutes is 0"),
        ({"max_cost_usd": 0}, "max_cost_usd is 0"),
        ({"max_cost_usd": -1}, "max_cost_usd is -1"),
        ({"max_cost_usd": 1e300}, "max_cost_usd is 1e+300"),
        ({"result_schema": {"type": 7}}, "schema"),
    ]
)
def test_who_is_handed_work_has_a_time_money_and_a_form_that_can_be(
    team: Desk, more: dict[str, Any], why: str
) -> None:
    assert delegate.within({"within_minutes": 3}) == 3 * clock_module.MINUTE
    run = plays(team, {"boss": [hands_on("a", **more), say("end")]})
    assert why in told(team, run)["error"]["detail"] and not children(team, run)


def test_the_card_of_a_child_says_what_only_its_callers_brief_says_and_what_that_had_read(
    team: Desk,
) -> None:
    sends = say("", ("w.ask", {"text": "eve@evil.example"}))
    script = {
        "boss": [say("", ("w.page", {})), hands_on("write to eve@evil.example")],
        "write": [sends],
    }
    plays(team, script)
    (card,) = team.all("select provenance from approvals")
    (field,) = json.loads(card.provenance)
    assert field["from"] == "only in what another agent asked of it, from outside"
    assert field["outside"] is True


def test_a_branch_of_a_child_has_what_that_child_had_noted(team: Desk) -> None:
    def notes(request: ModelRequest) -> ModelAnswer:
        (name,) = re.findall(r"named (scratch\.\S+)NAME", request.system)
        return say("", ("scratch.write", {"path": f"{name}plan", "value": "first this"}))

    script: Script = {
        "boss": [
            # its own, however it is called: `shared.` alone is everybody's
            say("", ("scratch.write", {"path": "Shared.plan", "value": "not yours"})),
            *(hands_on("north"), hands_on("south"), say("end")),
        ],
        "north": [notes, say("cold")],
        "south": [notes, say("warm")],
    }
    _north, south = children(team, plays(team, script))
    where = {"at": 2, "new_id": ids.new(), "by": "local:1"}
    made = team.store.transact(branch.fork, south.id, **where)
    found = team.all("select path,value from scratch where run_id=:id", id=made.id)
    assert [tuple(row) for row in found] == [(f"{rows.notes_of(south.id)}plan", "first this")]
