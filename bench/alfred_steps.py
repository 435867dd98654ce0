"""alfred: runs as rows, driven by one worker process with everything on (leases, heartbeat, sweep, feed)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from alfred import ids
from alfred.runs import dispatcher, execute, ledger, procrastinate, worker
from alfred.runs.rows import Caps, Item, NewRun
from alfred.runs.states import Wait
from alfred.runs.workflow import Done, Next, Park, StepContext, Verdict, Workflow
from alfred.store import connect, migrate
from alfred.store.statement import Sql
from bench.load import Load, main, milliseconds


class NoCalls:
    """A gate for steps that call nothing."""

    def enter(self, tx: Any, lease: Any) -> None:
        """Nothing was intended."""

    def call(self, ctx: StepContext, ordinal: int, action: str, args: dict[str, Any]) -> Any:
        raise AssertionError("a step of the benchmark calls nothing")

    def calls(self, ctx: StepContext, first: int, wanted: Any) -> list[Any]:
        raise AssertionError("a step of the benchmark calls nothing")


class Bench:
    def __init__(self, url: str, load: Load):
        self.load = load
        self.store = connect.open_store(url)
        migrate.ensure_schema(
            self.store,
            backups=Path("backups"),
            extras=procrastinate.install if self.store.pg else None,
        )
        self.bell = dispatcher.Dispatcher(poll=1.0 if self.store.pg else 0.1)
        self.store.delivered = self.bell.notify
        self.queue = None
        if self.store.pg:
            self.queue = procrastinate.PostgresDelivery(url, self.bell)
            self.store.deliver = self.queue.deliver
            self.queue.start()
        self.marks: list[float] = []
        self.done: list[str] = []
        """Runs that came to their last step: before all have, the ledger is not asked, which would slow it down."""
        self.woken: dict[str, float] = {}
        steps = {"step": self.step, "park": self.park, "woken": self.wake}
        runtime = execute.Runtime(
            store=self.store,
            workflows={"bench": Workflow("bench", "step", steps)},
            gate=NoCalls(),
            redact=str,
        )
        self.worker = worker.Worker(
            runtime,
            caps=lambda tenant, agent: Caps(total=8, per_agent=8),
            slots=8,
            dispatcher=self.bell,
        )

    def step(self, ctx: StepContext) -> Verdict:
        self.marks.append(time.perf_counter())
        ctx.items.append(Item(kind="note", item={"kind": "note", "text": self.load.text}))
        n = ctx.state.get("n", 0) + 1
        if n < self.load.steps:
            return Next("step", {"n": n})
        self.done.append(ctx.run.id)
        return Done()

    def park(self, ctx: StepContext) -> Verdict:
        return Park(Wait.EVENT, 3_600_000_000, "woken")

    def wake(self, ctx: StepContext) -> Verdict:
        self.woken[ctx.run.id] = time.perf_counter()
        return Done()

    def new(self, step: str = "step") -> NewRun:
        return NewRun(id=ids.new(), workflow="bench", step=step)

    def until(self, done: Any) -> None:
        while not done():
            time.sleep(0.005)

    def ended(self) -> int:
        with self.store.read() as look:
            return look(Sql("select count(*) from runs where status='completed'")).scalar_one()

    def throughput(self) -> dict[str, float]:
        for _ in range(self.load.runs):
            self.store.transact(ledger.start, self.new())
        started = time.perf_counter()
        self.worker.start()
        self.until(lambda: len(self.done) >= self.load.runs and self.ended() >= self.load.runs)
        return {
            "steps_s": round(self.load.runs * self.load.steps / (time.perf_counter() - started), 1)
        }

    def lone(self) -> dict[str, float]:
        """Step to step of a single run, beside the body."""
        before = self.ended()
        self.marks.clear()
        self.store.transact(ledger.start, self.new())
        self.until(lambda: self.ended() > before)
        return milliseconds([b - a for a, b in zip(self.marks, self.marks[1:], strict=False)])

    def wakes(self) -> dict[str, float]:
        """From the commit of a wake to the first step, with many parked runs."""
        parked = [self.new("park") for _ in range(self.load.parked)]

        def plant(tx: connect.Tx, some: list[NewRun]) -> None:
            for one in some:
                ledger.start(tx, one)
                tx(
                    Sql(
                        "update runs set status='parked',wait='event',wake_at=alfred_now()+3600000000,step='woken' where id=:id"
                    ),
                    id=one.id,
                )
            tx.wakes.clear()

        for first in range(0, len(parked), 500):
            self.store.transact(plant, parked[first : first + 500])
        waits = []
        for one in parked[:: max(1, len(parked) // self.load.wakes)]:
            self.store.transact(ledger.wake, one.id, (Wait.EVENT,))
            told = time.perf_counter()
            self.until(lambda one=one: one.id in self.woken)
            waits.append(self.woken[one.id] - told)
            time.sleep(0.01)
        return milliseconds(waits)

    def close(self) -> None:
        self.worker.stop(grace=1)
        if self.queue:
            self.queue.stop()
        self.store.close()


def measure(url: str, load: Load) -> dict[str, float]:
    bench = Bench(url, load)
    try:
        told = bench.throughput()
        told |= {f"step_{k}": v for k, v in bench.lone().items()}
        told |= {f"wake_{k}": v for k, v in bench.wakes().items()}
        return told
    finally:
        bench.close()


if __name__ == "__main__":
    main(measure)
