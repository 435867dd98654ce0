"""Thirteen stories in which alfred dies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from alfred import ids
from alfred.actions import approvals
from alfred.actions.grant import Grant
from alfred.agents import ledger as agent_ledger
from alfred.runs import crons, endings, ledger, sessions
from alfred.runs.rows import NewRun
from alfred.runs.states import Wait
from alfred.runs.workflow import Done, Next, Park, StepContext, Verdict, Workflow
from alfred.store.tx import Tx
from tests.crash import chats, trees, world
from tests.crash.parts import Parts, Scenario

RUN = "01K00000000000000000000RUN"
CRON = "01K0000000000000000000CR0N"
MESSAGE = "01K0000000000000000000MSG0"
CHILDREN = ("01K0000000000000000000KD01", "01K0000000000000000000KD02")

HOUR = 3_600_000_000


# ---- the scripted model ----


def _call(tool: str, **args: Any) -> dict[str, Any]:
    return {"tool": tool, "args": args}


SCRIPT = {
    "runs": [
        {"match": match, "turns": [*turns, {"say": "Done."}, {"say": "Done again."}]}
        for match, *turns in (
            *chats.SCRIPT,
            (
                "tools",
                {
                    "say": "Working.",
                    "calls": [
                        _call("world.look", n=1),
                        _call("world.look", n=2),
                        _call("world.keyed", n=3),
                        _call("world.checkable", n=4),
                        _call("world.blind", n=5),
                    ],
                },
                {"say": "More.", "calls": [_call("world.keyed", n=6)]},
            ),
            (
                "approval",
                {
                    "calls": [
                        _call("world.asked", n=1),
                        _call("world.blind", n=2),
                        _call("world.asked", n=3),
                    ]
                },
            ),
            (
                "question",
                {"calls": [_call("ask.user", question="Which?"), _call("world.keyed", n=1)]},
            ),
            (
                "unknown",
                {
                    "calls": [
                        _call("world.cut", n=1, sent=True),
                        _call("world.cut", n=2, sent=False),
                    ]
                },
            ),
            (
                "behind",
                {
                    "calls": [
                        _call("world.behind", n=1),
                        _call("world.behind", n=2),
                        _call("world.behind", n=3),
                        _call("world.behind", n=4),
                    ]
                },
            ),
            ("auto", {"calls": [_call("world.low", n=1), _call("world.keyed", n=2)]}),
            (
                "cancel",
                {"calls": [_call("world.keyed", n=1), _call("world.blind", n=2)]},
                {"calls": [_call("world.keyed", n=3)]},
            ),
            ("message", {"calls": [_call("world.keyed", n=1)]}),
            ("first word", {"calls": [_call("world.keyed", n=1)]}),
            ("third word", {"calls": [_call("world.keyed", n=2)]}),
            (
                "shutdown",
                {"calls": [_call("world.checkable", n=1)]},
                {"calls": [_call("world.blind", n=2)]},
            ),
        )
    ]
}


def write_script(folder: Path) -> Path:
    """The file that the scripted model reads."""
    path = folder / "script.json"
    path.write_text(json.dumps(SCRIPT))
    return path


def _agent_run(parts: Parts, brief: str) -> NewRun:
    return NewRun(
        id=RUN,
        workflow="agent",
        step="boss-turn",
        brief=brief,
        model=f"scripted:{parts.script}",
        grants=Grant(actions=frozenset({"world.*", "ask.user"})).encode(),
        workspace=json.dumps({"root": str(parts.home), "made": False, "trusted": True}),
        session_id=RUN,
    )


def _begins(brief: str) -> Any:
    return lambda parts: parts.store.transact(ledger.start, _agent_run(parts, brief))


# ---- people ----


def _decide_all(parts: Parts) -> bool:
    """A person with one mind: allows effect 1, refuses effect 3, answers truthfully what they can look up."""
    cards = parts.all(
        "select p.id, p.kind, p.call_id, c.args from approvals p join calls c on c.id=p.call_id"
        " where p.status='pending' and p.auto_approve_at is null order by p.id"
    )
    for card in cards:
        if card.kind == "action":
            decision = "reject" if json.loads(card.args)["n"] == 3 else "approve"
        elif card.kind == "question":
            decision = "answer"
        else:
            decision = "happened" if world.arrived(parts.home, card.call_id) else "retry"
        parts.store.transact(
            approvals.decide,
            approvals.Decision(
                approval_id=card.id,
                decision=decision,
                by="me",
                via="test",
                token=ids.new(),
                text="This one." if decision == "answer" else None,
            ),
        )
    return bool(cards)


def _asked_in_time(parts: Parts) -> list[str]:
    """Each call was judged on what had arrived by then, so nobody was asked twice."""
    found = parts.all(
        "select c.target, (select count(*) from approvals p where p.call_id=c.id) as cards"
        " from calls c order by c.ordinal"
    )
    said = [(row.target, row.cards) for row in found]
    wanted = [("[]", 1), ("[1]", 1), ("[1, 2]", 1), ("[1, 2]", 1)]
    return [] if said == wanted else [f"judged on, and asked: {said}"]


# ---- a fixed workflow with children ----


def _spawn(ctx: StepContext) -> Verdict:
    def start(tx: Tx, _seq: int) -> None:
        for n, child in enumerate(CHILDREN, 1):
            ledger.start(
                tx,
                NewRun(
                    id=child,
                    workflow="leaf",
                    step="act",
                    brief=f"child {n}",
                    parent_id=ctx.run.id,
                    parent_call=f"call:{n}",
                    root_id=ctx.run.root_id,
                    depth=1,
                    state=json.dumps({"n": n}),
                    grants=ctx.run.grants,
                    workspace=ctx.run.workspace,
                ),
            )

    ctx.writes.append(start)
    return Park(Wait.CHILDREN, HOUR, "join")


def _join(ctx: StepContext) -> Verdict:
    ctx.call("world.keyed", {"n": 10})
    return Done("joined")


def _act(ctx: StepContext) -> Verdict:
    ctx.call("world.checkable", {"n": ctx.state["n"]})
    return Next("tell", ctx.state)


def _tell(ctx: StepContext) -> Verdict:
    ctx.call("world.keyed", {"n": ctx.state["n"] + 20})
    return Done("told")


def _fire(ctx: StepContext) -> Verdict:
    ctx.call("world.keyed", {"n": 1 + ctx.store.transact(_fires_before, ctx.run.id)})
    return Done("fired")


def _fires_before(tx: Tx, run_id: str) -> int:
    from alfred.store.statement import Sql

    return tx(Sql("select count(*) from trigger_fires where run_id<:id"), id=run_id).scalar_one()


WORKFLOWS = (
    Workflow("tree", "spawn", {"spawn": _spawn, "join": _join}),
    Workflow("leaf", "act", {"act": _act, "tell": _tell}),
    Workflow("fire", "act", {"act": _fire}),
)


def _tree(parts: Parts) -> None:
    parts.store.transact(
        ledger.start,
        NewRun(
            id=RUN,
            workflow="tree",
            step="spawn",
            brief="tree",
            grants=Grant(actions=frozenset({"world.*"})).encode(),
            workspace=json.dumps({"root": str(parts.home), "made": False, "trusted": True}),
        ),
    )


# ---- cancelling, telling, shutting down ----


def _cancel_in_effect(parts: Parts, n: int) -> None:
    if n == 2:
        parts.store.transact(endings.cancel, RUN, by="me", token=ids.new())


def _cancelled_late(parts: Parts) -> bool:
    """The person who cancelled finds the run still there after a crash, and says it again."""
    live = parts.one("select 1 from runs where id=:id and status in('queued','parked')", id=RUN)
    return bool(live) and parts.store.transact(endings.cancel, RUN, by="me", token=ids.new())


def _say_in_effect(parts: Parts, n: int) -> None:
    parts.store.transact(
        ledger.message, RUN, message_id=MESSAGE, body="And also this.", author="me"
    )


def _said_once(parts: Parts) -> list[str]:
    kept = parts.one(
        "select count(*) from transcript where run_id=:id and item like '%And also this.%'", id=RUN
    )
    sent = parts.one("select count(*) from interjections where run_id=:id", id=RUN)
    return [] if kept == sent == 1 else [f"the message was sent {sent} times and read {kept} times"]


# ---- a conversation


SESSION = "01K000000000000000000SESS0"
WORDS = {f"{name} word": f"01K0000000000000000000W0R{n}" for n, name in enumerate(("first", "second", "third"))}  # fmt: skip


def _say(parts: Parts, word: str) -> None:
    new = replace(_agent_run(parts, word), id=WORDS[word])
    parts.store.transact(sessions.begin, id=SESSION, tenant="main", agent="main")
    parts.store.transact(sessions.deliver, SESSION, new, author="me")


def _say_while_it_answers(parts: Parts, n: int) -> None:
    if n == 1:
        _say(parts, "second word")


def _say_when_it_has_answered(parts: Parts) -> bool:
    said = parts.one("select count(*) from runs where id=:id", id=WORDS["third word"])
    if not said:
        _say(parts, "third word")
    return not said


def _each_word_once(parts: Parts) -> list[str]:
    with parts.store.read() as look:
        turns = sessions.turns(look, SESSION)
        first, _, third = WORDS.values()
        read = [one.item["text"] for one in agent_ledger.shown(look, third) if one.item["kind"] == "user"]  # fmt: skip
    if turns == [first, third] and read == list(WORDS):
        return []
    return [f"the turns are {turns} and the last one reads {read}"]


_shut: set[int] = set()


def _shutdown_once(parts: Parts, seq: int) -> bool:
    """Each process that comes to step 2 is asked to go, once."""
    if seq == 2 and seq not in _shut:
        _shut.add(seq)
        return True
    return False


# ---- crons ----


def _hourly(parts: Parts) -> None:
    parts.store.transact(
        crons.create,
        crons.NewTrigger(
            id=CRON, tenant="main", name="hourly", spec="0 * * * *", task="go", tz="UTC"
        ),
        zone="UTC",
    )


def _enough_fires(parts: Parts) -> bool:
    fired = parts.one("select count(*) from trigger_fires where run_id is not null")
    on = parts.one("select enabled from triggers where id=:id", id=CRON)
    if fired < 2 or not on:
        return False
    parts.store.transact(crons.update, CRON, zone="UTC", enabled=False)
    return True


def _fires_fit(parts: Parts) -> list[str]:
    fires = parts.one("select count(*) from trigger_fires")
    runs = parts.one("select count(*) from runs where trigger_kind='cron' and status='completed'")
    done = sum(world.took_place(parts.home).values())
    return [] if fires == runs == done == 2 else [f"{fires} fires, {runs} runs, {done} effects"]


SCENARIOS = {
    story.name: story
    for story in (
        Scenario(
            name="tools",
            begin=_begins("tools"),
            tend=_decide_all,
            ends={"tools": "completed"},
            exactly=(3, 4, 5, 6),
        ),
        Scenario(
            name="approval",
            begin=_begins("approval"),
            tend=_decide_all,
            ends={"approval": "completed"},
            exactly=(1, 2),
        ),
        Scenario(
            name="question",
            begin=_begins("question"),
            tend=_decide_all,
            ends={"question": "completed"},
            exactly=(1,),
        ),
        Scenario(
            name="unknown",
            begin=_begins("unknown"),
            tend=_decide_all,
            ends={"unknown": "completed"},
            exactly=(1, 2),
        ),
        Scenario(
            name="behind",
            begin=_begins("behind"),
            tend=_decide_all,
            ends={"behind": "completed"},
            exactly=(1, 2, 4),
            also=_asked_in_time,
        ),
        Scenario(
            name="auto",
            begin=_begins("auto"),
            tend=_decide_all,
            ends={"auto": "completed"},
            exactly=(1, 2),
        ),
        Scenario(
            name="tree",
            begin=_tree,
            tend=_decide_all,
            ends={"tree": "completed", "child 1": "completed", "child 2": "completed"},
            exactly=(1, 2, 10, 21, 22),
        ),
        Scenario(
            name="cancel",
            begin=_begins("cancel"),
            during=_cancel_in_effect,
            tend=_cancelled_late,
            ends={"cancel": "cancelled"},
            exactly=(1,),
            at_most=(2,),
        ),
        Scenario(
            name="cron",
            begin=_hourly,
            tend=_enough_fires,
            ends={},
            exactly=(1, 2),
            also=_fires_fit,
        ),
        Scenario(
            name="message",
            begin=_begins("message"),
            during=_say_in_effect,
            tend=_decide_all,
            ends={"message": "completed"},
            exactly=(1,),
            also=_said_once,
        ),
        Scenario(
            name="conversation",
            begin=lambda parts: _say(parts, "first word"),
            during=_say_while_it_answers,
            tend=_say_when_it_has_answered,
            ends={"first word": "completed", "third word": "completed"},
            exactly=(1, 2),
            also=_each_word_once,
        ),
        Scenario(
            name="shutdown",
            begin=_begins("shutdown"),
            between=_shutdown_once,
            tend=_decide_all,
            ends={"shutdown": "completed"},
            exactly=(1, 2),
        ),
        trees.AGENTS,
        Scenario(
            name="chats",
            begin=chats.begin,
            tend=chats.tend,
            ends=chats.ENDS,
            also=chats.wrong,
        ),
    )
}
