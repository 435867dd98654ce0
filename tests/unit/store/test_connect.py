"""What a store promises beside its verbs: what happened in the world is written, however long the database was away."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from alfred import errors
from alfred.store import connect
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
@pytest.mark.parametrize("at", ["between two statements", "before the commit"])
def test_a_verb_whose_connection_is_cut_runs_again_and_is_done_once(
    pg_url: str, clock: FakeClock, at: str, how: str
) -> None:
    store, other = connect.open_store(pg_url), connect.open_store(pg_url)
    began: list[int] = []

    def cut(tx: Tx) -> None:
        if how == "on the way":  # nobody says anything about it
            with socket.socket(fileno=os.dup(tx.pooled.driver_connection.fileno())) as line:  # type: ignore[union-attr]
                line.shutdown(socket.SHUT_RDWR)
            return
        with other.read() as look:
            assert look(Sql("select pg_terminate_backend(:pid, 5000)"), pid=began[0]).scalar()

    def verb(tx: Tx) -> str:
        began.append(tx(Sql("select pg_backend_pid()")).scalar_one())
        tx(_SET)
        if len(began) == 1:
            cut(tx)
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
