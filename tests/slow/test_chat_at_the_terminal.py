"""`alfred chat` on a real terminal: what a person types, sees, is asked, stops and comes back to."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.slow.conftest import Machine
from tests.slow.ptys import Terminal

HELLO = {"match": "hello", "turns": [{"say": "Good day to you."}]}
WRITE = {
    "match": "write",
    "turns": [
        {"say": "I write.", "calls": [{"tool": "files.write", "args": {"path": "a.md", "content": "x\n"}}]},
        {"say": "Written."},
    ],
}  # fmt: skip
SLOW = {
    "match": "slow",
    "turns": [
        {"say": "I begin.", "calls": [{"tool": "files.list", "args": {}}]},
        {"say": "never", "delay": 60},
    ],
}


@contextmanager
def talking(machine: Machine, *runs: dict[str, Any]) -> Iterator[Terminal]:
    machine.script({"say": "What?"}, others=(HELLO, WRITE, SLOW, *runs))
    machine.alfred("config", "edit", "model", machine.model)
    with machine.terminal("chat", PROMPT_TOOLKIT_NO_CPR="1") as screen:
        screen.expect("main>")
        yield screen


def over(machine: Machine) -> None:
    """The last turn is over: what is typed now is the next one, and no message to it."""
    machine.until(lambda: machine.runs()[0]["status"] in ("completed", "cancelled"), "it is over")


def test_a_conversation_streams_asks_in_place_and_is_there_the_next_time(machine: Machine) -> None:
    with talking(machine) as screen:
        screen.type("hello\r")
        screen.expect("Good day to you.")
        over(machine)
        screen.type("write it\r")
        screen.expect("approve?")
        screen.type("y\r")
        screen.expect("Written.")
        over(machine)
        screen.type("/cost\r")
        screen.expect("3 turns, ")
        screen.type("\x04")
        assert screen.code() == 0
    assert "Traceback" not in screen.screen
    assert (machine.project / "a.md").read_text() == "x\n"
    history = machine.home / "chat-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+write it" in history.read_text()
    with machine.terminal("chat", PROMPT_TOOLKIT_NO_CPR="1") as screen:
        screen.expect("(2 turns so far)")
        screen.expect("main>")
        screen.type("/undo\r")
        screen.expect("Taken back: write it")
        screen.expect("still there: files.write")
        screen.type("/quit\r")
        assert screen.code() == 0
    assert [run["status"] for run in machine.runs()] == ["completed", "completed"]


def test_ctrl_c_stops_the_turn_and_not_the_chat(machine: Machine) -> None:
    with talking(machine) as screen:
        screen.type("slow\r")
        screen.expect("files.list done")
        screen.type("and faster\r")
        screen.expect("(read at its next step)")
        screen.type("\x03")
        screen.expect("Stopped.")
        over(machine)
        screen.type("hello\r")
        screen.expect("Good day to you.")
        over(machine)
        screen.type("slow again\r")
        screen.expect("files.list done")
        machine.alfred("runs", "cancel", machine.runs()[0]["id"])
        screen.expect("Stopped elsewhere.")
        screen.type("\x04")
        assert screen.code() == 0
    again, hello, slow = machine.runs()
    ended = [run["status"] for run in (slow, hello, again)]
    assert ended == ["cancelled", "completed", "cancelled"]


def test_a_turn_goes_on_when_the_window_is_closed_and_is_shown_the_next_time(
    machine: Machine,
) -> None:
    machine.env.pop("ALFRED_NO_WORKER", None)
    with talking(machine) as screen:
        screen.type("slow\r")
        screen.expect("files.list done")
        machine.script({"say": "What?"}, others=({**SLOW, "turns": [SLOW["turns"][0], {"say": "Done."}]},))  # fmt: skip
        screen.close_window()
        screen.code()
        machine.until(lambda: machine.runs()[0]["status"] == "completed", "the turn is over")
    machine.until(lambda: not machine.workers(), "the worker ends when nothing is left to do")
    with machine.terminal("chat", PROMPT_TOOLKIT_NO_CPR="1") as screen:
        screen.expect("main: Done.")
        screen.expect("main>")
        screen.type("\x04")
        assert screen.code() == 0
