"""Drives one run: run its current step, commit the verdict, go on until it parks, ends or is lost.

Invariant: nothing that a step returned is kept unless its commit went through; a commit that may or may not
have arrived is asked for by its token and never repeated blindly; a run whose lease is lost is dropped; one whose step
cannot be committed fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from alfred import clock, errors, ids
from alfred.runs import claims, endings, ledger, rows
from alfred.runs.commits import Committed
from alfred.runs.rows import Lease, Run, Step
from alfred.runs.states import Status
from alfred.runs.workflow import (
    STEP_TIMEOUT,
    Defer,
    Done,
    Fail,
    Gate,
    Leave,
    Next,
    Park,
    Slot,
    StepContext,
    Verdict,
    Workflow,
)
from alfred.store.connect import Store
from alfred.store.tx import Tx

log = structlog.get_logger()

T = TypeVar("T")

RECONNECT = clock.SECOND // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What driving needs, made once in `app`."""

    store: Store
    workflows: Mapping[str, Workflow]
    gate: Gate
    redact: Callable[[str], str]
    watch: Callable[[str, str, dict[str, Any]], None] = lambda run_id, kind, body: None


def drive(
    runtime: Runtime, slot: Slot, run: Run, *, lease_us: int, stopping: Callable[[], bool]
) -> None:
    """Executes steps of a claimed run until it leaves this process.

    Args:
        stopping: asked between steps; when true the run is handed back, as queued.
    """
    lease, began = slot.lease, clock.monotonic()
    try:
        _patiently(runtime, slot, lambda tx: runtime.gate.enter(tx, lease))
        there = None
        while True:
            if stopping():
                _patiently(runtime, slot, lambda tx: claims.release(tx, lease, why="shutdown"))
                return
            context = StepContext(
                store=runtime.store,
                run=run,
                lease=lease,
                slot=slot,
                gate=runtime.gate,
                watch=lambda kind, body: runtime.watch(lease.run_id, kind, body),
                began=began,
                there=there,
            )
            committed = _step(runtime, context, lease_us)
            if committed is None or committed.status is not Status.RUNNING:
                return
            slot.suspect = False
            # a turn that this very commit has begun has no calls, unless the step has written some with it
            begun = committed.after["turn"] > run.turn and not committed.earlier
            there = frozenset[int]() if begun and not context.writes else None
            run = run._replace(**committed.after)
    except errors.LeaseLost:
        if slot.why == "shutdown":
            # A model that was cut off for the shutdown: the lease is still ours to give back.
            runtime.store.transact(claims.release, lease, why="shutdown")
        # Somebody cancelled, stopped or took it. Only a cancel leaves something to do for its holder.
        runtime.store.transact(endings.honour_cancel, lease.run_id)
    except errors.StoreUnavailable:
        raise
    except Exception as problem:
        # Its lease is renewed for as long as this process lives: entered again it would come to the same, and be paid again.
        log.exception("run.crashed", run=lease.run_id)
        why = _failed(runtime, problem)
        _patiently(runtime, slot, lambda tx: _crashed(tx, lease, why))
    finally:
        slot.stop("done")


def _step(runtime: Runtime, context: StepContext, lease_us: int) -> Committed | None:
    slot, run = context.slot, context.run
    slot.deadline = clock.monotonic() + max(lease_us, STEP_TIMEOUT)
    token, started = ids.new(), clock.now()
    verdict = _body(runtime, context)
    if slot.stopped.is_set():
        if slot.why == "shutdown":
            runtime.store.transact(claims.release, slot.lease, why="shutdown")
            return None
        raise errors.LeaseLost(f"Run {run.id} was taken from this worker: {slot.why}.")
    if isinstance(verdict, Defer):
        delay = verdict.for_us
        _patiently(
            runtime, slot, lambda tx: claims.release(tx, slot.lease, delay_us=delay, why="deferred")
        )
        return None
    state = verdict.state if isinstance(verdict, Next | Park) else None
    step = Step(
        token=token,
        name=run.step,
        started=started,
        items=tuple(context.items),
        state=json.dumps(state, ensure_ascii=False) if state is not None else None,
        answers=context.answers,
        external=context.external,
        private=context.private,
        writes=(*(_whenever(write) for write in context.ahead), *context.writes),
    )
    return _patiently(
        runtime,
        slot,
        lambda tx: commit(tx, slot.lease, run, step, verdict, lease_us),
        alone=isinstance(verdict, Next) and not step.writes,
    )


