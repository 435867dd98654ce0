"""Which calls of a turn are judged when, and what the ledger knows about them while they are.

Invariant: a call is judged when no earlier call of its turn is still to change what it touches, so what it is
judged on (and what a card of it shows) is what it will find; all others are judged at once, so that a person sees
their cards together. A call that is not judged yet is `proposed` without a risk, and whoever enters the turn
next judges it when its time has come.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

from alfred.actions import pipeline, provenance, risk
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger import said as said_ledger
from alfred.actions.ledger.calls import Call
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.actions.touched import Touched, meet, touched
from alfred.runs import rows
from alfred.runs.rows import Run
from alfred.runs.workflow import StepContext
from alfred.store.connect import Store
from alfred.store.tx import Tx

T = TypeVar("T")


def facts(
    store: Store, run: Run, call: Call, keep: Callable[[], None] = lambda: None
) -> pipeline.Facts:
    """What the ledger says to the checks of a call, whoever judges it.

    Args:
        keep: Writes what the run has seen and not written yet, before it is asked what it has seen.
    """

    def asked(reading: Callable[[Tx], T]) -> T:
        with store.read() as look:
            return reading(look)

    def seen(reading: Callable[[Tx], T]) -> T:
        keep()
        return asked(reading)

    return pipeline.Facts(
        rejected_before=lambda action, args: asked(
            lambda look: calls_ledger.rejected_before(look, run.id, action, args)
        ),
        used_before=lambda action: asked(
            lambda look: calls_ledger.used_before(look, run.tenant, run.agent, action)
        ),
        lows=lambda action: seen(lambda look: _lately(look, run, call, action)),
        words=functools.cache(lambda: asked(lambda look: said_ledger.words(look, run.id))),
        links=functools.cache(lambda: seen(lambda look: said_ledger.links(look, run.id))),
        # every call asks this, and most runs are nobody's child
        above=lambda: asked(lambda look: _above(look, run)) if run.parent_id else (),
        heard=lambda: [
            provenance.source(one) for one in seen(lambda look: said_ledger.heard(look, run.id))
        ],
    )


def _above(look: Tx, run: Run) -> list[str]:
    """The agents of the runs above this one."""
    found = []
    while run.parent_id is not None and (above := rows.get(look, run.parent_id)) is not None:
        found.append(above.agent)
        run = above
    return found


def _lately(look: Tx, run: Run, call: Call, action: str) -> int:
    """How many low calls of an action there were before this one. Said once, when the call is first judged: what a person
    was shown must not change because ten minutes have passed since."""
    if not call.unjudged:
        return 0 if call.risk == str(Risk.LOW) else risk.MANY
    about = {"tenant": run.tenant, "agent": run.agent, "action": action}
    return calls_ledger.lows(look, call, within=risk.MANY_WITHIN, **about)


class Judging:
    """The checks, bound to the actions that there are and to what an installation gives them."""

    def __init__(self, actions: Registry, around: Surroundings):
        self.actions = actions
        self.around = around

    def ready(self, ctx: StepContext, calls: Sequence[Call]) -> list[tuple[Call, pipeline.Judged]]:
        """Judges the calls of a turn whose time has come; among them always the first that is not settled."""
        done: list[tuple[Call, pipeline.Judged]] = []
        coming: list[int] = []  # effects that are still to happen
        touches = functools.cache(lambda n: self._touches(ctx, calls[n]))
        for n, call in enumerate(calls):
            status = call.status
            if call.unjudged and not any(meet(touches(n), touches(m)) for m in coming):
                done.append((call, self.judged(ctx, call)))
                status = done[-1][1].judgement.status
            if status not in calls_ledger.SETTLED and not self._pure(ctx, call):
                coming.append(n)
        return done

    def _touches(self, ctx: StepContext, call: Call) -> Touched:
        action = self.actions.for_run(ctx.run, call.action)
        return touched(action, call.arguments, lambda: self.around.context(ctx, call))

    def _pure(self, ctx: StepContext, call: Call) -> bool:
        action = self.actions.for_run(ctx.run, call.action)
        return action is not None and action.effect is Effect.PURE

    def judged(self, ctx: StepContext, call: Call, *, asked: bool = False) -> pipeline.Judged:
        """What the checks say about a call now. `asked`: a person was asked about it before."""
        # What a fixed step has read since it began counts before its commit.
        now = ctx.label
        run = ctx.run._replace(external=int(now.external), private=int(now.private))

        return pipeline.judge(
            pipeline.Proposal(
                call_id=call.id,
                run=run,
                turn=call.turn,
                ordinal=call.ordinal,
                action=call.action,
                args=call.arguments,
                asked=asked,
            ),
            actions=self.actions,
            context=lambda: self.around.context(ctx, call),
            facts=facts(ctx.store, run, call, ctx.keep),
        )
