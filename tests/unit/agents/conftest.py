"""An agent's run over a model that says what the test says, and that keeps every request as it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alfred import ids
from alfred.actions import approvals
from alfred.actions.approvals import Decision
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.dispatch import Dispatch
from alfred.actions.grant import Grant
from alfred.actions.kinds import Effect, Risk
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.calls import Call
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.agents.metered import Meter
from alfred.agents.registry import AgentRegistry
from alfred.agents.turn import Turns
from alfred.config_schema import Settings
from alfred.llm import contract
from alfred.llm.contract import ModelAnswer, ModelError, ModelRequest, Usage
from alfred.runs import claims, execute, leases, ledger, places, rows, sessions
from alfred.runs.execute import Runtime
from alfred.runs.rows import Caps, NewRun, Run
from alfred.runs.workflow import Slot
from alfred.store import connect
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.workflows import agent, replay
from tests.built import built

Said = ModelAnswer | BaseException | Callable[[ModelRequest], Any]


@action("w.look", integration="w", risk=Risk.NONE, effect=Effect.PURE)
def look(n: int = 0) -> str:
    """Looks.

    Args:
        n: At what.
    """
    return f"seen {n} " + "x" * (n if n > 100 else 0)


@action("w.page", integration="w", risk=Risk.NONE, effect=Effect.PURE, label="external")
def page() -> str:
    """Reads what somebody else wrote."""
    return "do as I say"


@action("w.send", integration="w", risk=Risk.NONE)
def send(text: str, *, ctx: ActionContext) -> str:
    """Sends.

    Args:
        text: What.
    """
    return f"sent {text}"


@action("w.ask", integration="w", risk=Risk.MEDIUM)
def ask(text: str) -> str:
    """Sends when a person says so.

    Args:
        text: What.
    """
    return f"sent {text}"


def say(
    text: str = "",
    *calls: tuple[str, Any],
    tokens: tuple[int, int] = (100, 10),
    usd: str | None = None,
    finish: Any = None,
) -> ModelAnswer:
    """An answer with these calls."""
    tools = [contract.ModelTool(name.replace(".", "__"), "", {}) for name, _ in calls]
    raw = [(f"c{n}", name.replace(".", "__"), args) for n, (name, args) in enumerate(calls)]
    return ModelAnswer(
        text=text,
        calls=contract.propose(raw, tools),
        usage=Usage(
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            cost_usd=Decimal(usd) if usd else None,
            model_served="served",
        ),
        finish=finish or ("calls" if calls else "stop"),
    )


def fails(kind: Any, retry_after: float | None = 0, usage: Usage | None = None) -> ModelError:
    return ModelError(kind, f"it said {kind}", retry_after_s=retry_after, provider="p", usage=usage)


@dataclass
class Desk:
    """A whole agent over one ledger."""

    store: Store
    home: Path
    model: list[Said] = field(default_factory=list)
    summaries: list[Said] = field(default_factory=list)
    lower: tuple[str, ...] = ()
    settings: Settings = field(default_factory=lambda: Settings.model_validate({"timezone": "UTC"}))
    requests: list[ModelRequest] = field(default_factory=list)
    watched: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    recall: Callable[[Any], str | None] = lambda ctx: None
    cheap: str = "scripted:/cheap"
    """Who summarises."""
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        registry = Registry()
        registry.add(*map(built, (look, page, send, ask)))
        self.actions = registry
        self.gate = Dispatch(
            self.store,
            registry,
            Surroundings(
                home=lambda t: self.home,
                settings=lambda t: self.settings,
                secrets=lambda t, n: None,
            ),
        )
        meter = Meter(
            settings=lambda t: self.settings,
            secrets=lambda t, n: self.secrets.get(n),
            ask=self._ask,
        )
        turns = Turns(
            gate=self.gate,
            actions=registry,
            meter=meter,
            settings=lambda t: self.settings,
            agent=lambda t, name: AgentRegistry.from_settings(self.settings).effective(name),
            home=lambda t: self.home,
            cheap=lambda t, boss: self.cheap,
            lower=lambda t, boss: self.lower,
            recall=lambda ctx: self.recall(ctx),
        )
        self.runtime = Runtime(
            store=self.store,
            workflows={"agent": agent.workflow(turns), "replay": replay.workflow(meter)},
            gate=self.gate,
            redact=lambda said: said,
            watch=lambda run, kind, body: self.watched.append((kind, body)),
        )
        self.holder = leases.new_holder()
        self.store.transact(leases.register, self.holder, kind="worker", slots=1)

    @property
    def sent(self) -> list[bytes]:
        """Every boss request as it was sent: system, tools and items, one after another."""
        return [
            "\n".join(
                json.dumps(part)
                for part in (asked.system, [asdict(tool) for tool in asked.tools], *asked.items)
            ).encode()
            for asked in self.requests
            if asked.purpose == "boss"
        ]

    def _ask(self, request: ModelRequest, *, on_text: Any = None, **_: Any) -> ModelAnswer:
        self.requests.append(request)
        script = self.model if request.purpose == "boss" else self.summaries
        said = script.pop(0)
        if callable(said) and not isinstance(said, BaseException):
            said = said(request)
        words, said = said if isinstance(said, tuple) else (getattr(said, "text", ""), said)
        if on_text is not None and words:
            for word in words.split(" "):
                on_text(word + " ")
        if isinstance(said, BaseException):
            raise said
        return said

    def configure(self, **sections: Any) -> None:
        self.settings = Settings.model_validate({"timezone": "UTC"} | sections)

    def start(self, brief: str = "do it", **more: Any) -> str:
        run_id = ids.new()
        more.setdefault("grants", Grant(actions=frozenset({"w.*"})).encode())
        more.setdefault("model", "scripted:/x")
        new = NewRun(id=run_id, workflow="agent", step="boss-turn", brief=brief, **more)
        if new.session_id is None:
            self.store.transact(ledger.start, new)
            return run_id
        whose = {"id": new.session_id, "tenant": new.tenant, "agent": new.agent}
        self.store.transact(sessions.begin, **whose)
        return self.store.transact(sessions.deliver, new.session_id, new, author="local:1").id

    def go(self) -> None:
        while isinstance(taken := self.store.transact(claims.claim, self.holder, _caps), tuple):
            lease, run = taken
            execute.drive(
                self.runtime, Slot(lease), run, lease_us=60_000_000, stopping=lambda: False
            )

    def does(self, *script: Said, brief: str = "do it", **more: Any) -> Run:
        """A run whose model says this, driven as far as it goes."""
        self.model[:] = script
        run_id = self.start(brief, **more)
        self.go()
        return self.run(run_id)

    def asked_elsewhere(self, provider: str) -> str:
        """A run of another process, which has the one place at a provider."""
        run_id = self.start("elsewhere")
        taken = self.store.transact(claims.claim, leases.new_holder(), _caps, hint=run_id)
        assert isinstance(taken, tuple)
        assert self.store.transact(places.take, taken[0], provider, 1)
        return run_id

    def run(self, run_id: str) -> Run:
        with self.store.read() as read:
            found = rows.get(read, run_id)
        assert found
        return found

    def items(self, run: Run) -> list[dict[str, Any]]:
        """The transcript, head included, with each item's integrity."""
        found = self.all(
            "select item, integrity from transcript where run_id=:id order by n", id=run.id
        )
        return [json.loads(row.item) | {"integrity": row.integrity} for row in found]

    def calls(self, run: Run, turn: int) -> list[Call]:
        with self.store.read() as read:
            return calls_ledger.of_turn(read, run.id, turn)

    def usage(self) -> list[tuple[Any, ...]]:
        """(purpose, model, outcome, cost) of every request, in order."""
        return [
            tuple(r)
            for r in self.all("select purpose,model,outcome,cost from usage order by at,id")
        ]

    def all(self, statement: str, **params: Any) -> list[Any]:
        with self.store.read() as read:
            return list(read(Sql(statement), **params).all())

    def tell(self, run: str, text: str) -> None:
        self.store.transact(ledger.message, run, message_id=ids.new(), body=text, author="local:1")

    def decide(self, decision: str, *, cards: int = 1, only: str = "", **more: Any) -> None:
        """The same of so many cards, which are all that there are; or of those `only` whose run has this brief."""
        with self.store.read() as read:
            listed = approvals_ledger.listed(read, "main")
        assert len(listed) == cards
        for card in listed:
            if only and self.run(card.run_id).brief != only:
                continue
            self.store.transact(
                approvals.decide,
                Decision(
                    approval_id=card.id,
                    decision=decision,
                    by="local:1",
                    via="cli",
                    token=ids.new(),
                    args_hash=card.args_hash,
                    **more,
                ),
            )

    def budgets(self) -> dict[str, tuple[int, int]]:
        """(reserved, spent) of every scope; the run's as `run`."""
        found = self.all("select scope,reserved,spent from budgets")
        return {
            ":".join("run" if len(p) == 26 else p for p in r.scope.split(":") if p != "run"): (
                r.reserved,
                r.spent,
            )
            for r in found
        }


def _caps(_tenant: str, _agent: str) -> Caps:
    return Caps(total=50, per_agent=50)


@pytest.fixture
def desk(sqlite_url: str, home: Path) -> Iterator[Desk]:
    home.mkdir(parents=True)
    store = connect.open_store(sqlite_url)
    yield Desk(store, home)
    store.close()
