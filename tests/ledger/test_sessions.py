"""One session, one live run: what is said when its run is over begins the next one, and is said to that from then on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alfred import conversations, ids
from alfred.config_schema import Settings
from alfred.conversations import Conversation
from alfred.desk import Desk
from alfred.errors import NotFound, UsageError
from alfred.runs import ledger, rows, sessions
from alfred.runs.rows import NewRun
from alfred.runs.states import Status, Wait
from alfred.store.tx import Tx
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
    with core.store.read() as look:
        assert sessions.before(look, first.follow_up) == [ended]
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
    ended = over(core, session_id="chat:1")
    now = core.start(session_id="chat:1")
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
    new = conversations.follow_up(ended, "one", settings=desk.settings)

    def say(new: NewRun) -> str:
        return core.do(sessions.follow, ended, new, author="me").id

    assert say(new) == say(new) == new.id
    assert said_to(core, new.id) == []
    other = conversations.follow_up(ended, "two", settings=desk.settings)
    assert say(other) == say(other) == new.id
    core.finish(core.take(new.id), Status.FAILED)
    assert say(new) == new.id, "also when its run was over meanwhile"
    assert say(other) == new.id
    assert core.one("select count(*) from runs") == 2


# ---- conversations


def spoken(core: Core, talk: Conversation, text: str) -> str:
    """The run that has what was said."""
    new = talk.turn(text, actions=["files.read"], model=lambda: "scripted:/x")
    return core.do(talk.deliver, new).id


def test_what_is_said_under_a_key_is_the_next_turn_or_a_message_to_the_one_that_lives(
    core: Core, desk: Desk
) -> None:
    talk = desk.conversation(platform="cli")
    first = spoken(core, talk, "one")
    assert spoken(core, talk, "two") == first
    assert said_to(core, first) == ["two"]
    assert core.run(first).model == "scripted:/x"
    core.finish(core.take(first), Status.FAILED)
    second = spoken(core, talk, "three")
    with core.store.read() as look:
        assert sessions.before(look, second) == [first]
        assert sessions.before(look, first) == []
    assert core.run(second).session_id == talk.session().id
    assert (talk.session().title, talk.session().turns) == ("one", 2)
    other = desk.conversation(platform="telegram")
    assert spoken(core, other, "elsewhere") not in (first, second)


def test_a_key_is_pointed_to_another_session_and_back(core: Core, desk: Desk) -> None:
    talk = desk.conversation(platform="cli")
    old = talk.session()
    first = spoken(core, talk, "one")
    new = talk.renew()
    assert (talk.session().id, new.turns) == (new.id, 0)
    second = spoken(core, talk, "two")
    assert core.run(second).session_id == new.id, "while the other one still answers"
    assert [one.id for one in talk.listed()] == [new.id, old.id]
    assert talk.resume(old.id[-6:]).id == old.id
    assert spoken(core, talk, "and?") == first
    elsewhere = desk.conversation(platform="telegram")
    elsewhere.resume(old.id)
    assert spoken(core, elsewhere, "from there") == first, "two keys may point to one session"
    with pytest.raises(NotFound):
        talk.resume("nothing")


def test_a_session_of_another_agent_or_tenant_is_not_resumed(core: Core, desk: Desk) -> None:
    mine = desk.conversation(platform="cli").session()
    settings = Settings.model_validate({"timezone": "UTC", "agents": {"main": None, "b": None}})
    with pytest.raises(NotFound):
        replace(desk, settings=settings).conversation("b", platform="cli").resume(mine.id)
    with pytest.raises(NotFound):
        replace(desk, tenant="other").conversation(platform="cli").resume(mine.id)


def test_a_turn_begins_as_external_and_private_as_the_turns_before_it(
    core: Core, desk: Desk
) -> None:
    talk = desk.conversation(platform="cli")
    for external in (True, False):
        lease = core.take(spoken(core, talk, "say"))
        core.finish(lease, step=core.step(external=external, private=not external))
    third = core.run(spoken(core, talk, "and now?"))
    assert (third.external, third.private) == (1, 1)
    core.finish(core.take(third.id))
    for left in ((1, 1), (1, 0), (0, 0)):
        talk.undo()
        run = core.run(spoken(core, talk, "again"))
        assert (run.external, run.private) == left, "what it does not read joins nothing"
        core.finish(core.take(run.id))
        talk.undo()


def test_undo_leaves_the_last_turn_out_and_keeps_it_in_the_session_before(
    core: Core, desk: Desk
) -> None:
    talk = desk.conversation(platform="cli")
    with pytest.raises(UsageError, match="Nothing was said"):
        talk.undo()
    first = spoken(core, talk, "one")
    with pytest.raises(UsageError, match="not over"):
        talk.undo()
    core.finish(core.take(first))
    second = spoken(core, talk, "two")
    core.staged(lease := core.take(second), kinds=("none", "none"), parked=False)
    core.write(
        "update calls set status='done',intent_at=1,outcome_at=1,integration='agents',action='agents.ask'"
    )
    core.write("update calls set action='crm.note' where ordinal=1")
    core.finish(lease)
    old = talk.session()
    undone = talk.undo()
    assert undone.run.id == second
    assert [call.action for call in undone.standing] == ["crm.note"], "whatever it says it is of"
    assert (talk.session().turns, talk.session().title) == (1, "one")
    third = spoken(core, talk, "three")
    with core.store.read() as look:
        assert sessions.before(look, third) == [first]
        assert sessions.turns(look, old.id) == [first, second]


def test_the_one_open_question_is_answered_by_what_is_said(core: Core, desk: Desk) -> None:
    talk = desk.conversation(platform="cli")
    assert talk.answered("too early") is None
    run = spoken(core, talk, "which one?")
    (card,) = core.staged(core.take(run), kinds=("question",))
    answered = talk.answered("the left one")
    assert answered is not None
    assert (answered.id, core.approval(card).status) == (run, "answered")
    assert talk.answered("the right one") is None


def test_a_session_keeps_its_model_and_its_folder(core: Core, desk: Desk) -> None:
    talk = desk.conversation(platform="cli")
    talk.answer_with("scripted:/y")
    first = core.run(spoken(core, talk, "one"))
    core.finish(core.take(first.id))
    second = core.run(spoken(core, talk, "two"))
    assert (second.model, second.workspace) == ("scripted:/y", first.workspace)
    core.finish(core.take(second.id))
    talk.answer_with(None)
    assert core.run(spoken(core, talk, "three")).model == "scripted:/x"


def test_what_follows_is_trusted_as_its_folder_is_by_then(
    core: Core, desk: Desk, tmp_path: Path
) -> None:
    (folder := tmp_path / "project").mkdir()
    place = {"root": str(folder), "made": False, "trusted": True}
    ended = over(core, session_id="SESSION", workspace=json.dumps(place))
    talk = desk.conversation(platform="cli")
    core.finish(core.take(str(desk.tell(ended, "go on").follow_up)))
    talk.resume("SESSION")
    for trusted in ([folder], [], [tmp_path]):
        trust = {"timezone": "UTC", "trust": {"workspaces": trusted}}
        there = replace(desk, settings=Settings.model_validate(trust))
        told = conversations.follow_up(core.run(ended), "and?", settings=there.settings)
        said = there.conversation(platform="cli").turn(
            "and?", actions=[], model=lambda: "scripted:/x"
        )
        for new in (told, said):
            assert json.loads(new.workspace or "") == {**place, "trusted": bool(trusted)}


def test_the_scope_of_an_agent_says_what_one_conversation_is(core: Core, desk: Desk) -> None:
    def keys(scope: str | None) -> list[str]:
        agents = {"main": {"dm_scope": scope} if scope else None}
        scoped = replace(
            desk, settings=Settings.model_validate({"timezone": "UTC", "agents": agents})
        )
        places = [("cli", "local", "1"), ("cli", "local", "2"), ("telegram", "7", "1")]
        return [
            scoped.conversation(platform=name, chat_id=chat, user_id=user).key
            for name, chat, user in places
        ]

    cli, telegram = "agent:main:cli:dm", "agent:main:telegram:dm"
    assert keys(None) == keys("main") == [cli, cli, telegram]
    assert keys("per_peer") == [f"{cli}:1", f"{cli}:2", f"{telegram}:1"]
    assert keys("per_chat") == [f"{cli}:local", f"{cli}:local", f"{telegram}:7"]
    assert keys("shared") == ["agent:main:dm"] * 3


# ---- handed over


@pytest.fixture
def two(desk: Desk) -> Desk:
    """A desk with two agents."""
    agents = {"main": None, "ops": None}
    return replace(desk, settings=Settings.model_validate({"timezone": "UTC", "agents": agents}))


def hands_over(core: Core, run_id: str, agent: str = "ops") -> str:
    """The run, which is held, starts a child that takes its conversation over, and waits for it."""
    lease, caller = core.take(run_id), core.run(run_id)
    child = NewRun(
        id=ids.new(),
        agent=agent,
        workflow="w",
        step="s",
        brief="take it",
        title="take it",
        parent_id=run_id,
        parent_call=f"{ids.new()}:{rows.TAKES_OVER}",
        root_id=caller.root_id,
        depth=caller.depth + 1,
    )

    def verb(tx: Tx) -> None:
        assert ledger.start(tx, child)
        sessions.take_over(tx, child)

    core.do(verb)
    core.park(lease, Wait.CHILDREN)
    return child.id


def test_a_conversation_that_is_handed_over_goes_on_with_who_took_it(core: Core, two: Desk) -> None:
    talk = two.conversation(platform="cli")
    turn = spoken(core, talk, "one")
    ours = talk.session()
    early = spoken(core, talk, "before it is handed over, and not read")
    heir = hands_over(core, turn)
    assert (early, said_to(core, turn)) == (turn, [])
    assert said_to(core, heir) == ["before it is handed over, and not read"]
    assert spoken(core, talk, "while it works") == heir, "it reaches who works"
    assert two.tell(turn, "by name").follow_up == heir
    assert len(said_to(core, heir)) == 3
    assert (talk.speaks().id, talk.session().agent, talk.session().turns) == ("ops", "ops", 1)
    live = talk.live()
    assert live is not None and live.id == turn, "the turn whose answer is awaited"
    stale = talk.turn("made before", actions=[], model=lambda: "m")
    core.finish(core.take(heir), Status.FAILED)
    assert said_to(core, turn)[0] == "before it is handed over, and not read", "all comes back"
    assert (len(said_to(core, turn)), talk.speaks().id) == (3, "main")
    again = hands_over(core, turn)
    assert len(said_to(core, again)) == 3
    lease = core.take(again)
    core.write("update interjections set consumed_seq=1 where run_id=:r", r=again)
    core.finish(lease, result="ours")
    # its caller is not over yet
    next_ = core.run(spoken(core, talk, "and now?"))
    assert (next_.agent, next_.parent_id, next_.session_id) == ("ops", None, again)
    with core.store.read() as look:
        assert sessions.before(look, next_.id) == [again], "it has read nothing of the other one's"
    core.finish(core.take(turn))
    core.finish(core.take(next_.id))
    main = replace(stale, id=ids.new(), agent="main", session_id=ours.id)
    with pytest.raises(sessions.HandedOver, match="ops has this conversation"):
        core.do(talk.deliver, main)
    followed = two.tell(turn, "told later").follow_up
    assert followed is not None and core.run(followed).session_id == again
    with core.store.read() as look:
        assert sessions.turns(look, ours.id) == [turn]
    assert talk.resume(ours.id).id == ours.id
    assert talk.speaks().id == "ops", "whoever resumes it finds it where it went"
    assert talk.renew().agent == "main"


def test_it_is_handed_on_and_back_and_undone(core: Core, two: Desk) -> None:
    talk = two.conversation(platform="cli")
    core.finish(core.take(spoken(core, talk, "zero")))
    turn = spoken(core, talk, "one")
    first = hands_over(core, turn)
    back = hands_over(core, first, "main")
    assert spoken(core, talk, "who is there?") == back
    core.write("update interjections set consumed_seq=1 where run_id=:r", r=back)
    for run in (back, first, turn):
        core.finish(core.take(run))
    two_ = core.run(spoken(core, talk, "two"))
    assert (two_.agent, two_.session_id) == ("main", back)
    core.finish(core.take(two_.id))
    assert [run.brief for run in talk.turns()] == ["zero", "one", "two"]
    assert talk.undo().run.id == two_.id
    assert talk.undo().run.id == turn, "what was said to who took it over is the turn of its caller"
    assert ([run.brief for run in talk.turns()], talk.speaks().id) == (["zero"], "main")


def test_a_conversation_with_an_agent_that_is_no_more_begins_anew(core: Core, two: Desk) -> None:
    talk = two.conversation(platform="cli")
    turn = spoken(core, talk, "one")
    heir = hands_over(core, turn)
    for run in (heir, turn):
        core.finish(core.take(run))
    alone = replace(two, settings=Settings.model_validate({"timezone": "UTC"}))
    talk = alone.conversation(platform="cli")
    assert (talk.session().agent, talk.session().turns) == ("main", 0)
    assert core.run(spoken(core, talk, "is anybody there?")).agent == "main"
