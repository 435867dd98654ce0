"""Points at which a process may die: before each statement, before each COMMIT, around each effect.

What is after a COMMIT is before the next statement or effect: nothing of the process survives its death, so
both leave the same behind.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

_count = 0
_deadly: int | None = None
_last = ""


def arm(deadly: int | None) -> None:
    """From now on points are counted, and this process kills itself at the `deadly`th."""
    global _count, _deadly
    _count, _deadly = 0, deadly
    event.listen(sa.Engine, "before_cursor_execute", _statement)
    event.listen(sa.Engine, "commit", _commit)


def disarm() -> int:
    """Stops counting; how many points there were."""
    event.remove(sa.Engine, "before_cursor_execute", _statement)
    event.remove(sa.Engine, "commit", _commit)
    return _count


def reach(what: str) -> None:
    """One more point. Does not come back from the deadly one."""
    global _count, _last
    _count += 1
    _last = what
    if _count == _deadly:
        os.kill(os.getpid(), signal.SIGKILL)


def _statement(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
    reach(statement[:60])


def _commit(_conn: Any) -> None:
    reach("commit")
