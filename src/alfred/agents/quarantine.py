"""A question to a model that cannot act: no tools, no transcript, one answer, paid by the run that asks.

Invariant: the request has no tools and holds nothing but what it was given, and it is metered as every other one: the
budgets of the run, its agent and its day hold for it.
"""

from __future__ import annotations

from alfred import errors
from alfred.agents.metered import Meter
from alfred.agents.unanswered import Blocked, Crowded, Unpaid
from alfred.llm.contract import ModelAnswer, ModelRequest
from alfred.runs.workflow import StepContext
from alfred.trust import redact

OUTPUT = 1_000
"""Output tokens of an answer."""


TRIES, EVERY = 60, 1.0
"""How often, and each how many seconds later, a place at the provider is looked for: the step is in the middle of a call,
and cannot be parked."""


def ask(ctx: StepContext, system: str, text: str, *, meter: Meter, model: str) -> str:
    """What the model says; its proposals of calls, if it makes any, are thrown away.

    Raises:
        CallFailed: it cannot be asked now, or not at all. The provider's own words are not told.
    """
    request = ModelRequest(
        model=model,
        system=system,
        items=[{"kind": "user", "text": redact.redact(text)}],
        purpose="extract",
        max_output=OUTPUT,
        brief=ctx.run.brief or "",
        run_id=ctx.run.id,
    )
    outcome = meter.request(ctx, request)
    for _ in range(TRIES):
        if not isinstance(outcome, Crowded):
            break
        if ctx.slot.stopped.wait(EVERY):
            raise errors.LeaseLost(f"Run {ctx.run.id} was stopped while it waited for a place.")
        outcome = meter.request(ctx, request)
    match outcome:
        case ModelAnswer() as answer:
            return answer.text
        case Unpaid() as unpaid:
            raise errors.CallFailed(f"There is no money left to ask a model ({unpaid.scope}).")
        case Blocked() | Crowded():
            raise errors.CallFailed("The model cannot be asked now.", next="Try it later.")
        case failed:
            raise errors.CallFailed(f"The model could not be asked: {failed.kind}.")
