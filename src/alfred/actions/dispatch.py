"""The one door to the world: judges calls, stages those that a person decides, executes the rest, in order.

Invariants:
- An effect happens only after its intent row is committed by the run's holder, and after the fence was read
  again; its outcome is recorded by that intent, whoever holds the run by then.
- Calls of a turn have a total order: a call runs when every call before it is settled; neighbouring pure calls
  run together; with an open card nothing behind it runs.
- What is approved is content: changed since, or older than a day, it is asked again.
- On re-entry an intent without outcome is repeated under the same key (keyed), looked up (checkable), or asked
  about (blind). Never a blind retry, never a silent loss.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import structlog

from alfred import clock, errors, ids
from alfred.actions import approvals, arguments, canonical, card, invoke, pipeline, results
from alfred.actions.context import ActionContext, Workspace
from alfred.actions.invoke import Ended
from alfred.actions.kinds import Effect, Happened, NotHappened
from alfred.actions.ledger import approvals as cards
from alfred.actions.ledger import calls as ledger
from alfred.actions.ledger.approvals import NewCard
from alfred.actions.ledger.calls import Call, NewCall
from alfred.actions.registry import Registry
from alfred.runs import audit, rows
from alfred.runs import ledger as runs_ledger
from alfred.runs.rows import Lease, Run
from alfred.runs.states import Wait
from alfred.runs.workflow import Defer, Leave, Park, StepContext
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import display, redact

log = structlog.get_logger()

TOGETHER = 8
"""How many pure calls run at once."""

RETRY = 5 * clock.SECOND
"""After so long an effect whose outcome this process does not know is entered again; each time twice as long."""

REPEATS = 5
"""So many times in a row; then a person is asked, because the other side does not answer at all."""

GRACE = 10.0
"""Seconds that an action has to end by itself when its run was cancelled or taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What actions need of the installation, by tenant."""

    home: Callable[[str], Path]
    settings: Callable[[str], Any]
    secrets: Callable[[str, str], str | None]


class Dispatch:
    """`runs.workflow.Gate`, made once in `app`."""

    def __init__(self, store: Store, actions: Registry, around: Surroundings):
        self.store = store
        self.actions = actions
        self.around = around
        self._installation_key: bytes | None = None

    # ---- what steps call ----

    def enter(self, tx: Tx, lease: Lease) -> None:
        """A new holder has come: open intents of earlier attempts are unknown now."""
        ledger.enter(tx, lease)

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
        self._propose(ctx, turn, first, wanted)
        settled = {call.ordinal: call for call in self.settle(ctx, turn)}
        for offset in range(len(wanted)):
            ctx.external = ctx.external or self.from_outside(settled[first + offset])
        return [results.value_of(settled[first + offset]) for offset in range(len(wanted))]

    def settle(self, ctx: StepContext, turn: int) -> list[Call]:
        """Brings every call of a turn to its end, and returns them.

        Raises:
            Leave: a person, a retry or a later entry is needed first.
            LeaseLost: the run is not ours any more.
        """
        while True:
            with self.store.read() as look:
                calls = ledger.of_turn(look, ctx.run.id, turn)
            if any(c.status == "proposed" and c.risk is None for c in calls):
                self._judge(ctx, calls)
                continue
            head = next((c for c in calls if not c.settled), None)
            if head is None:
                return calls
            self._advance(ctx, head, calls)

    def from_outside(self, call: Call) -> bool:
        """Whether the result of a settled call is somebody else's words: its run's context is external then."""
        action = self.actions.get(call.action)
        return action is not None and action.label == "external" and call.status == "done"

    # ---- judging ----

    def _propose(
        self, ctx: StepContext, turn: int, first: int, wanted: Sequence[tuple[str, dict[str, Any]]]
    ) -> None:
        with self.store.read() as look:
            known = {c.ordinal: c for c in ledger.of_turn(look, ctx.run.id, turn)}
        new = []
        for offset, (name, args) in enumerate(wanted):
            said = canonical.canonical_json(args)
            before = known.get(first + offset)
            if before is None:
                new.append(
                    NewCall(
                        id=ids.new(),
                        run_id=ctx.run.id,
                        turn=turn,
                        ordinal=first + offset,
                        action=name,
                        args=said,
                        args_hash=plain_hash(said),
                    )
                )
            elif not self._same(before, name, args, said):
                raise errors.NotDeterministic(
                    f"Step {ctx.run.step!r} made the call {name!r} where it had made {before.action!r} before, or with other arguments."
                )
        if new:
            self.store.transact(_fenced, ctx.lease, lambda tx: ledger.propose(tx, new))

    def _same(self, before: Call, name: str, args: dict[str, Any], said: str) -> bool:
        if before.args == said and before.action == name:
            return True
        action = self.actions.get(name)
        if action is None or before.action != action.id:
            return False
        checked = arguments.validate(action, args)
        return (
            isinstance(checked, arguments.Valid)
            and canonical.canonical_json(checked.args) == before.args
        )

    def _judge(self, ctx: StepContext, calls: list[Call]) -> None:
        fresh = [c for c in calls if c.status == "proposed" and c.risk is None]
        judged = [self._judged(ctx, call) for call in fresh]
        after = {c.id: c.status for c in calls} | {
            j.judgement.call_id: j.judgement.status for j in judged
        }
        head = next((after[c.id] for c in calls if after[c.id] not in ledger.SETTLED), None)
        if head == "staged":
            # Nothing runs before the first card: staging and parking are one transaction.
            self._leave(
                ctx,
                self._park(ctx, Wait.APPROVAL),
                lambda tx, _seq: self._write(tx, ctx, judged),
            )
        self.store.transact(_fenced, ctx.lease, lambda tx: self._write(tx, ctx, judged))

    def _judged(self, ctx: StepContext, call: Call, *, asked: bool = False) -> pipeline.Judged:
        # What a fixed step has read since it began counts before its commit.
        run = replace(ctx.run, external=int(bool(ctx.run.external) or ctx.external))

        def rejected(action: str, args: str) -> bool:
            with self.store.read() as look:
                return ledger.rejected_before(look, run.id, action, args)

        def used(action: str) -> bool:
            with self.store.read() as look:
                return ledger.used_before(look, run.tenant, run.agent, action)

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
            context=lambda: self._context(ctx, call),
            facts=pipeline.Facts(rejected_before=rejected, used_before=used),
        )

    def _write(self, tx: Tx, ctx: StepContext, judged: Sequence[pipeline.Judged]) -> None:
        for one in judged:
            if ledger.judge(tx, one.judgement) and one.judgement.status == "staged":
                approvals.stage(tx, self._card(ctx, one, ledger.get(tx, one.judgement.call_id)))

    def _card(self, ctx: StepContext, one: pipeline.Judged, call: Call | None) -> NewCard:
        wants = self.around.settings(ctx.run.tenant).approvals
        return NewCard(
            id=ids.new(),
            call_id=one.judgement.call_id,
            run_id=ctx.run.id,
            tenant=ctx.run.tenant,
            agent=ctx.run.agent,
            kind=one.kind,  # type: ignore[arg-type]
            action=one.judgement.action,
            args_hash=one.judgement.args_hash,
            risk=one.judgement.risk,
            title=one.title,
            preview=one.preview,
            claim=card.claim(call.claim if call else None),
            auto_ok=one.auto_ok,
            expire_us=wants.expire_after,
            low_after_us=wants.low_after,
            counts_from_staging=wants.low_counts_from == "staging",
        )

    def _leave(
        self,
        ctx: StepContext,
        verdict: Park | Defer,
        write: Callable[[Tx, int], None] | None = None,
    ) -> NoReturn:
        """Leaves the step, to be entered again: what it meant to commit so far it will mean again then."""
        ctx.items.clear()
        ctx.writes[:] = [write] if write else []
        ctx.answers = 0
        raise Leave(verdict)

    def _park(self, ctx: StepContext, wait: Wait) -> Park:
        # An hour behind the cards' own expiry: that decides, this only keeps the promise of a deadline.
        return Park(wait, self.around.settings(ctx.run.tenant).approvals.expire_after + clock.HOUR)

    # ---- executing ----

    def _advance(self, ctx: StepContext, head: Call, calls: list[Call]) -> None:
        match head.status:
            case "staged":
                self._leave(ctx, self._park(ctx, Wait.APPROVAL))
            case "proposed" if head.effect == Effect.PURE:
                self._look(ctx, _neighbours(calls, head))
            case "proposed":
                self._execute(ctx, head)
            case "approved":
                self._approved(ctx, head)
            case "executing":
                self.store.transact(ledger.unknown, ctx.lease, head)
            case "unknown":
                self._unknown(ctx, head)
            case other:
                raise errors.AlfredError(
                    f"Call {head.id} has the status {other!r}, which nothing leads on from."
                )

    def _approved(self, ctx: StepContext, call: Call) -> None:
        """What was approved is executed if it is still what would happen; else a person is asked again."""
        with self.store.read() as look:
            allowed = cards.approved(look, call.id)
        again = self._judged(ctx, call, asked=True)
        fresh = allowed is not None and clock.now() - (allowed.decided_at or 0) < approvals.VALID
        if again.judgement.status == "refused":
            self.store.transact(
                _fenced,
                ctx.lease,
                lambda tx: approvals.withdraw(tx, call.id, again.judgement.result),
            )
        elif fresh and again.judgement.args_hash == call.run_args_hash:
            if call.effect == Effect.PURE:
                self._look(ctx, [call])
            else:
                self._execute(ctx, call)
        else:
            new = self._card(ctx, again, call)
            target = again.judgement.target
            self.store.transact(
                _fenced, ctx.lease, lambda tx: approvals.restage(tx, new, target=target)
            )

    def _unknown(self, ctx: StepContext, call: Call) -> None:
        """An intent whose outcome nobody recorded."""
        with self.store.read() as look:
            last = cards.newest(look, call.id)
        if last is not None and last.kind == "outcome":
            if last.status == "pending":
                self._leave(ctx, self._park(ctx, Wait.OPERATOR))
            if last.decision == "retry" and (last.decided_at or 0) > (call.intent_at or 0):
                self._execute(ctx, call)
                return
        if call.effect == Effect.PURE:
            self._look(ctx, [call])
        elif call.effect != Effect.BLIND and call.intent_attempt == ctx.lease.attempt:
            with self.store.read() as look:
                before = ledger.deferred(look, ctx.run.id)
            if before >= REPEATS:
                self._ask_outcome(ctx, call)
            self._leave(
                ctx, Defer(RETRY * 2**before)
            )  # entered again under the next attempt, by whoever comes
        elif call.effect == Effect.KEYED:
            self._execute(ctx, call)
        elif call.effect == Effect.CHECKABLE and self._probed(ctx, call):
            return
        else:
            self._ask_outcome(ctx, call)

    def _probed(self, ctx: StepContext, call: Call) -> bool:
        """Whether looking answered what became of it (and if it did not happen: it is done now)."""
        found = self._probe(ctx, call, self._key(ctx, call))
        if isinstance(found, Happened):
            held = (
                ctx.lease
                if call.intent_attempt is None
                else _as_attempt(ctx.lease, call.intent_attempt)
            )
            self._record(held, call, Ended("done", results.stored(found.result)))
            return True
        if isinstance(found, NotHappened):
            self._execute(ctx, call)
            return True
        return False

    def _ask_outcome(self, ctx: StepContext, call: Call) -> None:
        wants = self.around.settings(ctx.run.tenant).approvals
        why = f"{display.display(call.error, limit=500)}\n\n" if call.error else ""
        new = NewCard(
            id=ids.new(),
            call_id=call.id,
            run_id=ctx.run.id,
            tenant=ctx.run.tenant,
            agent=ctx.run.agent,
            kind="outcome",
            action=call.action,
            args_hash=call.args_hash,
            risk=call.risk or "high",
            title=f"May or may not have happened: {card.title(call.action, call.arguments)}",
            preview=f"{why}{call.preview or card.preview(call.arguments, None)}",
            expire_us=wants.expire_after,
        )
        self._leave(ctx, self._park(ctx, Wait.OPERATOR), lambda tx, _seq: approvals.stage(tx, new))

    def _look(self, ctx: StepContext, calls: list[Call]) -> None:
        """Pure calls, together; what they saw is written in one transaction."""
        if len(calls) == 1:
            ended = [self._run(ctx, calls[0], None)]
        else:
            with concurrent.futures.ThreadPoolExecutor(min(TOGETHER, len(calls))) as pool:
                ended = list(pool.map(lambda call: self._run(ctx, call, None), calls))

        def write(tx: Tx) -> None:
            for call, end in zip(calls, ended, strict=True):
                status = "failed" if end.status == "unknown" else end.status
                ledger.looked(
                    tx, ctx.lease, call, status=status, result=end.result, error=end.error
                )

        self.store.transact(_fenced, ctx.lease, write)

    def _execute(self, ctx: StepContext, call: Call) -> None:
        """Intent, fence, effect, outcome."""
        key = self._key(ctx, call)
        content = call.run_args_hash or ""
        probe_first = (
            self.store.pg
            and ctx.lease.attempt > 1
            and call.intent_attempt is None
            and call.effect == Effect.CHECKABLE
        )
        self.store.transact(ledger.intend, ctx.lease, call, key=key, content=content)
        if probe_first and self._already_there(ctx, call, key):
            # A server that failed over may have forgotten an intent whose effect was sent.
            return
        with self.store.read() as look:
            if not rows.fence(look, ctx.lease) or ctx.slot.stopped.is_set():
                raise errors.LeaseLost(f"Run {ctx.run.id} was taken before {call.action} was sent.")
        end = self._run(ctx, call, key)
        self._record(ctx.lease, call, end)

    def _already_there(self, ctx: StepContext, call: Call, key: str) -> bool:
        found = self._probe(ctx, call, key)
        if isinstance(found, Happened):
            self._record(ctx.lease, call, Ended("done", results.stored(found.result)))
            return True
        return False

    def _probe(self, ctx: StepContext, call: Call, key: str) -> Any:
        """What the action's own check says about the call; None when it has none or fails at it."""
        action = self.actions.get(call.action)
        if action is None or action.check is None:
            return None
        try:
            return invoke.invoke(
                action.check, action, call, key, self._context(ctx, call), all_of=True
            )
        except Exception:
            log.warning("check.failed", action=call.action, call=call.id, exc_info=True)
            return None

    def _record(self, lease: Lease, call: Call, end: Ended) -> None:
        """What became of it, also when the run has gone on, was cancelled or is over."""

        def write(tx: Tx) -> None:
            rows.lock(tx, call.run_id)
            if end.status == "unknown":
                ledger.unknown(tx, lease, call, error=end.error)
                return
            if ledger.outcome(
                tx, lease, call, status=end.status, result=end.result, error=end.error
            ):
                cards.known(tx, call.id)
                runs_ledger.wake_decided(tx, call.run_id)
                if call.risk not in (None, "none"):
                    audit.append(
                        tx,
                        lease.tenant,
                        "effect",
                        run=call.run_id,
                        call=call.id,
                        action=call.action,
                        risk=call.risk,
                        status=end.status,
                        args_hash=call.run_args_hash,
                    )

        self.store.transact(write)

    def _run(self, ctx: StepContext, call: Call, key: str | None) -> Ended:
        """Calls the function of the action in a thread of its own, within its time.

        Past its time, or soon after its run was stopped, the outcome is unknown; the thread may go on, and what it
        comes to is recorded by its intent, late.
        """
        action = self.actions.get(call.action)
        if action is None:
            return Ended("failed", None, f"There is no action {call.action!r} any more.")
        context = self._context(ctx, call)
        ctx.slot.extend(int((action.timeout_s + 30) * clock.SECOND))
        done: concurrent.futures.Future[Ended] = concurrent.futures.Future()
        late = threading.Event()

        def work() -> None:
            end = invoke.attempt(action, call, key, context)
            done.set_result(end)
            if late.is_set() and key is not None:
                self._record(ctx.lease, call, end)

        threading.Thread(target=work, name=f"alfred-{action.id}", daemon=True).start()
        gone: concurrent.futures.Future[None] = concurrent.futures.Future()
        forget = ctx.slot.on_cancel(lambda: gone.set_result(None))
        either: list[concurrent.futures.Future[Any]] = [done, gone]
        concurrent.futures.wait(either, action.timeout_s, return_when="FIRST_COMPLETED")
        forget()
        if gone.done():
            concurrent.futures.wait((done,), GRACE)
        if not done.done():
            late.set()
        if done.done():
            return done.result()
        why = (
            f"went on for {GRACE:g} s after its run was stopped"
            if gone.done()
            else f"did not end within {action.timeout_s:g} s"
        )
        return Ended("unknown", None, f"{action.id} {why}.")

    # ---- what actions are given ----

    def _context(self, ctx: StepContext, call: Call) -> ActionContext:
        run = ctx.run
        home = self.around.home(run.tenant)
        workspace = workspace_of(run, home)
        if workspace.made:
            workspace.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ActionContext(
            run_id=run.id,
            call_id=call.id,
            agent=run.agent,
            tenant=run.tenant,
            home=home,
            workspace=workspace,
            inputs={name: Path(path) for name, path in json.loads(run.inputs or "{}").items()},
            external=bool(run.external) or ctx.external,
            settings=self.around.settings(run.tenant),
            store=self.store,
            cancelled=ctx.slot.stopped.is_set,
            on_cancel=ctx.slot.on_cancel,
            emit=lambda line: ctx.emit("text", call=call.id, text=redact.redact(line)),
            secrets=lambda name: self.around.secrets(run.tenant, name),
        )

    def _key(self, ctx: StepContext, call: Call) -> str:
        """The effect key: the same over retries of one call, another for two equal calls, not to be guessed."""
        if self._installation_key is None:
            with self.store.read() as look:
                found = ledger.installation_key(look)
            if not found:
                raise errors.StoreUnavailable(
                    "The database has no installation key.", next="`alfred doctor --fix`"
                )
            self._installation_key = found
        said = f"{ctx.run.tenant}|{call.run_id}|{call.turn}.{call.ordinal}|{call.action}|{plain_hash(call.args)}"
        return hmac.new(self._installation_key, said.encode(), hashlib.sha256).hexdigest()


