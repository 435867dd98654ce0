"""What of the run's workspace a call looks at and changes: whether it has to be judged behind another one.

A judgement looks at the world (a file's hash, a diff, a commit). What an earlier call of the same turn is still
going to change cannot be looked at yet, so a call that touches the same is judged when that one is settled.

Whoever says too little is judged by what it will not find: what a person approved is compared again before it is
carried out, so they are asked twice. Whoever says too much has its cards come one after the other.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import structlog

from alfred.actions import arguments
from alfred.actions.context import ActionContext
from alfred.actions.declare import Action

log = structlog.get_logger()

Touched = frozenset[tuple[str, ...]]
"""Paths in their parts, from the workspace. The empty path is all of it."""

NOTHING: Touched = frozenset()
EVERYTHING: Touched = frozenset({()})


def touched(
    action: Action | None, args: dict[str, Any], context: Callable[[], ActionContext]
) -> Touched:
    """What a call touches: what its action says (`Action.touches`); if it says nothing, everything when the world
    has a say in its judgement (`target`, `classify`), else nothing. Never raises."""
    if action is None:
        return NOTHING  # it will be refused
    if action.touches is None:
        return EVERYTHING if action.target or action.classify else NOTHING
    checked = arguments.validate(action, args)
    if isinstance(checked, arguments.Invalid):
        return NOTHING  # it will be refused
    try:
        return frozenset(_parts(path) for path in action.touches(checked.args, context()))
    except Exception:
        log.warning("touches.failed", action=action.id, exc_info=True)
        return EVERYTHING


def meet(one: Touched, other: Touched) -> bool:
    """Whether two calls touch the same: equal paths, or one in a folder that is the other."""
    return any(a[: len(b)] == b or b[: len(a)] == a for a in one for b in other)


def _parts(path: str) -> tuple[str, ...]:
    # as a file system that ignores case and the form of letters may see them
    folded = unicodedata.normalize("NFKC", path).casefold()
    parts = tuple(part for part in folded.split("/") if part not in ("", "."))
    return () if ".." in parts or folded.startswith("/") else parts
