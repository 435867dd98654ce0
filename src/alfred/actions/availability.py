"""Whether an action can be used here: what it needs from the owner's configuration.

Invariant: what lacks something is not offered and not called, and what cannot be told lacks something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from alfred import errors
from alfred.actions.declare import Action

if TYPE_CHECKING:
    from alfred.config import Settings

log = structlog.get_logger()


def missing(action: Action, settings: Settings) -> errors.CallRefused | None:
    """What the owner has to configure before the action can be called; None: nothing. Never raises."""
    if action.lacks is None:
        return None
    try:
        return action.lacks(settings)
    except Exception:
        log.warning("lacks.failed", action=action.id, exc_info=True)
        return errors.CallRefused(f"Whether {action.id} can be used cannot be told.")
