"""The only way to touch the world: what an action is, what a call of it may do, and who is asked first.

The names below are the ones that an author of actions needs. They are loaded at first use (PEP 562), so
that a light command which only passes through this package pays for none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext, Workspace
    from alfred.actions.declare import action
    from alfred.actions.kinds import Destination, Effect, Happened, NotHappened, Risk, Unknown
    from alfred.actions.risk import classify_command
    from alfred.actions.signature import Secret
    from alfred.actions.sql import classify_sql

_HOMES = {
    "ActionContext": "context",
    "Destination": "kinds",
    "Effect": "kinds",
    "Happened": "kinds",
    "NotHappened": "kinds",
    "Risk": "kinds",
    "Secret": "signature",
    "Unknown": "kinds",
    "Workspace": "context",
    "action": "declare",
    "classify_command": "risk",
    "classify_sql": "sql",
}

__all__ = [
    "ActionContext",
    "Destination",
    "Effect",
    "Happened",
    "NotHappened",
    "Risk",
    "Secret",
    "Unknown",
    "Workspace",
    "action",
    "classify_command",
    "classify_sql",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
