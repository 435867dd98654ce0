"""The demo in the places where people start it: it ends well, and leaves nothing but the file that was approved."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
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


def test_without_a_terminal_the_demo_decides_and_says_so_whatever_is_set_elsewhere(
    machine: Machine, scratch: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    said = machine.alfred(
        *("demo", "--json"),
        ALFRED_DATABASE_URL=f"sqlite:///{elsewhere}",
        ALFRED_POLICY__MODE="off",
        ALFRED_LIMITS__TURNS="1",
    )
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    assert told["run"]["status"] == "completed"
    assert told["audit"]["ok"] is True
    assert told["attempts"] > 1
    assert told["seconds"] < 60
    assert "approved by `demo`" in said.stderr
    assert (told["second"]["status"], told["second"]["children"]) == ("completed", 2)
    assert "shared: shared.last-change, from scratch." in said.stderr
    assert not elsewhere.exists()
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


def test_a_report_of_the_persons_own_stays_and_the_name_of_the_folder_is_escaped(
    machine: Machine, scratch: Path
) -> None:
    odd = machine.project / "a\x1b[31mred\nb"
    odd.mkdir()
    (odd / REPORT).write_text("mine\n")
    machine.project = odd
    said = machine.alfred("demo")
    assert said.returncode == 0, said.stderr
    assert "report: alfred-report-2.md, because" in said.stderr
    assert (odd / REPORT).read_text() == "mine\n"
    assert _left(machine, scratch) == ["alfred-report-2.md", REPORT]
    assert "\x1b" not in said.stderr
    assert r"a\u{001B}[31mred\u{000A}b" in said.stderr


def test_a_model_that_cannot_be_used_is_told_before_anything_begins(
    machine: Machine, scratch: Path
) -> None:
    for model, words in (
        ("foo", "No provider is named 'foo'"),
        ("anthropic:claude-x", "needs ANTHROPIC_API_KEY"),
        ("scripted:/does/not/exist", "There is no scenario file"),
    ):
        said = machine.alfred("demo", "--model", model)
        assert said.returncode == 2, said.stderr
        assert words in said.stderr
        assert "1. Run" not in said.stderr
    assert _left(machine, scratch) == []


def test_a_run_that_fails_is_told_with_its_reason(machine: Machine, scratch: Path) -> None:
    machine.script({"error": "auth", "times": 99})
    said = machine.alfred("demo", "--model", machine.model)
    assert said.returncode == 1, said.stderr
    assert "it did not complete: scripted: auth" in said.stderr
    assert "kill -9" not in said.stderr
    assert "written" not in said.stderr
    assert _left(machine, scratch) == []


@pytest.mark.needs_program("unshare")
def test_a_report_that_cannot_be_written_is_told_with_its_reason(
    machine: Machine, scratch: Path
) -> None:
    script = (
        'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'
    )
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"]
    probe = subprocess.run(
        [*command, str(machine.project), "true"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"no mount namespace here: {probe.stderr.strip()}")
    said = subprocess.run(
        [*command, str(machine.project), sys.executable, "-m", "alfred", "demo"],
        capture_output=True,
        text=True,
        env=machine.env,
        cwd=machine.project,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert said.returncode == 1, said.stderr
    assert "failed  files.write" in said.stderr
    assert f"not written: {machine.project / REPORT}: " in said.stderr
    assert "Read-only file system" in said.stderr
    assert _left(machine, scratch) == []


def test_outside_of_a_repository_it_makes_one(machine: Machine, scratch: Path) -> None:
    shutil.rmtree(machine.project / ".git")
    assert not any((f / ".git").exists() for f in Path(tempfile.gettempdir()).parents)
    said = machine.alfred("demo")
    assert said.returncode == 0, said.stderr
    assert "has made it" in said.stderr
    assert _left(machine, scratch) == []


@pytest.mark.parametrize("when", ["1. Run", "kill -9", "approve?"])
def test_ctrl_c_leaves_nothing_behind(machine: Machine, scratch: Path, when: str) -> None:
    with machine.terminal("demo") as screen:
        screen.expect(when)
        screen.type("\x03")
        assert screen.code() == 130
    assert "Traceback" not in screen.screen
    assert machine.workers_below(scratch) == []
    assert _left(machine, scratch) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_demo_that_is_told_to_end_leaves_nothing_behind(
    machine: Machine, scratch: Path, number: int
) -> None:
    demo = machine.start("demo")
    machine.until(lambda: machine.workers_below(scratch), "its worker is at work")
    demo.send_signal(number)
    told, _ = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number, told
    assert "Traceback" not in told
    assert machine.workers_below(scratch) == []
    assert _left(machine, scratch) == []


def test_a_demo_that_is_killed_leaves_no_worker_at_work(machine: Machine, scratch: Path) -> None:
    demo = machine.start("demo")
    machine.until(lambda: machine.workers_below(scratch), "its worker is at work")
    demo.send_signal(signal.SIGKILL)
    demo.communicate(timeout=60)
    machine.until(lambda: not machine.workers_below(scratch), "its worker has noticed")
    assert not (machine.project / REPORT).exists()


def test_a_worker_until_eof_hands_back_what_runs_when_its_input_ends(machine: Machine) -> None:
    machine.script({"say": "Thinking.", "delay": 30}, {"say": "Done."})
    run = machine.queue("x")
    worker = machine.start("worker", "--until-eof", "--json", stdin=subprocess.PIPE)
    machine.until(lambda: machine.show(run)["run"]["status"] == "running", "it is at work")
    assert worker.stdin is not None
    worker.stdin.write("what stands in it means nothing\n")
    worker.stdin.flush()
    machine.until(lambda: machine.workers(), "it is still there")
    told, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert json.loads(told.splitlines()[-1])["ended"] == "eof"
    assert machine.show(run)["run"]["status"] == "queued"
