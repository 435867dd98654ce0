"""Signals end a command where it waits, once, and nowhere else."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from alfred.cli import leaving, live
from alfred.cli.leaving import Left, Signals

ONE, OTHER = signal.SIGUSR1, signal.SIGUSR2


def test_a_tree_is_stuck_when_everybody_below_waits_for_a_person() -> None:
    asks = {"status": "parked", "wait": "approval"}
    boss = {"status": "parked", "wait": "children"}
    works, sleeps = {"status": "running", "wait": None}, {"status": "parked", "wait": "timer"}
    assert live.stuck([asks]) and live.stuck([boss, asks, asks])
    assert not any(map(live.stuck, ([], [boss], [asks, works], [asks, sleeps])))


@pytest.fixture
def outside() -> Iterator[list[int]]:
    """Signals that came to the handlers from before, in order."""
    heard: list[int] = []

    def hear(number: int, _frame: Any) -> None:
        heard.append(number)

    before = {number: signal.signal(number, hear) for number in (ONE, OTHER)}
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_is_taken_where_the_command_waits_and_not_before(outside: list[int]) -> None:
    reached = False
    with pytest.raises(Left) as left, Signals(ONE, OTHER) as signals:
        signals.wait(0)
        signal.raise_signal(ONE)
        reached = True
        signals.wait(60)
    assert reached
    assert (left.value.number, left.value.code) == (ONE, 128 + ONE)


def test_of_a_burst_the_first_counts_and_the_rest_cut_nothing_short(outside: list[int]) -> None:
    with Signals(ONE, OTHER) as signals:
        for number in (OTHER, ONE, ONE, OTHER) * 100:
            signal.raise_signal(number)
        with pytest.raises(Left) as left:
            signals.wait(60)
        signal.raise_signal(ONE)
    assert left.value.number == OTHER
    signal.raise_signal(ONE)
    assert outside == []


def test_a_block_that_no_signal_ended_gives_the_handlers_back(outside: list[int]) -> None:
    with Signals(ONE) as signals:
        signals.wait(0)
        signal.raise_signal(OTHER)
    signal.raise_signal(ONE)
    assert outside == [OTHER, ONE]


def test_an_ignored_signal_stays_ignored(outside: list[int]) -> None:
    signal.signal(ONE, signal.SIG_IGN)
    with Signals(ONE) as signals:
        signal.raise_signal(ONE)
        signals.wait(0)
    assert signal.getsignal(ONE) == signal.SIG_IGN


def test_a_signal_ends_the_asking_at_once(outside: list[int]) -> None:
    answered = False
    with Signals(ONE):
        with pytest.raises(Left), leaving.asking():
            signal.raise_signal(ONE)
            answered = True
        signal.raise_signal(ONE)
    assert not answered


def test_a_signal_from_before_the_question_is_heard_all_the_same(outside: list[int]) -> None:
    asked = False
    with Signals(ONE):
        signal.raise_signal(ONE)
        with pytest.raises(Left), leaving.asking():
            asked = True
    assert not asked


def test_behind_a_question_a_signal_waits_again(outside: list[int]) -> None:
    with Signals(ONE) as signals:
        with leaving.asking():
            pass
        signal.raise_signal(ONE)
        with pytest.raises(Left):
            signals.wait(60)


def test_without_a_block_asking_is_only_asking(outside: list[int]) -> None:
    with leaving.asking():
        signal.raise_signal(ONE)
    assert outside == [ONE]
