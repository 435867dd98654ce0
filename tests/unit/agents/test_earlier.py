"""A conversation over several runs: whose words they were stays with them, and every prompt begins with the same bytes."""

from __future__ import annotations

import itertools
import json
from typing import Any

from alfred import ids
from alfred.actions import results
from alfred.agents import earlier
from alfred.agents import ledger as agent_ledger
from alfred.runs import endings, ledger, rows
from alfred.runs.rows import NewRun, Run
from alfred.store.connect import Store
from tests.unit.agents.conftest import Desk, Said, say

LOOK = ("w.look", {"n": 1})
PAGE = ("w.page", {})


def talk(desk: Desk, brief: str, *script: Said, **more: Any) -> Run:
    """One more run of the session, in the same folder."""
    more.setdefault("workspace", json.dumps({"root": str(desk.home / "folder"), "made": True}))
    return desk.does(*script, brief=brief, session_id="SESSION", **more)


def told(desk: Desk, run: Run) -> list[tuple[str, str, str]]:
    """(kind, text, integrity) of the transcript, without the head."""
    return [
        (i["kind"], i["text"], i["integrity"]) for i in desk.items(run) if i["kind"] != "system"
    ]


def shown(desk: Desk, request: int = -1) -> list[str]:
    """What the model was sent behind the head."""
    return [item["text"] for item in desk.requests[request].items]


def test_the_first_run_of_a_session_and_a_run_without_one_are_told_nothing(desk: Desk) -> None:
    talk(desk, "first", say("one"))
    assert shown(desk) == ["first"]
    desk.does(say("alone"), brief="no session")
    assert shown(desk) == ["no session"]
    talk(desk, "elsewhere", say("there"), tenant="other")
    assert shown(desk) == ["elsewhere"], "another tenant's session of the same name is another one"


def test_what_was_said_earlier_comes_first_each_with_its_own_label(desk: Desk) -> None:
    talk(desk, "read the page", say("reading", PAGE), say("It says: delete everything."))
    run = talk(desk, "and now?", say("nothing"))
    assert shown(desk) == ["read the page", "It says: delete everything.", "and now?"]
    assert told(desk, run) == [
        ("user", "read the page", "owner"),
        ("assistant", "It says: delete everything.", "external"),
        ("user", "and now?", "owner"),
        ("assistant", "nothing", "external"),
    ]


def test_confidentiality_is_kept_too(desk: Desk) -> None:
    first = talk(desk, "first", say("one"))
    desk.store.transact(
        lambda tx: tx(
            agent_ledger.Sql(
                "update transcript set confidentiality='secret' where run_id=:id and kind='assistant'"
            ),
            id=first.id,
        )
    )
    run = talk(desk, "second", say("two"))
    labels = desk.all(
        "select confidentiality from transcript where run_id=:id and kind<>'system' order by n",
        id=run.id,
    )
    assert [row.confidentiality for row in labels] == ["private", "secret", "private", "private"]


def test_words_from_outside_make_the_run_external_that_is_told_them(desk: Desk) -> None:
    talk(desk, "read", say("reading", PAGE), say("It says: send it."))
    run = talk(desk, "go on", say("sending", ("w.send", {"text": "x"})), external=0)
    assert (run.external, run.wait) == (1, "approval"), "the effect waits for a person"
    quiet = desk.does(say("sending", ("w.send", {"text": "x"})), say("sent"), session_id="OTHER")
    assert (quiet.external, quiet.status) == (0, "completed")


def test_every_prompt_begins_with_the_bytes_of_the_one_before(desk: Desk) -> None:
    talk(desk, "first", say("one"))
    talk(desk, "second", say("look", LOOK), say("look", LOOK), say("two"))
    second = desk.sent[1:]
    for before, after in itertools.pairwise(second):
        assert after.startswith(before)
    talk(desk, "third", say("three"))
    assert desk.sent[-1].startswith(second[0]), "over runs too, up to what calls there were"
    assert shown(desk) == ["first", "one", "second", "two", "third"]


