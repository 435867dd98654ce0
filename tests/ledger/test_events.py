"""The feed: nothing is left out, nothing is shown before everything ahead of it."""

from __future__ import annotations

import threading
import time

import pytest

from alfred.runs import events
from alfred.runs.events import Cursor
from alfred.store import connect
from alfred.store.tx import Tx
from tests.ledger.core import Core


def emit(core: Core, *names: str, tenant: str = "main") -> None:
    core.do(lambda tx: [events.emit(tx, tenant=tenant, run_id=None, kind=n) for n in names])


def page(core: Core, cursor: Cursor | None = None, **more: int) -> list[events.Event]:
    with core.store.read() as look:
        return events.after(look, "main", cursor or events.oldest(look), **more)


def soon(core: Core, cursor: Cursor | None = None) -> list[events.Event]:
    """Everything that there is: on Postgres a transaction of any database of the server, such as another test's,
    may hold the feed back for a moment."""
    written = core.one(
        "select count(*) from events where tenant='main' and id>:i", i=cursor.id if cursor else 0
    )
    until = time.monotonic() + 30
    while len(shown := page(core, cursor)) < written and time.monotonic() < until:
        time.sleep(0.01)
    return shown


def test_events_are_read_in_their_order_and_from_where_one_left_off(core: Core) -> None:
    emit(core, "a", "b")
    emit(core, "c")
    assert [e.kind for e in soon(core)] == ["a", "b", "c"]
    first = page(core, limit=2)
    assert [e.kind for e in first] == ["a", "b"]
    emit(core, "d")
    assert [e.kind for e in soon(core, first[-1].cursor)] == ["c", "d"]


def test_a_tenant_sees_its_own(core: Core) -> None:
    emit(core, "mine")
    emit(core, "theirs", tenant="other")
    assert [e.kind for e in soon(core)] == ["mine"]


def test_from_the_newest_on_only_what_comes(core: Core) -> None:
    emit(core, "old")
    soon(core)
    with core.store.read() as look:
        newest = events.newest(look, "main")
    emit(core, "new")
    assert [e.kind for e in soon(core, newest)] == ["new"]


def test_what_was_rolled_back_was_never_told(core: Core) -> None:
    def fails(tx: Tx) -> None:
        events.emit(tx, tenant="main", run_id=None, kind="never")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        core.do(fails)
    assert page(core) == []


def test_a_cursor_survives_being_written_down(core: Core) -> None:
    emit(core, "a", "b")
    cursor = soon(core)[0].cursor
    assert Cursor.parse(str(cursor)) == cursor
    for text in ("", "x", "1-2", "a-b-c", "0--1-5x", "0-1-", "e-²-1"):
        assert Cursor.parse(text) is None


def test_a_transaction_that_commits_late_is_not_left_behind(pg_url: str) -> None:
    store = connect.open_store(pg_url)
    try:
        core = Core(store)
        wrote, go = threading.Event(), threading.Event()

        def slow(tx: Tx) -> None:
            events.emit(tx, tenant="main", run_id=None, kind="first")
            wrote.set()
            assert go.wait(20)

        late = threading.Thread(target=store.transact, args=(slow,))
        late.start()
        assert wrote.wait(20)
        emit(core, "second")  # a higher id, committed earlier
        shown = page(core)
        go.set()
        late.join(20)
        assert shown == [], "what came later was shown before what is still being written"
        assert [e.kind for e in soon(core)] == ["first", "second"]
    finally:
        store.close()


def test_every_terminal_run_has_one_terminal_frame(core: Core) -> None:
    lease = core.held()
    core.finish(lease)
    with pytest.raises(Exception, match=r"(?i)unique"):
        core.do(lambda tx: events.emit(tx, tenant="main", run_id=lease.run_id, kind="run.terminal"))


def test_a_cursor_of_an_earlier_life_of_the_ledger_is_told_so(core: Core) -> None:
    emit(core, "a")
    old = soon(core)[0].cursor
    core.write("update meta set v='another' where k='feed_epoch'")
    with core.store.read() as look, pytest.raises(events.CursorGone, match="earlier life"):
        events.after(look, "main", old)
