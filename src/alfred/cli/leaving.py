"""Signals that end a command. They are noticed where the command waits, never in the middle of what it does.

Invariant: of any number of signals the first one counts, and it is taken at `Signals.wait` or while somebody is
being asked, so that no lock, no transaction and no half started thread is left behind by an exception out of
nowhere. The handler puts the signal into a SimpleQueue: its `put` may come in the middle of its own `get`. (An
Event's `set` may not: its lock is not reentrant, so a handler that comes at the wrong moment waits for itself.)
"""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self


class Left(BaseException):
    """A signal came, and the command ends. The code of a process that it ended is 128 and its number."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    @property
    def code(self) -> int:
        return 128 + self.number


class Signals:
    """Takes these signals for the length of a block. One that the process ignores (`nohup`) stays ignored."""

    def __init__(self, *numbers: int):
        self._numbers = numbers
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._told: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._left = False
        self._asking = False

    def __enter__(self) -> Self:
        global _current
        for number in self._numbers:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._tell)
        _current = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _current
        _current = None
        if self._left:
            # The process is on its way out: the rest of a burst must not cut that short.
            return
        for number, before in self._before.items():
            signal.signal(number, before)

    def wait(self, seconds: float) -> None:
        """Waits.

        Raises:
            Left: a signal came, now or before.
        """
        try:
            number = self._told.get(timeout=seconds)
        except queue.Empty:
            return
        self._left = True
        raise Left(number)

    def _tell(self, number: int, _frame: FrameType | None) -> None:
        self._told.put(number)
        if self._asking:
            self._asking = False
            self.wait(0)


_current: Signals | None = None


@contextmanager
def asking() -> Generator[None]:
    """While somebody is asked something on the terminal: a signal ends the reading of the answer.

    Raises:
        Left: one came.
    """
    signals = _current
    if signals is None:
        yield
        return
    signals._asking = True
    try:
        signals.wait(0)  # one that came before is not heard by whoever reads
        yield
    finally:
        signals._asking = False
