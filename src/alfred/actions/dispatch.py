"""The one door to the world: judges calls, stages those that a person decides, executes the rest, in order.

Invariants:
- Nothing is executed that the checks (`judging`, `pipeline`) have not passed, and nothing that they want a person
  to see before that person has decided (`asking`, `approvals`).
- Calls of a turn have a total order: a call runs when every call before it is settled; neighbouring pure calls
  run together; with an open card nothing behind it runs.
- What is approved is content: changed since, or older than a day, it is asked again.
- Each effect has its intent before and its outcome after (`effects`); one that has no outcome is never repeated
  blindly (`reentry`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from alfred import errors, ids
from alfred.actions import approvals, arguments, asking, canonical, labelled, pipeline, results
from alfred.actions.effects import Effects
from alfred.actions.judging import Judging
from alfred.actions.kinds import Effect
from alfred.actions.ledger import allowances
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.calls import Call, NewCall
from alfred.actions.reentry import Reentry
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.runs import rows
from alfred.runs.rows import Lease
from alfred.runs.states import Wait
from alfred.runs.workflow import StepContext
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import labels
from alfred.trust.labels import Label


class Dispatch:
    """`runs.workflow.Gate`, made once in `app`."""

    def __init__(self, store: Store, actions: Registry, around: Surroundings):
        self.store = store
        self.actions = actions
        self.around = around
        self.judging = Judging(actions, around)
        self.effects = Effects(store, actions, around)
        self.reentry = Reentry(self.judging, self.effects, around)

    # ---- what steps call ----

    def enter(self, tx: Tx, lease: Lease) -> None:
        """A new holder has come: open intents of earlier attempts are unknown now, and nobody is asked whether it goes on.

        Raises:
            LeaseLost: it came so late that somebody else has taken the run, and may be asking by now.
        """
        if allowances.is_open(tx, lease.run_id):
            rows.hold(tx, lease)
            allowances.withdraw(tx, lease.run_id)
        calls_ledger.enter(tx, lease)

    def call(self, ctx: StepContext, ordinal: int, action: str, args: dict[str, Any]) -> Any:
        """One call of a fixed step. See `StepContext.call`."""
        value = self.calls(ctx, ordinal, [(action, args)])[0]
        if isinstance(value, errors.AlfredError):
            raise value
        return value

    def calls(
        self, ctx: StepContext, first: int, wanted: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Any]:
        """Several calls of a fixed step: results in order, with an error in the place of a call that has none."""
        turn = ctx.run.turn
        known = self._there(ctx, range(first, first + len(wanted)))
        new = self._new(ctx, known, first, wanted)
        there = sorted([*known, *map(calls_ledger.unstored, new)], key=_place)
        if len(new) > 1:  # they count for each other while they are judged
            ctx.keep(functools.partial(calls_ledger.propose, calls=new))
            new = []
        settled = {call.ordinal: call for call in self._settle(ctx, turn, there, new)}
        for offset in range(len(wanted)):
            ctx.joins(self.label_of(settled[first + offset]))
        return [results.value_of(settled[first + offset]) for offset in range(len(wanted))]

    def settle(self, ctx: StepContext, turn: int) -> list[Call]:
        """Brings every call of a turn to its end, and returns them.

        Raises:
            Leave: a person, a retry or a later entry is needed first.
            LeaseLost: the run is not ours any more.
        """
        return self._settle(ctx, turn, self._of_turn(ctx, turn), ())

    def _settle(
        self, ctx: StepContext, turn: int, calls: list[Call], new: Sequence[NewCall]
    ) -> list[Call]:
        """`new`: those that are not in the ledger yet. They are stored with what is decided about them."""
        while True:
            if judged := self.judging.ready(ctx, calls):
                calls = self._decided(ctx, calls, judged, new)
                new = ()
                continue
            head = next((c for c in calls if not c.settled), None)
            if head is None:
                return calls
            if looks := _neighbours(calls, head):
                seen = self.effects.look(ctx, looks, may_wait=True)
                calls = [seen.get(call.id, call) for call in calls]
            else:
                self._advance(ctx, head)
                calls = self._of_turn(ctx, turn)

    def _of_turn(self, ctx: StepContext, turn: int) -> list[Call]:
        """The calls of a turn, as the ledger has them with all that was seen."""
        ctx.keep()
        with self.store.read() as look:
            return calls_ledger.of_turn(look, ctx.run.id, turn)

    def _there(self, ctx: StepContext, places: range) -> list[Call]:
        """The calls of the turn when one of these places is taken, because the step has run before.

        When none is, there is nothing to know of the others: the calls before are settled, and only the holder of a
        run proposes any.
        """
        if ctx.there is None or not ctx.there.isdisjoint(places):
            calls = self._of_turn(ctx, ctx.run.turn)
            if ctx.there is None:
                ctx.there = frozenset(call.ordinal for call in calls)
            return calls
        return []

    def label_of(self, call: Call) -> Label:
        """The label of what a settled call has come to. It joins the context of the run that reads it."""
        return labelled.of_call(call)

    # ---- judging ----

    def _new(
        self,
        ctx: StepContext,
        there: Sequence[Call],
        first: int,
        wanted: Sequence[tuple[str, dict[str, Any]]],
    ) -> list[NewCall]:
        """Those calls of a fixed step that the ledger does not have yet."""
        known = {c.ordinal: c for c in there}
        new = []
        for offset, (name, args) in enumerate(wanted):
            said = canonical.canonical_json(args)
            before = known.get(first + offset)
            if before is None:
                new.append(
                    NewCall(
                        id=ids.new(),
                        run_id=ctx.run.id,
                        turn=ctx.run.turn,
                        ordinal=first + offset,
                        action=name,
                        args=said,
                        args_hash=canonical.text_digest(said),
                        **labels.halves(ctx.label),
                    )
                )
            elif not self._same(ctx, before, name, args, said):
                raise errors.NotDeterministic(
                    f"Step {ctx.run.step!r} made the call {name!r} where it had made {before.action!r} before, or with other arguments."
                )
        return new

    def _same(
        self, ctx: StepContext, before: Call, name: str, args: dict[str, Any], said: str
    ) -> bool:
        if before.asked == said and before.action == name:
            return True
        action = self.actions.for_run(ctx.run, name)
        if action is None or before.action != action.id:
            return False
        checked = arguments.validate(action, args)
        return (
            isinstance(checked, arguments.Valid)
            and canonical.canonical_json(checked.args) == before.asked
        )

    def _decided(
        self,
        ctx: StepContext,
        calls: list[Call],
        judged: Sequence[tuple[Call, pipeline.Judged]],
        new: Sequence[NewCall],
    ) -> list[Call]:
        """Keeps what was judged, with the cards of what a person decides, and gives the calls of the turn by then.

        When nobody is asked anything it rides on what comes next, an intent or the commit of the step: a crash in
        between has it judged again.
        """
        asked = {
            call.id: asking.card_of(ctx, self.around, one, call)
            for call, one in judged
            if one.judgement.status == "staged"
        }

        if asked:
            ctx.slot.carded = True

        def write(tx: Tx, _seq: int = 0) -> None:
            if new:
                calls_ledger.propose(tx, new)
            for call, one in judged:
                if calls_ledger.judge(tx, one.judgement) and call.id in asked:
                    approvals.stage(tx, asked[call.id])

        decided = {call.id: one.judgement for call, one in judged}
        after = [calls_ledger.decided(c, decided[c.id]) if c.id in decided else c for c in calls]
        head = next((c for c in after if not c.settled), None)
        if head is not None and head.status == "staged":
            # Nothing runs before the first card: staging and parking are one transaction.
            asking.until_decided(ctx, self.around, Wait.APPROVAL, write)
        ctx.ahead.append(write)
        return self._of_turn(ctx, after[0].turn) if asked else after

    # ---- executing ----

    def _advance(self, ctx: StepContext, head: Call) -> None:
        match head.status:
            case "staged":
                asking.until_decided(ctx, self.around, Wait.APPROVAL)
            case "proposed":
                self.effects.execute(ctx, head)
            case "approved":
                self._approved(ctx, head)
            case "executing":
                ctx.keep(lambda tx: calls_ledger.unknown(tx, ctx.lease, head))
            case "unknown":
                self.reentry.settle(ctx, head)
            case other:
                raise errors.AlfredError(
                    f"Call {head.id} has the status {other!r}, which nothing leads on from."
                )

    def _approved(self, ctx: StepContext, call: Call) -> None:
        """What was approved is executed if it is still what would happen; else a person is asked again."""
        with self.store.read() as look:
            allowed = approvals_ledger.approved(look, call.id)
        again = self.judging.judged(ctx, call, asked=True)
        fresh = allowed is not None and approvals.fresh(allowed)
        if again.judgement.status == "refused":
            ctx.keep(lambda tx: approvals.withdraw(tx, call.id, again.judgement.result))
        elif fresh and again.judgement.args_hash == call.run_args_hash:
            if call.effect == Effect.PURE:
                self.effects.look(ctx, [call])
            else:
                self.effects.execute(ctx, call)
        else:
            new = dataclasses.replace(
                asking.card_of(ctx, self.around, again, call),
                supersedes=allowed.id if allowed else None,
            )
            target = again.judgement.target
            ctx.keep(lambda tx: approvals.restage(tx, new, target=target))


def _place(call: Call) -> int:
    return call.ordinal


def _neighbours(calls: list[Call], head: Call) -> list[Call]:
    """The pure, ungated calls that stand together from the head on."""
    found = []
    for call in calls[calls.index(head) :]:
        if call.status != "proposed" or call.effect != Effect.PURE or call.gated:
            break
        found.append(call)
    return found
