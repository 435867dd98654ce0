"""Two agents behind two bots of one platform: each chat reads its agent's answers, once, in order, and no word of the other's.

How the same holds when the process is killed in the middle is in `tests/crash`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alfred import app, errors
from alfred.agents.tools import ToolPolicy
from alfred.channels.base import Line, Lines
from alfred.store.statement import Sql
from alfred.testing import FakeChannel, loses_the_answer, refuses, waits_for
from tests.flows.conftest import Alfred

CANARY = "xylophone-4711"
"""What is only said between the owner and the agent `a`."""


def _call(tool: str, **args: Any) -> dict[str, Any]:
    return {"tool": tool, "args": args}


SCRIPT = {
    "runs": [
        {
            "match": "keep",
            "turns": [
                {
                    "calls": [
                        _call("memory.add", text=f"The word is {CANARY}."),
                        _call("scratch.write", path="word", value=CANARY),
                        _call("todo.add", text=f"Say {CANARY}."),
                    ]
                },
                {"say": f"I keep {CANARY}."},
            ],
        },
        {
            "match": "ask",
            "turns": [
                {
                    "calls": [
                        _call("memory.search", query="word"),
                        _call("sessions.search", query="keep"),
                        _call("scratch.read", path="word"),
                        _call("scratch.list"),
                        _call("todo.list"),
                        _call("channels.send", text="Psst.", to="local:bot-a:1"),
                    ]
                },
                {"say": "That is all."},
            ],
        },
        {
            "match": "wave",
            "turns": [{"calls": [_call("channels.send", text="*waves*")]}, {"say": "Waved."}],
        },
        {
            "match": "hand over",
            "turns": [
                {"calls": [_call("agents.handoff", agent="b", brief="take this")]},
                {"say": "It is with b."},
            ],
        },
        {"match": "take this", "turns": [{"say": "b has it."}, {"say": "b has all of it."}]},
        {"match": "one", "turns": [{"say": "First."}]},
        {"match": "two", "turns": [{"say": "Second."}]},
        {"match": ".", "turns": [{"say": "What?"}]},
    ]
}


_ALL = Sql(
    "select r.brief,r.result,t.item,c.args,c.result as came from runs r left join transcript t on t.run_id=r.id"
    " left join calls c on c.run_id=r.id where r.agent=:agent"
)


class Town:
    """A home with two agents and their bots, which outlive every process of alfred."""

    def __init__(self, home: Path, tmp_path: Path, url: str):
        scenario = tmp_path / "scenario.yaml"
        scenario.write_text(json.dumps(SCRIPT))
        self.home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = f"database: {url}\n" if url.startswith("postgresql") else ""
        (home / "config.yaml").write_text(
            f"alfred: 1\ntimezone: UTC\nmodel: scripted:{scenario}\n{database}agents: {{main: {{}}, a: {{}}, b: {{}}}}\n"
        )
        self.a, self.b = FakeChannel("bot-a"), FakeChannel("bot-b")
        self.people = frozenset({"1"})

    def lines(self) -> Lines:
        return Lines(
            [
                Line(channel=self.a, people=self.people, agent="a"),
                Line(channel=self.b, people=self.people, agent="b"),
            ]
        )

    @contextmanager
    def process(self, lines: Lines | None = None) -> Iterator[app.Whole]:
        with app.base(lines=lines or self.lines()) as base:
            yield app.whole(base)

    def works(self, whole: app.Whole) -> None:
        """A worker's life, until there is nothing to do."""
        worker = whole.worker(kind="worker")
        worker.start()
        worker.until_idle()
        worker.stop()

    def all_of(self, whole: app.Whole, agent: str) -> str:
        """Everything that the runs of an agent have read, proposed and been answered."""
        with whole.base.store.read() as look:
            return json.dumps([list(row) for row in look(_ALL, agent=agent).all()])


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alfred.channels.deliver.EVERY", 0.02)


@pytest.fixture
def town(home: Path, tmp_path: Path) -> Town:
    return Town(home, tmp_path, "")


def test_each_chat_reads_its_agents_answers_once_in_order_and_no_word_of_the_others(
    home: Path, tmp_path: Path, store_url: str
) -> None:
    town = Town(home, tmp_path, store_url)
    first = [town.a.message("keep this"), town.b.message("ask around")]
    second = [town.b.message("two"), town.a.message("one")]
    with town.process() as whole:
        town.a.then(loses_the_answer(shown=True))
        town.b.then(refuses(), loses_the_answer(shown=False))
        for message in (*first, *first):
            whole.door.accept(message)
        town.works(whole)
        for message in second:
            whole.door.accept(message)
    with town.process() as whole:
        again = [whole.door.accept(message) for message in (*first, *second)]
        assert [run.agent for run in again if run] == ["a", "b", "b", "a"]
        town.works(whole)
        whole.door.accept(town.b.message("ask again"))
        town.works(whole)
        assert CANARY in town.all_of(whole, "a")
        known_to_b = town.all_of(whole, "b")
        assert CANARY not in known_to_b and "keep this" not in known_to_b
    assert town.a.said("1") == [f"I keep {CANARY}.", "First."]
    assert town.b.said("1") == ["That is all.", "Second.", "That is all."]
    assert {one.chat for one in (*town.a.shown, *town.b.shown)} == {"1"}


