"""One session, one live run: what is said when its run is over begins the next one, and is said to that from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import ids
from alfred.config_schema import Settings
from alfred.desk import Desk
from alfred.runs import ledger, sessions
from alfred.runs.rows import NewRun
from alfred.runs.states import Status, Wait
from tests.ledger.core import Core


@pytest.fixture
def desk(core: Core, tmp_path: Path) -> Desk:
    return Desk(
        store=core.store, settings=Settings.model_validate({"timezone": "UTC"}), home=tmp_path
    )


def over(core: Core, **fields: Any) -> str:
    """A run that is over."""
    lease = core.held(**fields)
    core.finish(lease)
    return lease.run_id


def said_to(core: Core, run_id: str) -> list[str]:
    with core.store.read() as look:
        return [body for _, body, _ in ledger.messages(look, run_id)]


def test_the_second_word_to_an_ended_run_is_a_message_to_the_first_ones_run(
    core: Core, desk: Desk
) -> None:
    ended = over(core, session_id="SESSION")
    first = desk.tell(ended, "one")
    second = desk.tell(ended, "two")
    assert first.follow_up is not None
    assert (second.run_id, second.follow_up) == (ended, first.follow_up)
    assert core.run(first.follow_up).brief == "one"
    assert said_to(core, first.follow_up) == ["two"]
    core.finish(core.take(first.follow_up), Status.FAILED)
    third = desk.tell(ended, "three")
    assert third.follow_up not in (None, first.follow_up), "when that is over, another one follows"
    fourth = desk.tell(first.follow_up, "four")
    assert fourth.follow_up == third.follow_up, "whichever of the session is told"
    assert said_to(core, str(third.follow_up)) == ["four"]


def test_a_run_without_a_session_is_followed_up_by_one_run_too(core: Core, desk: Desk) -> None:
    ended = over(core)
    assert desk.tell(ended, "one").follow_up == desk.tell(ended, "two").follow_up
    assert desk.tell(over(core), "three").follow_up != desk.tell(ended, "four").follow_up


def test_the_run_of_a_conversation_that_began_meanwhile_is_told(core: Core, desk: Desk) -> None:
    ended = over(core, session_key="chat:1")
    now = core.start(session_key="chat:1")
    assert desk.tell(ended, "mind the gap").follow_up == now
    assert said_to(core, now) == ["mind the gap"]


def test_what_a_follow_up_waits_for_is_told(core: Core, desk: Desk) -> None:
    ended = over(core)
    follows = str(desk.tell(ended, "one").follow_up)
    core.park(core.take(follows), Wait.BUDGET)
    assert desk.tell(ended, "two").waits_for == "budget"
    core.write("update runs set wait='timer' where id=:r", r=follows)
    desk.tell(ended, "three")
    assert core.run(follows).status == "queued", "a message wakes it as it wakes any run"


def test_the_answer_to_the_question_of_a_follow_up_may_be_told_to_the_run_before_it(
    core: Core, desk: Desk
) -> None:
    ended = over(core)
    follows = str(desk.tell(ended, "one").follow_up)
    lease = core.take(follows)
    (card,) = core.staged(lease, kinds=("question",))
    assert core.run(follows).wait == "question"
    told = desk.tell(ended, "the left one")
    assert (told.id, told.consumed, told.follow_up) == (card, True, follows)
    assert core.run(follows).status == "queued"


def test_a_follow_up_that_is_being_cancelled_is_followed_up_itself(core: Core, desk: Desk) -> None:
    ended = over(core)
    first = str(desk.tell(ended, "one").follow_up)
    core.take(first)
    core.cancel(first)
    assert (core.run(first).status, core.run(first).cancel) == ("running", 1)
    second = desk.tell(ended, "two")
    assert second.follow_up not in (None, first), "it reads nothing any more"
    assert said_to(core, first) == []
    core.take(str(second.follow_up))
    assert desk.tell(ended, "three").follow_up == second.follow_up


def test_a_word_whose_answer_was_lost_is_said_once(core: Core, desk: Desk) -> None:
    ended = core.run(over(core))
    new, message = desk.follow_up(ended, "one"), ids.new()

    def say(new: NewRun, message: str) -> str:
        return core.do(sessions.say, ended, new, message_id=message, author="me").id

    assert say(new, message) == say(new, message) == new.id
    assert said_to(core, new.id) == []
    other, again = desk.follow_up(ended, "two"), ids.new()
    assert say(other, again) == say(other, again) == new.id
    core.finish(core.take(new.id), Status.FAILED)
    assert say(new, message) == new.id, "also when its run was over meanwhile"
    assert say(other, again) == new.id
    assert core.one("select count(*) from runs") == 2
