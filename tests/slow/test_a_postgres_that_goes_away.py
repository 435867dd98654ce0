"""A Postgres that is stopped and started under a worker: a clear word, nothing lost, nothing secret, and on it goes."""

from __future__ import annotations

from tests import pg
from tests.slow.conftest import Machine

LOOK = {"say": "I look.", "calls": [{"tool": "files.list", "args": {}}], "delay": 1}
DONE = {"say": "All is done."}


def test_a_worker_goes_on_when_its_postgres_is_back(
    machine: Machine, own_postgres: pg.Cluster
) -> None:
    machine.env["ALFRED_DATABASE_URL"] = own_postgres.url
    made = machine.alfred("db", "upgrade")
    assert made.returncode == 0, made.stderr
    machine.script(LOOK, LOOK, DONE)
    runs = [machine.queue(f"run {number}") for number in range(2)]
    worker = machine.start("worker", "--until-idle")
    machine.until(lambda: any(r["status"] == "running" for r in machine.runs()), "a run runs")

    own_postgres.stop()
    for command in (("status",), ("run", "x", "--model", machine.model)):
        said = machine.alfred(*command)
        assert said.returncode == 1, said
        assert "Traceback" not in said.stdout + said.stderr
        assert "connection" in said.stdout + said.stderr
        assert own_postgres.password not in said.stdout + said.stderr
    own_postgres.start()

    told, _ = worker.communicate(timeout=120)
    assert worker.returncode == 0, told
    for run in runs:
        whole = machine.show(run)
        assert whole["run"]["status"] == "completed", whole["run"]
        kept = [s["name"] for s in whole["steps"] if s["outcome"] in ("next", "done")]
        assert kept == ["boss-turn", "dispatch-tools"] * 2 + ["boss-turn"]
    for path in machine.home.rglob("*"):
        if path.is_file():
            assert own_postgres.password.encode() not in path.read_bytes(), path


def test_a_wrong_password_is_told_without_it(machine: Machine, pg_url: str) -> None:
    head, _, tail = pg_url.partition("@")
    scheme_user = head.rpartition(":")[0]
    wrong = f"{scheme_user}:Wr0ng-s3cret-w0rd@{tail}"
    for command in (("status", "--json"), ("doctor",), ("config", "show")):
        said = machine.alfred(*command, ALFRED_DATABASE_URL=wrong)
        told = said.stdout + said.stderr
        assert "Wr0ng" not in told, told
        assert "Traceback" not in told
        assert said.returncode == (0 if command == ("config", "show") else 1), told
