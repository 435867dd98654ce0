"""Points at which a process may die: before each statement, before each COMMIT, around each effect.

What is after a COMMIT is before the next statement or effect: nothing of the process survives its death, so
both leave the same behind. And a transaction that was not committed leaves nothing: of all points only the first
behind each COMMIT and each effect leave something new (`Points.new`).
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from alfred.store import tx


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a life."""

    count: int
    new: tuple[int, ...]
    """Those at which a death leaves something else behind than at the point before."""


_count = 0
_new: list[int] = []
_deadly: int | None = None
_last = ""
_stopped: int | None = None
_intents = 0
_intending = False


def arm(deadly: int | None, stopped: int | None = None) -> None:
    """From now on points are counted, and this process kills itself at the `deadly`th.

    Args:
        stopped: It stops itself (SIGSTOP) after the commit of so manieth an intent, before anything else.
    """
    global _count, _deadly, _stopped, _intents, _intending
    _new.clear()
    _count, _deadly, _stopped, _intents, _intending = 0, deadly, stopped, 0, False
    tx.trace = _sent


def disarm() -> Points:
    """Stops counting; the points that there were."""
    tx.trace = None
    return Points(_count, tuple(point for point in _new if point <= _count))


def reach(what: str) -> None:
    """One more point. Does not come back from the deadly one."""
    global _count, _last
    _count += 1
    _last = what
    if what in ("commit", "after the effect"):
        _new.append(_count + (what == "commit"))
    if _count == _deadly:
        os.kill(os.getpid(), signal.SIGKILL)


def _sent(statement: str) -> None:
    global _intents, _intending
    if _intending and _last == "commit":
        _intending, _intents = False, _intents + 1
        if _intents == _stopped:
            os.kill(os.getpid(), signal.SIGSTOP)
    if statement.startswith("update calls set status='executing'"):
        _intending = True
    reach(statement[:60])