def test_brought_by_several_at_once_a_message_is_taken_once(
    home: Path, tmp_path: Path, store_url: str
) -> None:
    town = Town(home, tmp_path, store_url)
    message = town.a.message("one")
    with town.process() as whole, ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: whole.door.accept(message), range(4)))
        assert len({run.id for run in runs if run}) == 1 and None not in runs
        with whole.base.store.read() as look:
            assert look(Sql("select count(*) from runs")).scalar() == 1
            assert look(Sql("select count(*) from interjections")).scalar() == 0


def test_what_is_said_while_a_turn_lives_is_part_of_it_and_one_answer_goes_to_each_chat(
    town: Town,
) -> None:
    with town.process() as whole:
        runs = [whole.door.accept(town.a.message(text)) for text in ("one", "and this")]
        runs.append(whole.door.accept(town.a.message("from my laptop", chat="7")))
        assert len({run.id for run in runs if run}) == 1
        town.works(whole)
    assert (len(town.a.said("1")), len(town.a.said("7"))) == (1, 1)


def test_who_took_a_conversation_over_answers_in_its_chat_once(town: Town) -> None:
    with town.process() as whole:
        boss = whole.door.accept(town.a.message("hand over"))
        assert boss is not None
        town.works(whole)
        after = whole.door.accept(town.a.message("two"))
        assert after is not None and after.agent == "b"
        town.works(whole)
    assert len(town.a.said("1")) == 2 and town.a.said("1")[1] == "Second."
    assert town.b.tried == []


def test_who_may_not_speak_is_not_heard_and_told_nothing(town: Town) -> None:
    with town.process() as whole:
        assert whole.door.accept(town.a.message("keep this", user="666", chat="1")) is None
        town.works(whole)
        with pytest.raises(errors.NotFound, match="local:other"):
            whole.door.accept(FakeChannel("other").message("hello"))
        with whole.base.store.read() as look:
            assert look(Sql("select count(*) from runs")).scalar() == 0
    assert town.a.tried == []


def test_several_people_have_a_conversation_each_and_never_one_together(town: Town) -> None:
    town.people = frozenset({"1", "2"})
    with town.process() as whole:
        runs = [whole.door.accept(town.a.message("one", user=user)) for user in ("1", "2", "1")]
        assert [run.session_id for run in runs if run][0::2] == [runs[0] and runs[0].session_id] * 2
        assert len({run.session_id for run in runs if run}) == 2
        config = town.home / "config.yaml"
        config.write_text(config.read_text().replace("a: {}", "a: {dm_scope: main}"))
        with pytest.raises(errors.ConfigError, match=r"agents.a.dm_scope is main.*2 people"):
            whole.door.accept(town.a.message("one"))


def test_who_may_speak_to_one_agent_through_two_bots_has_a_conversation_of_their_own(
    town: Town,
) -> None:
    lines = [
        Line(channel=bot, people=frozenset({user}), agent="a")
        for bot, user in ((town.a, "1"), (town.b, "2"))
    ]
    everybody = Line(channel=FakeChannel("family"), people=frozenset({"1", "2", "3"}))
    config = town.home / "config.yaml"
    right = config.read_text()
    with town.process(Lines([lines[0], everybody])) as whole:
        for type_ in ("group", "private"):
            config.write_text(f"{right}bindings: [{{agent: a, local: {{type: {type_}}}}}]\n")
            whole.door.accept(town.a.message("one"))
        with whole.base.store.read() as look:
            keys = look(Sql("select key from session_keys order by key")).scalars()
        assert keys == ["agent:a:local:dm", "agent:a:local:dm:1"]
    with town.process(Lines(lines)) as whole:
        runs = [
            whole.door.accept(bot.message("one", user=user))
            for bot, user in ((town.a, "1"), (town.b, "2"))
        ]
        assert len({run.session_id for run in runs if run}) == 2
        for scope in ("main", "shared"):
            config.write_text(right.replace("a: {}", f"a: {{dm_scope: {scope}}}"))
            with pytest.raises(errors.ConfigError, match=rf"dm_scope is {scope}.*2 people"):
                whole.door.accept(town.b.message("one", user="2"))


def test_messages_meet_where_the_platform_says_that_they_are_of_one_place_and_nowhere_else(
    town: Town,
) -> None:
    bot = FakeChannel("bot", platform="whatsapp")
    people = frozenset({"+49512345671", "42"})
    said: list[tuple[str, dict[str, Any]]] = [
        ("one device", {"user": "49512345671@s.whatsapp.net", "chat": "c", "key": "1"}),
        ("another device", {"user": "49512345671:3@s.whatsapp.net", "chat": "c", "key": "2"}),
        ("the same id elsewhere", {"user": "42", "chat": "d", "key": "1"}),
        ("a person", {"user": "42", "chat": "g", "chat_type": "group"}),
        ("a topic", {"user": "42", "chat": "g", "chat_type": "group", "thread": "42"}),
    ]
    with town.process(Lines([Line(channel=bot, people=people)])) as whole:
        runs = [whole.door.accept(bot.message(text, **how)) for text, how in said]
    sessions = [run and run.session_id for run in runs]
    assert None not in sessions and sessions[0] == sessions[1]
    assert len(set(sessions)) == len(sessions) - 1


