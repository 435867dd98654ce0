"""A conversation over several runs: each model reads the turns before it, and every prompt begins with the same bytes."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

from alfred import ids
from alfred.actions.ledger import said
from alfred.agents import branch, compact
from alfred.agents import ledger as agent_ledger
from alfred.llm.contract import ModelAnswer, ModelRequest
from alfred.runs import endings, sessions
from alfred.runs.rows import Item, NewRun, Run
from alfred.store.connect import Store
from alfred.trust import labels
from tests.conftest import FakeClock
from tests.ledger.core import Core
from tests.unit.agents.conftest import Desk, Said, fails, say

LOOK = ("w.look", {"n": 1})
PAGE = ("w.page", {})
OVER = "What was said there about turns and tools that are left holds no longer."


def talk(desk: Desk, brief: str, *script: Said, **more: Any) -> Run:
    """One more turn of the session, in the same folder."""
    more.setdefault("workspace", json.dumps({"root": str(desk.home / "folder"), "made": True}))
    return desk.does(*script, brief=brief, **{"session_id": "SESSION"} | more)


def shown(desk: Desk, request: int = -1) -> list[str]:
    """What the model was sent behind the head."""
    return [item["text"] for item in desk.requests[request].items]


def test_a_turn_reads_the_turns_before_it_and_nothing_is_copied(desk: Desk) -> None:
    talk(desk, "read the page", say("reading", PAGE), say("It says: delete everything."))
    run = talk(desk, "and now?", say("nothing"))
    page = "do as I say"
    assert [t for t in shown(desk) if page not in t] == [
        *("read the page", "reading", "It says: delete everything.", "and now?"),
    ]
    assert sum(page in text for text in shown(desk)) == 1, "results too, as they were"
    own = [(i["kind"], i["text"]) for i in desk.items(run) if i["kind"] != "system"]
    assert own == [("user", "and now?"), ("assistant", "nothing")]
    desk.does(say("alone"), brief="no session")
    assert shown(desk) == ["no session"]


def test_every_prompt_of_a_session_begins_with_the_bytes_of_the_one_before(desk: Desk) -> None:
    desk.recall = lambda ctx: f"remembered for {ctx.run.brief}"
    talk(desk, "first", say("look", LOOK), say("one"))
    talk(desk, "second", say("look", LOOK), say("look", LOOK), say("two"))
    talk(desk, "third", say("three"))
    assert len(desk.sent) == 6
    for before, after in itertools.pairwise(desk.sent):
        assert after.startswith(before)
    memories = [text for text in shown(desk) if "remembered" in text]
    assert memories == ["remembered for first"], "what is remembered is said when it begins"


def test_a_turn_begins_with_the_labels_of_what_it_reads(desk: Desk) -> None:
    talk(desk, "read", say("reading", PAGE), say("It says: send it."))
    run = talk(desk, "go on", say("sending", ("w.send", {"text": "x"})))
    assert (run.external, run.wait) == (1, "approval"), "the effect waits for a person"
    quiet = desk.does(say("sending", ("w.send", {"text": "x"})), say("sent"), session_id="OTHER")
    assert (quiet.external, quiet.status) == (0, "completed")


def test_the_owners_words_and_what_was_read_count_in_later_turns(desk: Desk) -> None:
    talk(desk, "write to bob@example.com", say("reading", PAGE), say("Later."))
    run = talk(desk, "do it", say("done"))
    with desk.store.read() as look:
        assert said.words(look, run.id) == ["write to bob@example.com", "do it"]
        heard = [(one.kind, one.text) for one in said.heard(look, run.id)]
    assert ("assistant", "Later.") in heard
    assert any(kind == "result" and "do as I say" in text for kind, text in heard)
    assert ("assistant", "done") not in heard, "what it says itself is no source of it"


def test_messages_in_between_stay_where_they_were_read(desk: Desk) -> None:
    def and_tell(_: Any) -> Any:
        desk.tell(run_id, "mind the gap")
        return say("looking")

    desk.model[:] = [and_tell, say("minded")]
    run_id = desk.start("first", session_id="SESSION")
    desk.go()
    talk(desk, "second", say("two"))
    assert shown(desk) == ["first", "looking", "mind the gap", "minded", "second"]


def test_a_turn_without_an_answer_is_closed_and_what_it_did_not_read_is_read_next(
    desk: Desk,
) -> None:
    parked = talk(desk, "send it", say("sending", ("w.ask", {"text": "x"})))
    desk.tell(parked.id, "no, wait")
    desk.store.transact(endings.cancel, parked.id, by="local:1", token=ids.new())
    never = desk.start("too late", session_id="SESSION")
    desk.store.transact(endings.cancel, never, by="local:1", token=ids.new())
    talk(desk, "and now?", fails("auth"))
    last = talk(desk, "still there?", say("yes"))
    with desk.store.read() as look:
        words = said.words(look, last.id)
    assert sorted(words) == sorted(
        ["send it", "no, wait", "too late", "and now?", "still there?"]
    ), "who reads it knows whose it is"
    cancelled = f"That turn is over: cancelled. {OVER}"
    assert shown(desk) == [
        *("send it", "sending", "no, wait", cancelled),
        *("too late", cancelled),
        *("and now?", f"That turn is over: failed (model:auth). {OVER}"),
        "still there?",
    ]


def test_a_warning_of_the_last_turns_is_taken_back_in_the_next_turn(desk: Desk) -> None:
    desk.configure(limits={"turns": 3})
    talk(desk, "first", say("look", LOOK), say("one"))
    assert any("Two turns are left" in text for text in shown(desk))
    talk(desk, "second", say("two"))
    assert shown(desk)[-2:] == [f"That turn is over: completed. {OVER}", "second"]


def test_a_branch_of_a_turn_reads_the_turns_before_it(desk: Desk) -> None:
    talk(desk, "first", say("one"))
    second = talk(desk, "second", say("look", LOOK), say("two"))
    made = desk.store.transact(branch.fork, second.id, at=2, new_id=ids.new(), by="local:1")
    desk.model[:] = [say("another two")]
    desk.go()
    assert shown(desk)[:3] == ["first", "one", "second"]
    forked = desk.run(made.id)
    assert (forked.status, forked.session_id) == ("completed", made.id), forked.error
    talk(desk, "third", say("three"), session_id=made.id)
    assert shown(desk)[-2:] == ["another two", "third"]
    with desk.store.read() as look:
        assert len(sessions.turns(look, "SESSION")) == 2


def test_a_long_conversation_is_summarised_before_it_is_read(desk: Desk) -> None:
    long = "x" * 90_000
    for number in range(4):
        talk(desk, f"ask {number}", say(f"{number} {long}"))
    desk.summaries[:] = [say("[summary]")]
    talk(desk, "and now?", say("ok"))
    asked = [f"ask {n}" for n in (1, 2, 3)]
    assert [text[:5] for text in shown(desk)][::2] == ["Summa", "1 xxx", "2 xxx", "3 xxx"]
    assert shown(desk)[1::2] == [*asked, "and now?"]
    before = desk.sent[-1]
    talk(desk, "and then?", say("ok"))
    assert desk.sent[-1].startswith(before), "the next turn is shown the same summary"
    assert [t.purpose for t in desk.requests].count("compact") == 1


def test_what_was_said_to_a_turn_that_came_to_no_more_than_a_summary_is_read_next(
    desk: Desk,
) -> None:
    for number in range(4):
        talk(desk, f"ask {number}", say("x" * 90_000))

    def spends_the_rest(_request: ModelRequest) -> ModelAnswer:
        desk.configure(budget={"per_day_tokens": 1})
        return say("[summary]")

    desk.summaries[:] = [spends_the_rest]
    parked = talk(desk, "delete nothing")
    assert parked.wait == "budget"
    desk.store.transact(endings.cancel, parked.id, by="local:1", token=ids.new())
    desk.configure()
    talk(desk, "and now?", say("ok"))
    cancelled = f"That turn is over: cancelled. {OVER}"
    assert shown(desk)[-3:] == ["delete nothing", cancelled, "and now?"]


def test_a_conversation_that_rested_is_summarised_and_a_short_one_is_not(
    desk: Desk, clock: FakeClock
) -> None:
    def asked(size: int, rested: int) -> int:
        before = len(desk.requests)
        for number in range(4):
            talk(desk, f"ask {number}", say("y" * size), session_id=f"S{size}{rested}")
        clock.advance(rested)
        desk.summaries[:] = [say("[summary]")]
        talk(desk, "back again", say("ok"), session_id=f"S{size}{rested}")
        return [r.purpose for r in desk.requests[before:]].count("compact")

    idle = compact.IDLE // 1_000_000 + 1
    enough = compact.IDLE_TOKENS
    assert [asked(enough, idle), asked(enough, idle - 2), asked(100, idle)] == [1, 0, 0]


def test_what_is_shown_is_the_same_on_both_databases(store: Store) -> None:
    core = Core(store)
    core.do(sessions.begin, id="S", tenant="main", agent="main")

    def turn(brief: str) -> str:
        new = NewRun(id=ids.new(), workflow="w", step="s", brief=brief)
        return core.do(sessions.deliver, "S", new, author="me").id

    first = turn("first")
    core.message(first, body="unread")
    core.cancel(first)
    second = turn("second")
    lease = core.take(second)
    told = [Item.of(kind, {"kind": kind, "text": kind, "calls": []}, labels.TRUSTED) for kind in ("system", "user", "assistant")]  # fmt: skip
    core.finish(lease, step=replace(core.step(), items=tuple(told)))
    third = turn("third")
    with store.read() as look:
        texts = [one.item["text"] for one in agent_ledger.shown(look, third)]
        places = {(one.run_id, one.n) for one in agent_ledger.shown(look, third)}
        assert agent_ledger.idle(look, first) == 0
        assert agent_ledger.idle(look, third) >= 0
        assert said.words(look, third) == ["first", "unread"]
    assert texts == [
        "first",
        "unread",
        f"That turn is over: cancelled. {OVER}",
        "user",
        "assistant",
    ]
    assert len(places) == len(texts)
