"""`stop --all` while everything is at work: from its commit on nothing is begun, and every child dies."""

from __future__ import annotations

from typing import Any

import psutil
import pytest

from alfred.store import invariants
from alfred.store.statement import Sql
from tests.slow.conftest import Machine

ROUNDS = 1
ACTING = 4
"""Runs that write into the world, turn after turn."""

ACTION = """
import os
from pathlib import Path
from alfred.actions import Effect, Risk, action

@action("world.append", integration="world", risk=Risk.NONE, effect=Effect.KEYED)
def append(line: str, *, key: str) -> str:
    \"\"\"Append one line to the world's log.

    Args:
        line: The text.
    \"\"\"
    log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, (key + "\\n").encode())
    os.close(log)
    return "ok"
"""
NAP = "sleep 31557"
HOLDS = {"tool": "shell.run", "args": {"command": f"{NAP} & setsid {NAP} & wait", "timeout": 600}}
WRITES = [{"tool": "world.append", "args": {"line": f"{n}"}} for n in range(4)]


def napping() -> list[psutil.Process]:
    """What the commands of the runs have started, grandchildren in sessions of their own too."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if (p.info["cmdline"] or [])[:2] == NAP.split()]


@pytest.mark.needs_program("bwrap")
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_after_a_stop_nothing_is_begun_and_no_child_is_left_however_much_is_at_work(
    request: pytest.FixtureRequest, machine: Machine, database: str
) -> None:
    if database == "postgres":
        machine.env["ALFRED_DATABASE_URL"] = request.getfixturevalue("pg_url")
    log = machine.home / "world.log"
    log.write_text("")
    (machine.home / "actions").mkdir(mode=0o700, exist_ok=True)
    (machine.home / "actions" / "world.py").write_text(ACTION.format(log=str(log)))
    (machine.home / "config.yaml").write_text(
        "alfred: 1\nlimits: {concurrent_runs: 20, per_agent: 20, turns: 5000}\n"
    )
    turns = [{"say": "", "calls": WRITES}] * 300
    held = {"match": "hold", "turns": [{"calls": [HOLDS]}, {"say": "Done."}]}
    machine.script(*turns, others=(held,))
    may = ["world.append", "shell.run"]
    for n in range(ACTING):
        machine.queue(f"write {n}", actions=may)
    for _ in range(2):
        machine.start("worker", "--slots", "10")

    def asked(statement: str, **params: Any) -> Any:
        with machine.ledger() as look:
            return look(Sql(statement), **params).scalar()

    for n in range(ROUNDS):
        machine.queue(f"hold {n}", actions=may)
        before = len(log.read_text().splitlines())
        machine.until(lambda: len(napping()) >= 2, "a command has its children")
        machine.until(
            lambda b=before: len(log.read_text().splitlines()) >= b + 20, "the runs are at work"
        )
        said = machine.alfred("stop", "--all")
        assert said.returncode == 0, said.stderr
        stopped = asked("select at from switches where name='stop'")
        machine.until(lambda: not napping(), "every child is dead")
        machine.until(
            lambda: asked("select count(*) from calls where status='executing'") == 0,
            "what had begun has come to an end, or is known to be unknown",
        )
        # The switch stands first, the runs are paused behind it: an effect begins before that or not at all.
        paused = asked('select max(at) from audit where row like \'%"what": "stop"%\'')
        assert asked("select count(*) from runs where status='running'") == 0
        late = "select count(*) from calls where effect<>'pure' and intent_at>:at"
        assert asked(late, at=paused) == 0
        assert stopped <= paused
        with machine.ledger() as look:
            keys = set(look(Sql("select effect_key from calls where effect='keyed'")).scalars())
        written = log.read_text().splitlines()
        assert set(written) <= keys, "nothing acts without its intent"
        assert len(written) == len(set(written)), "and nothing acts twice"
        assert machine.alfred("runs", "resume", "--all").returncode == 0
    with machine.ledger() as look:
        assert invariants.broken(look) == []
