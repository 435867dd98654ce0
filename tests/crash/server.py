"""The fork server: one process with everything imported and nothing open, which forks a child for each life.

Usage: python -m tests.crash.server SCRIPT
Reads `{"scenario", "url", "home", "deadly"}` a line and answers `{"killed", "points", "wrong"}` a line: `deadly`
is the point at which that life ends by SIGKILL, null to live to the end and be judged.

A child of a thread-free parent that holds no connection, lock or clock is as good as a cold process, at a
hundredth of its price; tests/crash/test_cold_processes.py checks that claim.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

# Imported before the first fork, because the children would each pay for it.
import psycopg  # noqa: F401

import alfred.llm.client
import alfred.runs.procrastinate  # noqa: F401
from alfred.llm import scripted
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


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # logs of the children are not answers
    scripted.load(sys.argv[1])
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
