"""A replay: another model is asked, turn by turn, what a run's model was asked, and nothing that it proposes is done.

Invariant: each turn is asked with exactly what the recorded model had read before that turn, whatever the other one
said at the turns before; the answers are compared and kept as notes, never put through the gate.
"""

from __future__ import annotations

from alfred.agents import caps, comparison, prompt
from alfred.agents import ledger as agent_ledger
from alfred.agents.metered import Meter
from alfred.agents.unanswered import Blocked, Crowded, Failed, Unpaid
from alfred.llm.contract import ModelAnswer, ModelRequest
from alfred.runs.rows import Item
from alfred.runs.workflow import Done, Fail, Next, StepContext, Verdict
from alfred.trust import redact, text
from alfred.trust.labels import Confidentiality, Integrity, Label

ASK = "ask"
"""The one step."""

_MADE = Label(Integrity.EXTERNAL, Confidentiality.PRIVATE)


def ask(ctx: StepContext, *, meter: Meter) -> Verdict:
    """Asks the model the recorded turn that is next, and keeps how its answer differs."""
    state = ctx.state
    with ctx.store.read() as look:
        head = agent_ledger.stored_head(look, state["of"])
        at, recorded = agent_ledger.answer(look, state["of"], state["turn"])
        shown = agent_ledger.items(look, state["of"], before=at)
        brief = agent_ledger.brief(look, state["of"])
        asked = comparison.turns(look, ctx.run.id)
    if head is None or recorded is None:
        return Done(comparison.summary(asked))
    last = bool(shown and shown[-1].get("last"))
    request = ModelRequest(
        model=ctx.run.model or "",
        system=head["text"],
        items=shown,
        tools=[] if last else prompt.tools(head),
        turn=state["turn"],
        brief=brief,
        run_id=ctx.run.id,
        reasoning=None if last else head.get("agent", {}).get("reasoning"),
    )
    outcome = meter.request(ctx, request)
    so_far = comparison.summary(asked) if asked else None
    match outcome:
        case ModelAnswer():
            found = comparison.compare(comparison.said(recorded), comparison.said(outcome.item()))
            note = {
                "kind": "note",
                "text": comparison.line(state["turn"], found),
                "replayed": found,
            }
            # What a model makes of a transcript that held text from outside is text from outside.
            ctx.items.append(Item.of("note", text.sanitize(note)[0], _MADE))
            ctx.answers = 1
            return Next(ASK, {"of": state["of"], "turn": state["turn"] + 1})
        case Unpaid() if outcome.of_run:
            cap = caps.of_run(outcome.scope, ctx.run, meter.settings(ctx.run.tenant))
            return Fail(f"cap:{cap}", caps.reached(cap, outcome.amount), result=so_far)
        case Unpaid():
            return outcome.park(ctx, state, meter.settings(ctx.run.tenant))
        case Blocked() | Crowded():
            return outcome.park(ctx, state)
        case Failed():
            return Fail(f"model:{outcome.kind}", redact.redact(outcome.detail), result=so_far)
    raise TypeError(f"{outcome!r} is no outcome of a model call")
