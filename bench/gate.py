"""alfred: what the gate costs around one call: a look (pure), and an effect with its intent, outcome and audit trail."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from alfred import ids
from alfred.actions import Effect, Risk, action
from alfred.actions.dispatch import Dispatch
from alfred.actions.grant import Grant
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.config_schema import Settings
from alfred.runs import claims, execute, leases, ledger
from alfred.runs.execute import Runtime
from alfred.runs.rows import Caps, NewRun
from alfred.runs.workflow import Done, Next, Slot, StepContext, Verdict, Workflow
from alfred.store import connect, migrate
from bench.load import Load, main, quantile

CALLS = 300
"""Of each kind, one of each a step."""


@action("bench.look", integration="bench", risk=Risk.NONE, effect=Effect.PURE)
def look(n: int) -> int:
    """Looks.

    Args:
        n: At what.
    """
    return n


@action("bench.send", integration="bench", risk=Risk.NONE, effect=Effect.KEYED)
def send(n: int, *, key: str) -> int:
    """Sends.

    Args:
        n: What.
    """
    return n


def measure(url: str, _load: Load) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        store = connect.open_store(url)
        migrate.ensure_schema(store, backups=Path(scratch))
        registry = Registry()
        registry.register((look, send))
        settings = Settings.model_validate({"timezone": "UTC"})
        home = Path(scratch)
        around = Surroundings(
            home=lambda tenant: home,
            settings=lambda tenant: settings,
            secrets=lambda tenant, name: None,
        )
        gate = Dispatch(store, registry, around)
        spent: dict[str, list[float]] = {"bench.look": [], "bench.send": []}

        def step(ctx: StepContext) -> Verdict:
            for name, times in spent.items():
                began = time.perf_counter()
                ctx.call(name, {"n": ctx.run.turn})
                times.append(time.perf_counter() - began)
            return Next("step", {}) if len(spent["bench.look"]) < CALLS else Done(None)

        runtime = Runtime(
            store=store,
            workflows={"bench": Workflow("bench", "step", {"step": step})},
            gate=gate,
            redact=str,
        )
        _drive(store, runtime)
        store.close()
    return {
        f"{name}_{what}_ms": round(1e3 * quantile(times, q), 3)
        for name, times in (("look", spent["bench.look"]), ("effect", spent["bench.send"]))
        for what, q in (("p50", 0.5), ("p99", 0.99))
    }


def _drive(store: Any, runtime: Runtime) -> None:
    holder = leases.new_holder()
    new = NewRun(
        id=ids.new(),
        workflow="bench",
        step="step",
        grants=Grant(actions=frozenset({"bench.*"})).encode(),
    )
    store.transact(ledger.start, new)
    caps = Caps(total=9, per_agent=9)
    taken = store.transact(claims.claim, holder, lambda *_: caps, hint=new.id)
    lease, run = taken
    execute.drive(runtime, Slot(lease), run, lease_us=holder.lease_us, stopping=lambda: False)


if __name__ == "__main__":
    main(measure)
