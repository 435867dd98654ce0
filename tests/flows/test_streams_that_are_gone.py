"""Where nobody reads, or somebody presses Ctrl-C before anything has begun, there is no traceback and the code stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alfred.cli.leaving import Left
from tests.flows.conftest import Alfred


def shell(home: Path, words: str) -> subprocess.CompletedProcess[str]:
    """A line of shell in which `alfred` is this program."""
    env = {**os.environ, "ALFRED_HOME": str(home), "ALFRED_NO_WORKER": "1", "PY": sys.executable}
    line = words.replace("alfred", '"$PY" -m alfred')
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=env, timeout=60)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("alfred status >&-", 0),
        ("alfred runs list --json >&-", 0),
        ("alfred --version >&- 2>&-", 0),
        ("alfred runs show nope 2>&-", 2),
        ("alfred runs show nope --json >&- 2>&- <&-", 2),
    ],
)
def test_a_closed_stream_changes_neither_the_code_nor_what_is_said_on_the_other(
    home: Path, line: str, code: int
) -> None:
    done = shell(home, line)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize(
    "line", ["alfred --help", "alfred runs show nope --json", "alfred nope 2>&1"]
)
def test_a_reader_that_went_away_is_no_error_that_is_told(home: Path, line: str) -> None:
    done = shell(home, f"{line} | true")
    assert done.stderr == ""


def test_what_is_typed_in_another_set_of_letters_is_no_mistake_in_alfred(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text("runs: [{turns: [{say: Done.}]}]\n")
    home.mkdir()
    (home / "config.yaml").write_text(f"alfred: 1\nmodel: scripted:{tmp_path}/s.yaml\n")
    strict = "PYTHONIOENCODING=utf-8:strict"  # as in the locales of most people
    done = shell(home, f"printf 'zu gro\\337\\n' | {strict} alfred chat")
    assert (done.returncode, done.stdout) == (0, "Done.\n"), done.stderr


def test_an_answer_that_cannot_be_written_is_told_once(home: Path) -> None:
    done = shell(home, "alfred config schema >/dev/full")
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Exception" not in done.stderr


def test_ctrl_c_while_the_program_is_loaded_ends_it_quietly_with_130(home: Path) -> None:
    probe = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'alfred.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "sys.argv = ['alfred', 'status']\n"
        "from alfred.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_run_that_is_left_prints_its_document_with_the_id(
    alfred: Alfred, script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: object, **__: object) -> None:
        raise Left(signal.SIGINT)

    monkeypatch.setattr("alfred.cli.live.View.follow", leave)
    said = alfred("run", "x", "--in", folder, "--model", script({"say": "Done."}), "--json")
    assert said.code == 130
    assert said.json["id"] == alfred("runs", "list", "--json").json[0]["id"]


def test_a_run_of_which_nobody_reads_any_more_is_left_to_a_worker(
    alfred: Alfred, script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object, **__: object) -> None:
        raise BrokenPipeError

    started: list[str] = []
    monkeypatch.setattr("alfred.cli.live.View.follow", break_off)
    monkeypatch.setattr("alfred.desk.Desk.ensure_worker", lambda desk: started.append(desk.tenant))
    said = alfred("run", "x", "--in", folder, "--model", script({"say": "Done."}))
    assert (said.code, said.out) == (1, "")
    assert started == ["main"]
    assert alfred("runs", "list", "--json").json[0]["status"] != "running"


def test_the_version_is_a_document_for_programs(home: Path) -> None:
    done = shell(home, "alfred --version --json")
    assert done.stdout.startswith('{"version": "')
