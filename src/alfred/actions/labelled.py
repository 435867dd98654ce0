"""The label of what a call reads, and of what came of it.

Invariant: a label is worked out before the call looks and again behind it, and both count: what somebody else changes
in between is never read under a better label than it had at either time. What says no label, or fails at it, is
external and secret; so is a result that was stored without one.
"""

from __future__ import annotations

import structlog

from alfred.actions import arguments
from alfred.actions.context import ActionContext
from alfred.actions.declare import Action
from alfred.actions.ledger.calls import Call
from alfred.trust import labels
from alfred.trust.labels import Label

log = structlog.get_logger()

_NAMED = {
    "external": labels.EXTERNAL,
    "derived": labels.DERIVED,
    "trusted": labels.TRUSTED,
}


def of_reading(action: Action, call: Call, ctx: ActionContext) -> Label:
    """The label of what a call reads, as it is now. Never raises."""
    if isinstance(action.label, str):
        return _NAMED.get(action.label, labels.WORST)
    checked = arguments.validate(action, call.arguments)
    if isinstance(checked, arguments.Invalid):
        return labels.DERIVED  # it reads nothing: the answer is alfred's own
    try:
        found = action.label(dict(checked.args), ctx)
    except Exception:
        log.warning("label.failed", action=action.id, call=call.id, exc_info=True)
        return labels.WORST
    return found if isinstance(found, Label) else labels.WORST


def of_call(call: Call) -> Label:
    """The label of a settled call as a run reads it: of what it read, and of the words it was made of."""
    own = labels.of_row(call.integrity, call.confidentiality)
    if call.status in ("done", "failed"):
        return labels.join(own, labels.decode(call.label))
    return own  # nothing was done; what is told is alfred's word about the call, or the person's
