"""What a command that stays with a run says of it, in which order, also when the ledger is put back beneath it."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from alfred import config, errors, ids
from alfred.cli import cards, live
from alfred.desk import Desk
from alfred.runs import endings, events, ledger, stop
from alfred.runs.rows import NewRun
from alfred.runs.states import Status, Wait
from alfred.store.connect import Store
from alfred.store.statement import Sql

_OTHER = Sql("update meta set v=:epoch where k='feed_epoch'")


def _feed(store: Store) -> list[events.Event]:
    with store.read() as look:
        return events.after(look, "main", events.Cursor(events.epoch(look), 0, 0))


def waits(seconds: float) -> None:
    raise AssertionError("nothing is waited for")


def test_a_run_that_a_restore_paused_is_left_and_one_that_is_gone_is_told(
    store: Store, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(store=store, settings=config.Settings(), home=home)
    new = NewRun(id=ids.new(), workflow="w", step="first")
    store.transact(ledger.start, new)
    view = live.View(desk, ask=False)
    store.transact(lambda tx: tx(_OTHER, epoch=ids.new()))
    store.transact(stop.restored, by="me")
    found = view.follow(new.id, wait=waits)
    assert (found.status, found.wait) == (Status.PARKED, Wait.PAUSE)
    assert "A backup was restored" in capsys.readouterr().err
    with pytest.raises(errors.NotFound, match="in the ledger no more"):
        view.follow(ids.new(), wait=waits)


def test_a_turn_that_begins_while_the_one_before_it_is_told_is_told_behind_it(
    store: Store, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(live, "PATIENT", 60.0)
    monkeypatch.setenv("ALFRED_NO_WORKER", "1")
    desk = Desk(store=store, settings=config.Settings(), home=home)
    one, two = ids.new(), ids.new()
    for run in (one, two):
        store.transact(ledger.start, NewRun(id=run, workflow="w", step="first"))
    view = live.View(desk, ask=False)
    view.stream(one, "stream", {"turn": 0, "text": "The first answer."})
    told, ends = threading.Event(), threading.Event()

    def until_it_ends(_seconds: float) -> None:
        told.set()
        assert ends.wait(60)
        store.transact(endings.cancel, one, by="me", token=ids.new())

    follows = threading.Thread(target=lambda: view.follow(one, wait=until_it_ends))
    follows.start()
    assert told.wait(60)
    speaks = threading.Thread(
        target=lambda: view.stream(two, "stream", {"turn": 0, "text": "The second answer."})
    )
    speaks.start()
    call = {"action": "files.list", "status": "done"}
    store.transact(lambda tx: events.emit(tx, tenant="main", run_id=two, kind="call", **call))
    while not any(event.kind == "call" for event in _feed(store)):
        time.sleep(0.01)  # a server shows it when all that began before has ended
    ends.set()
    follows.join(60)
    assert view._said == "The first answer.", "what was said last is not said again as its result"
    assert "second" not in capsys.readouterr().err
    store.transact(endings.cancel, two, by="me", token=ids.new())
    view.follow(two, wait=waits)
    speaks.join(60)
    said = capsys.readouterr().err
    assert "The second answer." in said and "files.list done" in said


def test_a_turn_that_nobody_comes_to_follow_is_heard_all_the_same(
    store: Store, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(live, "PATIENT", 0.01)
    desk = Desk(store=store, settings=config.Settings(), home=home)
    one, two = ids.new(), ids.new()
    for run in (one, two):
        store.transact(ledger.start, NewRun(id=run, workflow="w", step="first"))
    store.transact(endings.cancel, one, by="me", token=ids.new())
    view = live.View(desk, ask=False)
    view.follow(one, wait=waits)
    view.stream(two, "stream", {"turn": 0, "text": "Anybody there?"})
    assert "Anybody there?" in capsys.readouterr().err


def test_why_a_decision_was_not_taken_is_told_in_letters_that_do_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse() -> None:
        raise errors.UsageError("somebody \x1b[2J\u202e was first")

    assert not cards._tried(refuse)
    assert "\x1b" not in (said := capsys.readouterr().err) and "was first" in said
