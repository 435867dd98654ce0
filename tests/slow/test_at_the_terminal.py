"""A person at a real terminal: text streams, cards are decided in place, and leaving loses nothing."""

from __future__ import annotations

import os
import signal

from tests.slow.conftest import Machine

WRITE = {
    "say": "I write the report.",
    "calls": [{"tool": "files.write", "args": {"path": "report.md", "content": "hello\n"}}],
}
LONG = {"say": "This takes long.", "delay": 120}
DONE = {"say": "All is done."}


def test_the_answer_streams_and_stands_once_on_the_screen(machine: Machine) -> None:
    machine.script(
        {"say": "First I look.", "calls": [{"tool": "files.list", "args": {}}]},
        {"say": "There are\ntwo \x1b[31mfiles\u202e."},
    )
    with machine.terminal("run", "look", "--model", machine.model) as screen:
        screen.expect("First I look.")
        screen.expect("files.list done")
        screen.expect("two \\u{001B}[31mfiles\\u{202E}.")
        screen.expect("completed, 2 turns")
        assert screen.code() == 0
    assert screen.screen.count("There are") == 1
    assert "\u202e" not in screen.screen


def test_a_card_is_approved_in_place_and_the_run_goes_on(machine: Machine) -> None:
    machine.script(WRITE, DONE)
    with machine.terminal("run", "write", "--model", machine.model) as screen:
        screen.expect("+hello")
        screen.expect("approve?")
        assert not (machine.project / "report.md").exists()
        screen.type("y\r")
        screen.expect("files.write done")
        screen.expect("All is done.")
        assert screen.code() == 0
    assert (machine.project / "report.md").read_text() == "hello\n"


def test_a_no_with_its_reason_reaches_the_model_and_a_plain_terminal_gets_no_escapes(
    machine: Machine,
) -> None:
    machine.script(WRITE, DONE)
    with machine.terminal("run", "write", "--model", machine.model, TERM="dumb") as screen:
        screen.expect("approve?")
        screen.type("n\r")
        screen.expect("why")
        screen.type("wrong place\r")
        assert screen.code() == 0
    assert "\x1b" not in screen.screen
    whole = machine.show(machine.runs()[0]["id"])
    assert "wrong place" in next(i["text"] for i in whole["transcript"] if i["kind"] == "result")
    assert not (machine.project / "report.md").exists()


def test_a_no_that_ends_the_run_has_its_own_code(machine: Machine) -> None:
    machine.script(WRITE, DONE)
    with machine.terminal("run", "write", "--model", machine.model) as screen:
        screen.expect("approve?")
        screen.type("e\r")
        screen.expect("why")
        screen.type("\r")
        assert screen.code() == 4
    assert machine.runs()[0]["status"] == "cancelled"


def test_later_leaves_the_card_open_and_resuming_asks_again(machine: Machine) -> None:
    machine.script(WRITE, DONE)
    with machine.terminal("run", "write", "--model", machine.model) as screen:
        screen.expect("approve?")
        screen.type("l\r")
        screen.expect("It goes on with a decision")
        assert screen.code() == 3
    run = machine.runs()[0]["id"]
    with machine.terminal("runs", "resume", run) as screen:
        screen.expect("approve?")
        screen.type("y\r")
        assert screen.code() == 0
    assert (machine.project / "report.md").read_text() == "hello\n"


def test_nobody_is_asked_where_it_is_forbidden(machine: Machine) -> None:
    machine.script(WRITE, DONE)
    with machine.terminal(
        "run", "write", "--model", machine.model, ALFRED_NO_INPUT="1", NO_COLOR="1"
    ) as screen:
        assert screen.code() == 3
    assert "approve?" not in screen.screen
    assert "\x1b" not in screen.screen


def test_a_question_is_answered_in_place(machine: Machine) -> None:
    ask = {"calls": [{"tool": "ask.user", "args": {"question": "Which one?"}}]}
    machine.script(ask, DONE)
    with machine.terminal("run", "ask me", "--model", machine.model) as screen:
        screen.expect("Which one?")
        screen.expect("your answer")
        screen.type("the second\r")
        assert screen.code() == 0
    whole = machine.show(machine.runs()[0]["id"])
    assert "the second" in next(i["text"] for i in whole["transcript"] if i["kind"] == "result")


def test_leaving_loses_nothing_and_the_run_goes_on_later(machine: Machine) -> None:
    look = {"say": "I look first.", "calls": [{"tool": "files.list", "args": {}}]}
    machine.script(look, LONG)
    with machine.terminal("run", "take long", "--model", machine.model) as screen:
        screen.expect("files.list done")
        screen.type("\x03")
        screen.expect("Nothing is lost")
        assert screen.code() == 130
    assert "Traceback" not in screen.screen
    run = machine.runs()[0]
    assert run["status"] == "queued"
    machine.script(look, DONE)
    with machine.terminal("runs", "resume", run["id"]) as screen:
        screen.expect("All is done.")
        assert screen.code() == 0
    steps = machine.show(run["id"])["steps"]
    assert [step["name"] for step in steps] == ["boss-turn", "dispatch-tools", "boss-turn"]


