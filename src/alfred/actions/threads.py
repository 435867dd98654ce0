"""Threads that calls run in.

Invariant: a call never waits for another one's thread. A thread that is idle takes the next call, else there is a new
one; one that never ends is left behind and holds nobody, not even the end of the process.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable

IDLE = 8
"""So many idle threads are kept."""

_Work = tuple[str, Callable[[], None]]
_idle: list[queue.SimpleQueue[_Work]] = []


def run(name: str, work: Callable[[], None]) -> None:
    """Begins with it in a thread of this name, in a context of its own, and returns at once."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), daemon=True).start()
    inbox.put((name, work))


def _serve(inbox: queue.SimpleQueue[_Work]) -> None:
    while True:
        threading.current_thread().name, work = inbox.get()
        contextvars.Context().run(work)
        threading.current_thread().name = "alfred-idle"
        del work  # what it held may go
        if len(_idle) >= IDLE:
            return
        _idle.append(inbox)
