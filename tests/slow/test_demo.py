"""The demo in the places where people start it: it ends well, and leaves nothing but the file that was approved."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.slow.conftest import Machine

REPORT = "alfred-report.md"


@pytest.fixture
def scratch(machine: Machine, tmp_path: Path) -> Path:
    """The folder for temporary files of the demo: empty when it has tidied up."""
    made = tmp_path / "temporary"
    made.mkdir()
    machine.env["TMPDIR"] = str(made)
    shutil.rmtree(machine.home)
    return made


def _left(machine: Machine, scratch: Path) -> list[str]:
    """What the demo has left behind."""
    assert not machine.home.exists()
    assert machine.workers() == []
    new = {path.name for path in machine.project.iterdir()} - {".git", "notes.txt"}
    return sorted(new) + sorted(path.name for path in scratch.iterdir())


def test_on_a_terminal_a_person_decides(machine: Machine, scratch: Path) -> None:
    with machine.terminal("demo") as screen:
        screen.expect("kill -9")
        screen.expect("approve?")
        assert not (machine.project / REPORT).exists()
        screen.type("y\r")
        screen.expect("status completed")
        screen.expect("holds")
        assert screen.code() == 0
    assert "First" in (machine.project / REPORT).read_text()
    assert _left(machine, scratch) == [REPORT]


def test_a_no_leaves_nothing_at_all(machine: Machine, scratch: Path) -> None:
    with machine.terminal("demo", TERM="dumb") as screen:
        screen.expect("approve?")
        screen.type("n\r")
        screen.expect("why")
        screen.type("\r")
        assert screen.code() == 0
    assert "\x1b" not in screen.screen
    assert _left(machine, scratch) == []


def test_without_a_terminal_the_demo_decides_and_says_so(machine: Machine, scratch: Path) -> None:
    said = machine.alfred("demo", "--json")
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    assert told["run"]["status"] == "completed"
    assert told["audit"]["ok"] is True
    assert told["attempts"] > 1
    assert told["seconds"] < 60
    assert "approved by `demo`" in said.stderr
    assert _left(machine, scratch) == [REPORT]


def test_without_a_terminal_a_model_gets_nothing_but_the_report(
    machine: Machine, scratch: Path
) -> None:
    """Also what is high, which is for a person in every mode."""
    calls = [
        {"tool": "git.push", "args": {"remote": "origin", "branch": "work", "force": True}},
        {"tool": "files.delete", "args": {"path": "notes.txt"}},
        {"tool": "files.write", "args": {"path": ".git/hooks/pre-commit", "content": "x"}},
        {"tool": "files.write", "args": {"path": "notes.txt", "content": "x"}},
        {"tool": "shell.run", "args": {"command": "rm notes.txt", "write": True}},
        {"tool": "files.write", "args": {"path": REPORT, "content": "seen\n"}},
    ]
    machine.script(
        {"say": "Looking.", "calls": [{"tool": "files.list", "args": {}}]},
        {"say": "All at once.", "calls": calls, "delay": 1},
        {"say": "Done."},
    )
    said = machine.alfred("demo", "--model", machine.model)
    assert said.stderr.count("approved by `demo`") == 1, said.stderr
    assert said.stderr.count("rejected by `demo`") >= 3, said.stderr
    assert "status completed" in said.stderr
    assert (machine.project / "notes.txt").read_text() == "one\ntwo\n"
    assert not (machine.project / ".git/hooks/pre-commit").exists()
    assert (machine.project / REPORT).read_text() == "seen\n"
    assert _left(machine, scratch) == [REPORT]


def test_a_report_of_the_persons_own_stays(machine: Machine, scratch: Path) -> None:
    mine = machine.project / REPORT
    mine.write_text("mine\n")
    said = machine.alfred("demo")
    assert said.returncode == 0, said.stderr
    assert "report: alfred-report-2.md, because" in said.stderr
    assert mine.read_text() == "mine\n"
    assert _left(machine, scratch) == ["alfred-report-2.md", REPORT]


def test_outside_of_a_repository_it_makes_one(machine: Machine, scratch: Path) -> None:
    shutil.rmtree(machine.project / ".git")
    assert not any((f / ".git").exists() for f in Path(tempfile.gettempdir()).parents)
    said = machine.alfred("demo")
    assert said.returncode == 0, said.stderr
    assert "has made it" in said.stderr
    assert _left(machine, scratch) == []


def test_ctrl_c_leaves_nothing_behind(machine: Machine, scratch: Path) -> None:
    with machine.terminal("demo") as screen:
        screen.expect("approve?")
        screen.type("\x03")
        assert screen.code() == 130
    assert "Traceback" not in screen.screen
    assert _left(machine, scratch) == []


def test_a_demo_that_is_told_to_end_leaves_nothing_behind(machine: Machine, scratch: Path) -> None:
    demo = machine.start("demo")
    machine.until(lambda: machine.workers_below(scratch), "its worker is at work")
    demo.send_signal(signal.SIGTERM)
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 143, told
    assert "Traceback" not in told
    assert machine.workers_below(scratch) == []
    assert _left(machine, scratch) == []
