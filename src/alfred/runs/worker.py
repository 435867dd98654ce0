"""A process that executes runs: it claims, drives each in a thread of its own, renews leases, and sweeps.

Invariants: a lease is renewed only while its slot lives and its step is within its deadline; a slot whose run
was cancelled, stopped or taken over is told within a second, so that its subprocesses die; on shutdown nothing
new is claimed, what runs is handed back, and what could not be handed back is found by the sweep.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from alfred import clock, errors
from alfred.runs import claims, execute, leases, sweep
from alfred.runs.dispatcher import Dispatcher
from alfred.runs.execute import Runtime
from alfred.runs.rows import Caps, Full, Holder, Lease, Run
from alfred.runs.sweep import Beat
from alfred.runs.workflow import Slot
from alfred.store import migrate
from alfred.store.statement import Sql
from alfred.store.tx import Tx

log = structlog.get_logger()

HAND_BACK = 5.0
"""Seconds that a step has to leave when its slot was told to hand the run back."""

_GOES_ON = "not exists(select 1 from switches s where s.tenant=runs.tenant and s.name='stop')"
_READY = Sql(
    "select 1 from runs where status='queued' and driver='worker' and cancel=0 and ready_at<=alfred_now()"
    f" and (:root='' or root_id=:root) and {_GOES_ON} limit 1"
)
_OPEN = Sql(
    "select 1 from runs where driver='worker' and status in('queued','running') and cancel=0"
    f" and {_GOES_ON} limit 1"
)


class Part(Protocol):
    """What works beside the runs for as long as the worker does."""

    def start(self) -> None:
        """Begins."""
        ...

    def stop(self) -> None:
        """Begins nothing more."""
        ...


class Worker:
    """Slots, a claim loop, a heartbeat and a sweep. `start`, `stop`; tests call `claim_once` and `heartbeat`."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        caps: Callable[[str, str], Caps],
        slots: int,
        dispatcher: Dispatcher,
        beats: Sequence[Beat] = (),
        kind: str = "worker",
        root: str | None = None,
        holder: Holder | None = None,
        lingers: Callable[[], bool] = lambda: False,
        beside: Sequence[Part] = (),
    ):
        """
        Args:
            slots: how many runs this process drives at once.
            beats: what is swept besides the core's own, in order.
            root: only runs of this tree are claimed: a command that stays with its run.
            lingers: whether something is to be done soon that needs a process, though no run does.
            beside: what is started and stopped with it.
        """
        self.runtime = runtime
        self.store = runtime.store
        self.caps = caps
        self.slots = slots
        self.dispatcher = dispatcher
        self.beats = tuple(beats)
        self.kind = kind
        self.root = root
        self.lingers = lingers
        self.beside = tuple(beside)
        self.holder = holder or leases.new_holder()
        self.trouble: errors.StoreUnavailable | None = None
        """Why the database could not be written just now; None again after the next heartbeat."""
        self._busy: dict[str, tuple[Slot, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        """Held from a claim until its slot is there, so that `_adopt` sees no run in between."""
        self._opened: migrate.Opened | None = None
        self._full_until = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    # ---- life ----

    def start(self) -> None:
        """Registers, takes back what dead processes of this machine held, and begins."""
        with self.store.read() as look:
            self._opened = migrate.Opened.now(look)
        self.store.transact(leases.register, self.holder, kind=self.kind, slots=self.slots)
        sweep.release_gone(self.store)
        for target, name in (
            (self._claim_loop, "claim"),
            (self._sweep_loop, "sweep"),
            (self._heartbeat_loop, "heartbeat"),
        ):
            thread = threading.Thread(target=target, name=f"alfred-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        for part in self.beside:
            part.start()

    def stop(self, *, grace: float = 10.0) -> None:
        """Claims nothing more, lets steps come to their commit for `grace` seconds, then hands the rest back."""
        self._stopping.set()
        self.dispatcher.notify()
        _join(self._busy_threads(), grace)
        for part in self.beside:
            part.stop()
        for slot in self._busy_slots():
            slot.stop("shutdown")
        _join(self._busy_threads(), HAND_BACK)
        # With a run in hand the last of them, the heartbeat, goes on: it would be waited for in vain.
        _join(self._threads[:-1] if self._busy_slots() else self._threads, 5)
        if held := self._busy_slots():
            # It stays known, so that whoever comes next sees that its process is gone, and waits for no lease.
            log.warning("worker.left_with", runs=[slot.lease.run_id for slot in held])
            return
        try:
            self.store.transact(leases.leave, self.holder.worker)
        except errors.StoreUnavailable:
            log.warning("worker.left_unheard", worker=self.holder.worker)

    def until_idle(self) -> None:
        """Returns when no run of a worker is queued or running; parked ones do not hold it."""
        while not self._stopping.is_set() and not self.idle():
            self._stopping.wait(0.1)

    def idle(self) -> bool:
        """Whether nothing is driven here, no run of a worker is queued or running, or everything was stopped, and nothing
        else is to be done soon."""
        if self._busy_slots():
            return False
        try:
            with self.store.read() as look:
                open_ = look(_OPEN).scalar() is not None
            return not open_ and not self.lingers()
        except errors.StoreUnavailable:
            return False  # nobody knows: it is looked at again when the database is back

    def busy(self) -> int:
        """How many runs are being driven right now."""
        with self._lock:
            return len(self._busy)

    # ---- claiming ----

    def begin(self, start: Callable[[Tx], str]) -> bool:
        """Claims a run in the transaction that starts it. False: it is not to be had, or a cap is full, and it stays queued.

        Args:
            start: The verb that starts it, or gives it something to go on with; its id.
        """

        def verb(tx: Tx) -> tuple[Lease, Run] | Full | None:
            return claims.claim(tx, self.holder, self.caps, hint=start(tx))

        with self._claiming:
            taken = self.store.transact(verb)
            if isinstance(taken, tuple):
                self._drive(*taken)
                return True
        return self._adopt() > 0

    def claim_once(self, hint: str | None = None) -> bool:
        """Claims and starts one run if one may be. Whether it did."""
        with self._lock:
            free = self.slots - len(self._busy)
            alone = not self._busy
            if free <= 0 or any(slot.suspect for slot, _ in self._busy.values()):
                return False
        full: list[str] = []
        while True:
            with self._claiming:
                taken = self.store.transact(
                    claims.claim,
                    self.holder,
                    self.caps,
                    hint=hint,
                    full=full,
                    suspects=alone,
                    root=self.root,
                )
                if isinstance(taken, tuple):
                    self._drive(*taken)
                    return True
            if isinstance(taken, Full):
                if not full:
                    with self.store.read() as look:
                        full = claims.full(look, self.caps)
                full.append(str(taken))
            elif hint is None:
                if full:  # nobody of this process will make room unheard: look again in a while, or at the bell
                    self._full_until = clock.monotonic() + clock.SECOND
                return False
            hint = None

    def _adopt(self) -> int:
        """Drives what this worker holds without knowing: the claim was committed and its answer was lost. How many."""
        adopted = 0
        with self._claiming:
            with self._lock:
                known = set(self._busy)
            with self.store.read() as look:
                held = [seen.id for seen in leases.held_by(look, self.holder.worker)]
                mine = [leases.adopted(look, self.holder, i) for i in held if i not in known]
            for found in mine:
                if found is not None and not self._stopping.is_set():
                    self._drive(*found)
                    adopted += 1
        return adopted

    def _drive(self, lease: Lease, run: Run) -> None:
        slot = Slot(lease, suspect=run.reclaims > 0)
        thread = threading.Thread(
            target=self._slot, args=(slot, run), name=f"alfred-run-{run.id[-6:]}", daemon=True
        )
        with self._lock:  # whoever sees the slot may join its thread, so it has begun by then
            self._busy[lease.run_id] = (slot, thread)
            thread.start()

    def _slot(self, slot: Slot, run: Run) -> None:
        try:
            execute.drive(
                self.runtime,
                slot,
                run,
                lease_us=self.holder.lease_us,
                stopping=self._stopping.is_set,
            )
        except errors.StoreUnavailable as problem:
            self.trouble = problem
            log.warning("slot.store_away", run=run.id, detail=problem.detail)
        except Exception:
            log.exception("slot.crashed", run=run.id)
        finally:
            with self._lock:
                self._busy.pop(run.id, None)
            self.dispatcher.notify()

    def _claim_loop(self) -> None:
        while not self._stopping.is_set():
            rung = self.dispatcher.wait()
            try:
                if not rung and (
                    clock.monotonic() < self._full_until or not self._anything_ready()
                ):
                    continue
                hint = self.dispatcher.hint()
                while not self._stopping.is_set() and self.claim_once(hint):
                    hint = self.dispatcher.hint()
            except errors.StoreUnavailable as problem:
                log.warning("claim.store_away", detail=problem.detail)
                self._stopping.wait(1)
            except errors.SchemaMismatch as problem:
                self.store.give_up(problem.detail.rstrip("."))
            except Exception:
                log.exception("claim.failed")
                self._stopping.wait(1)

    def _anything_ready(self) -> bool:
        with self._lock:
            if len(self._busy) >= self.slots:
                return False
        with self.store.read() as look:
            return look(_READY, root=self.root or "").scalar() is not None

    # ---- leases ----

    def heartbeat(self) -> None:
        """Renews the leases of the slots that live and are within their step's deadline.

        The process gives the ledger up when it is not the one that was opened any more: migrated for another program,
        moved, or put back to an earlier day.
        """
        try:
            with self.store.read() as look:
                if self._opened is not None:
                    self._opened.still(look)
        except (errors.SchemaMismatch, errors.ConfigError) as problem:
            self.store.give_up(problem.detail.rstrip("."))
        now = clock.monotonic()
        held = [
            (slot.lease.run_id, slot.lease.attempt)
            for slot, thread in self._pairs()
            if thread.is_alive() and now < slot.deadline
        ]
        if not self.store.transact(leases.renew, self.holder, held):
            self.store.transact(leases.register, self.holder, kind=self.kind, slots=self.slots)
        self._adopt()

    def watch(self) -> None:
        """Tells the slots whose run is no longer theirs to go on with."""
        pairs = self._pairs()
        if not pairs:
            return
        with self.store.read() as look:
            mine = leases.still_mine(look, self.holder.worker)
        for slot, _ in pairs:
            if (slot.lease.run_id, slot.lease.attempt) not in mine:
                slot.stop("lost")

    def _heartbeat_loop(self) -> None:
        due = clock.monotonic()
        every = min(leases.HEARTBEAT, self.holder.lease_us // 3)
        while not self._stopping.wait(min(1.0, every / clock.SECOND)) or self._busy_slots():
            try:
                if clock.monotonic() >= due:
                    self.heartbeat()
                    self.trouble = None
                    due = clock.monotonic() + every
                self.watch()
            except errors.StoreUnavailable as problem:
                self.trouble = problem
                log.warning("heartbeat.store_away", detail=problem.detail)
            except Exception:
                log.exception("heartbeat.failed")
            if self._stopping.is_set():
                self._stopping.wait(0.2)
                clock.sleep(0.2)

    def _sweep_loop(self) -> None:
        while not self._stopping.wait(sweep.INTERVAL):
            try:
                sweep.beat(self.store, free_slots=self.slots - self.busy(), others=self.beats)
            except Exception:
                log.exception("sweep.failed")

    def _pairs(self) -> list[tuple[Slot, threading.Thread]]:
        with self._lock:
            return list(self._busy.values())

    def _busy_slots(self) -> list[Slot]:
        return [slot for slot, _ in self._pairs()]

    def _busy_threads(self) -> list[threading.Thread]:
        return [thread for _, thread in self._pairs()]


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Waits for all of them, so long in all."""
    until = clock.monotonic() + int(seconds * clock.SECOND)
    for thread in threads:
        thread.join(max(0.0, (until - clock.monotonic()) / clock.SECOND))
