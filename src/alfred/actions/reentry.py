"""Calls that were sent by an earlier try and have no outcome: looked up, repeated, or asked about.

Invariants: an intent without outcome is repeated under the same key (keyed), looked up (checkable), or asked about
(blind). Never a blind retry, never a silent loss. Whatever is sent once more was judged once more just before: what the
policy forbids by now is not sent, and what a person has to allow is sent only as they saw it, within a day of their
word. A person who says `retry` approves what their card showed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NoReturn

from alfred import clock
from alfred.actions import approvals, asking, results
from alfred.actions.effects import Effects
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
            self._repeat(ctx, call, last)
        elif call.effect == Effect.CHECKABLE and self._probed(ctx, call, last):
            return
        else:
            self._ask(ctx, call)

    def _probed(self, ctx: StepContext, call: Call, last: Approval | None) -> bool:
        """Whether looking answered what became of it (and if it did not happen: it is done now)."""
        found = self.effects.probe(ctx, call, self.effects.key(ctx, call))
        if isinstance(found, Happened):
            sent = ctx.lease.attempt if call.intent_attempt is None else call.intent_attempt
            held = replace(ctx.lease, attempt=sent)
            self.effects.record(held, call, self.effects.found(ctx, call, found))
            return True
        if isinstance(found, NotHappened):
            self._repeat(ctx, call, last, looked=True)
            return True
        return False

    def _repeat(
        self, ctx: StepContext, call: Call, last: Approval | None, *, looked: bool = False
    ) -> None:
        """Sends a call once more, if the gate lets it be sent now.

        Args:
            last: The newest card of the call.
            looked: A look found that it has not happened; else nobody knows.
        """
        now = self.judging.judged(ctx, call, asked=True)
        said = now.judgement
        if said.status == "refused":
            if not looked:
                self._ask(ctx, call, now, because=_refusal(said))
            self._skip(ctx, said, "It had not happened, and it was not tried again.")
            return
        if said.status == "staged" or call.gated:
            with ctx.store.read() as look:
                allowed = _retry_of(last) or approvals_ledger.approved(look, call.id)
            found = "A look found that it has not happened. " if looked else ""
            if allowed is None:
                self._ask(ctx, call, now, because=f"{found}By now a person has to allow it.")
            if why := _no_longer(allowed, said):
                self._ask(ctx, call, now, because=f"{found}{why}")
        self._renewed(ctx, call, said)

    def _retry(self, ctx: StepContext, call: Call, allowed: Approval) -> None:
        """A person has said: do it again."""
        now = self.judging.judged(ctx, call, asked=True)
        said = now.judgement
        if said.status == "refused":
            self._skip(ctx, said, _RETRY_REFUSED)
        elif why := _no_longer(allowed, said):
            self._ask(ctx, call, now, because=why)
        else:
            self._renewed(ctx, call, said, retry=allowed.id)

    def _renewed(
        self, ctx: StepContext, call: Call, said: Judgement, *, retry: str | None = None
    ) -> None:
        """Sends a call as it was judged now."""
        ctx.keep(lambda tx: calls_ledger.renew(tx, said))
        self.effects.execute(
            ctx,
            call._replace(run_args_hash=said.args_hash, target=said.target, risk=said.risk),
            retry=retry,
        )

    def _skip(self, ctx: StepContext, said: Judgement, note: str) -> None:
        """The gate's no is stronger than any yes. `refused` it is not: that says of a call that nothing was sent."""
        result = results.as_json(
            {"outcome": "skipped", **json.loads(said.result or "{}"), "note": note}
        )
        ctx.keep(lambda tx: calls_ledger.skip(tx, said.call_id, result))

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


_RETRY_REFUSED = (
    "A person said retry, and it was not tried again. Whether it happened before is not known."
)


def _retry_of(last: Approval | None) -> Approval | None:
    """The newest card when it is a `retry`, also one that was used up."""
    return last if last and last.kind == "outcome" and last.decision == "retry" else None


def _no_longer(allowed: Approval, said: Judgement) -> str | None:
    """Why a yes does not allow what would happen now; None when it does."""
    word = "retry" if allowed.kind == "outcome" else "approval"
    if not approvals.fresh(allowed):
        return f"The {word} was decided more than a day ago."
    if said.args_hash != allowed.args_hash:
        return f"What it would touch has changed since the {word} was decided."
    return None


def _refusal(said: Judgement) -> str:
    detail = json.loads(said.result or "{}").get("error", {}).get("detail", "")
    return f"It was not sent again by itself: {detail}"
