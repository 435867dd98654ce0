"""Passing the calls of a run through the checks, with what the ledger knows about them."""

from __future__ import annotations

from dataclasses import replace

from alfred.actions import pipeline
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.calls import Call
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.runs.workflow import StepContext


class Judging:
    """The checks, bound to the actions that there are and to what an installation gives them."""

    def __init__(self, actions: Registry, around: Surroundings):
        self.actions = actions
        self.around = around

    def judged(self, ctx: StepContext, call: Call, *, asked: bool = False) -> pipeline.Judged:
        """What the checks say about a call now. `asked`: a person was asked about it before."""
        # What a fixed step has read since it began counts before its commit.
        run = replace(ctx.run, external=int(bool(ctx.run.external) or ctx.external))

        def rejected(action: str, args: str) -> bool:
            with ctx.store.read() as look:
                return calls_ledger.rejected_before(look, run.id, action, args)

        def used(action: str) -> bool:
            with ctx.store.read() as look:
                return calls_ledger.used_before(look, run.tenant, run.agent, action)

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
            facts=pipeline.Facts(rejected_before=rejected, used_before=used),
        )
