"""The fork server: one process with everything imported and nothing open, which forks a child for each life.

Usage: python -m tests.crash.server SCRIPT TEMPLATE
Reads `{"scenario", "url", "home", "deadly", "stopped"}` a line and answers `{"killed", "points", "new", "wrong"}` a line:
`deadly` is the point at which that life ends by SIGKILL, null to live to the end and be judged; `stopped` the
intent after whose commit it stops (SIGSTOP): then the answer is `{"stopped": true}`, and `{"go_on": true}` lets
it go on and is answered with its end.

A child of a thread-free parent that holds no connection, lock or clock is as good as a cold process, at a
hundredth of its price; tests/crash/test_cold_processes.py checks that claim.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

# Imported before the first fork, because the children would each pay for it.
import psycopg  # noqa: F401

import alfred.llm.client
import alfred.runs.procrastinate  # noqa: F401
from alfred.actions import threads
from tests.crash import parts as whole
from tests.crash import points, scenarios


def live(order: dict[str, Any]) -> dict[str, Any]:
    """One life, in the child."""
    gc.disable()  # a life is short
    parts = whole.put_together(
        order["url"], Path(order["home"]), Path(sys.argv[1]), scenarios.WORKFLOWS
    )
    scenario = scenarios.SCENARIOS[order["scenario"]]
    if order.get("beside"):
        whole.work_beside(parts, scenario)
        return {"wrong": []}
    points.arm(order.get("deadly"), order.get("stopped"))
    whole.play(parts, scenario)
    there = points.disarm()
    return {"points": there.count, "new": there.new, "wrong": whole.judge(parts, scenario)}


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
    calls = [thread for thread in threading.enumerate() if thread.name.startswith("alfred-")]
    while threads._idle:
        threads.run("alfred-ends", sys.exit)
    for thread in calls:
        thread.join(10)
    assert threading.active_count() == 1, threading.enumerate()


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # logs of the children are not answers
    warm_up(Path(sys.argv[2]))
    gc.collect()
    gc.freeze()
    zombie: tuple[int, int] | None = None
    for line in sys.stdin:
        order = json.loads(line)
        if "crowd" in order:
            answers.write(json.dumps(crowd(order)) + "\n")
            continue
        if "go_on" in order:
            assert zombie is not None
            (child, reading), zombie = zombie, None
            os.kill(child, signal.SIGCONT)
        else:
            child, reading = born(order)
        how = os.waitpid(child, os.WUNTRACED)[1]
        if os.WIFSTOPPED(how):
            zombie = child, reading
            answers.write('{"stopped": true}\n')
        else:
            answers.write(json.dumps(ended(how, reading)) + "\n")


def crowd(order: dict[str, Any]) -> dict[str, Any]:
    """As many workers as `crowd` says at one story, of whom so many as `kills` die by SIGKILL and are replaced; then it is
    judged. Who dies and when is chosen by `seed`, and by how fast the machine is."""
    chance, kills, over = random.Random(order["seed"]), order["kills"], False
    workers: dict[int, int] = {}
    killed, until = 0, time.monotonic() + 120
    while not over or workers:
        if time.monotonic() > until:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            return {"killed": False, "points": 0, "wrong": ["the workers come to no end"]}
        while not over and len(workers) < order["crowd"]:
            worker, reading = born(order | {"beside": True})
            workers[worker] = reading
        time.sleep(chance.uniform(0.005, 0.1))
        if kills and not over:
            os.kill(chance.choice(list(workers)), signal.SIGKILL)
            kills -= 1
        for worker in list(workers):
            found, how = os.waitpid(worker, os.WNOHANG)
            if not found:
                continue
            said = ended(how, workers.pop(worker))
            killed += said["killed"]
            over = over or not said["killed"]
            if said.get("wrong"):
                return said
    last, reading = born(order)
    return ended(os.waitpid(last, 0)[1], reading) | {"points": killed}


def born(order: dict[str, Any]) -> tuple[int, int]:
    """A child that lives one life: its process, and where it will say how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            said = live(order)
        except BaseException:
            said = {"points": 0, "wrong": [traceback.format_exc()[-8000:]]}
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    return child, reading


def ended(how: int, reading: int) -> dict[str, Any]:
    """How a life ended."""
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    killed = os.WIFSIGNALED(how) and os.WTERMSIG(how) == signal.SIGKILL
    if not killed and not said:
        return {"killed": False, "points": 0, "wrong": [f"the child ended with {how}"]}
    return {"killed": killed, **(json.loads(said) if said else {})}


if __name__ == "__main__":
    serve()
