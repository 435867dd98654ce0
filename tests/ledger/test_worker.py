"""A worker as a process has it: threads, bell, slots, heartbeat. And driving one run, verdict by verdict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from alfred import clock, errors, ids
from alfred.runs import claims, endings, execute, leases, ledger, stop, sweep
from alfred.runs import worker as worker_module
from alfred.runs.dispatcher import Dispatcher
from alfred.runs.execute import Runtime
from alfred.runs.rows import Caps, Lease, NewRun
from alfred.runs.states import Wait
from alfred.runs.worker import Worker
from alfred.runs.workflow import Defer, Done, Fail, Next, Park, Slot, StepContext, Verdict, Workflow
from alfred.store import sqlite
from alfred.store.tx import Tx
from tests.ledger.core import LEASE, Core, roomy


class NoGate:
    """These steps do nothing to the world."""

    def enter(self, tx: Tx, lease: Lease) -> None: ...

    def call(self, ctx: StepContext, ordinal: int, action: str, args: dict[str, Any]) -> Any: ...

    def calls(self, ctx: StepContext, first: int, wanted: Any) -> list[Any]: ...


def runtime(core: Core, **steps: Callable[[StepContext], Verdict]) -> Runtime:
    return Runtime(
        store=core.store,
        workflows={"w": Workflow("w", "first", steps)},
        gate=NoGate(),
        redact=lambda said: said.replace("sesame", "***"),
    )


def drive(
    core: Core, lease: Lease, stopping: Callable[[], bool] = lambda: False, **steps: Any
) -> Slot:
    slot = Slot(lease)
    execute.drive(
        runtime(core, **steps), slot, core.run(lease.run_id), lease_us=LEASE, stopping=stopping
    )
    return slot


@contextmanager
def working(core: Core, slots: int = 4, **steps: Any) -> Iterator[Worker]:
    dispatcher = Dispatcher(poll=0.02)
    core.store.delivered = dispatcher.notify
    worker = Worker(runtime(core, **steps), caps=roomy, slots=slots, dispatcher=dispatcher)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(grace=10)


# ---- one run ----


def test_steps_follow_each_other_to_the_end(core: Core) -> None:
    lease = core.held()
    slot = drive(
        core,
        lease,
        first=lambda ctx: Next("second", {"n": 1}),
        second=lambda ctx: Done(str(ctx.state["n"])),
    )
    run = core.run(lease.run_id)
    assert (run.status, run.result, run.seq) == ("completed", "1", 2)
    assert slot.stopped.is_set()


def test_a_park_leaves_the_process_and_names_where_to_go_on(core: Core) -> None:
    lease = core.held()
    drive(core, lease, first=lambda ctx: Park(Wait.TIMER, clock.HOUR, "later"))
    assert (core.run(lease.run_id).status, core.run(lease.run_id).step) == ("parked", "later")


def test_a_deferred_step_commits_nothing_and_comes_back(core: Core) -> None:
    lease = core.held()

    def first(ctx: StepContext) -> Verdict:
        ctx.writes.append(lambda tx, seq: pytest.fail("it was committed"))
        return Defer(clock.HOUR)

    drive(core, lease, first=first)
    run = core.run(lease.run_id)
    assert (run.status, run.seq, run.reclaims) == ("queued", 0, 0)
    assert core.claim(lease.run_id) is None, "it is not due yet"


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (errors.NotDeterministic("x sesame", next="Start anew."), "nondeterministic_step"),
        (ValueError("open sesame"), "crash"),
    ],
)
def test_a_step_that_raises_fails_its_run_says_why_and_keeps_nothing(
    core: Core, trouble: Exception, code: str
) -> None:
    lease = core.held()

    def first(ctx: StepContext) -> Verdict:
        ctx.writes.append(lambda tx, seq: pytest.fail("it was committed"))
        ctx.answers = 1
        raise trouble

    drive(core, lease, first=first)
    run = core.run(lease.run_id)
    assert run.status == "failed" and f'"{code}"' in (run.error or "")
    assert "sesame" not in (run.error or "") and run.answers == 0
    assert ("Start anew." in (run.error or "")) == isinstance(trouble, errors.AlfredError)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(errors.NotDeterministic("x sesame"), "nondeterministic_step"), (KeyError("sesame"), "crash")],
)
def test_a_step_that_cannot_be_committed_fails_its_run_and_is_not_entered_for_ever(
    core: Core, trouble: Exception, code: str
) -> None:
    entered = []

    def first(ctx: StepContext) -> Verdict:
        def write(tx: Tx, seq: int) -> None:
            raise trouble

        entered.append(ctx.lease.attempt)
        ctx.writes.append(write)
        return Next("first")

    run_id = core.start()
    with working(core, first=first) as worker:
        worker.stop()  # its loops: only what this test calls happens
        worker._stopping.clear()
        for beat in range(3):  # the first finds a claim, the others what was left of it
            if beat == 0:
                core.do(claims.claim, worker.holder, roomy, hint=run_id)
            worker.heartbeat()
            for _, thread in worker._pairs():
                thread.join(10)
    run = core.run(run_id)
    assert (entered, run.status, run.seq) == ([1], "failed", 0)
    assert f'"{code}"' in (run.error or "") and "sesame" not in (run.error or "")


def test_a_run_that_is_being_cancelled_ends_so_though_it_cannot_be_entered(core: Core) -> None:
    class Broken(NoGate):
        def enter(self, tx: Tx, lease: Lease) -> None:
            raise KeyError(lease.run_id)

    lease = core.held()
    core.cancel(lease.run_id)
    broken = replace(runtime(core), gate=Broken())
    execute.drive(
        broken, Slot(lease), core.run(lease.run_id), lease_us=LEASE, stopping=lambda: False
    )
    assert core.run(lease.run_id).status == "cancelled"


def test_a_store_that_is_away_during_a_step_fails_nothing(core: Core) -> None:
    lease = core.held()

    def first(ctx: StepContext) -> Verdict:
        raise errors.StoreUnavailable("away")

    drive(core, lease, first=first)
    assert core.run(lease.run_id).status == "queued"


def test_a_step_nobody_knows_fails_its_run(core: Core) -> None:
    lease = core.held(step="elsewhere")
    drive(core, lease, first=lambda ctx: Done())
    assert '"unknown_step"' in (core.run(lease.run_id).error or "")


def test_what_a_step_returned_after_its_run_was_cancelled_is_dropped(core: Core) -> None:
    lease = core.held()

    def first(ctx: StepContext) -> Verdict:
        core.cancel(lease.run_id)
        return Done("too late")

    drive(core, lease, first=first)
    run = core.run(lease.run_id)
    assert (run.status, run.result, run.seq) == ("cancelled", None, 0)


def test_what_a_step_returned_after_its_slot_was_stopped_is_dropped(core: Core) -> None:
    lease = core.held()
    slots: list[Slot] = []

    def first(ctx: StepContext) -> Verdict:
        slots.append(ctx.slot)
        ctx.slot.stop("lost")
        return Done("too late")

    drive(core, lease, first=first)
    assert core.run(lease.run_id).seq == 0 and slots[0].why == "lost"


def test_a_shutdown_hands_the_run_back_between_two_steps(core: Core) -> None:
    lease = core.held()
    asked: list[int] = []

    def stopping() -> bool:
        asked.append(core.run(lease.run_id).seq)
        return asked[-1] == 1

    drive(core, lease, stopping, first=lambda ctx: Next("second"), second=lambda ctx: Done())
    run = core.run(lease.run_id)
    assert (run.status, run.seq, run.reclaims) == ("queued", 1, 0)


def test_a_commit_whose_answer_was_lost_is_not_repeated(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit arrived, the line broke before the answer: the token says so, and the step is there once."""
    lease = core.held()
    real = Tx.commit
    cut = threading.Event()

    def commit(tx: Tx) -> None:
        real(tx)
        if wanted.is_set() and not cut.is_set():
            cut.set()
            raise tx.trouble(_cut(core), "commit")

    wanted = threading.Event()
    monkeypatch.setattr(Tx, "commit", commit)
    bodies: list[int] = []

    def first(ctx: StepContext) -> Verdict:
        bodies.append(1)
        wanted.set()
        return Next("second")

    drive(core, lease, first=first, second=lambda ctx: Done("fine"))
    assert cut.is_set() and bodies == [1]
    run = core.run(lease.run_id)
    assert (run.status, run.result, run.seq) == ("completed", "fine", 2)


