"""Carrying calls out: intent, fence, effect, outcome; and looking, which needs none of these.

Invariants: an effect happens only after its intent row is committed by the run's holder, and after the fence was
read again; its outcome is recorded by that intent, whoever holds the run by then; the key of an effect is the same
over every try of its call; rows of alfred's own that a call makes are written with its outcome, or not at all.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import hmac
import queue
import threading
from collections.abc import Sequence
from typing import Any

import structlog

from alfred import clock, errors
from alfred.actions import canonical, invoke, labelled, results, threads
from alfred.actions.invoke import Ended
from alfred.actions.kinds import Effect, Happened
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger import sealed
from alfred.actions.ledger.calls import Call
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.runs import audit, rows
from alfred.runs import ledger as runs_ledger
from alfred.runs.rows import Lease
from alfred.runs.workflow import StepContext
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import labels

log = structlog.get_logger()

TOGETHER = 8
"""How many pure calls run at once."""

PROMPT = clock.SECOND // 20
"""A look that took longer than a commit might is written at once: whoever watches sees it, and a crash does not repeat it."""

GRACE = 10.0
"""Seconds that an action has to end by itself when its run was cancelled or taken."""


class Effects:
    """What calls do to the world, and what is seen of it."""

    def __init__(self, store: Store, actions: Registry, around: Surroundings):
        self.store = store
        self.actions = actions
        self.around = around
        self._installation_key: bytes | None = None

    def look(
        self, ctx: StepContext, calls: Sequence[Call], *, may_wait: bool = False
    ) -> dict[str, Call]:
        """Pure calls, together; what they have come to, by their id. It is written in one transaction.

        Args:
            may_wait: What was seen promptly may ride on the next transaction of the step: see `StepContext.ahead`.
        """
        began = clock.monotonic()
        if len(calls) == 1:
            ended = [self._run(ctx, calls[0], None)]
        else:
            with concurrent.futures.ThreadPoolExecutor(min(TOGETHER, len(calls))) as pool:
                ended = list(pool.map(lambda call: self._run(ctx, call, None), calls))
        if ctx.slot.stopped.is_set() and any(end.status == "unknown" for end in ended):
            # It was cut off, it has not failed: whoever holds the run next looks again.
            raise errors.LeaseLost(f"Run {ctx.run.id} was stopped while it looked.")

        seen = [
            calls_ledger.seen(
                call,
                status="failed" if end.status == "unknown" else end.status,
                result=end.result,
                label=end.label,
                error=end.error,
            )
            for call, end in zip(calls, ended, strict=True)
        ]

        def write(tx: Tx) -> None:
            for call in seen:
                calls_ledger.looked(tx, ctx.lease, call)

        ctx.ahead.append(write)
        if not may_wait or clock.monotonic() - began > PROMPT:
            ctx.keep()
        return {call.id: call for call in seen}

    def execute(self, ctx: StepContext, call: Call, *, retry: str | None = None) -> None:
        """Intent, fence, effect, outcome.

        Args:
            retry: the card whose yes this is. It is used up with the intent: should nobody know again what became of
                it, a person is asked again.
        """
        key = self.key(ctx, call)
        content = call.run_args_hash or ""
        probe_first = (
            self.store.pg
            and ctx.lease.attempt > 1
            and call.intent_attempt is None
            and call.effect == Effect.CHECKABLE
        )

        def intend(tx: Tx) -> None:
            calls_ledger.intend(tx, ctx.lease, call, key=key, content=content)
            if retry is not None:
                approvals_ledger.used(tx, retry)

        ctx.keep(intend)
        if probe_first and self._already_there(ctx, call, key):
            # A server that failed over may have forgotten an intent whose effect was sent.
            return
        try:
            with self.store.read() as look:
                holds = rows.fence(look, ctx.lease) and not ctx.slot.stopped.is_set()
        except errors.StoreUnavailable:
            self._not_sent(ctx.lease, call)
            raise
        if not holds:
            self._not_sent(ctx.lease, call)
            raise errors.LeaseLost(f"Run {ctx.run.id} was taken before {call.action} was sent.")
        end = self._run(ctx, call, key)
        self.record(ctx.lease, call, end)

    def _not_sent(self, lease: Lease, call: Call) -> None:
        """The intent is taken back: nobody has to find out, or to ask a person, what became of it."""

        def write(tx: Tx) -> None:
            rows.lock(tx, call.run_id)
            calls_ledger.withdraw(tx, lease, call)

        with contextlib.suppress(errors.StoreUnavailable):  # then it is unknown, as after a crash
            self.store.record(write)

    def _already_there(self, ctx: StepContext, call: Call, key: str) -> bool:
        found = self.probe(ctx, call, key)
        if isinstance(found, Happened):
            self.record(ctx.lease, call, self.found(ctx, call, found))
            return True
        return False

    def found(self, ctx: StepContext, call: Call, what: Happened) -> Ended:
        """What a look has found that came of a call."""
        action = self.actions.for_run(ctx.run, call.action)
        label = (
            labelled.of_reading(action, call, self.around.context(ctx, call))
            if action
            else labels.WORST
        )
        return Ended("done", results.stored(what.result), label=label)

    def probe(self, ctx: StepContext, call: Call, key: str) -> Any:
        """What the action's own check says about the call; None when it has none or fails at it."""
        action = self.actions.for_run(ctx.run, call.action)
        if action is None or action.check is None:
            return None
        try:
            return invoke.invoke(
                action.check, action, call, key, self.around.context(ctx, call), all_of=True
            )
        except Exception:
            log.warning("check.failed", action=call.action, call=call.id, exc_info=True)
            return None

    def record(self, lease: Lease, call: Call, end: Ended) -> None:
        """What became of it, also when the run has gone on, was cancelled or is over."""

        def write(tx: Tx) -> None:
            rows.lock(tx, call.run_id)
            if end.status == "unknown":
                calls_ledger.unknown(tx, lease, call, error=end.error)
                return
            if calls_ledger.outcome(
                tx,
                lease,
                call,
                status=end.status,
                result=end.result,
                label=end.label,
                error=end.error,
            ):
                for write_along in end.along:
                    write_along(tx)
                approvals_ledger.known(tx, call.id)
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

        self.store.record(write)

    def _run(self, ctx: StepContext, call: Call, key: str | None) -> Ended:
        """Calls the function of the action in a thread that is its own meanwhile, within its time.

        Past its time, or soon after its run was stopped, the outcome is unknown; the thread may go on, and what it
        comes to is recorded by its intent, late.
        """
        action = self.actions.for_run(ctx.run, call.action)
        if action is None:
            why = f"There is no action {call.action!r} any more."
            return Ended("failed", None, why, labels.DERIVED)
        context = self.around.context(ctx, call)
        ctx.slot.extend(int((action.timeout_s + 30) * clock.SECOND))
        heard: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()
        late = threading.Event()

        def work() -> None:
            before = labelled.of_reading(action, call, context)
            end = invoke.attempt(action, call, key, context)
            after = labelled.of_reading(action, call, context)
            along = tuple(context.along) if end.status == "done" else ()
            end = Ended(end.status, end.result, end.error, labels.join(before, after), along)
            heard.put(end)
            if late.is_set() and key is not None:
                self.record(ctx.lease, call, end)

        threads.run(f"alfred-{action.id}", work)
        forget = ctx.slot.on_cancel(lambda: heard.put(None))
        why = f"did not end within {action.timeout_s:g} s"
        end = None
        with contextlib.suppress(queue.Empty):
            end = heard.get(timeout=action.timeout_s)
            if end is None:
                why = f"went on for {GRACE:g} s after its run was stopped"
                end = heard.get(timeout=GRACE)
        forget()
        if end is None:
            late.set()
            with contextlib.suppress(queue.Empty):  # it came to its end this very moment
                end = heard.get_nowait()
        return end or Ended("unknown", None, f"{action.id} {why}.")

    def key(self, ctx: StepContext, call: Call) -> str:
        """The effect key: the same over retries of one call, another for two equal calls, not to be guessed."""
        if self._installation_key is None:
            with self.store.read() as look:
                self._installation_key = sealed.installation_key(look)
        said = f"{ctx.run.tenant}|{call.run_id}|{call.turn}.{call.ordinal}|{call.action}|{canonical.text_digest(call.args)}"
        return hmac.new(self._installation_key, said.encode(), hashlib.sha256).hexdigest()
