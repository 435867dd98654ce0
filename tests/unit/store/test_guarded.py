"""Rows behind a guard: all of them when the guard found its row, none when it did not, the same on both databases."""

from __future__ import annotations

from alfred.store.connect import Store
from alfred.store.guarded import Guarded
from alfred.store.statement import Sql

_RAISE = Guarded(
    "update meta set v=:to where k='n' and v=:seen returning k,v",
    "insert into meta(k,v) select 'was-'||held.v,:seen from held",
    "insert into meta(k,v) select 'mark-'||cast(:to as text),'yes' from held",
    "update meta set v=meta.v||'!' from held where meta.k='last' and held.v<>meta.v",
)
_PLANT = Sql("insert into meta(k,v) values('n','1'),('last','0')")
_ALL = Sql("select k,v from meta where k='n' or k='last' or k like 'was-%' or k like 'mark-%'")


def rows(store: Store) -> dict[str, str]:
    with store.read() as look:
        return dict(look(_ALL).all())


def test_what_follows_is_written_with_the_guard(store: Store) -> None:
    store.transact(lambda tx: tx(_PLANT))
    held = store.transact(lambda tx: _RAISE(tx, to="2", seen="1"))
    assert held is not None and (held.k, held.v) == ("n", "2")
    assert rows(store) == {"n": "2", "last": "0!", "was-2": "1", "mark-2": "yes"}


def test_behind_a_guard_that_finds_nothing_nothing_is_written(store: Store) -> None:
    store.transact(lambda tx: tx(_PLANT))
    assert store.transact(lambda tx: _RAISE(tx, to="2", seen="7")) is None
    assert rows(store) == {"n": "1", "last": "0"}
