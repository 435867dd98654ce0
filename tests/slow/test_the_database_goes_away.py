"""A Postgres that is killed under load and comes back, and a SQLite writer that is stopped in its transaction."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alfred import clock, errors, ids
from alfred.actions.grant import Grant
from alfred.runs import ledger, procrastinate
from alfred.runs.dispatcher import Dispatcher
from alfred.runs.rows import NewRun
from alfred.runs.worker import Worker
from alfred.store import connect, invariants, migrate, writer
from alfred.store.statement import Sql
from tests import pg
from tests.crash import parts as whole
from tests.crash import scenarios, world

ROOT = Path(__file__).parents[2]
RUNS = 30


@pytest.fixture
def own_clock() -> Iterator[None]:
    """`put_together` installs a clock of its own."""
    before = clock.install(clock.SystemClock())
    yield
    clock.install(before)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
def test_a_restart_of_postgres_under_load_loses_and_doubles_nothing(
    how: int, own_postgres: pg.Cluster, tmp_path: Path, own_clock: None
) -> None:
    url = own_postgres.url
    store = connect.open_store(url)
    migrate.ensure_schema(store, backups=tmp_path, extras=procrastinate.install)
    parts = whole.put_together(url, tmp_path, scenarios.write_script(tmp_path), scenarios.WORKFLOWS)
    for n in range(RUNS):
        store.transact(
            ledger.start,
            NewRun(
                id=ids.new(),
                workflow="leaf",
                step="act",
                brief=f"run {n}",
                state=json.dumps({"n": 100 * (n + 1)}),
                grants=Grant(actions=frozenset({"world.*"})).encode(),
            ),
        )
    worker = Worker(parts.runtime, caps=whole.caps, slots=4, dispatcher=Dispatcher(poll=0.05))
    worker.start()
    try:
        _until(lambda: len(world.received(tmp_path)) >= 8)
        own_postgres.stop(how)
        assert len(world.received(tmp_path)) < 2 * RUNS, "it was all over before the server went"
        own_postgres.start()
        _until(lambda: _all_over(store), seconds=90)
    finally:
        worker.stop(grace=10)
    try:
        ended = parts.all("select status, error from runs")
        assert {row.status for row in ended} == {"completed"}, ended
        count = world.took_place(tmp_path)
        assert count == {n: 1 for k in range(1, RUNS + 1) for n in (100 * k, 100 * k + 20)}
        assert not invariants.check(store)
    finally:
        store.close()
        parts.store.close()


def _all_over(store: connect.Store) -> bool:
    try:
        with store.read() as look:
            return not look(Sql("select 1 from runs where ended_at is null limit 1")).scalar()
    except errors.StoreUnavailable:
        return False


def _until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)


WRITER = """
import os, signal, sys
from alfred.store import connect
from alfred.store.statement import Sql
store = connect.open_store(sys.argv[1])
def verb(tx):
    tx(Sql("insert into meta(k,v) values('half','way')"))
    print("in", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
store.transact(verb)
"""


def _stopped_writer(url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    _until(lambda: writer.stopped(process.pid))
    return process


def _write(store: connect.Store) -> threading.Thread:
    thread = threading.Thread(
        target=store.transact,
        args=(lambda tx: tx(Sql("insert into meta(k,v) values('mine','whole')")),),
    )
    thread.start()
    return thread


@pytest.mark.parametrize("freed", ["killed", "by itself"])
def test_a_writer_that_is_stopped_in_its_transaction_holds_others_up_and_leaves_nothing(
    sqlite_url: str, freed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if freed == "by itself":
        monkeypatch.setattr(writer, "STUCK", 0.3)
    store = connect.open_store(sqlite_url)
    stopped = _stopped_writer(sqlite_url)
    try:
        assert store.writer_pid() == stopped.pid
        with store.read() as look:
            assert look(Sql("select v from meta where k='half'")).scalar() is None
        mine = _write(store)
        if freed == "killed":
            mine.join(0.2)
            assert mine.is_alive(), "two wrote at once"
            os.kill(stopped.pid, signal.SIGKILL)
        mine.join(30)
        assert not mine.is_alive()
        assert stopped.wait(10) == -signal.SIGKILL
        with store.read() as look:
            assert look(Sql("select v from meta where k='mine'")).scalar() == "whole"
            assert look(Sql("select v from meta where k='half'")).scalar() is None
    finally:
        stopped.kill()
        stopped.communicate()
        store.close()
