"""Verbs of several threads in one transaction: SQLite has one writer, and what costs is the disk that each commit waits for.

Invariants: the first to come takes the writer and commits for everybody who has come by then; nobody is told that it is
done before that commit is. When anything at all goes wrong the whole transaction is taken back, and each does its own
by itself: a verb may be run again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from alfred.store.tx import Tx

MOST = 32
"""Verbs in one transaction: nobody else writes meanwhile."""


class Waiting:
    """One verb, and what came of it."""

    __slots__ = ("done", "result", "told", "verb")

    def __init__(self, verb: Callable[[Tx], Any]):
        self.verb = verb
        self.result: Any = None
        self.done = False
        self.told = threading.Event()


class Together:
    """Collects what is to be written, and has one of the threads write it."""

    def __init__(self, write: Callable[[Sequence[Waiting]], None], writer: Callable[[], Any]):
        """
        Args:
            write: runs verbs in one transaction and commits it, setting each `result`.
            writer: the lock under which that is done, as a context manager.
        """
        self._write = write
        self._writer = writer
        self._lock = threading.Lock()
        self._come: list[Waiting] = []

    def __call__(self, verb: Callable[[Tx], Any]) -> Waiting:
        """Returns when the verb is committed (`done`), or is to be done by its caller alone.

        Raises:
            Whatever the writing raised, to the thread that wrote; the others do their own alone.
        """
        mine = Waiting(verb)
        with self._lock:
            self._come.append(mine)
            first = len(self._come) == 1
        if not first:
            mine.told.wait()
            return mine
        batch: list[Waiting] = []
        try:
            with self._writer():
                with self._lock:
                    come, self._come = self._come, []
                batch = come
                self._write(come[:MOST])
            for one in come[:MOST]:
                one.done = True
        finally:
            with self._lock:
                if not batch:  # the writer was never had: whoever came behind looks after itself
                    batch, self._come = self._come, []
            for one in batch:
                one.told.set()
        return mine