def test_when_the_window_is_closed_a_worker_goes_on(machine: Machine) -> None:
    machine.env.pop("ALFRED_NO_WORKER")
    look = {"say": "I look first.", "calls": [{"tool": "files.list", "args": {}}]}
    machine.script(look, LONG)
    with machine.terminal("run", "take long", "--model", machine.model) as screen:
        screen.expect("files.list done")
        machine.script(look, DONE)
        screen.close_window()
        assert screen.code() == 129
        machine.until(lambda: machine.runs()[0]["status"] == "completed", "the run is completed")
    machine.until(lambda: not machine.workers(), "the worker ends when nothing is left to do")


def test_a_run_waits_for_a_free_slot_and_takes_it(machine: Machine) -> None:
    slow = {"match": "slow", "turns": [LONG]}
    machine.script(DONE, others=(slow,))
    machine.alfred("config", "edit", "limits.concurrent_runs", "1")
    first = machine.start("run", "slow one", "--model", machine.model)
    machine.until(lambda: [r for r in machine.runs() if r["status"] == "running"], "it runs")
    with machine.terminal("run", "quick one", "--model", machine.model) as screen:
        screen.expect("waiting for a free slot")
        first.send_signal(signal.SIGINT)
        screen.expect("All is done.")
        assert screen.code() == 0
    assert first.wait(60) == 130


def test_a_run_that_another_process_drives_is_watched_and_taken_when_that_one_dies(
    machine: Machine,
) -> None:
    look = {"say": "I look first.", "calls": [{"tool": "files.list", "args": {}}]}
    machine.script(look, LONG)
    driver = machine.start("run", "take long", "--model", machine.model)
    run = machine.until(lambda: [r for r in machine.runs() if r["status"] == "running"], "it runs")
    with machine.terminal("runs", "resume", run[0]["id"]) as screen:
        screen.expect(f"`alfred run` (process {driver.pid}")
        screen.expect("watching it")
        machine.script(look, DONE)
        os.kill(driver.pid, signal.SIGKILL)
        screen.expect("its worker is gone")
        screen.expect("All is done.")
        assert screen.code() == 0
    whole = machine.show(run[0]["id"])
    assert [step["name"] for step in whole["steps"] if step["outcome"] in ("next", "done")] == [
        "boss-turn",
        "dispatch-tools",
        "boss-turn",
    ]


def test_whoever_watches_stays_while_somebody_elsewhere_decides(machine: Machine) -> None:
    machine.script(WRITE, DONE)
    parked = machine.json("run", "write", "--model", machine.model)
    watcher = machine.start("runs", "watch", parked["id"])
    assert watcher.stdout is not None
    told = ""
    while "alfred approve" not in told:
        told += watcher.stdout.readline()
    card = parked["waiting"][0]["id"]
    machine.alfred("approve", card)
    assert machine.alfred("runs", "resume", parked["id"]).returncode == 0
    rest, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 0, told + rest
    assert "All is done." in rest


def test_a_watcher_at_a_terminal_may_decide_later_and_stays(machine: Machine) -> None:
    machine.script(WRITE, DONE)
    parked = machine.json("run", "write", "--model", machine.model)
    with machine.terminal("runs", "watch", parked["id"]) as screen:
        screen.expect("approve?")
        screen.type("l\r")
        machine.alfred("reject", parked["waiting"][0]["id"], "--end")
        assert screen.code() == 4


def test_an_agent_is_made_by_answering_and_a_wrong_answer_is_asked_again(machine: Machine) -> None:
    assert machine.json("agents", "add", "main", "--default")["id"] == "main"
    with machine.terminal("agents", "add") as screen:
        for question, keys in (
            ("name:", "No Name\r"),
            ("is no name for an agent", "main\r"),
            ("There is an agent 'main'", "coder\r"),
            ("what it is for:", "Changes code.\r"),
            ("model, provider:model [that of all]:", "nobody:x\r"),
            ("names no model", "\r"),
            ("or [a, b] [all]:", "codnig\r"),
            ("did you mean coding?", "coding\r"),
        ):
            screen.expect(question)
            screen.type(keys)
        screen.expect("coder. Try it")
        assert screen.code() == 0
    told = {one["id"]: one for one in machine.json("agents", "list")}
    assert told["coder"]["description"] == "Changes code."
    assert told["coder"]["tools"] == {"profile": "coding"}
    before = (machine.home / "config.yaml").read_text()
    with machine.terminal("agents", "add", "ops") as screen:
        screen.expect("what it is for:")
        screen.type("\x04")
        screen.expect("Nothing was added")
        assert screen.code() == 2
    assert (machine.home / "config.yaml").read_text() == before
    for arguments, env in ((("ops", "--max-turns", "3"), {}), (("b",), {"ALFRED_NO_INPUT": "1"})):
        with machine.terminal("agents", "add", *arguments, **env) as screen:
            screen.expect(". Try it")
            assert screen.code() == 0
            assert "?" not in screen.screen.partition(". Try it")[0]
