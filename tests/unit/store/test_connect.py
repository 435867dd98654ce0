"""What a store promises beside its verbs: what happened in the world is written, however long the database was away."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alfred import errors
from alfred.runs import procrastinate
from alfred.runs.dispatcher import Dispatcher
from alfred.store import backup, connect, toolkit
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from tests.conftest import FakeClock

_SET = Sql("insert into meta(k,v) values('told','yes')")
_TOLD = Sql("select v from meta where k='told'")


@pytest.fixture
def away(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """[how often the database is still away]"""
    left, real = [0], store._once

    def once(*args: Any, **kwargs: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise errors.StoreUnavailable("The database is away.")
        return real(*args, **kwargs)

    monkeypatch.setattr(store, "_once", once)
    return left


def test_what_happened_is_written_when_the_database_is_back(
    store: Store, clock: FakeClock, away: list[int]
) -> None:
    away[0] = 100
    store.record(lambda tx: tx(_SET))
    with store.read() as look:
        assert look(_TOLD).scalar() == "yes"


def test_a_database_that_never_comes_back_is_said(
    store: Store, clock: FakeClock, away: list[int]
) -> None:
    away[0] = 1_000_000
    with pytest.raises(errors.StoreUnavailable):
        store.record(lambda tx: tx(_SET))
    assert 0 < sum(clock.slept) <= connect.PATIENCE + 1


def test_a_ledger_that_was_given_up_is_not_waited_for(store: Store, clock: FakeClock) -> None:
    store.give_up("it was moved")
    with pytest.raises(errors.StoreUnavailable, match="it was moved"):
        store.record(lambda tx: tx(_SET))
    assert not clock.slept


def test_lists_go_into_both_databases_also_empty_ones(store: Store) -> None:
    among = Sql("select count(*) from meta where k in :names and v not in :values")
    with store.read() as look:
        assert look(among, names=["schema", "it's"], values=[]).scalar() == 1
        assert look(among, names=[], values=["x"]).scalar() == 0
        assert look(among, names=["schema"], values=["0001"]).scalar() == 0


def test_a_commit_waits_until_the_disk_has_it(for_ever: None, sqlite_url: str) -> None:
    mode = Sql("pragma synchronous")
    store = connect.open_store(sqlite_url)
    try:
        with store.read() as look:
            assert look(mode).scalar() == 2  # full
        assert store.transact(lambda tx: tx(mode).scalar()) == 2
    finally:
        store.close()


@pytest.mark.parametrize("how", ["by the server", "on the way"])
@pytest.mark.parametrize(
    "at",
    ["between two statements", "a wake", "a migration", "the queue's tables", "before the commit"],
)
def test_a_verb_whose_connection_is_cut_runs_again_and_is_done_once(
    pg_url: str, clock: FakeClock, at: str, how: str
) -> None:
    store, other = connect.open_store(pg_url), connect.open_store(pg_url)
    queue: Any = procrastinate.PostgresDelivery(pg_url, Dispatcher())
    defer = queue._app.configure_task
    began: list[int] = []

    def cut(tx: Tx) -> None:
        if how == "on the way":  # nobody says anything about it
            with socket.socket(fileno=os.dup(tx.raw.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
            return
        with other.read() as look:
            assert look(Sql("select pg_terminate_backend(:pid, 5000)"), pid=began[0]).scalar()

    def verb(tx: Tx) -> str:
        began.append(tx(Sql("select pg_backend_pid()")).scalar_one())
        tx(_SET)
        if at == "a wake":
            first = len(began) == 1
            queue._app.configure_task = lambda *of, **said: (
                (first and cut(tx)) or defer(*of, **said)
            )
            queue.deliver(tx, ["some run"])
        elif at == "a migration":
            with toolkit.connection(tx) as connection:
                if len(began) == 1:
                    cut(tx)
                connection.execute(sa.text("select 1"))
        elif len(began) == 1:
            cut(tx)
            if at == "the queue's tables":
                procrastinate.install(tx)
        if at == "between two statements":
            assert tx(_TOLD).scalar() == "yes"
        return "said"

    try:
        assert store.transact(verb) == "said"
        assert len(set(began)) == len(began) == 2, "once more, on another connection"
        with other.read() as look:
            assert look(Sql("select count(*) from meta where k='told'")).scalar() == 1
        assert store.transact(lambda tx: tx(_TOLD).scalar()) == "yes"
    finally:
        store.close()
        other.close()


@pytest.mark.slow
def test_who_looks_after_the_server_went_away_and_came_back_sees_what_is_there(pg_url: str) -> None:
    store, other = connect.open_store(pg_url), connect.open_store(pg_url)
    mine = Sql("select pg_backend_pid()")
    with contextlib.closing(store), contextlib.closing(other):
        with store.read() as one, store.read() as two:  # both rest afterwards
            pids = [one(mine).scalar(), two(mine).scalar()]
        for pid in pids:
            with other.read() as look:
                assert look(Sql("select pg_terminate_backend(:pid, 5000)"), pid=pid).scalar()
        with store.read() as look:
            assert look(mine).scalar() not in pids


def test_a_connection_that_is_always_cut_is_said(pg_url: str, clock: FakeClock) -> None:
    store, other = connect.open_store(pg_url), connect.open_store(pg_url)

    def verb(tx: Tx) -> None:
        pid = tx(Sql("select pg_backend_pid()")).scalar_one()
        with other.read() as look:
            assert look(Sql("select pg_terminate_backend(:pid, 5000)"), pid=pid).scalar()
        tx(_SET)

    try:
        with pytest.raises(errors.StoreUnavailable, match="The database cannot be used"):
            store.transact(verb)
    finally:
        store.close()
        other.close()


def test_a_verb_that_opens_a_transaction_is_told_and_does_not_wait_for_itself(store: Store) -> None:
    with pytest.raises(AssertionError, match="opens none"):
        store.transact(lambda tx: store.transact(lambda inner: inner(_SET)))
    store.transact(lambda tx: tx(_SET))
    with store.read() as look:
        assert look(_TOLD).scalar() == "yes"


def test_a_connection_in_the_middle_of_something_is_not_handed_to_the_next(store: Store) -> None:
    with store.read() as look:
        look(Sql("begin"))
        assert not look.over()
    with store.read() as look:
        assert look.over()
        if store.pg:  # a file has no other end
            look.raw.close()
            assert not look.over()


def test_rows_that_nobody_read_to_their_end_cut_into_no_verb(store: Store) -> None:
    with backup.snapshot(store) as look:
        _, left = look.stream(Sql("select * from meta"), 1)
        assert next(left)

    def verb(tx: Tx) -> int:
        tx(_SET)
        left.close()  # type: ignore[missing-attribute]  # as whoever collects garbage does
        return tx(Sql("select count(*) from meta where k='told'")).scalar_one()

    assert store.transact(verb) == 1


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced", "the folder was renamed"])
def test_a_file_that_its_name_leads_to_no_more_is_used_no_more(
    tmp_path: Path, clock: FakeClock, how: str
) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    path = folder / "alfred.db"
    store = connect.open_store(f"sqlite:///{path}")
    try:
        store.transact(lambda tx: tx(Sql("create table kept(n)")))
        match how:
            case "moved":
                path.rename(folder / "alfred.db.old")
            case "deleted":
                path.unlink()
            case "replaced":
                path.rename(folder / "alfred.db.old")
                connect.open_store(f"sqlite:///{path}").close()
            case _:
                folder.rename(tmp_path / "elsewhere")
        for use in (
            lambda: store.transact(lambda tx: tx(Sql("insert into kept values(1)"))),
            lambda: store.record(lambda tx: tx(Sql("insert into kept values(1)"))),
            lambda: _look(store),
        ):
            with pytest.raises(errors.StoreUnavailable, match=r"alfred\.db' was|put in the place"):
                use()
        assert store.broken
    finally:
        store.close()
    assert not clock.slept, "nobody waits for what does not come back"


def _look(store: Store) -> None:
    with store.read() as look:
        look(Sql("select n from kept"))
