"""The tests' end of the fork server: a place for each story, and the lives that are lived in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred.store import connect, schema
from tests.crash import parts, scenarios

ROOT = Path(__file__).parents[2]


def folder_in_memory() -> Path:
    """A folder that costs no fsync where there is one: a killed process, unlike a power cut, loses no page."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="alfred-crash-", dir=memory if memory.is_dir() else None))


@dataclass(frozen=True, slots=True)
class Life:
    """How a life ended."""

    killed: bool
    points: int
    wrong: list[str]
    new: tuple[int, ...] = ()
    """See `points.Points`."""


class Lives:
    """A running fork server."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._made = 0
        self._template = folder / "template.db"
        store = connect.open_store(f"sqlite:///{self._template}")
        schema.create_all(store)
        parts.prepare(store)
        store.close()
        script = scenarios.write_script(folder)
        self._log = (folder / "server.log").open("w")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.server", str(script), str(self._template)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def place(self) -> Path:
        """A fresh home."""
        self._made += 1
        home = self.folder / f"home-{self._made}"
        home.mkdir()
        return home

    def sqlite(self, home: Path) -> str:
        """A fresh database in a home."""
        shutil.copyfile(self._template, home / "alfred.db")
        return f"sqlite:///{home / 'alfred.db'}"

    @property
    def script(self) -> Path:
        """What the model of the stories says."""
        return self.folder / "script.json"

    def live(self, scenario: str, url: str, home: Path, deadly: int | None = None) -> Life:
        """One life, which ends at the `deadly`th point, or in peace."""
        return self._ended(self._ask(scenario, url, home, deadly=deadly))

    def stop(self, scenario: str, url: str, home: Path, intent: int) -> bool:
        """A life that stops after the commit of its so manieth intent. Whether it came that far."""
        return bool(self._ask(scenario, url, home, stopped=intent).get("stopped"))

    def crowd(self, scenario: str, url: str, home: Path, *, kills: int, seed: int) -> Life:
        """Three workers at one story, of whom so many are killed and replaced; its `points` are how many were."""
        order = {"scenario": scenario, "url": url, "home": str(home), "crowd": 3}
        return self._ended(self._say({**order, "kills": kills, "seed": seed}))

    def go_on(self) -> Life:
        """The life that stopped goes on, to its end."""
        return self._ended(self._say({"go_on": True}))

    def _ask(
        self,
        scenario: str,
        url: str,
        home: Path,
        *,
        deadly: int | None = None,
        stopped: int | None = None,
    ) -> dict[str, Any]:
        where = {"scenario": scenario, "url": url, "home": str(home)}
        return self._say({**where, "deadly": deadly, "stopped": stopped})

    def _say(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        assert line, f"the fork server ended: {self.log()}"
        return json.loads(line)

    def _ended(self, said: dict[str, Any]) -> Life:
        new = tuple(said.get("new", ()))
        return Life(said["killed"], said.get("points", 0), said.get("wrong", []), new)

    def log(self) -> str:
        """The end of what the lives logged."""
        return (self.folder / "server.log").read_text()[-4000:]

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait(30)
        self._log.close()


@contextmanager
def opened() -> Iterator[Lives]:
    """A fork server in a folder of its own."""
    folder = folder_in_memory()
    try:
        lives = Lives(folder)
        try:
            yield lives
        finally:
            lives.close()
    finally:
        shutil.rmtree(folder)
