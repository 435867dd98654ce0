"""A call is judged when what it depends on is settled, and not later: in a real workspace, with files and git."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred import ids
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger.approvals import Approval
from alfred.actions.ledger.calls import Call
from alfred.integrations import files, git
from alfred.runs import endings
from alfred.runs.workflow import Done, StepContext, Verdict
from alfred.store import invariants
from tests import repositories
from tests.promises.gate.conftest import Bench, code

pytestmark = pytest.mark.needs_program("git")


@action(
    "t.peek",
    integration="t",
    risk=Risk.MEDIUM,
    effect=Effect.PURE,
    target=lambda args, ctx: (ctx.workspace.root / "a.txt").read_text(),
)
def peek() -> str:
    """Looks when a person says so."""
    return "seen"


watching: list[Callable[[], Any]] = []


@action("t.watch", integration="t", risk=Risk.NONE, effect=Effect.PURE)
def watch() -> Any:
    """Looks at what there is to see."""
    return watching[0]()


@action("t.act", integration="t", risk=Risk.NONE, effect=Effect.KEYED)
def act(key: str) -> Any:
    """Does what there is to do."""
    return watching[0]()


class Killed(BaseException):
    """What no handler of a step catches: the process is gone."""


@pytest.fixture
def bench(new_bench: Callable[..., Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    person = tmp_path / "person"
    person.mkdir()
    monkeypatch.setenv("HOME", str(person))
    (person / ".gitconfig").write_text("[user]\n name = Pat\n email = pat@example.org\n")
    made = new_bench(*files.ACTIONS, *git.ACTIONS, peek, watch, act)
    yield made
    broken = invariants.check(made.store)
    assert not broken, broken


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return repositories.one_commit(tmp_path / "project")


def sh(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def within(folder: Path, *, made: bool) -> dict[str, Any]:
    return {"workspace": json.dumps({"root": str(folder), "made": made, "trusted": True})}


def write(path: str, content: str) -> tuple[str, dict[str, Any]]:
    return "files.write", {"path": path, "content": content}


def commit(message: str = "second") -> tuple[str, dict[str, Any]]:
    return "git.commit", {"message": message}


def statuses(calls: list[Call]) -> list[str]:
    return [call.status for call in calls]


def about(cards: list[Approval]) -> list[str]:
    return [card.title for card in cards]


def target(call: Call) -> Any:
    return json.loads(call.target or "null")


def test_a_commit_behind_a_write_is_judged_on_what_was_written(bench: Bench, place: Path) -> None:
    run = bench.start(write("a.txt", "two\n"), commit(), **within(place, made=True))
    bench.go()
    written, committed = bench.calls(run)
    assert statuses([written, committed]) == ["done", "done"]
    assert sh(place, "show", "HEAD:a.txt") == "two"
    assert target(committed)["tree"] == sh(place, "rev-parse", "HEAD^{tree}")
    assert bench.cards("all") == []


def test_in_a_persons_folder_the_commit_is_shown_when_the_write_is_done(
    bench: Bench, place: Path
) -> None:
    run = bench.start(write("a.txt", "two\n"), commit(), **within(place, made=False))
    bench.go()
    assert about(bench.cards()) == ["files.write a.txt"]
    assert [(c.status, c.risk) for c in bench.calls(run)] == [
        ("staged", "medium"),
        ("proposed", None),
    ]
    bench.decide("approve")
    bench.go()
    assert about(bench.cards()) == ["git.commit second"]
    assert "+two" in bench.card().preview
    assert bench.run(run).wait == "approval"
    bench.decide("approve")
    bench.go()
    assert bench.run(run).status == "completed"
    assert sh(place, "show", "HEAD:a.txt") == "two"
    assert [c.status for c in bench.cards("all")] == ["approved", "approved"], "each asked once"


def test_writes_to_different_files_are_one_group_staged_with_the_park(
    bench: Bench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged: list[int] = []
    transact = bench.store.transact

    def counted(verb: Any, *args: Any, **more: Any) -> Any:
        before = len(bench.cards())
        result = transact(verb, *args, **more)
        if len(bench.cards()) != before:
            staged.append(len(bench.cards()) - before)
            assert bench.all("select status from runs")[0].status == "parked"
        return result

    wanted = (write("a.txt", "two\n"), write("new/b.txt", "b\n"), write("new/c.txt", "c\n"))
    run = bench.start(*wanted, **within(place, made=False))
    with monkeypatch.context() as watched:
        watched.setattr(bench.store, "transact", counted)
        bench.go()
    assert staged == [3]
    for card in bench.cards():
        bench.decide("approve", card)
    bench.go()
    assert bench.run(run).status == "completed"
    assert {p.name for p in place.rglob("*.txt")} == {"a.txt", "b.txt", "c.txt"}
    assert [c.status for c in bench.cards("all")] == ["approved"] * 3


def test_what_touches_no_file_is_asked_beside_the_write_and_the_commit_behind_both(
    bench: Bench, place: Path
) -> None:
    bench.start(
        write("a.txt", "two\n"),
        commit(),
        ("ask.user", {"question": "Which?"}),
        **within(place, made=False),
    )
    bench.go()
    assert about(bench.cards()) == ["files.write a.txt", "ask.user Which?"]
    question = bench.cards()[1]
    bench.decide("answer", question, text="this")
    bench.decide("approve")
    bench.go()
    assert about(bench.cards()) == ["git.commit second"]


def test_a_second_write_to_a_file_is_shown_against_the_first_and_asked_once(
    bench: Bench, place: Path
) -> None:
    run = bench.start(
        write("a.txt", "two\n"), write("./a.txt", "three\n"), **within(place, made=False)
    )
    bench.go()
    assert "-one\n+two" in bench.card().preview
    bench.decide("approve")
    bench.go()
    assert "-two\n+three" in bench.card().preview
    bench.decide("approve")
    bench.go()
    assert bench.run(run).status == "completed"
    assert (place / "a.txt").read_text() == "three\n"
    assert [c.status for c in bench.cards("all")] == ["approved", "approved"]


def test_what_is_moved_is_touched_at_both_ends(bench: Bench, place: Path) -> None:
    run = bench.start(
        ("files.move", {"path": "a.txt", "to": "src/b.txt"}),
        write("src/b.txt", "two\n"),
        write("a.txt", "new\n"),
        write("c.txt", "c\n"),
        **within(place, made=False),
    )
    bench.go()
    assert [c.risk for c in bench.calls(run)] == ["medium", None, None, "medium"]


def test_the_rest_is_judged_when_the_call_before_it_was_rejected(bench: Bench, place: Path) -> None:
    run = bench.start(write("a.txt", "two\n"), commit(), **within(place, made=False))
    bench.go()
    bench.decide("reject", reason="not this")
    bench.go()
    assert about(bench.cards()) == ["git.commit second"]
    bench.decide("reject")
    bench.go()
    assert statuses(bench.calls(run)) == ["rejected", "rejected"]
    assert bench.run(run).status == "completed"


def test_the_same_write_again_is_not_asked_when_the_first_was_rejected(
    bench: Bench, place: Path
) -> None:
    again = write("a.txt", "two\n")
    run = bench.start(again, again, **within(place, made=False))
    bench.go()
    bench.decide("reject")
    bench.go()
    first, second = bench.calls(run)
    assert (first.status, second.status, code(second)) == ("rejected", "refused", "rejected_before")
    assert bench.cards() == []


def test_a_no_that_is_said_while_the_run_is_at_work_counts_for_the_same_call_behind(
    bench: Bench, place: Path
) -> None:
    watching[:] = [lambda: bench.decide("reject")]
    again = write("a.txt", "two\n")
    run = bench.start(("t.act", {}), again, again, **within(place, made=False))
    bench.go()
    done, first, second = bench.calls(run)
    assert (done.status, first.status, code(second)) == ("done", "rejected", "rejected_before")
    assert bench.cards() == []


def test_nothing_waits_for_what_was_refused(bench: Bench, place: Path) -> None:
    run = bench.start(
        ("files.write", {"path": "a.txt"}),
        ("files.wrote", {}),
        write("../out.txt", "x"),
        ("ask.user", {"question": "Which?"}),
        write("a.txt", "two\n"),
        **within(place, made=False),
    )
    bench.go()
    assert statuses(bench.calls(run)) == [*["refused"] * 3, "staged", "staged"]


def test_nothing_waits_for_a_look(bench: Bench, place: Path) -> None:
    bench.start(("t.peek", {}), write("a.txt", "two\n"), **within(place, made=False))
    bench.go()
    assert about(bench.cards()) == ["t.peek", "files.write a.txt"]


def test_what_an_agent_has_of_its_own_is_asked_for_once_for_all_calls_of_a_turn(
    bench: Bench, place: Path
) -> None:
    asked: list[str] = []
    bench.actions.also(lambda tenant, agent: asked.append(agent) or ())
    bench.start(("t.peek", {}), write("a.txt", "two\n"), commit(), **within(place, made=False))
    bench.go()
    assert len(asked) == 1


def test_a_dry_run_has_nothing_to_wait_for(bench: Bench, place: Path) -> None:
    run = bench.start(
        write("a.txt", "two\n"),
        write("a.txt", "three\n"),
        commit(),
        dry_run=1,
        **within(place, made=False),
    )
    bench.go()
    assert statuses(bench.calls(run)) == ["skipped"] * 3
    assert all(call.risk == "medium" for call in bench.calls(run))
    assert (bench.cards(), bench.run(run).status) == ([], "completed")
    assert (place / "a.txt").read_text() == "one\n"


def test_what_was_never_judged_is_skipped_when_its_run_ends(bench: Bench, place: Path) -> None:
    run = bench.start(write("a.txt", "two\n"), commit(), **within(place, made=False))
    bench.go()
    bench.store.transact(endings.cancel, run, by="somebody", token=ids.new())
    assert statuses(bench.calls(run)) == ["skipped", "skipped"]
    other = bench.start(write("a.txt", "two\n"), commit(), **within(place, made=False))
    bench.go()
    bench.decide("reject_and_end")
    assert statuses(bench.calls(other)) == ["rejected", "skipped"]


def test_a_fixed_step_that_is_entered_again_finds_its_unjudged_call(
    bench: Bench, place: Path
) -> None:
    entered: list[int] = []

    def act(ctx: StepContext) -> Verdict:
        entered.append(1)
        one, two = ctx.calls([write("a.txt", "two\n"), commit()])
        return Done(f"{one['path']} {two['subject']}")

    run = bench.start(**within(place, made=False))
    bench.step = act
    bench.go()
    bench.decide("approve")
    bench.go()
    bench.decide("approve")
    bench.go()
    assert (len(entered), bench.run(run).result) == (3, "a.txt second")


@pytest.mark.parametrize("made", [True, False])
def test_killed_between_the_write_and_the_judging_of_the_commit_it_is_judged_by_the_next(
    bench: Bench, place: Path, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.start(write("a.txt", "two\n"), commit(), **within(place, made=made))
    judged = bench.gate.judging.judged

    def die(ctx: Any, call: Call, **more: Any) -> Any:
        if call.action == "git.commit":
            raise Killed
        return judged(ctx, call, **more)

    with monkeypatch.context() as short:
        short.setattr(bench.gate.judging, "judged", die)
        if not made:
            bench.go()
            bench.decide("approve")
        with pytest.raises(Killed):
            bench.go()
    assert [(c.status, c.risk is None) for c in bench.calls(run)] == [
        ("done", False),
        ("proposed", True),
    ]
    bench.sql(
        "update runs set status='queued', worker=null, lease_until=null, ready_at=1 where id=:id",
        id=run,
    )
    bench.go()
    if not made:
        assert "+two" in bench.card().preview
        bench.decide("approve")
        bench.go()
    written, committed = bench.calls(run)
    assert (written.intent_attempt, committed.status) == (1 if made else 2, "done")
    assert sh(place, "show", "HEAD:a.txt") == "two"
    assert sh(place, "rev-list", "--count", "HEAD") == "2"


def test_a_person_is_asked_before_a_look_of_the_same_turn_has_ended(
    bench: Bench, place: Path
) -> None:
    watching[:] = [lambda: len(bench.cards())]
    looked, asked = bench.does(("t.watch", {}), write("b.txt", "x"), **within(place, made=False))
    assert asked.status == "staged"
    assert looked.result is not None and json.loads(looked.result) == 1


def test_a_look_that_was_killed_is_judged_again_on_what_holds_by_then(
    bench: Bench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.start(("t.watch", {}), **within(place, made=False))
    watching[:] = [lambda: "seen"]

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as short:
        short.setattr(bench.gate.effects, "look", die)
        with pytest.raises(Killed):
            bench.go()
    assert bench.calls(run) == []
    bench.sql(
        "update runs set status='queued', worker=null, lease_until=null, ready_at=1 where id=:id",
        id=run,
    )
    bench.policy("off")
    bench.go()
    assert statuses(bench.calls(run)) == ["refused"]