def workspace_of(run: Run, home: Path) -> Workspace:
    """The folder that a run works in; one of its own when nobody named one."""
    place = json.loads(run.workspace or "{}")
    return Workspace(
        root=Path(place.get("root") or home / "workspaces" / run.id),
        made=bool(place.get("made", not place)),
        trusted=bool(place.get("trusted")),
    )


def plain_hash(said: str) -> str:
    """SHA-256 of canonical arguments, hexadecimal."""
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _fenced(tx: Tx, lease: Lease, write: Callable[[Tx], None]) -> None:
    rows.lock(tx, lease.run_id)
    if not rows.fence(tx, lease):
        raise errors.LeaseLost(f"Run {lease.run_id} is no longer held by attempt {lease.attempt}.")
    write(tx)


def _as_attempt(lease: Lease, attempt: int) -> Lease:
    return Lease(
        run_id=lease.run_id,
        parent_id=lease.parent_id,
        tenant=lease.tenant,
        agent=lease.agent,
        attempt=attempt,
        worker=lease.worker,
    )


def _neighbours(calls: list[Call], head: Call) -> list[Call]:
    """The pure, ungated calls that stand together from the head on."""
    found = []
    for call in calls[calls.index(head) :]:
        if call.status != "proposed" or call.effect != Effect.PURE or call.gated:
            break
        found.append(call)
    return found
