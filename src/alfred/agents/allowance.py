"""The card that asks whether a run goes on although a cap of the day has no room for its next answer.

Invariants: it is written with the park, and says how much more this run, and nobody else, may take beyond that cap on that
day; who has said no is not asked again on that day; a dry run asks nobody. Of many runs that one cap holds a few ask,
also of those that reach it at the same moment: a person who must answer each of a hundred reads none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alfred import clock, ids
from alfred.actions import approvals, canonical
from alfred.actions.ledger import allowances
from alfred.actions.ledger.allowances import Allowance
from alfred.actions.ledger.approvals import NewCard
from alfred.agents import caps
from alfred.runs import budget
from alfred.runs.workflow import StepContext
from alfred.store.tx import Tx
from alfred.trust import display

TIMES = 10
"""A yes is worth so many answers of the kind that did not fit."""

LEAST = 500_000
"""Micro-USD that a yes is worth at least: of some models nobody knows the price before they have answered."""


_ALONE = "\nOther runs that it holds ask nobody while these cards are open: they wait for the next day, or for a higher cap."

ASKING = 3
"""So many runs ask at a time about one cap. The others wait for the next day or for a higher cap, as without a yes."""


def ask(ctx: StepContext, *, scope: str, amount: int, day: str, settings: Any, for_us: int) -> None:
    """Puts the card into what the step commits.

    Args:
        scope: Whose cap has no room for `amount`.
        for_us: How long the run is parked if nobody says yes.
    """
    run = ctx.run
    if run.dry_run:
        return
    with ctx.store.read() as look:
        if allowances.declined(look, run.id, scope, day):
            return
        held = budget.held(look, run.tenant, scope, day)
    key = caps.setting(scope, run, settings)
    title = display.display(f"Continue? {key} is used up", limit=160)
    more = Allowance(scope, day, max(amount * TIMES, LEAST if budget.unit(scope) == "usd" else 0))
    cap = caps.cap(scope, settings, agent=run.agent, root=run.root_id, max_cost=None, day=day)
    args = canonical.canonical_json({"budget": key, "day": day, "more": _said(scope, more.amount)})
    said = (
        f"{key} is {_said(scope, cap or 0)}; {_said(scope, held)} of it is spent, or held for answers that are under way. "
        f"The next answer of this run may take {_said(scope, amount)}.\n"
        f"yes: on {day} this run, and no other, may take {_said(scope, more.amount)} more, beyond that cap.\n"
        "no: it waits for the next day, and goes on by itself then."
    )
    card = NewCard(
        id=ids.new(),
        call_id=ids.new(),
        run_id=run.id,
        tenant=run.tenant,
        agent=run.agent,
        kind="action",
        action=allowances.ACTION,
        args_hash=canonical.text_digest(args),
        risk="medium",
        title=title,
        preview="",
        expire_us=for_us + clock.HOUR,  # the next day wakes the run before, and takes the card away
    )

    def write(tx: Tx, _seq: int) -> None:
        asking = allowances.asking(tx, run.tenant, title, most=ASKING)
        if asking == ASKING:
            return
        last = _ALONE if asking == ASKING - 1 else ""
        shown = replace(card, preview=display.display(f"{said}{last}", multiline=True))
        allowances.stage(tx, shown, more, args, why=f"{key} has no room for the next answer")
        approvals.stage(tx, shown)

    ctx.writes.append(write)


def _said(scope: str, amount: int) -> str:
    """So much of a scope, for people."""
    unit = budget.unit(scope)
    if unit == "usd":
        return caps.dollars(amount)
    return f"{amount:,} {unit}"
