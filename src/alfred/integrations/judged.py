"""What the gate saw when it judged a call: the `target` that stands in the call's row.

A probe compares the world with it, to tell "not happened yet" from "somebody else was here"; an action
compares it with the machine that it finds itself on.
"""

from __future__ import annotations

import json
from typing import Any

from alfred.actions import ledger
from alfred.actions.context import ActionContext


def target(ctx: ActionContext) -> Any:
    """The target of this call as it was judged, or None when no row tells it."""
    with ctx.store.read() as look:
        call = ledger.get(look, ctx.call_id)
    return json.loads(call.target) if call and call.target else None
