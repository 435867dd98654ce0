"""What a step may do and what it may say: workflows as named steps, verdicts as values.

A step is a plain function of a `StepContext`. It may run twice: whatever it does to the world goes through
`ctx.call`, whatever it wants to keep goes into its verdict and the context's lists, which are committed
together, once. Control flow is data: the runtime owns the loop.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from alfred import clock, errors
from alfred.runs import events, rows
from alfred.runs.rows import Item, Lease, Run
from alfred.runs.states import Wait
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import labels
from alfred.trust.labels import Label

STEP_TIMEOUT = 15 * clock.MINUTE
"""How long a step's lease is renewed unless it asks for more: a hung slot must lose its run."""


@dataclass(frozen=True, slots=True)
class Next:
    """Go on with another step. `state` None keeps what the run has."""

    step: str
    state: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Park:
    """Free everything and wait, at most `for_us`; then enter `step` (the same one when None).

    Attributes:
        children: Whose end a wait for children is for; all that live when none are named. It may be over before the last
            of them has ended: when all are that one call has started.
        hears: Whether it is over when there is a message: whoever waits in the middle of a turn reads none before its end.
    """

    wait: Wait
    for_us: int
    step: str | None = None
    state: dict[str, Any] | None = None
    children: Sequence[str] = ()
    hears: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """The run is complete."""

    result: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The run has failed; `result` is what there is of it all the same."""

    code: str
    detail: str
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Defer:
    """Queue the run again after `for_us`, without committing a step."""

    for_us: int


Verdict = Next | Park | Done | Fail | Defer


class Leave(errors.Parked):
    """Raised inside a step by a call that cannot go on now: the step is left with this verdict."""

    def __init__(self, verdict: Park | Defer):
        super().__init__(verdict)
        self.verdict = verdict


class Slot:
    """One run being driven in this process: its lease, its deadline, and how to stop it from outside."""

    def __init__(self, lease: Lease, *, suspect: bool = False):
        self.lease = lease
        self.suspect = suspect
        """Its last holder died, and it has committed no step since: it runs alone in its process, so that no neighbour is
        counted with it."""
        self.deadline = clock.monotonic() + STEP_TIMEOUT
        self.stopped = threading.Event()
        self.why: str | None = None
        self.carded: bool | None = None
        """Whether a person was ever asked about a call of the run: only its holder asks. None: nobody has looked."""
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def extend(self, us: int) -> None:
        """The step may take so much longer from now (microseconds)."""
        self.deadline = max(self.deadline, clock.monotonic() + us)

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back, from another thread, when the run is cancelled or lost. Returns the undo.

        At once when that has happened already.
        """
        with self._lock:
            if not self.stopped.is_set():
                self._callbacks.append(callback)
                return lambda: self._forget(callback)
        callback()
        return lambda: None

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def stop(self, why: str) -> None:
        """Ends whatever runs for this slot: subprocesses, model requests. Safe to call twice and from any thread."""
        with self._lock:
            if self.stopped.is_set():
                return
            self.why = why
            self.stopped.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Gate(Protocol):
    """What `actions.dispatch` is to a step: the one door to the world."""

    def enter(self, tx: Tx, lease: Lease) -> None:
        """A new holder has come: open intents of earlier attempts are unknown now."""
        ...

    def call(self, ctx: StepContext, ordinal: int, action: str, args: dict[str, Any]) -> Any:
        """One call of a step's body, by its place in it. Raises Leave when it must wait."""
        ...

    def calls(
        self, ctx: StepContext, first: int, wanted: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Any]:
        """Several calls at once, staged together."""
        ...


@dataclass(slots=True)
class StepContext:
    """Everything that a step sees. What it appends here is committed with its verdict, or not at all."""

    store: Store
    run: Run
    lease: Lease
    slot: Slot
    gate: Gate
    watch: Callable[[str, dict[str, Any]], None] = lambda kind, body: None
    """In-process watchers: called with what is streamed, before it is in the feed."""

    began: int = field(default_factory=clock.monotonic)
    """When this process took the run (monotonic): the run's time is `run.ran_us` and what passed since."""
    items: list[Item] = field(default_factory=list)
    writes: list[Callable[[Tx, int], None]] = field(default_factory=list)
    answers: int = 0
    external: bool = False
    """Text from outside has joined the context in this step."""
    private: bool = False
    """Something private has."""
    ahead: list[Callable[[Tx], None]] = field(default_factory=list)
    """What the gate has decided and seen and not written yet, because losing it would cost nothing but looking again. It
    rides on the next transaction of this holder, at the latest on the commit of the step."""
    there: frozenset[int] | None = None
    """The places of the calls that the turn had when this step came to its first one; None: not known yet."""
    _ordinal: int = 0

    @property
    def state(self) -> dict[str, Any]:
        """The small state that the step before handed on."""
        return json.loads(self.run.state) if self.run.state else {}

    @property
    def label(self) -> Label:
        """The label of the context now: what is said and done from here on carries it."""
        return labels.of_context(
            external=self.external or bool(self.run.external),
            private=self.private or bool(self.run.private),
        )

    def joins(self, label: Label) -> None:
        """Something with this label has joined the context. It only gets worse."""
        self.external = self.external or label.external
        self.private = self.private or label.private

    def call(self, action: str, args: Mapping[str, Any] | None = None) -> Any:
        """Acts, through the gate. The n-th call of a step's body is the same call when the body runs again.

        Raises:
            Leave: a person decides first; the step is entered again afterwards.
            CallRefused: the gate said no.
            CallFailed: it was tried and failed.
        """
        self._ordinal += 1
        return self.gate.call(self, self._ordinal - 1, action, dict(args or {}))

    def calls(self, wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Any]:
        """Several calls, staged together so that a person sees them as one group."""
        first = self._ordinal
        self._ordinal += len(wanted)
        return self.gate.calls(self, first, [(action, dict(args)) for action, args in wanted])

    def keep(self, *writes: Callable[[Tx], None]) -> None:
        """One transaction of the run's holder: what waited for one, then these.

        Raises:
            LeaseLost: the run is not ours any more, or is being cancelled.
        """
        together = (*self.ahead, *writes)
        if not together:
            return

        def write(tx: Tx) -> None:
            rows.hold(tx, self.lease)
            for one in together:
                one(tx)

        self.store.transact(write)
        self.ahead.clear()

    def emit(self, kind: str, **body: Any) -> None:
        """Progress for whoever watches; in the feed at once, whether or not the step commits."""
        self.watch(kind, body)
        self.feed(kind, **body)

    def feed(self, kind: str, **body: Any) -> None:
        """Into the feed alone, for watchers elsewhere."""
        self.store.transact(
            lambda tx: events.emit(
                tx, tenant=self.run.tenant, run_id=self.run.id, kind=kind, **body
            )
        )

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Slot.on_cancel`: a step that starts a subprocess registers its killer here."""
        return self.slot.on_cancel(callback)


StepFunction = Callable[[StepContext], Verdict]


@dataclass(frozen=True, slots=True)
class Workflow:
    """Named steps. `first` is where a run of it starts."""

    name: str
    first: str
    steps: Mapping[str, StepFunction]
