"""Steps of several runs in one commit of SQLite: each is told when it is kept, and one that fails takes nobody along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alfred import errors
from alfred.store import connect
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

_PUT = Sql("insert into meta(k,v) values(:k,'x')")
_THERE = Sql("select k from meta where v='x' order by k")
THREADS = 5


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    opened = connect.open_store(sqlite_url)
    yield opened
    opened.close()


def put(key: str) -> Callable[[Tx], str]:
    def verb(tx: Tx) -> str:
        tx(_PUT, k=key)
        return key

    return verb


def failed(store: Store) -> Exception:
    """What its driver says of a disk that does not do what it is told."""

    class Failed(store._writer.driver.OperationalError):
        sqlite_errorname = "SQLITE_IOERR_FSYNC"

    return Failed("disk I/O error")


def at_once(store: Store, verbs: list[Callable[[Tx], str]]) -> list[Any]:
    """All verbs wait for the writer, which somebody else has; what each caller is told."""
    told: list[Any] = [None] * len(verbs)

    def one(n: int) -> None:
        try:
            told[n] = store.transact_alone(verbs[n])
        except Exception as problem:
            told[n] = problem

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(len(verbs))]
    assert store._lock is not None
    with store._lock:
        for thread in threads:
            thread.start()
        while len(store._together._come) < len(verbs):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join(30)
    return told


def there(store: Store) -> list[str]:
    with store.read() as look:
        return look(_THERE).scalars()


def test_what_waits_for_the_writer_at_the_same_time_is_one_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr("alfred.store.tx.trace", sent.append)
    keys = [f"key{n}" for n in range(THREADS)]
    assert at_once(store, [put(key) for key in keys]) == keys
    assert sent.count("commit") == 1
    assert there(store) == keys


def test_a_verb_that_fails_takes_nobody_along(store: Store) -> None:
    def fails(tx: Tx) -> str:
        tx(_PUT, k="never")
        raise ZeroDivisionError

    told = at_once(store, [put("a"), fails, put("b")])
    assert told[0] == "a" and told[2] == "b" and isinstance(told[1], ZeroDivisionError)
    assert there(store) == ["a", "b"]


def test_after_a_commit_that_the_disk_may_not_have_nothing_is_written_together_or_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(tx: Tx) -> None:
        raise tx.trouble(failed(store), "commit")

    with monkeypatch.context() as failing:
        failing.setattr(Tx, "commit", commit)
        told = at_once(store, [put("a"), put("b")])
    with pytest.raises(errors.StoreUnavailable):
        store.transact(put("c"))
    told += at_once(store, [put("d")])
    assert {type(one) for one in told} == {errors.StoreUnavailable}, told
    assert there(store) == []


def test_a_ledger_that_its_disk_does_not_open_again_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise failed(store)

    store.close()
    monkeypatch.setattr(store._writer, "connect", fails)
    with pytest.raises(errors.StoreUnavailable):
        store.transact(put("a"))
    assert store.broken == "disk I/O error"


def test_nobody_is_told_before_the_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Tx.commit
    seen: list[list[str]] = []

    def commit(tx: Tx) -> None:
        seen.append(there(store))
        real(tx)

    monkeypatch.setattr(Tx, "commit", commit)
    assert at_once(store, [put("a"), put("b")]) == ["a", "b"]
    assert seen == [[]]


def test_more_than_fit_into_one_transaction_are_all_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alfred.store.together.MOST", 2)
    keys = [f"key{n}" for n in range(THREADS)]
    assert at_once(store, [put(key) for key in keys]) == keys
    assert there(store) == keys
