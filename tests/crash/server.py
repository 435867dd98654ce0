"""The fork server: one process with everything imported and nothing open, which forks a child for each life.

Usage: python -m tests.crash.server SCRIPT TEMPLATE
Reads `{"scenario", "url", "home", "deadly"}` a line and answers `{"killed", "points", "wrong"}` a line: `deadly`
is the point at which that life ends by SIGKILL, null to live to the end and be judged.

A child of a thread-free parent that holds no connection, lock or clock is as good as a cold process, at a
hundredth of its price; tests/crash/test_cold_processes.py checks that claim.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

# Imported before the first fork, because the children would each pay for it.
import psycopg  # noqa: F401
import sqlalchemy as sa
from sqlalchemy import event

import alfred.llm.client
import alfred.runs.procrastinate  # noqa: F401
from tests.crash import parts as whole
from tests.crash import points, scenarios


def live(order: dict[str, Any]) -> dict[str, Any]:
    """One life, in the child."""
    gc.disable()  # a life is short
    parts = whole.put_together(
        order["url"], Path(order["home"]), Path(sys.argv[1]), scenarios.WORKFLOWS
    )
    scenario = scenarios.SCENARIOS[order["scenario"]]
    points.arm(order["deadly"])
    whole.play(parts, scenario)
    return {"points": points.disarm(), "wrong": whole.judge(parts, scenario)}


_compiled: dict[str, dict[Any, Any]] = {"sqlite": {}, "postgresql": {}}


def _share_compiled(conn: sa.Connection) -> None:
    """Statements that the parent has compiled need not be compiled by each of its children."""
    conn.execution_options(compiled_cache=_compiled[conn.dialect.name])


def warm_up(template: Path) -> None:
    """One life of the parent itself, so that its children find everything imported and compiled. Nothing stays open."""
    with tempfile.TemporaryDirectory(dir=template.parent) as folder:
        home = Path(folder)
        shutil.copyfile(template, home / "alfred.db")
        parts = whole.put_together(
            f"sqlite:///{home / 'alfred.db'}", home, Path(sys.argv[1]), scenarios.WORKFLOWS
        )
        whole.play(parts, scenarios.SCENARIOS["tools"])
        parts.store.close()
    assert threading.active_count() == 1, threading.enumerate()


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # logs of the children are not answers
    event.listen(sa.Engine, "engine_connect", _share_compiled)
    warm_up(Path(sys.argv[2]))
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                said = live(order)
            except BaseException:
                said = {"points": 0, "wrong": [traceback.format_exc()]}
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        _, how = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGKILL
        if not killed and not said:
            said = json.dumps({"points": 0, "wrong": [f"the child ended with {how}"]}).encode()
        answers.write(json.dumps({"killed": killed, **(json.loads(said) if said else {})}) + "\n")


if __name__ == "__main__":
    serve()