def test_without_an_agent_of_its_own_a_line_is_answered_by_whom_the_bindings_name(
    town: Town,
) -> None:
    with (town.home / "config.yaml").open("a") as config:
        config.write("bindings: [{agent: b, telegram: '-100'}]\n")
    bot = FakeChannel("bot", platform="telegram")
    with town.process(Lines([Line(channel=bot, people=frozenset({"1"}))])) as whole:
        for chat, agent in (("-100", "b"), ("-200", "main")):
            run = whole.door.accept(bot.message("one", chat=chat, chat_type="group", thread="5"))
            assert run is not None and run.agent == agent
        town.works(whole)
    assert {(said.chat, said.text) for said in bot.shown} == {
        ("-100", "First."),
        ("-200", "First."),
    }


def test_what_cannot_be_answered_is_told_once_and_what_cannot_be_taken_is_brought_again(
    town: Town,
) -> None:
    config = town.home / "config.yaml"
    right = config.read_text()
    with town.process() as whole:
        empty = town.a.message("  ")
        assert [whole.door.accept(empty) for _ in range(2)] == [None, None]
        config.write_text(right.replace("scenario.yaml", "gone.yaml"))
        later = town.a.message("one")
        with pytest.raises(errors.ConfigError):
            whole.door.accept(later)
        config.write_text(right)
        assert whole.door.accept(later) is not None
        town.works(whole)
    assert town.a.said("1") == ["The message is empty. Say what you mean in words.", "First."]


def test_an_agent_speaks_in_its_own_chat_besides_its_answer_and_in_no_other_bots(
    town: Town,
) -> None:
    with town.process() as whole:
        for message in (town.b.message("wave"), town.b.message("ask around")):
            whole.door.accept(message)
            town.works(whole)
        assert town.b.said("1") == ["*waves*", "Waved.", "That is all."]
        with whole.base.store.read() as look:
            cards = look(Sql("select count(*) from approvals")).scalar()
        tools = {
            name: ToolPolicy(profile=name).apply(whole.tools("b"))
            for name in ("messaging", "coding")
        }
    assert (cards, town.a.tried) == (0, [])
    assert "channels.send" in tools["messaging"] and "channels.send" not in tools["coding"]


def test_a_worker_that_would_end_stays_until_the_answer_is_said(town: Town) -> None:
    released = threading.Event()
    with town.process() as whole:
        town.a.then(waits_for(released))
        whole.door.accept(town.a.message("one"))
        worker = whole.worker(kind="worker")
        worker.start()
        threading.Timer(0.5, released.set).start()
        worker.until_idle()
        assert town.a.said("1") == ["First."]
        worker.stop()


def test_status_tells_what_could_not_be_said(town: Town, alfred: Alfred) -> None:
    with town.process() as whole:
        town.a.then(refuses("the chat is gone", for_good=True))
        run = whole.door.accept(town.a.message("one"))
        town.works(whole)
    assert run is not None
    assert alfred("status", "--json").json["unsent"] == {
        "waiting": 0,
        "dead": 1,
        "why": "the chat is gone",
    }
    assert "0 not sent yet, 1 given up (the chat is gone)" in alfred("status").out
    shown = alfred("runs", "show", run.id)
    assert "given up to local:bot-a:1: the chat is gone" in shown.out
    [told] = [one for one in alfred("doctor", "--json").json["findings"] if one["name"] == "chats"]
    assert told["level"] == "warning" and "1 given up (the chat is gone)" in told["text"]


def test_the_owner_is_told_of_a_stranger_and_nobody_answers_one(town: Town) -> None:
    with (town.home / "config.yaml").open("a") as file:
        file.write("channels: {notify: 'json://127.0.0.1:9'}\n")
    with town.process() as whole:
        for user in ("666", "667", "666"):
            assert whole.door.accept(town.a.message("let me in", user=user)) is None
        with whole.base.store.read() as look:
            [(channel, body)] = look(Sql("select channel,body from outbox")).all()
    assert (channel, town.a.shown) == ("notify:owner", [])
    assert "local:bot-a: 666." in body and "let me in" not in body


@pytest.mark.parametrize("config", ["", "channels: 7\n"], ids=["nobody", "a mistake"])
def test_a_stranger_is_only_logged_where_nobody_can_be_told(town: Town, config: str) -> None:
    with town.process() as whole:
        with (town.home / "config.yaml").open("a") as file:
            file.write(config)
        assert whole.door.accept(town.a.message("let me in", user="666")) is None
        with whole.base.store.read() as look:
            assert look(Sql("select channel from outbox")).all() == []
