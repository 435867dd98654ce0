"""The connections of this process to one database: kept, lent to one user at a time, and given up together.

Invariant: a connection is with one user, or rests, or is closed; whoever took it ends its own transaction before it is given
back. The one that rested last goes first. Connections that were made before `renew` are closed when they come back.

Of its own, because the toolkit that has one costs half of the start of each command (docs/decisions/0025).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from alfred import errors

WAIT = 30.0
"""Seconds that somebody waits for a connection when all of them are in use."""


class Pool:
    """Connections that `connect` makes.

    Args:
        driver: The DB-API module that they are of.
        connect: Opens one. Whatever it raises is its caller's.
        most: So many at once; who comes then waits.
        kept: So many stay open while nobody uses them.
        good: Whether one that has rested can still be used; it is closed when not.
    """

    def __init__(
        self,
        driver: ModuleType,
        connect: Callable[[], Any],
        *,
        most: int,
        kept: int,
        good: Callable[[Any], bool] = lambda raw: True,
    ):
        self.driver: Any = driver
        self.connect = connect
        self._good = good
        self._most = most
        self._kept = kept
        self._room = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._resting: list[Any] = []
        self._lent: dict[int, int] = {}
        """Which generation each connection that is in use is of, by its identity."""
        self._generation = 0

    def take(self) -> Any:
        """A connection that nobody else has until it is given back or dropped.

        Raises:
            StoreUnavailable: all of them are in use, and stay so.
        """
        if not self._room.acquire(timeout=WAIT):
            raise errors.StoreUnavailable(
                f"All {self._most} connections to the database are in use.",
                next="Start fewer workers' slots in one process (`limits`), or try again.",
            )
        try:
            while True:
                with self._lock:
                    generation = self._generation
                    raw = self._resting.pop() if self._resting else None
                if raw is None or self._good(raw):
                    break
                self._end(raw)
            if raw is None:
                raw = self.connect()
            self._lent[id(raw)] = generation
            return raw
        except BaseException:
            self._room.release()
            raise

    def give_back(self, raw: Any) -> None:
        """It is used again, unless the pool was renewed meanwhile, or has enough. Whether it is good its user knows."""
        with self._lock:
            current = self._lent.pop(id(raw)) == self._generation
            kept = current and len(self._resting) < self._kept
            if kept:
                self._resting.append(raw)
        if not kept:
            self._end(raw)
        self._room.release()

    def drop(self, raw: Any) -> None:
        """It is closed, and not used again."""
        with self._lock:
            del self._lent[id(raw)]
        self._end(raw)
        self._room.release()

    def renew(self) -> None:
        """Closes those that rest now, and those in use when they come back."""
        with self._lock:
            ended, self._resting = self._resting, []
            self._generation += 1
        for raw in ended:
            self._end(raw)

    @property
    def numbers(self) -> tuple[int, int]:
        """How many are in use, and how many rest."""
        with self._lock:
            return len(self._lent), len(self._resting)

    def _end(self, raw: Any) -> None:
        with contextlib.suppress(self.driver.Error):  # it is over, whatever it says
            raw.close()
