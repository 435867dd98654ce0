"""What a command that stays with a run says when the ledger is put back to an earlier day beneath it."""

from __future__ import annotations

from pathlib import Path

import pytest

from alfred import config, errors, ids
from alfred.cli import cards, live
from alfred.desk import Desk
from alfred.runs import ledger, stop
from alfred.runs.rows import NewRun
from alfred.runs.states import Status, Wait
from alfred.store.connect import Store
from alfred.store.statement import Sql

_OTHER = Sql("update meta set v=:epoch where k='feed_epoch'")


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


def test_why_a_decision_was_not_taken_is_told_in_letters_that_do_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse() -> None:
        raise errors.UsageError("somebody \x1b[2J\u202e was first")

    assert not cards._tried(refuse)
    assert "\x1b" not in (said := capsys.readouterr().err) and "was first" in said
