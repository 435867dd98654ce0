"""Putting a call to a person: its card, and the step that is left until they have decided.

Invariant: a step that is left keeps nothing of what it meant to commit, because it will mean it again when it is
entered again; what parks the run (calls and cards that are staged) is written with the park.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from alfred import clock, ids
from alfred.actions import card
from alfred.actions.ledger.approvals import NewCard
from alfred.actions.ledger.calls import Call
from alfred.actions.pipeline import Judged
from alfred.actions.surroundings import Surroundings
from alfred.runs import rows
from alfred.runs.states import Wait
from alfred.runs.workflow import Defer, Leave, Park, StepContext
from alfred.store.tx import Tx
from alfred.trust import display


def card_of(ctx: StepContext, around: Surroundings, one: Judged, call: Call) -> NewCard:
    """The card of a judged call that a person decides."""
    wants = around.settings(ctx.run.tenant).approvals
    return NewCard(
        id=ids.new(),
        call_id=call.id,
        run_id=ctx.run.id,
        tenant=ctx.run.tenant,
        agent=ctx.run.agent,
        kind=one.kind,
        action=one.judgement.action,
        args_hash=one.judgement.args_hash,
        risk=one.judgement.risk,
        title=one.title,
        preview=_whose(ctx) + one.preview,
        claim=card.claim(call.claim),
        provenance=one.provenance,
        auto_ok=one.auto_ok,
        expire_us=wants.expire_after,
        low_after_us=wants.low_after,
        counts_from_staging=wants.low_counts_from == "staging",
    )


def _whose(ctx: StepContext) -> str:
    """What a child was asked, and by whom, up to the run that a person began; nothing for that one."""
    lines: list[str] = []
    at: rows.Run | None = ctx.run
    while at is not None and (at.parent_id is not None or lines):
        lines.append(f"for {at.agent}: {display.display(at.title, limit=120)}\n")
        with ctx.store.read() as look:
            at = rows.get(look, at.parent_id) if at.parent_id else None
    return "".join([*lines, "\n"]) if lines else ""


def outcome_card_of(
    ctx: StepContext, around: Surroundings, call: Call, now: Judged, *, because: str | None
) -> NewCard:
    """The card that asks what became of a call: with what it would touch now, which a retry is bound to.

    What cannot be judged any more is shown as it was judged; a retry of it finds that again.
    """
    said = now.judgement
    if said.status == "refused":
        risk, bound = call.risk or "high", call.args_hash
        title = card.title(call.action, call.arguments)
        preview = call.preview or card.preview(call.arguments, None)
    else:
        risk, bound, title, preview = said.risk, said.args_hash, now.title, now.preview
    why = "".join(
        f"{display.display(text, limit=500)}\n\n" for text in (call.error, because) if text
    )
    return NewCard(
        id=ids.new(),
        call_id=call.id,
        run_id=ctx.run.id,
        tenant=ctx.run.tenant,
        agent=ctx.run.agent,
        kind="outcome",
        action=call.action,
        args_hash=bound,
        risk=risk,
        title=f"May or may not have happened: {title}",
        preview=f"{why}{preview}",
        provenance=now.provenance,
        expire_us=around.settings(ctx.run.tenant).approvals.expire_after,
    )


def until_decided(
    ctx: StepContext,
    around: Surroundings,
    wait: Wait,
    write: Callable[[Tx, int], None] | None = None,
) -> NoReturn:
    """Parks the run until a person has decided; `write` stages what they decide about, with the park."""
    # An hour behind the cards' own expiry: that decides, this only keeps the promise of a deadline.
    for_us = around.settings(ctx.run.tenant).approvals.expire_after + clock.HOUR
    leave(ctx, Park(wait, for_us), write)


def leave(
    ctx: StepContext, verdict: Park | Defer, write: Callable[[Tx, int], None] | None = None
) -> NoReturn:
    """Leaves the step, to be entered again: what it meant to commit so far it will mean again then."""
    ctx.items.clear()
    ctx.writes[:] = [write] if write else []
    ctx.answers = 0
    raise Leave(verdict)
