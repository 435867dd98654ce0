"""The gate over actions of the tests: fixed steps are driven in this thread, people decide through the ledger."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alfred import ids
from alfred.actions import approvals, reentry
from alfred.actions.approvals import Decision
from alfred.actions.dispatch import Dispatch
from alfred.actions.grant import Grant
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.approvals import Approval
from alfred.actions.ledger.calls import Call
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.config_schema import Settings
from alfred.integrations import ask
from alfred.runs import claims, execute, leases, ledger, rows
from alfred.runs.execute import Runtime
from alfred.runs.rows import Caps, NewRun, Run
from alfred.runs.workflow import Done, Next, Slot, StepContext, Verdict, Workflow
from alfred.store.connect import Store
from alfred.store.statement import Sql
from tests.built import built

Wanted = Sequence[tuple[str, dict[str, Any]]]


@dataclass
class Bench:
    """A gate, its ledger, and a worker that works when it is told to."""

    store: Store
    home: Path
    actions: Registry
    gate: Dispatch
    settings: Settings = field(default_factory=lambda: Settings.model_validate({"timezone": "UTC"}))
    secrets: dict[str, str] = field(default_factory=dict)
    step: Callable[[StepContext], Verdict] = lambda ctx: Done(None)
    answers: list[Any] = field(default_factory=list)
    """What the calls of the step came to when it last went through."""

    def policy(self, mode: str = "gated", *rules: dict[str, str], **approvals: Any) -> None:
        """The owner's configuration from now on."""
        self.settings = Settings.model_validate(
            {
                "timezone": "UTC",
                "policy": {"mode": mode, "rules": list(rules)},
                "approvals": approvals,
            }
        )

    def start(self, *wanted: tuple[str, dict[str, Any]], then: Wanted = (), **more: Any) -> str:
        """A run whose step makes these calls, all at once, and then, in another step, those; queued."""
        more.setdefault("grants", Grant(actions=frozenset({"*"})).encode())

        def act(ctx: StepContext) -> Verdict:
            second = bool(ctx.state)
            self.answers = ctx.calls(then if second else wanted)
            return Next("act", {"second": True}) if then and not second else Done("done")

        self.step = act
        run_id = ids.new()
        new = NewRun(id=run_id, workflow="w", step="act", brief="b", model="scripted:x", **more)
        self.store.transact(ledger.start, new)
        return run_id

    def go(self) -> None:
        """Drives every queued run until it parks or ends."""
        while isinstance(taken := self.store.transact(claims.claim, self.holder, _caps), tuple):
            lease, run = taken
            self.slot = Slot(lease)
            execute.drive(
                self.runtime,
                self.slot,
                run,
                lease_us=self.holder.lease_us,
                stopping=lambda: False,
            )

    def __post_init__(self) -> None:
        self.holder = leases.new_holder()
        self.store.transact(leases.register, self.holder, kind="worker", slots=1)
        self.runtime = Runtime(
            store=self.store,
            workflows={"w": Workflow("w", "act", {"act": lambda ctx: self.step(ctx)})},
            gate=self.gate,
            redact=lambda said: said,
        )

    def does(self, *wanted: tuple[str, dict[str, Any]], **more: Any) -> list[Call]:
        """A run with these calls, driven as far as it goes; its calls."""
        run_id = self.start(*wanted, **more)
        self.go()
        return self.calls(run_id)

    # ---- looking ----

    def run(self, run_id: str) -> Run:
        with self.store.read() as look:
            found = rows.get(look, run_id)
        assert found is not None
        return found

    def calls(self, run_id: str, turn: int = 0) -> list[Call]:
        with self.store.read() as look:
            return calls_ledger.of_turn(look, run_id, turn)

    def cards(self, status: str = "pending") -> list[Approval]:
        """In the order of their calls."""
        with self.store.read() as look:
            found = approvals_ledger.listed(look, "main", status=status)
            calls = {card.id: calls_ledger.get(look, card.call_id) for card in found}
        places = {id: (c.run_id, c.turn, c.ordinal) for id, c in calls.items() if c}
        return sorted(found, key=lambda card: (*places[card.id], card.version))

    def card(self) -> Approval:
        """The one card that waits."""
        (only,) = self.cards()
        return only

    def all(self, statement: str, **params: Any) -> list[Any]:
        with self.store.read() as look:
            return list(look(Sql(statement), **params).all())

    def sql(self, statement: str, **params: Any) -> None:
        self.store.transact(lambda tx: tx(Sql(statement), **params) and None)

    # ---- people ----

    def decide(self, decision: str, card: Approval | None = None, **more: Any) -> Approval:
        """A person decides."""
        wanted = {"by": "local:1", "via": "cli", "token": ids.new()} | more
        card = card or self.card()
        return self.store.transact(
            approvals.decide, Decision(approval_id=card.id, decision=decision, **wanted)
        )

    def later_threads(self) -> None:
        """Waits for actions that went on after their time."""
        until = time.monotonic() + 60
        while any(thread.name.startswith("alfred-t.") for thread in threading.enumerate()):
            assert time.monotonic() < until, "an action never ended"
            time.sleep(0.002)


def code(call: Call) -> str:
    """The code of a refusal, as the model reads it."""
    return json.loads(call.result or "{}")["error"]["code"]


def _caps(_tenant: str, _agent: str) -> Caps:
    return Caps(total=50, per_agent=50)


def make_bench(store: Store, home: Path, *functions: Callable[..., Any]) -> Bench:
    """A bench whose gate knows these actions, and `ask.user`."""
    home.mkdir(parents=True, exist_ok=True)
    registry = Registry()
    registry.add(*map(built, (*functions, *ask.ACTIONS)))
    bench: Bench
    gate = Dispatch(
        store,
        registry,
        Surroundings(
            home=lambda tenant: home,
            settings=lambda tenant: bench.settings,
            secrets=lambda tenant, name: bench.secrets.get(name),
        ),
    )
    bench = Bench(store, home, registry, gate)
    return bench


@pytest.fixture
def new_bench(store: Store, home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """`new_bench(*actions)`; an unknown effect is entered again at once."""
    monkeypatch.setattr(reentry, "RETRY", 0)
    return lambda *functions: make_bench(store, home, *functions)
