"""`alfred chat` without a terminal: each line is a message, words with a slash are for the client, the code is the turn's."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alfred import app
from alfred.cli.chat import messages
from alfred.cli.chat_terminal import History, _cut
from alfred.store.statement import Sql
from tests.flows.conftest import Alfred, Said
from tests.table import table

HELLO = {"match": "hello", "turns": [{"say": "Good day."}]}
WRITE = {
    "match": "write",
    "turns": [
        {"calls": [{"tool": "files.write", "args": {"path": "a.md", "content": "x\n"}}]},
        {"say": "Written."},
    ],
}
ASK = {
    "match": "which",
    "turns": [
        {"calls": [{"tool": "ask.user", "args": {"question": "Which one?"}}]},
        {"say": "Thanks."},
    ],
}
Talk = Callable[..., Said]


@pytest.fixture
def talk(alfred: Alfred, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    scenario = tmp_path / "scenario.yaml"
    runs = [HELLO, WRITE, ASK, {"match": "fail", "turns": [{"error": "auth"}]}]
    scenario.write_text(json.dumps({"runs": [*runs, {"match": ".", "turns": [{"say": "What?"}]}]}))
    alfred("config", "edit", "model", f"scripted:{scenario}")
    monkeypatch.chdir(folder)

    def said(*lines: str, options: tuple[str, ...] = ()) -> Said:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return alfred("chat", *options)

    return said


@table(
    [
        ("hello", ["hello"]),
        ("one\n\n  \ntwo", ["one", "two"]),
        ("one\\\ntwo\nthree", ["one\ntwo", "three"]),
        ("one\\\n", ["one"]),
        ("", []),
    ]
)
def test_each_line_is_a_message_and_a_backslash_goes_on(text: str, told: list[str]) -> None:
    assert list(messages(io.StringIO(text))) == told


@table(
    [
        ("one two three", 8, ("one two", "three")),
        ("abcdefghij", 4, ("abcd", "efghij")),
        ("日本語", 4, ("日本", "語")),
    ]
)
def test_a_line_that_is_too_wide_is_cut_at_a_space(
    text: str, room: int, parts: tuple[str, str]
) -> None:
    assert _cut(text, room) == parts


def test_one_conversation_goes_on_over_processes(talk: Talk, alfred: Alfred) -> None:
    first = talk("hello", "anything", options=("--json",)).json
    assert [turn["result"] for turn in first["turns"]] == ["Good day.", "What?"]
    second = talk("hello", options=("--json",)).json
    assert second["session"] == first["session"]
    assert talk("/new", "hello", options=("--json",)).json["session"] != first["session"]
    runs = alfred("runs", "list", "--json").json
    assert [run["brief"] for run in runs] == ["hello", "hello", "anything", "hello"]


def test_a_turn_that_waits_for_a_person_ends_it_with_3_and_words_decide(talk: Talk) -> None:
    waits = talk("write it", "never said", options=("--json",))
    assert (waits.code, len(waits.json["turns"])) == (3, 1)
    assert "Written" not in waits.out
    refused = talk("/new")
    assert (refused.code, "between two turns" in refused.err) == (2, True)
    other = talk("/approve zzzzzz")  # of another card, which is over
    assert (other.code, "'zzzzzz' is no card" in other.err, Path("a.md").exists()) == (
        2,
        True,
        False,
    )
    decided = talk("/approve", "and now?")
    assert decided.out.splitlines()[-2:] == ["Written.", "What?"]
    assert decided.code == 0 and Path("a.md").read_text() == "x\n"
    assert talk("which?").code == 3
    assert "Thanks." in talk("/answer the left one", "go on").out
    assert talk("which?").code == 3
    assert "Thanks." in talk("the right one").out, "what is said is the answer"


def test_a_turn_that_failed_ends_it_with_1(talk: Talk) -> None:
    failed = talk("fail", "hello")
    assert failed.code == 1
    assert "Good day." not in failed.out


def test_words_for_the_client_reach_no_agent(talk: Talk, alfred: Alfred) -> None:
    unknown = talk("/udno", "hello")
    assert (unknown.code, "Did you mean /undo?" in unknown.err) == (2, True)
    assert alfred("runs", "list", "--json").json == []
    told = talk(
        "hello", "/undo", "/cost", "/resume", "/model", "/agents", "/help", "/quit", "hello"
    )
    assert told.code == 0
    for part in ("Taken back: hello", "0 turns", "/resume SESSION", "scripted:", "> main", "/undo"):
        assert part in told.out, part
    assert len(alfred("runs", "list", "--json").json) == 1
    listed = told.out.split("began with\n")[1]
    ref = listed.split()[0]
    assert "hello (1 turn so far)" in talk(f"/resume {ref}").out
    alfred("agents", "add", "other", "--description", "Another one")
    assert "other: a new conversation." in talk("/agent other").out
    nobody = talk("/model nonsense:x", options=("--json",))
    assert nobody.json["error"]["code"]


def test_where_a_conversation_was_is_told_by_how_its_last_words_began(talk: Talk) -> None:
    talk("hello " + "word " * 100, options=("--json",))
    told = talk("/agent main", "/resume", "/undo").out
    assert told.count("hello word") == 4 and told.count("word …") == 4
    assert "sha256" not in told


def test_each_turn_begins_with_what_the_configuration_says_by_then(
    talk: Talk, alfred: Alfred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk()
    shutil.copy(tmp_path / "scenario.yaml", tmp_path / "other.yaml")

    class Typed(io.StringIO):
        def __iter__(self) -> Iterator[str]:
            yield "hello\n"
            alfred("config", "edit", "tools", "{deny: [shell]}")
            alfred("config", "edit", "model", f"scripted:{tmp_path}/other.yaml")
            yield "hello\n"

    monkeypatch.setattr("sys.stdin", Typed())
    assert alfred("chat").code == 0
    with app.base() as base, base.store.read() as look:
        began = look(Sql("select model,grants from runs order by id")).all()
    has = [("other" in model, "shell.run" in grants) for model, grants in began]
    assert has == [(False, True), (True, False)]


def test_what_was_typed_is_kept_without_secrets_and_for_nobody_else(home: Path) -> None:
    home.mkdir()
    path = home / "chat-history"
    History(path).store_string("my key is ghp_" + "aB3dE6" * 6)
    assert path.stat().st_mode & 0o077 == 0
    assert "ghp_a" not in path.read_text()
    assert any("my key is" in entry for entry in History(path).load_history_strings())


def test_who_takes_the_conversation_over_answers_from_then_on(
    talk: Talk, alfred: Alfred, tmp_path: Path
) -> None:
    gives = {"tool": "agents.handoff", "args": {"agent": "ops", "brief": "take it"}}
    runs = [
        {"match": "^take it$", "turns": [{"say": "It is full."}]},
        {"match": "^and now", "turns": [{"say": "Ops again."}]},
        {"match": ".", "turns": [{"calls": [gives]}, {"say": "Main again."}]},
    ]
    scenario = tmp_path / "handed.yaml"
    scenario.write_text(json.dumps({"runs": runs}))
    alfred("agents", "add", "ops", "--model", f"scripted:{scenario}")
    alfred("config", "edit", "model", f"scripted:{scenario}")
    told = talk(
        *(
            "is the disk full?",
            "and now?",
            "/agents",
            "/resume",
            "/cost",
            "/undo",
            "/undo",
            "/agents",
        )
    )
    assert told.code == 0, told
    assert told.out.splitlines()[:2] == ["It is full.", "Ops again."]
    assert "ops has the conversation from here on." in told.err
    before, after = told.out.split("Taken back: and now?")
    assert "is the disk full?  <- here" in before
    assert "> ops" in before and "Taken back: is the disk full?" in after and "> main" in after
    assert "agents.handoff" not in after, "what was said between agents is taken back with it"
    again = talk("is it still?", options=("--json",)).json
    assert (again["agent"], again["turns"][0]["result"]) == ("ops", "It is full.")
    agents = {run["brief"]: run["agent"] for run in alfred("runs", "list", "--json").json}
    assert (agents["and now?"], agents["is it still?"]) == ("ops", "main")
