"""What the gate saw when it judged a call: the `target` that stands in the call's row.

A probe compares the world with it, to tell "not happened yet" from "somebody else was here"; an action
compares it with the machine that it finds itself on.
"""

from __future__ import annotations

import json
from typing import Any

from alfred.actions.context import ActionContext
from alfred.actions.kinds import Risk
from alfred.actions.ledger import calls
from alfred.actions.ledger.calls import Call


def target(ctx: ActionContext) -> Any:
    """The target of this call as it was judged, or None when no row tells it."""
    call = _call(ctx)
    return json.loads(call.target) if call and call.target else None


def risk(ctx: ActionContext) -> Risk | None:
    """The risk that this call was judged to have, or None when no row tells it."""
    call = _call(ctx)
    return Risk.of(call.risk) if call and call.risk else None


def _call(ctx: ActionContext) -> Call | None:
    with ctx.store.read() as look:
        return calls.get(look, ctx.call_id)
