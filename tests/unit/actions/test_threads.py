"""Threads of calls: an idle one is taken again, a stuck one holds nobody."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator

import pytest

from alfred.actions import threads

LEFT: contextvars.ContextVar[str] = contextvars.ContextVar("LEFT", default="nothing")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread of another test is idle."""
    monkeypatch.setattr(threads, "_idle", [])
    yield


def ran(work: Callable[[], object] = lambda: None) -> threading.Thread:
    """The thread that it ran in, once that is idle."""
    over, found = threading.Event(), list[threading.Thread]()

    def noted() -> None:
        found.append(threading.current_thread())
        work()
        over.set()

    threads.run("alfred-t", noted)
    assert over.wait(10)
    while not threads._idle:
        pass
    return found[0]


def test_an_idle_thread_takes_the_next_call() -> None:
    first = ran()
    assert ran() is first
    assert first.daemon and first.name == "alfred-idle"


def test_a_call_never_waits_for_the_thread_of_another_one() -> None:
    began, go, over = threading.Event(), threading.Event(), threading.Event()

    def stuck() -> None:
        began.set()
        go.wait(60)

    threads.run("alfred-stuck", stuck)
    assert began.wait(30)
    threads.run("alfred-next", over.set)
    assert over.wait(30)
    go.set()


def test_what_a_call_left_in_its_context_is_not_there_for_the_next() -> None:
    first = ran(lambda: LEFT.set("something"))
    seen: list[str] = []
    assert ran(lambda: seen.append(LEFT.get())) is first
    assert seen == ["nothing"]


def test_no_more_threads_are_kept_than_are_used_together() -> None:
    many = threads.IDLE + 3
    go, at_work = threading.Event(), threading.Barrier(many + 1)
    used: list[threading.Thread] = []

    def work() -> None:
        used.append(threading.current_thread())
        at_work.wait(30)
        go.wait(30)

    for n in range(many):
        threads.run(f"alfred-{n}", work)
    at_work.wait(30)
    assert len(set(used)) == many
    go.set()
    while sum(thread.is_alive() for thread in used) > threads.IDLE:
        pass
    assert len(threads._idle) <= threads.IDLE
