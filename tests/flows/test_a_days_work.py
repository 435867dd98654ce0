"""A day of 120 calls through the real gate as it comes: the engineer is asked ten times at most, and about what matters."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alfred import app
from alfred.cli import terminal
from alfred.trust import pinned
from tests import repositories
from tests.flows.a_day import CALLS, DAY
from tests.flows.conftest import Alfred

# apprise looks for a module that Python 3.13 has no more, and copes without it
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Outside(http.server.BaseHTTPRequestHandler):
    """The pages that are read, and the phone that is told."""

    told: list[str]

    def do_GET(self) -> None:
        self._answer(b"What is new: nothing that is old.")

    def do_POST(self) -> None:
        self.told.append(
            json.loads(self.rfile.read(int(self.headers["content-length"])))["message"]
        )
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    """Whatever address of the web is connected to, this answers."""
    Outside.told = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Outside)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    connect, resolve = pinned.connect, socket.getaddrinfo

    def named(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve("93.184.216.34" if host == "docs.example.org" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", named)
    monkeypatch.setattr(
        pinned,
        "connect",
        lambda _address, _port, wait: connect("127.0.0.1", server.server_port, wait),
    )
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _git(folder: Path, *args: str) -> None:
    who = ("-c", "user.name=Pat", "-c", "user.email=pat@example.org")
    subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def places(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The engineer's clone of a project, and one that alfred made."""
    (tmp_path / "gitconfig").write_text("[user]\nname = Pat\nemail = pat@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    files = {
        "README.md": "# Tidy\n\nTODO: say more.\n",
        "docs/plan.md": "# Plan\n",
        "src/parser.py": 'def parse(line):\n    name, _, value = line.partition("=")\n    return name, value\n',
        "src/config.py": "DEFAULTS = {'depth': 3}\n",
        "tests/test_parser.py": "import unittest\n",
        ".gitignore": ".cache/\n",
    }
    project = repositories.one_commit(tmp_path / "project")
    for name, content in files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    _git(project, "add", ".")
    _git(project, "commit", "-q", "-m", "Tidy")
    (project / "README.md").write_text("# Tidy\n\nTODO: say more, and soon.\n")
    _git(project, "commit", "-q", "-a", "-m", "Soon")
    _git(project, "branch", "last-week")
    (project / ".cache").mkdir()
    for n in range(7):
        (project / f".cache/page-{n}").write_text("old")
    bare = repositories.bare(tmp_path / "origin.git")
    _git(project, "remote", "add", "origin", str(bare))
    _git(project, "push", "-q", "origin", "main")
    worktree = home / "worktrees" / "tidy"
    _git(tmp_path, "clone", "-q", str(bare), str(worktree))
    return {"project": project, "worktree": worktree}


@pytest.mark.needs_program("bwrap")
def test_a_day_of_120_calls_asks_ten_times_at_most_and_about_everything_that_must_be_asked(
    alfred: Alfred,
    home: Path,
    places: dict[str, Path],
    outside: http.server.ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert len(CALLS) == 120
    (home / "config.yaml").write_text(
        f'alfred: 1\nchannels: {{notify: "json://127.0.0.1:{outside.server_port}/"}}\n'
    )
    runs = [
        {
            "match": order.brief[:20],
            "turns": [
                *(
                    {"calls": [{"tool": call.tool, "args": call.args} for call in turn]}
                    for turn in order.turns
                ),
                {"say": "Done."},
            ],
        }
        for order in DAY
    ]
    (tmp_path / "day.json").write_text(json.dumps({"runs": runs}))
    monkeypatch.chdir(tmp_path)  # no git work tree: who names no folder gets one of its own

    prompts: list[str] = []

    def says_yes(question: str) -> str:
        prompts.append(question)
        return "y"

    monkeypatch.setattr(terminal, "interactive", lambda: True)
    monkeypatch.setattr(terminal, "line", says_yes)
    wrong: list[str] = []
    deleted: list[str] = []
    for order in DAY:
        where = ("--in", places[order.where]) if order.where in places else ()
        told = alfred("run", order.brief, *where, "--model", f"scripted:{tmp_path}/day.json")
        assert told.code == 0, told.err
        (run, *_) = alfred("runs", "list", "--json").json
        done = alfred("runs", "show", run["id"], "--json").json
        with app.base() as base:
            cards = {card.call_id for card in base.desk.cards(status="all", run=run["id"])}
        wanted = [call for turn in order.turns for call in turn]
        assert len(done["calls"]) == len(wanted)
        for call, row in zip(wanted, done["calls"], strict=True):
            if call.tool == "files.delete":
                deleted.append(row["risk"])
            if row["status"] != "done":
                wrong.append(f"{call}: {row['status']} {row['result']}")
            if call.asks != (row["id"] in cards):
                wrong.append(
                    f"{call}: {'nobody was asked' if call.asks else 'it asked'} [{row['risk']}]"
                )
    assert wrong == []
    assert deleted == ["low"] * 5 + ["medium"] * 2, "many small things are no small thing"
    assert len(prompts) <= 10
    assert len(Outside.told) == 2, "the phone was told"