def _cut(core: Core) -> Exception:
    if core.store.pg:
        import psycopg

        return psycopg.OperationalError("server closed the connection unexpectedly")
    problem = sqlite.driver().OperationalError("database is locked")
    problem.sqlite_errorname = "SQLITE_BUSY"
    return problem


# ---- many runs ----


def test_a_worker_drives_everything_that_is_queued(core: Core) -> None:
    runs = [core.start() for _ in range(12)]
    with working(core, first=lambda ctx: Next("second"), second=lambda ctx: Done("ok")) as worker:
        worker.until_idle()
    assert {core.run(r).status for r in runs} == {"completed"}
    assert core.one("select count(*) from workers") == 0


def test_wakes_that_are_lost_delay_and_lose_nothing(core: Core) -> None:
    with working(core, first=lambda ctx: Done("ok")) as worker:
        core.store.delivered = lambda runs: None
        runs = [core.start() for _ in range(5)]
        worker.until_idle()
    assert {core.run(r).status for r in runs} == {"completed"}


def test_wakes_that_come_ten_times_run_nothing_twice(core: Core) -> None:
    bodies: list[str] = []

    def first(ctx: StepContext) -> Verdict:
        bodies.append(ctx.run.id)
        return Done("ok")

    with working(core, first=first) as worker:
        bell = worker.dispatcher.notify

        def ten_times(runs: list[str]) -> None:
            for _ in range(10):
                bell(runs)

        core.store.delivered = ten_times
        runs = [core.start() for _ in range(5)]
        worker.until_idle()
    assert sorted(bodies) == sorted(runs)


