"""A branch of an agent's run: what its model is told of the calls that are not made here, and what it does next."""

from __future__ import annotations

from typing import Any

import pytest

from alfred import errors, ids
from alfred.agents import branch
from alfred.agents.branch import Branch
from alfred.store.statement import Sql
from tests.unit.agents.conftest import Desk, say

ASK = ("w.ask", {"text": "hello"})
SEND = ("w.send", {"text": "hello"})


def fork(desk: Desk, run: Any, at: int, **more: Any) -> Branch:
    made: dict[str, Any] = {
        "at": at,
        "new_id": ids.new(),
        "by": "local:1",
        "model": "scripted:/y",
        **more,
    }
    return desk.store.transact(branch.fork, run.id, **made)


def read(desk: Desk) -> list[dict[str, Any]]:
    """What the model was shown last."""
    return [dict(item) for item in desk.requests[-1].items]


def test_a_call_without_a_result_is_closed_and_never_made_again(desk: Desk) -> None:
    run = desk.does(say("may I?", ASK))
    assert run.status == "parked"
    made = fork(desk, run, 1)
    desk.model[:] = [say("as you like")]
    desk.go()
    assert desk.run(made.id).status == "completed"
    assert made.closed == ("w__ask",)
    [closed] = [item for item in read(desk) if item["kind"] == "result"]
    assert closed["text"] == "This call was not executed in this branch." and closed["error"]
    assert desk.all("select 1 from calls where run_id=:r", r=made.id) == []
    assert desk.requests[-1].model == "scripted:/y"
    assert desk.run(run.id).status == "parked", "the other one waits as before"


def test_the_branch_is_told_what_the_other_run_did_since(desk: Desk) -> None:
    run = desk.does(say("sending", SEND), say("again", SEND), say("done"))
    made = fork(desk, run, 1)
    assert [(call.action, call.status) for call in made.standing] == [("w.send", "done")] * 2
    desk.model[:] = [say("I see")]
    desk.go()
    [closed] = [item for item in read(desk) if item["kind"] == "result"]
    assert "it changed is still there" in closed["text"]


def test_only_what_came_behind_the_step_is_still_there(desk: Desk) -> None:
    run = desk.does(say("sending", SEND), say("again", SEND), say("done"))
    made = fork(desk, run, 2)
    assert made.closed == ()
    assert [call.turn for call in made.standing] == [2]
    desk.model[:] = [say("done in another way")]
    desk.go()
    assert desk.run(made.id).result == "done in another way"
    assert [i["kind"] for i in read(desk)] == ["user", "assistant", "result"]


def test_a_person_may_say_no_to_what_was_open(desk: Desk) -> None:
    run = desk.does(say("sending", SEND), say("done"))
    fork(desk, run, 1, reject="not to them")
    desk.model[:] = [say("understood")]
    desk.go()
    closed = read(desk)[-1]
    assert closed["text"] == "A person said no to this call: not to them"
    with pytest.raises(errors.UsageError, match="nothing to say no to"):
        fork(desk, run, 2, reject="no")


def test_what_a_person_says_to_it_is_their_word(desk: Desk) -> None:
    run = desk.does(say("done"))
    with pytest.raises(errors.UsageError, match="gave its answer"):
        fork(desk, run, 1)
    made = fork(desk, run, 1, brief="and now in French")
    desk.model[:] = [say("fini")]
    desk.go()
    assert read(desk)[-1] == {"kind": "user", "text": "and now in French"}
    assert desk.items(desk.run(made.id))[-2]["integrity"] == "owner"
    assert desk.run(made.id).brief == "do it"


def test_what_is_said_to_a_branch_of_a_run_before_its_first_answer_is_the_last_word(
    desk: Desk,
) -> None:
    desk.recall = lambda ctx: "remembered"
    desk.configure(budget={"per_day_tokens": 1})
    run = desk.does()
    assert (run.wait, desk.items(run)) == ("budget", [])
    where = {"new_id": ids.new(), "brief": "in French"}
    made = fork(desk, run, 1, **where)
    assert fork(desk, run, 1, **where) == made, "said once, also when it is said again"
    desk.configure()
    desk.model[:] = [say("fini")]
    desk.go()
    assert [item["text"] for item in read(desk)] == ["remembered", "do it", "in French"]


def test_what_another_agent_asked_is_not_the_persons_word_in_a_branch(desk: Desk) -> None:
    desk.configure(budget={"per_day_tokens": 1})
    boss, child = desk.does(), desk.does()
    below = Sql("update runs set parent_id=:boss,depth=1 where id=:id")
    desk.store.transact(lambda tx: tx(below, boss=boss.id, id=child.id) and None)
    made = fork(desk, child, 1)
    desk.configure()
    desk.model[:] = [say("done")] * 3
    desk.go()
    whose = {item["integrity"] for item in desk.items(desk.run(made.id)) if item["kind"] == "user"}
    assert whose == {"derived"}


def test_a_cap_that_the_other_run_reached_does_not_end_the_branch(desk: Desk) -> None:
    desk.configure(budget={"per_run_tokens": 1_000_000})
    run = desk.does(say("looking", ("w.look", {}), tokens=(999_000, 10)))
    assert "cap:tokens" in (run.error or "")
    made = fork(desk, run, 5)
    desk.model[:] = [say("looking again", ("w.look", {"n": 2})), say("now I am done")]
    desk.go()
    assert desk.run(made.id).result == "now I am done"
    assert desk.requests[-1].tools


def test_every_branch_reads_what_was_read_before_byte_for_byte(desk: Desk) -> None:
    run = desk.does(*[say(f"é {n}", ("w.look", {"n": n})) for n in range(3)], say("done"))
    for at in (2, 4, 6):
        fork(desk, run, at)
        desk.model[:] = [say("done too")]
        desk.go()
        assert desk.sent[-1] == desk.sent[at // 2]