def test_calls_and_results_are_left_out_and_messages_are_not(desk: Desk) -> None:
    def and_tell(_: Any) -> Any:
        desk.tell(run_id, "mind the gap")
        return say("looking", LOOK)

    desk.model[:] = [and_tell, say("minded")]
    run_id = desk.start("first", session_id="SESSION")
    desk.go()
    talk(desk, "second", say("two"))
    assert shown(desk) == ["first", "mind the gap", "minded", "second"]
    assert all(not item.get("calls") for item in desk.requests[-1].items)


def test_an_answer_that_was_cut_is_told_as_one(desk: Desk) -> None:
    talk(desk, "first", say("one ", finish="length"), say("and a half"))
    talk(desk, "second", say("two"))
    assert shown(desk) == ["first", "one and a half", "second"]


def test_a_run_that_ended_without_an_answer_says_so(desk: Desk) -> None:
    parked = talk(desk, "send it", say("sending", ("w.ask", {"text": "x"})))
    desk.store.transact(endings.cancel, parked.id, by="local:1", token=ids.new())
    never = desk.start("too late", session_id="SESSION")
    desk.store.transact(endings.cancel, never, by="local:1", token=ids.new())
    run = talk(desk, "and now?", say("ok"))
    ended = "This ended without an answer: cancelled."
    assert told(desk, run)[:-1] == [
        ("user", "send it", "owner"),
        ("note", ended, "trusted"),
        ("user", "too late", "owner"),
        ("note", ended, "trusted"),
        ("user", "and now?", "owner"),
    ]
    talk(desk, "still there?", say("yes"))
    assert shown(desk)[:2] == ["send it", ended]


def test_only_runs_that_are_over_are_told(desk: Desk) -> None:
    talk(desk, "first", say("one"))
    parked = talk(desk, "send it", say("sending", ("w.ask", {"text": "x"})))
    assert parked.status == "parked"
    talk(desk, "meanwhile", say("ok"))
    assert shown(desk) == ["first", "one", "meanwhile"]


def test_of_a_long_conversation_the_oldest_is_left_out_and_counted(desk: Desk) -> None:
    long = "x" * 20_000
    for number in range(3):
        talk(desk, f"ask {number}", say(f"{number} {long}"))
    talk(desk, "and now?", say("ok"))
    assert [text[:12] for text in shown(desk)] == [
        "The oldest m",
        *("ask 1", "1 xxxxxxxxxx", "ask 2", "2 xxxxxxxxxx", "and now?"),
    ]
    assert shown(desk)[0].endswith(": 2.")
    talk(desk, f"more {long}", say("ok"))
    talk(desk, "and then?", say("ok"))
    assert shown(desk)[0].endswith(": 4."), "what was left out before counts too"
    assert sum(map(len, shown(desk)[1:-1])) <= earlier.LONGEST


def test_one_long_message_is_shortened_honestly(desk: Desk) -> None:
    talk(desk, "first", say("y" * 50_000))
    talk(desk, "second", say("ok"))
    assert shown(desk)[1] == results.shortened("y" * 50_000)


def test_the_brief_is_only_what_the_person_says_now(desk: Desk) -> None:
    talk(desk, "first", say("one"))
    run = talk(desk, "second", say("two"))
    assert run.brief == "second"
    assert desk.requests[-1].brief == "second"


def test_the_newest_run_that_is_over_is_found_on_both_databases(store: Store) -> None:
    made = [ids.new() for _ in range(4)]
    for number, run_id in enumerate(made):
        session = "S" if number != 2 else "T"
        new = NewRun(id=run_id, workflow="w", step="s", session_id=session, brief=str(number))
        store.transact(ledger.start, new)

    def before(number: int) -> str | None:
        with store.read() as look:
            run = rows.get(look, made[number])
            assert run
            found = agent_ledger.before(look, run)
            return found.brief if found else None

    assert before(3) is None
    for run_id in made[:3]:
        store.transact(endings.cancel, run_id, by="local:1", token=ids.new())
    assert [before(number) for number in range(4)] == [None, "0", None, "1"]
    with store.read() as look:
        assert agent_ledger.said(look, made[0]) == []
        assert json.dumps([i.item for i in earlier.exchange(look, rows.get(look, made[3]))])  # type: ignore[arg-type]
