"""Which calls of a turn are judged when, and what the ledger knows about them while they are.

Invariant: a call is judged when no earlier call of its turn is still to change what it touches, so what it is
judged on (and what a card of it shows) is what it will find; all others are judged at once, so that a person sees
their cards together. A call that is not judged yet is `proposed` without a risk, and whoever enters the turn
next judges it when its time has come.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from alfred.actions import pipeline, provenance, risk
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger import history
from alfred.actions.ledger import said as said_ledger
from alfred.actions.ledger.calls import Call
from alfred.actions.ledger.said import Heard
from alfred.actions.provenance import Source
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.actions.touched import Touched, meet, touched
from alfred.runs import rows
from alfred.runs.rows import Run
from alfred.runs.workflow import Slot, StepContext
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import labels

T = TypeVar("T")


def facts(
    store: Store,
    run: Run,
    call: Call,
    keep: Callable[[], None] = lambda: None,
    *,
    slot: Slot | None = None,
    used: set[tuple[str, str, str, str]] | None = None,
) -> pipeline.Facts:
    """What the ledger says to the checks of a call, whoever judges it.

    Args:
        keep: Writes what the run has seen and not written yet, before it is asked what it has seen.
        slot: Of its holder, who knows when a person was never asked about it: then nobody has said no.
        used: What is known to have been used: that stays so.
    """

    def asked(reading: Callable[[Tx], T]) -> T:
        with store.read() as look:
            return reading(look)

    def seen(reading: Callable[[Tx], T]) -> T:
        keep()
        return asked(reading)

    def rejected(action: str, args: str) -> bool:
        if slot is not None and slot.carded is None:
            slot.carded = asked(lambda look: history.carded(look, run.id))
        if slot is not None and not slot.carded:
            return False
        return asked(lambda look: history.rejected_before(look, run.id, action, args))

    def used_before(action: str, schema: str) -> bool:
        which = (run.tenant, run.agent, action, schema)
        if used is not None and which in used:
            return True
        found = asked(lambda look: history.used_before(look, *which))
        if found and used is not None:
            used.add(which)
        return found

    return pipeline.Facts(
        rejected_before=rejected,
        used_before=used_before,
        lows=lambda action: seen(lambda look: _lately(look, run, call, action)),
        words=functools.cache(lambda: asked(lambda look: said_ledger.words(look, run.id))),
        links=functools.cache(lambda: seen(lambda look: said_ledger.links(look, run.id))),
        # every call asks this, and most runs are nobody's child
        above=lambda: asked(lambda look: above(look, run)) if run.parent_id else (),
        heard=lambda: [
            *_written(call),
            *_theirs_first(seen(lambda look: said_ledger.heard(look, run.id))),
        ],
    )


def _theirs_first(heard: Sequence[Heard]) -> list[Source]:
    """What a run has read: what a person said of it is theirs, wherever else it stands."""
    return sorted(map(provenance.source, heard), key=lambda one: one.label != labels.SAID)


def _written(call: Call) -> list[Source]:
    """What a person wrote into a call when they edited its card: it stays theirs when it is asked about again."""
    if call.asked_args is None:
        return []
    return [provenance.edited(json.loads(call.asked_args), call.arguments)]


def above(look: Tx, run: Run) -> list[str]:
    """The agents of the runs above this one."""
    found = []
    while run.parent_id is not None and (parent := rows.get(look, run.parent_id)) is not None:
        found.append(parent.agent)
        run = parent
    return found


def _lately(look: Tx, run: Run, call: Call, action: str) -> int:
    """How many low calls of an action there were before this one. Said once, when the call is first judged: what a person
    was shown must not change because ten minutes have passed since."""
    if not call.unjudged:
        return 0 if call.risk == str(Risk.LOW) else risk.MANY
    return history.lows(look, call, run, action=action, within=risk.MANY_WITHIN)


class Judging:
    """The checks, bound to the actions that there are and to what an installation gives them."""

    def __init__(self, actions: Registry, around: Surroundings):
        self.actions = actions
        self.around = around
        self._used: set[tuple[str, str, str, str]] = set()

    def ready(self, ctx: StepContext, calls: Sequence[Call]) -> list[tuple[Call, pipeline.Judged]]:
        """Judges the calls of a turn whose time has come; among them always the first that is not settled."""
        done: list[tuple[Call, pipeline.Judged]] = []
        coming: list[int] = []  # effects that are still to happen
        # what its agent may have is asked for once, as far as it is asked for at all: MCP servers say it by rows
        there = functools.cache(lambda: self.actions.of(ctx.run.tenant, ctx.run.agent))
        touches = functools.cache(lambda n: self._touches(ctx, calls[n], there()))
        for n, call in enumerate(calls):
            status = call.status
            if call.unjudged and not any(meet(touches(n), touches(m)) for m in coming):
                done.append((call, self.judged(ctx, call, actions=there())))
                status = done[-1][1].judgement.status
            if status not in calls_ledger.SETTLED and not _pure(call, there()):
                coming.append(n)
        return done

    def _touches(self, ctx: StepContext, call: Call, actions: Registry) -> Touched:
        action = actions.get(call.action)
        return touched(action, call.arguments, lambda: self.around.context(ctx, call))

    def judged(
        self,
        ctx: StepContext,
        call: Call,
        *,
        asked: bool = False,
        actions: Registry | None = None,
    ) -> pipeline.Judged:
        """What the checks say about a call now.

        Args:
            asked: A person was asked about it before.
            actions: Those that its agent may have, where somebody has asked for them just now.
        """
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
            actions=self.actions if actions is None else actions,
            context=lambda: self.around.context(ctx, call),
            facts=facts(ctx.store, run, call, ctx.keep, slot=ctx.slot, used=self._used),
        )


def _pure(call: Call, actions: Registry) -> bool:
    action = actions.get(call.action)
    return action is not None and action.effect is Effect.PURE