def test_no_more_runs_than_slots_at_once(core: Core) -> None:
    now, most, lock = [0], [0], threading.Lock()
    both = threading.Barrier(2, timeout=20)

    def first(ctx: StepContext) -> Verdict:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait()
        with lock:
            now[0] -= 1
        return Done()

    for _ in range(6):
        core.start()
    with working(core, slots=2, first=first) as worker:
        worker.until_idle()
    assert most == [2]


def test_a_cancel_reaches_what_runs_for_the_slot(core: Core) -> None:
    begun, killed = threading.Event(), threading.Event()

    def first(ctx: StepContext) -> Verdict:
        ctx.on_cancel(killed.set)
        begun.set()
        killed.wait(30)
        return Done("too late")

    run_id = core.start()
    with working(core, first=first) as worker:
        assert begun.wait(20)
        core.cancel(run_id)
        worker.watch()
        assert killed.is_set()
    assert core.run(run_id).status == "cancelled"


def test_a_shutdown_hands_back_what_does_not_end(core: Core) -> None:
    begun, told = threading.Event(), threading.Event()

    def first(ctx: StepContext) -> Verdict:
        ctx.on_cancel(told.set)
        begun.set()
        told.wait(30)
        return Done("half")

    run_id = core.start()
    worker = Worker(
        runtime(core, first=first), caps=roomy, slots=1, dispatcher=Dispatcher(poll=0.02)
    )
    worker.start()
    assert begun.wait(20)
    worker.stop(grace=0.05)
    run = core.run(run_id)
    assert (run.status, run.seq, run.reclaims) == ("queued", 0, 0)


