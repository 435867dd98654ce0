"""alfred: what a turn of a conversation costs beside its model: from a message that is brought to its answer in the ledger.

The model answers at once, so all that is left is alfred: the message is delivered and its run claimed in one transaction, the
turns before it are read and the prompt is made of them, money is reserved and settled, the answer is committed. A turn reads
its whole conversation, so it is not flat: the first and the last turns of a long one are told apart.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from alfred import ids
from alfred.actions.dispatch import Dispatch
from alfred.actions.grant import Grant
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.agents.metered import Meter
from alfred.agents.registry import AgentRegistry
from alfred.agents.turn import Turns
from alfred.config_schema import Settings
from alfred.llm.contract import ModelAnswer, ModelRequest, Usage
from alfred.runs import claims, execute, leases, sessions
from alfred.runs.execute import Runtime
from alfred.runs.rows import Caps, Lease, NewRun, Run
from alfred.runs.workflow import Slot
from alfred.store import connect, migrate
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.workflows import agent
from bench.load import Load, main, quantile

TURNS = 200
EDGE = 50
"""So many of the first, and of the last, are told by themselves."""

SAID = "What is left to do, and what comes first? " * 5
ANSWER = "First the parser, then its tests, then the release notes. " * 10


def measure(url: str, _load: Load) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        store = connect.open_store(url)
        migrate.ensure_schema(store, backups=Path(scratch))
        runtime = _runtime(store, Path(scratch))
        holder = leases.new_holder()
        store.transact(leases.register, holder, kind="worker", slots=1)
        store.transact(sessions.begin, id="bench", tenant="main", agent="main")
        spent = []
        for _ in range(TURNS):
            new = NewRun(
                id=ids.new(),
                workflow="agent",
                step="boss-turn",
                brief=SAID,
                model="scripted:/none",
                grants=Grant(actions=frozenset()).encode(),
            )

            def begin(tx: Tx, new: NewRun = new) -> tuple[Lease, Run]:
                run = sessions.deliver(tx, "bench", new, author="bench")
                taken = claims.claim(tx, holder, _caps, hint=run.id)
                assert isinstance(taken, tuple)
                return taken

            started = time.perf_counter()
            lease, run = store.transact(begin)
            execute.drive(runtime, Slot(lease), run, lease_us=60_000_000, stopping=lambda: False)
            spent.append(time.perf_counter() - started)
        bare = [_bare(store) for _ in range(TURNS)]
        with store.read() as look:
            turns = sessions.turns(look, "bench")
        assert len(turns) == TURNS
        store.close()
    return {
        "first_p50_ms": round(quantile(spent[:EDGE], 0.5) * 1e3, 2),
        "last_p50_ms": round(quantile(spent[-EDGE:], 0.5) * 1e3, 2),
        "commit_p50_ms": round(quantile(bare, 0.5) * 1e3, 2),
        "last_p99_ms": round(quantile(spent[-EDGE:], 0.99) * 1e3, 2),
    }


def _bare(store: Store) -> float:
    """Seconds of a commit that writes one small row: a turn is five commits, and a disk is as fast as it is."""
    started = time.perf_counter()
    store.transact(lambda tx: sessions.begin(tx, id=ids.new(), tenant="main", agent="main"))
    return time.perf_counter() - started


def _runtime(store: Store, home: Path) -> Runtime:
    settings = Settings.model_validate({"timezone": "UTC", "budget": {"per_day_tokens": None}})
    registry = Registry()
    gate = Dispatch(
        store,
        registry,
        Surroundings(
            home=lambda tenant: home,
            settings=lambda tenant: settings,
            secrets=lambda tenant, name: None,
        ),
    )
    agents = AgentRegistry.from_settings(settings)
    meter = Meter(settings=lambda tenant: settings, secrets=lambda tenant, name: None, ask=_answer)
    turns = Turns(
        gate=gate,
        actions=registry,
        meter=meter,
        settings=lambda tenant: settings,
        agent=lambda tenant, name: agents.effective(name),
        home=lambda tenant: home,
        cheap=lambda tenant, boss: "scripted:/cheap",
    )
    return Runtime(
        store=store,
        workflows={"agent": agent.workflow(turns)},
        gate=gate,
        redact=lambda said: said,
    )


def _answer(request: ModelRequest, **_: Any) -> ModelAnswer:
    usage = Usage(input_tokens=100, output_tokens=100, cost_usd=None, model_served="bench")
    return ModelAnswer(text=ANSWER, calls=(), native=None, usage=usage, finish="stop")


def _caps(_tenant: str, _agent: str) -> Caps:
    return Caps(total=10, per_agent=10)


if __name__ == "__main__":
    main(measure)
