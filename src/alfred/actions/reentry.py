"""Calls that were sent by an earlier try and have no outcome: looked up, repeated, or asked about.

Invariants: an intent without outcome is repeated under the same key (keyed), looked up (checkable), or asked about
(blind). Never a blind retry, never a silent loss. A person who says `retry` approves what their card showed: it
passes the same checks as any approved call, and what changed since, or was said a day ago, is asked again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NoReturn

from alfred import clock
from alfred.actions import approvals, asking, results
from alfred.actions.effects import Effects
from alfred.actions.invoke import Ended
from alfred.actions.judging import Judging
from alfred.actions.kinds import Effect, Happened, NotHappened
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.approvals import Approval
from alfred.actions.ledger.calls import Call, Judgement
from alfred.actions.pipeline import Judged
from alfred.actions.surroundings import Surroundings
from alfred.runs.states import Wait
from alfred.runs.workflow import Defer, StepContext

RETRY = 5 * clock.SECOND
"""After so long an effect whose outcome this process does not know is entered again; each time twice as long."""

REPEATS = 5
"""So many times in a row; then a person is asked, because the other side does not answer at all."""


class Reentry:
    """What is done about an intent whose outcome nobody recorded."""

    def __init__(self, judging: Judging, effects: Effects, around: Surroundings):
        self.judging = judging
        self.effects = effects
        self.around = around

    def settle(self, ctx: StepContext, call: Call) -> None:
        """Leads one unknown call on. Leaves the step when a person or time is needed."""
        with ctx.store.read() as look:
            last = approvals_ledger.newest(look, call.id)
        if last is not None and last.kind == "outcome":
            if last.status == "pending":
                asking.until_decided(ctx, self.around, Wait.OPERATOR)
            if last.decision == "retry" and last.status == "answered":
                self._retry(ctx, call, last)
                return
        if call.effect == Effect.PURE:
            self.effects.look(ctx, [call])
        elif call.effect != Effect.BLIND and call.intent_attempt == ctx.lease.attempt:
            with ctx.store.read() as look:
                before = calls_ledger.deferred(look, ctx.run.id)
            if before >= REPEATS:
                self._ask(ctx, call)
            # entered again under the next attempt, by whoever comes
            asking.leave(ctx, Defer(RETRY * 2**before))
        elif call.effect == Effect.KEYED:
            self.effects.execute(ctx, call)
        elif call.effect == Effect.CHECKABLE and self._probed(ctx, call):
            return
        else:
            self._ask(ctx, call)

    def _probed(self, ctx: StepContext, call: Call) -> bool:
        """Whether looking answered what became of it (and if it did not happen: it is done now)."""
        found = self.effects.probe(ctx, call, self.effects.key(ctx, call))
        if isinstance(found, Happened):
            sent = ctx.lease.attempt if call.intent_attempt is None else call.intent_attempt
            held = replace(ctx.lease, attempt=sent)
            self.effects.record(held, call, Ended("done", results.stored(found.result)))
            return True
        if isinstance(found, NotHappened):
            self.effects.execute(ctx, call)
            return True
        return False

    def _retry(self, ctx: StepContext, call: Call, allowed: Approval) -> None:
        """A person has said: do it again."""
        now = self.judging.judged(ctx, call, asked=True)
        said = now.judgement
        if said.status == "refused":
            # Its no is stronger than the yes. `refused` it is not: that says of a call that nothing was sent.
            result = _not_again(said)
            ctx.store.transact(
                calls_ledger.fenced, ctx.lease, lambda tx: calls_ledger.skip(tx, call.id, result)
            )
        elif not approvals.fresh(allowed):
            self._ask(ctx, call, now, because="The retry was decided more than a day ago.")
        elif said.args_hash != allowed.args_hash:
            because = "What it would touch has changed since the retry was decided."
            self._ask(ctx, call, now, because=because)
        else:
            ctx.store.transact(
                calls_ledger.fenced, ctx.lease, lambda tx: calls_ledger.renew(tx, said)
            )
            self.effects.execute(
                ctx,
                replace(call, run_args_hash=said.args_hash, target=said.target, risk=said.risk),
                retry=allowed.id,
            )

    def _ask(
        self,
        ctx: StepContext,
        call: Call,
        now: Judged | None = None,
        *,
        because: str | None = None,
    ) -> NoReturn:
        now = now or self.judging.judged(ctx, call, asked=True)
        new = asking.outcome_card_of(ctx, self.around, call, now, because=because)
        asking.until_decided(
            ctx, self.around, Wait.OPERATOR, lambda tx, _seq: approvals.stage(tx, new)
        )


def _not_again(said: Judgement) -> str:
    note = (
        "A person said retry, and it was not tried again. Whether it happened before is not known."
    )
    return results.as_json({"outcome": "skipped", **json.loads(said.result or "{}"), "note": note})