def commit(
    tx: Tx, lease: Lease, run: Run, step: Step, verdict: Verdict, lease_us: int
) -> Committed:
    """The one place where a verdict becomes rows."""
    match verdict:
        case Next(to):
            return ledger.advance(tx, lease, run.seq, step, to=to, lease_us=lease_us)
        case Park(wait, for_us, to, children=children, hears=hears):
            return ledger.park(
                tx,
                lease,
                run.seq,
                step,
                to=to or run.step,
                wait=wait,
                for_us=for_us,
                children=children,
                hears=hears,
                lease_us=lease_us,
            )
        case Done(result):
            return ledger.finish(
                tx,
                lease,
                run.seq,
                step,
                again=run.step,
                status=Status.COMPLETED,
                result=result,
                lease_us=lease_us,
            )
        case Fail(code, detail, result):
            return ledger.finish(
                tx,
                lease,
                run.seq,
                step,
                again=run.step,
                status=Status.FAILED,
                result=result,
                error={"code": code, "detail": detail},
                lease_us=lease_us,
            )
    raise TypeError(f"{verdict!r} is no verdict of a committed step")


def _body(runtime: Runtime, context: StepContext) -> Verdict:
    run = context.run
    workflow = runtime.workflows.get(run.workflow)
    function = workflow.steps.get(run.step) if workflow else None
    if function is None:
        return Fail(
            "unknown_step", f"This program has no step {run.step!r} of a workflow {run.workflow!r}."
        )
    try:
        return function(context)
    except Leave as leave:
        return leave.verdict
    except errors.LeaseLost:
        raise
    except errors.StoreUnavailable:
        # The step did not get to its end; with the lease kept it is tried again, else another holder does.
        return Defer(RECONNECT)
    except Exception as problem:
        _drop_rows(context)
        if not isinstance(problem, errors.AlfredError):
            log.exception("step.crashed", run=run.id, step=run.step)
        return _failed(runtime, problem)


def _failed(runtime: Runtime, problem: Exception) -> Fail:
    if isinstance(problem, errors.AlfredError):
        told = " ".join(filter(None, (problem.detail, problem.next)))
        return Fail(problem.code, runtime.redact(told))
    return Fail("crash", runtime.redact(f"{type(problem).__name__}: {problem}")[:2000])


def _crashed(tx: Tx, lease: Lease, why: Fail) -> None:
    """The run fails, or ends as it was told to."""
    if rows.fence(tx, lease):
        endings.fail(tx, lease.run_id, code=why.code, detail=why.detail, attempt=lease.attempt)
    else:
        endings.honour_cancel(tx, lease.run_id)


def _whenever(write: Callable[[Tx], None]) -> Callable[[Tx, int], None]:
    return lambda tx, _seq: write(tx)


def _drop_rows(context: StepContext) -> None:
    context.items.clear()
    context.writes.clear()
    context.answers = 0


def _patiently(runtime: Runtime, slot: Slot, verb: Callable[[Tx], T], *, alone: bool = False) -> T:
    """Runs a verb; while the database is away it waits for it, as long as the lease can still be ours.

    Args:
        alone: The verb is one statement on Postgres, see `Store.transact_alone`.
    """
    until = clock.monotonic() + 30 * clock.SECOND
    transact = runtime.store.transact_alone if alone else runtime.store.transact
    while True:
        try:
            return transact(verb)
        except errors.StoreUnavailable:
            if clock.monotonic() > until or slot.stopped.is_set():
                raise errors.LeaseLost(
                    f"The database was away too long for run {slot.lease.run_id}."
                ) from None
        slot.stopped.wait(RECONNECT / clock.SECOND)
