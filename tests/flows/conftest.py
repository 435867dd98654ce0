"""The command line as a person uses it: real home, real ledger, real workspace, a scripted model."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alfred.cli import main


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Alfred = Callable[..., Said]


@pytest.fixture
def alfred(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Alfred]:
    """Runs one command in this process and returns its exit code and what it printed."""
    monkeypatch.setenv("ALFRED_NO_WORKER", "1")
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        code = main.main([str(argument) for argument in arguments])
        told = capfd.readouterr()
        return Said(code, told.out, told.err)

    yield run
    for handler in logging.getLogger().handlers:
        if handler not in handlers:
            handler.close()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes a scenario and returns the name of its model."""

    def write(*turns: dict[str, Any], **more: Any) -> str:
        path = tmp_path / "scenario.yaml"
        path.write_text(json.dumps({"runs": [{"match": ".", "turns": list(turns)}], **more}))
        return f"scripted:{path}"

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that a person brought, under git."""
    made = tmp_path / "project"
    made.mkdir()
    (made / "notes.txt").write_text("one\ntwo\n")
    for arguments in (
        ["init", "-q", "-b", "work"],
        ["add", "."],
        ["-c", "user.name=p", "-c", "user.email=p@localhost", "commit", "-q", "-m", "First"],
    ):
        subprocess.run(["git", *arguments], cwd=made, check=True, capture_output=True)
    return made
