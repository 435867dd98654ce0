"""Workers as an operator has them: several processes on one home, stopped, killed, started when nobody is there."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from alfred.runs import audit
from tests.slow.conftest import Machine

LOOK = {"say": "I look.", "calls": [{"tool": "files.list", "args": {}}], "delay": 0.2}
DONE = {"say": "All is done."}


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, machine: Machine) -> Machine:
    """A machine with its ledger in SQLite, and in Postgres."""
    if request.param == "postgres":
        machine.env["ALFRED_DATABASE_URL"] = request.getfixturevalue("pg_url")
    return machine


def _ended(machine: Machine) -> int:
    return Counter(run["status"] for run in machine.runs())["completed"]


def test_thirty_runs_end_once_while_one_worker_is_stopped_and_one_is_killed(
    shared: Machine,
) -> None:
    machine = shared
    machine.script(LOOK, DONE)
    (machine.home / "config.yaml").write_text(
        "alfred: 1\nlimits: {concurrent_runs: 12, per_agent: 12}\n"
    )
    runs = [machine.queue(f"run {number}") for number in range(30)]
    stopped, killed = (machine.start("worker", "--slots", "4") for _ in range(2))
    machine.until(lambda: _ended(machine) >= 3, "some runs have ended")
    last = machine.start("worker", "--until-idle", "--slots", "4")
    stopped.send_signal(signal.SIGTERM)
    os.kill(killed.pid, signal.SIGKILL)
    told, _ = last.communicate(timeout=120)
    assert last.returncode == 0, told
    assert stopped.wait(60) == 0
    with machine.ledger() as look:
        assert audit.verify(look)[1] is None
    for run in runs:
        whole = machine.show(run)
        assert whole["run"]["status"] == "completed", whole["run"]
        kept = [s["name"] for s in whole["steps"] if s["outcome"] in ("next", "done")]
        assert kept == ["boss-turn", "dispatch-tools", "boss-turn"]
        assert [call["status"] for call in whole["calls"]] == ["done"]


def test_a_worker_that_is_asked_to_end_hands_its_run_back(machine: Machine) -> None:
    machine.script({"say": "This takes long.", "delay": 300})
    run = machine.queue("take long")
    worker = machine.start("worker")
    machine.until(lambda: machine.runs()[0]["status"] == "running", "the run is running")
    worker.send_signal(signal.SIGTERM)
    told, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, told
    assert "handed back" in told
    whole = machine.show(run)
    assert (whole["run"]["status"], whole["run"]["attempt"]) == ("queued", 1)


def test_a_storm_of_signals_ends_a_worker_once_and_its_run_is_handed_back(machine: Machine) -> None:
    machine.script({"say": "This takes long.", "delay": 300})
    run = machine.queue("take long")
    worker = machine.start("worker", "--json")
    machine.until(lambda: machine.runs()[0]["status"] == "running", "the run is running")
    for _ in range(2_000):
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGINT)
    told, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, told
    assert told.count("handed back") == 1
    assert "Traceback" not in told
    assert json.loads(told.splitlines()[-1])["ended"] == "signal"
    whole = machine.show(run)
    assert (whole["run"]["status"], whole["run"]["attempt"]) == ("queued", 1)


def test_a_storm_of_ctrl_c_leaves_a_run_once_and_nothing_is_lost(machine: Machine) -> None:
    machine.script({"say": "This takes long.", "delay": 300})
    command = machine.start("run", "take long", "--model", machine.model)
    machine.until(
        lambda: [r for r in machine.runs() if r["status"] == "running"], "the run is running"
    )
    for _ in range(2_000):
        command.send_signal(signal.SIGINT)
    told, _ = command.communicate(timeout=60)
    assert command.returncode == 130, told
    assert told.count("Nothing is lost") == 1
    assert "Traceback" not in told
    assert machine.runs()[0]["status"] == "queued"


def test_of_many_commands_exactly_one_starts_a_worker_and_says_so(machine: Machine) -> None:
    machine.env.pop("ALFRED_NO_WORKER")
    machine.script({**LOOK, "delay": 2}, DONE)
    both = [
        machine.start("run", f"one of {n}", "--detach", "--model", machine.model) for n in range(2)
    ]
    told = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("one was started in the background" in text for text in told) == 1, told
    assert len(machine.workers()) == 1
    machine.until(lambda: not machine.workers(), "the worker ends when nothing is left to do")
    assert {run["status"] for run in machine.runs()} == {"completed"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into a network namespace")
@pytest.mark.needs_program("unshare")
def test_serve_opens_no_port_and_says_so(machine: Machine) -> None:
    # In a network of its own, where what listens can be nobody else's.
    server = machine.start("serve", within=("unshare", "--map-root-user", "--net"))
    assert server.stdout is not None
    assert "no port is opened" in server.stdout.readline()
    run = machine.queue("quick")
    machine.until(lambda: machine.runs()[0]["status"] == "completed", "it does its work")
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        sockets = Path(f"/proc/{server.pid}/net/{kind}").read_text().splitlines()[1:]
        assert sockets == [], kind
    server.send_signal(signal.SIGHUP)  # its terminal is closed: it ends as it does on SIGTERM
    server.communicate(timeout=60)
    assert server.returncode == 0
    assert machine.show(run)["run"]["result"] == "Done."