def test_a_dead_slot_is_not_renewed(core: Core) -> None:
    lease = core.held()
    worker = Worker(runtime(core), caps=roomy, slots=1, dispatcher=Dispatcher(), holder=core.me)
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    worker._busy[lease.run_id] = (Slot(lease), ended)
    core.lapse(lease.run_id)
    worker.heartbeat()
    assert core.run(lease.run_id).lease_until == 1


def test_a_slot_past_its_steps_deadline_is_not_renewed(core: Core) -> None:
    lease = core.held()
    worker = Worker(runtime(core), caps=roomy, slots=1, dispatcher=Dispatcher(), holder=core.me)
    slot = Slot(lease)
    worker._busy[lease.run_id] = (slot, threading.current_thread())
    core.lapse(lease.run_id)
    slot.deadline = clock.monotonic() - 1
    worker.heartbeat()
    assert core.run(lease.run_id).lease_until == 1
    slot.extend(clock.MINUTE)
    worker.heartbeat()
    assert (core.run(lease.run_id).lease_until or 0) > 1


def test_who_meets_what_is_full_asks_once_more_however_much_is_full(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    for agent in "abcdef":
        core.held(agent=agent)
        core.start(agent=agent)
    free, asked = core.start(agent="z"), []

    def claim(*args: Any, full: list[str], **more: Any) -> Any:
        asked.append(list(full))
        return real(*args, full=full, **more)

    real = claims.claim
    monkeypatch.setattr(claims, "claim", claim)
    worker = Worker(
        runtime(core, first=lambda ctx: Done()),
        caps=lambda t, a: Caps(total=99, per_agent=1),
        slots=4,
        dispatcher=Dispatcher(),
    )
    assert worker.claim_once()
    for thread in worker._busy_threads():
        thread.join(20)
    assert core.run(free).status == "completed"
    assert len(asked) == 2


def test_a_suspect_runs_alone_in_its_process_until_a_step_of_it_is_committed(core: Core) -> None:
    suspect, neighbour = core.start(), core.start()
    core.write("update runs set reclaims=1 where id=:r", r=suspect)
    go, on, end = threading.Event(), threading.Event(), threading.Event()

    def first(ctx: StepContext) -> Verdict:
        go.wait(20)
        return Next("second") if ctx.run.id == suspect else Done()

    def second(ctx: StepContext) -> Verdict:
        on.set()
        end.wait(20)
        return Done()

    run = runtime(core, first=first, second=second)
    worker = Worker(run, caps=roomy, slots=4, dispatcher=Dispatcher())
    assert worker.claim_once(suspect)
    assert not worker.claim_once(neighbour), "an innocent neighbour would be counted with it"
    go.set()
    assert on.wait(20)
    assert worker.claim_once(neighbour), "a run that goes on holds nobody up"
    end.set()
    for thread in worker._busy_threads():
        thread.join(20)
    assert [core.run(id).status for id in (suspect, neighbour)] == ["completed"] * 2


def test_beginning_a_run_claims_it_in_one_transaction(core: Core) -> None:
    with working(core, first=lambda ctx: Done("ok")) as worker:
        new = NewRun(id=ids.new(), workflow="w", step="first")
        assert worker.begin(lambda tx: new.id if ledger.start(tx, new) else "")
        worker.until_idle()
    assert core.events(new.id)[:2] == ["run.queued", "run.started"]
    assert core.run(new.id).attempt == 1


def test_at_its_start_a_worker_takes_back_what_the_dead_of_this_machine_held(core: Core) -> None:
    core.do(leases.register, core.me, kind="worker", slots=1)
    lease = core.held()
    core.write("update workers set boot='another',beat=1")
    with working(core, first=lambda ctx: Done("ok")) as worker:
        worker.until_idle()
    run = core.run(lease.run_id)
    assert (run.status, run.attempt) == ("completed", 2)


def test_failing_is_a_verdict_too(core: Core) -> None:
    lease = core.held()
    drive(core, lease, first=lambda ctx: Fail("c", "d", "half"))
    run = core.run(lease.run_id)
    assert (run.status, run.result, run.error) == ("failed", "half", '{"code": "c", "detail": "d"}')
    assert not core.do(endings.honour_cancel, lease.run_id)
    sweep.beat(core.store)


def test_a_worker_that_ends_while_a_slot_begins_waits_for_its_thread(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins, go = threading.Event(), threading.Event()

    class Hesitant(threading.Thread):
        def start(self) -> None:
            if self.name.startswith("alfred-run-"):
                begins.set()
                go.wait(10)
            super().start()

    monkeypatch.setattr("alfred.runs.worker.threading.Thread", Hesitant)
    core.start()
    with working(core, first=lambda ctx: Done("done")) as worker:
        assert begins.wait(10)
        ender = threading.Thread(target=worker.stop)
        failed: list[object] = []
        monkeypatch.setattr(threading, "excepthook", failed.append)
        ender.start()
        ender.join(0.2)  # it has the time to look at the slots
        go.set()
        ender.join(10)
    assert not failed and not ender.is_alive()


def test_a_heartbeat_makes_a_forgotten_worker_known_again(core: Core) -> None:
    with working(core, first=lambda ctx: Done()) as worker:
        core.write("delete from workers")
        worker.heartbeat()
        assert core.one("select count(*) from workers") == 1


def test_a_claim_whose_answer_was_lost_is_driven_all_the_same(core: Core) -> None:
    with working(core, first=lambda ctx: Done("ok")) as worker:
        worker.stop()  # its loops: only what this test calls happens
        worker._stopping.clear()
        run_id = core.start()
        core.do(claims.claim, worker.holder, roomy, hint=run_id)
        worker.heartbeat()
        for _, thread in worker._pairs():
            thread.join(10)
    assert (core.run(run_id).status, core.run(run_id).attempt) == ("completed", 1)


@pytest.mark.parametrize(
    "change",
    [
        "update meta set v='another' where k='feed_epoch'",
        "update meta set v='9999' where k='schema'",
        "insert into meta(k,v) values('moved','elsewhere')",
    ],
)
def test_a_worker_gives_up_a_ledger_that_is_another_one_by_now(core: Core, change: str) -> None:
    with working(core, first=lambda ctx: Done()) as worker:
        core.write(change)
        with pytest.raises(errors.StoreUnavailable):
            worker.heartbeat()
    assert core.store.broken


def test_one_tenant_that_is_stopped_ends_no_worker_of_the_others(core: Core) -> None:
    dispatcher = Dispatcher()
    worker = Worker(runtime(core), caps=roomy, slots=1, dispatcher=dispatcher)
    core.do(stop.switch, "acme", by="me")
    core.start(tenant="acme")
    assert worker.idle()
    core.start()
    assert not worker.idle()


def test_a_worker_that_leaves_with_a_run_in_hand_stays_known(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "HAND_BACK", 0.05)
    begun, go = threading.Event(), threading.Event()

    def first(ctx: StepContext) -> Verdict:
        begun.set()
        go.wait(30)
        return Done()

    core.start()
    with working(core, first=first) as worker:
        assert begun.wait(20)
        worker.stop(grace=0)
        assert core.one("select count(*) from workers") == 1
        go.set()


def test_a_worker_is_not_idle_while_something_else_needs_a_process_soon(core: Core) -> None:
    due = [True, False]
    worker = Worker(
        runtime(core),
        caps=roomy,
        slots=1,
        dispatcher=Dispatcher(),
        holder=core.me,
        lingers=lambda: due.pop(0),
    )
    assert not worker.idle()
    assert worker.idle()
