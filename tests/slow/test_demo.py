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
