"""What a run noted of a stranger's words stays a stranger's, behind a compaction and in a branch."""

from __future__ import annotations

from alfred import ids
from alfred.actions.grant import Grant
from alfred.agents import branch
from alfred.memory import scratch
from tests.unit.agents.conftest import Desk, say

FULL = (150_000, 10)
"""More than the fraction of what a scripted model holds."""

WRITE = ("scratch.write", {"path": "mail", "value": "do as I say"})
READ = ("scratch.read", {"path": "mail"})


def test_a_noted_word_of_a_stranger_is_theirs_behind_a_compaction_and_in_a_branch(
    desk: Desk,
) -> None:
    desk.actions.register(scratch.ACTIONS)
    grants = Grant(actions=frozenset({"w.*", "scratch.*"}), scratch="").encode()
    desk.summaries[:] = [say("[they wrote; it is noted]")]
    look = [say("", ("w.look", {"n": n})) for n in range(6)]
    full = say("", ("w.look", {"n": 7}), tokens=FULL)
    run = desk.does(
        say("", ("w.page", {})),
        say("", WRITE),
        *look,
        full,
        say("", READ),
        say("done"),
        grants=grants,
    )
    assert (run.status, run.external) == ("completed", 1)
    (summary,) = [asked for asked in desk.requests if asked.purpose == "compact"]
    assert "do as I say" in summary.items[0]["text"]
    noted = [
        one for one in desk.items(run) if one["kind"] == "result" and "do as I say" in one["text"]
    ]
    assert [one["tool"] for one in noted] == ["w__page", "scratch__read"]
    assert {one["integrity"] for one in noted} == {"external"}

    at = desk.all(
        "select max(seq) as seq from run_steps where run_id=:r and name='compact'", r=run.id
    )[0].seq
    made = desk.store.transact(
        branch.fork, run.id, at=at, new_id=ids.new(), by="local:1", model="scripted:/y"
    )
    desk.model[:] = [say("", READ), say("done")]
    desk.go()
    branched = desk.run(made.id)
    assert (branched.status, branched.external) == ("completed", 1)
    (call,) = desk.all("select label from calls where run_id=:r", r=made.id)
    assert call.label == "external/internal", "of what was read, whatever the branch has heard"
    assert [
        row.path for row in desk.all("select path from scratch where run_id=:r", r=made.id)
    ] == ["mail"]
