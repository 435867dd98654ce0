"""alfred in processes of its own, on one home: commands, terminals, workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from alfred import config, desk, home, orders
from alfred.errors import AlfredError
from alfred.runs import views
from alfred.store import connect
from alfred.store.statement import Sql
from alfred.store.trouble import DatabaseError
from alfred.store.tx import Tx
from tests.slow import ptys

PATIENCE = ptys.PATIENCE

_AT_WORK = Sql("select 1 from workers where pid=:pid")


@dataclass
class Machine:
    """One home and one project folder, and the processes that a test starts on them."""

    home: Path
    project: Path
    scenario: Path
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def script(self, *turns: dict[str, Any], others: tuple[dict[str, Any], ...] = ()) -> None:
        """What the scripted model answers from now on."""
        runs = [*others, {"match": ".", "turns": list(turns)}]
        made = self.scenario.with_suffix(".new")
        made.write_text(json.dumps({"runs": runs}))
        made.replace(self.scenario)

    @property
    def url(self) -> str:
        return self.env.get("ALFRED_DATABASE_URL") or f"sqlite:///{self.home / 'alfred.db'}"

    @property
    def model(self) -> str:
        return f"scripted:{self.scenario}"

    def alfred(self, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs one command to its end, without a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "alfred", *map(str, arguments)],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            env=self.env | env,
            cwd=self.project,
        )

    def json(self, *arguments: object, **env: str) -> Any:
        """What a command prints with --json."""
        done = self.alfred(*arguments, "--json", **env)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def start(
        self,
        *arguments: object,
        stdin: int = subprocess.DEVNULL,
        within: Sequence[str] = (),
        **env: str,
    ) -> subprocess.Popen[str]:
        """Starts a command in the background, by another program (`within`) if that is given; it is gone when the test ends."""
        made = subprocess.Popen(
            [*within, sys.executable, "-m", "alfred", *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env | env,
            cwd=self.project,
            start_new_session=True,
        )
        self.started.append(made)
        return made

    @contextlib.contextmanager
    def terminal(self, *arguments: object, **env: str) -> Iterator[ptys.Terminal]:
        """Runs a command on a terminal."""
        command = ("-m", "alfred", *map(str, arguments))
        with ptys.terminal(*command, env=self.env | env, cwd=self.project) as made:
            yield made

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """Looks again and again until something holds."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = holds()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"It never came to this: {what}")

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Tx]:
        """Looks into the ledger from this process: a command would cost a second."""
        store = connect.open_store(self.url)
        try:
            with store.read() as look:
                yield look
        finally:
            store.close()

    def queue(self, brief: str, *, actions: Sequence[str] = ("files.list",)) -> str:
        """What `run --detach` writes, from this process; the run's id."""
        store = connect.open_store(self.url)
        try:
            at_desk = desk.Desk(store=store, settings=config.Settings(), home=self.home)
            order = orders.Order(brief=brief, folder=self.project)
            new = at_desk.order(order, model=lambda: self.model, actions=actions)
            at_desk.start(new)
            return new.id
        finally:
            store.close()

    def runs(self) -> list[dict[str, Any]]:
        """Every run as `runs list` tells it, newest first."""
        with self.ledger() as look:
            return views.runs(look, "main", limit=200)[0]

    def show(self, run: str) -> dict[str, Any]:
        """One run as `runs show` tells it."""
        with self.ledger() as look:
            return views.show(look, run)

    def workers(self) -> list[psutil.Process]:
        """Processes of this home that execute runs, whoever started them."""
        return [process for process, home in self._executing() if home == self.home]

    def workers_below(self, folder: Path) -> list[psutil.Process]:
        """Processes that execute runs of homes in a folder."""
        return [process for process, home in self._executing() if home.is_relative_to(folder)]

    def _executing(self) -> Iterator[tuple[psutil.Process, Path]]:
        """Every process that executes runs, and its home."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if {"worker", "serve"} & set(process.cmdline()[3:4]):
                    try:
                        home = process.environ().get("ALFRED_HOME")
                    except (
                        psutil.AccessDenied
                    ):  # who is not root sees nothing in a process that executes
                        home = self.home_of(process.pid)
                    yield process, Path(home or "/")

    def home_of(self, pid: int) -> str | None:
        """The home in whose ledger a process says that it works."""
        homes = {self.url: self.home}
        homes |= {f"sqlite:///{db}": db.parent for db in self.project.parent.rglob("alfred.db")}
        for url, place in homes.items():
            with contextlib.suppress(AlfredError, DatabaseError):  # one that is just made
                store = connect.open_store(url)
                with contextlib.closing(store), store.read() as look:
                    if look(_AT_WORK, pid=pid).scalar():
                        return str(place)
        return None

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        for process in self.workers_below(self.project.parent):
            with contextlib.suppress(psutil.Error):
                process.kill()
                process.wait(PATIENCE)


@pytest.fixture
def machine(tmp_path: Path, sqlite_url: str) -> Iterator[Machine]:
    """A home, a project under git, a scripted model, and a clean end."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "notes.txt").write_text("one\ntwo\n")
    for arguments in (
        ["init", "-q", "-b", "work"],
        ["add", "."],
        ["-c", "user.name=p", "-c", "user.email=p@localhost", "commit", "-q", "-m", "First"],
    ):
        subprocess.run(["git", *arguments], cwd=project, check=True, capture_output=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("ALFRED_") and k != "NO_COLOR"}
    env |= {
        "ALFRED_HOME": str(tmp_path / "home"),
        "ALFRED_NO_WORKER": "1",
        "ALFRED_TEST_LEASE_S": "5",
        "TERM": "xterm",
    }
    home.ensure(tmp_path / "home")
    (tmp_path / "alfred.db").rename(tmp_path / "home" / "alfred.db")
    made = Machine(tmp_path / "home", project, tmp_path / "scenario.json", env)
    made.script({"say": "Done."})
    yield made
    made.end()
