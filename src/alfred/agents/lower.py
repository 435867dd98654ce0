"""A lower tier answers where the budget does not carry the model that was chosen.

Invariants: the chosen model is tried first in every turn, so that it is back as soon as the budget carries it; a change
of model is said, in the transcript and to whoever watches, and the model that answers has read it; whatever keeps the
lower ones from answering, but for a place that is not free yet, leaves the run where the budget had put it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alfred.agents import caps
from alfred.agents.metered import Heard, Meter, Outcome
from alfred.agents.unanswered import Crowded, Unpaid
from alfred.llm.contract import ModelAnswer, ModelRequest
from alfred.runs.rows import Item
from alfred.runs.workflow import StepContext
from alfred.trust import labels


def ask(
    ctx: StepContext,
    request: ModelRequest,
    unpaid: Unpaid,
    *,
    meter: Meter,
    models: Sequence[str],
    last: str | None,
    on_text: Heard | None,
) -> tuple[Outcome, str | None]:
    """Asks each of `models` until one answers: its answer and its name; `unpaid` and None when none does.

    Args:
        last: The lower one that answered the turn before: that it answers again is no news.
    """
    if not unpaid.of_money:
        return unpaid, None
    key = caps.setting(unpaid.scope, ctx.run, meter.settings(ctx.run.tenant))
    for model in models:
        said = f"{model} answers instead of {request.model}, which {key} does not carry."
        note = {"kind": "note", "text": said}
        items = [*request.items, note] if model != last else request.items
        outcome = meter.request(ctx, replace(request, model=model, items=items), on_text=on_text)
        if isinstance(outcome, Crowded):
            return outcome, None
        if isinstance(outcome, ModelAnswer):
            if model != last:
                ctx.items.append(Item.of("note", note, labels.TRUSTED))
                ctx.emit("text", note=said)
            return outcome, model
    return unpaid, None
