"""A whole alfred in one thread: real store, gate, agent turns and execution over a world of the tests.

Time passes as the machine's does, and when nobody has anything to do it is moved to the next thing that is due,
on SQLite and on Postgres alike; the sum of the moves is kept beside the world, so that it survives a crash too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred import clock, ids
from alfred.actions import card_clock
from alfred.actions.dispatch import Dispatch
from alfred.actions.grant import Grant
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.agents import delegate
from alfred.agents.metered import Meter
from alfred.agents.registry import AgentRegistry
from alfred.agents.turn import Turns
from alfred.channels import send
from alfred.config_schema import Settings
from alfred.integrations import ask
from alfred.memory import scratch
from alfred.runs import audit, budget, claims, execute, leases, sweep, triggers
from alfred.runs.dispatcher import Dispatcher
from alfred.runs.execute import Runtime
from alfred.runs.rows import Caps, Full, Holder, NewRun
from alfred.runs.workflow import Slot, Workflow
from alfred.store import connect, invariants, migrate
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx
from alfred.workflows import agent
from tests.crash import chats, world

SETTINGS = Settings.model_validate(
    {
        "policy": {
            "mode": "autonomous",
            "rules": [{"action": "world.low", "mode": "gated"}],
        },
        "approvals": {"low_counts_from": "staging"},
        "timezone": "UTC",
        "agents": {"main": {}, "a": {}, "b": {}},
    }
)

MOVES = "moved.json"

PG_CLOCK = (
    "create or replace function alfred_now() returns bigint language sql volatile as"
    " $$ select (extract(epoch from clock_timestamp()) * 1000000)::bigint"
    " + coalesce((select v::bigint from meta where k='test_moved'), 0) $$"
)

_NEXT = (
    "select min(at) from ("
    " select min(wake_at) as at from runs where status='parked'"
    " union all select min(ready_at) from runs where status='queued'"
    " union all select min(auto_approve_at) from approvals where status='pending'"
    " union all select min(holder_until) from outbox where sent_at is null and dead_at is null"
    " union all select min(next_fire_at) from triggers where enabled=1 and removed=0) t"
)
_PREPARE = Sql(
    "insert into meta(k,v) values('installation_key',:key),('schema',:head) on conflict do nothing"
)
_LIVE = "select count(*) from runs where status in('queued','running','parked')"


class MovedClock:
    """The machine's clocks, moved ahead on purpose."""

    def __init__(self, home: Path):
        self._file = home / MOVES
        self.moved = json.loads(self._file.read_text()) if self._file.exists() else 0

    def now(self) -> int:
        return time.time_ns() // 1000 + self.moved

    def monotonic(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + self.moved

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))

    def move(self, us: int) -> None:
        self.moved += us
        self._file.write_text(json.dumps(self.moved))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A story: how it begins, what people do in it, and how it has to end.

    `begin` and `tend` may be called again after a crash: they say the same as before.
    """

    name: str
    begin: Callable[[Parts], None]
    ends: dict[str, str]
    """Brief -> the status in which its run must end."""
    exactly: Sequence[int] = ()
    """Effects that must have taken place once."""
    at_most: Sequence[int] = ()
    """Effects that may have taken place once."""
    tend: Callable[[Parts], bool] = lambda parts: False
    """What people do when nothing runs. Whether they did something."""
    between: Callable[[Parts, int], bool] = lambda parts, seq: False
    """Called between the steps of a run; true asks its worker to shut down."""
    during: Callable[[Parts, int], None] | None = None
    """Called while an effect is under way."""
    also: Callable[[Parts], list[str]] = lambda parts: []
    """What else is wrong in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One process of alfred."""

    home: Path
    script: Path
    """What the model says."""
    store: Store
    runtime: Runtime
    holder: Holder
    time: MovedClock
    settings: Settings = SETTINGS

    def one(self, statement: str, **params: Any) -> Any:
        """The first value of a query."""
        with self.store.read() as look:
            return look(Sql(statement), **params).scalar()

    def all(self, statement: str, **params: Any) -> list[Any]:
        """The rows of a query."""
        with self.store.read() as look:
            return list(look(Sql(statement), **params).all())


def prepare(store: Store) -> None:
    """Makes of a database with the schema one that a process of the tests can work on."""

    def verb(tx: Tx) -> None:
        tx(_PREPARE, key="5a" * 32, head=migrate.HEAD)
        if tx.pg:
            from alfred.runs import procrastinate

            tx.raw.execute(PG_CLOCK)
            if tx(Sql("select to_regclass('procrastinate_jobs')")).scalar() is None:
                procrastinate.install(tx)

    store.transact(verb)


def put_together(url: str, home: Path, script: Path, workflows: Sequence[Workflow] = ()) -> Parts:
    """Every part of a process, as `alfred.app` does it, over the actions of the tests."""
    moved = MovedClock(home)
    clock.install(moved)
    store = connect.open_store(url)
    registry = Registry()
    registry.register(world.ACTIONS)
    registry.register(ask.ACTIONS)
    registry.register(delegate.ACTIONS)
    registry.register(scratch.ACTIONS)
    registry.register(send.actions(chats.lines(home), "main"))
    gate = Dispatch(
        store,
        registry,
        Surroundings(
            home=lambda tenant: home, settings=lambda tenant: SETTINGS, secrets=lambda t, n: None
        ),
    )
    turns = Turns(
        gate=gate,
        actions=registry,
        meter=Meter(settings=lambda tenant: SETTINGS, secrets=lambda t, n: None),
        settings=lambda tenant: SETTINGS,
        agent=lambda tenant, name: AgentRegistry.from_settings(SETTINGS).effective(name),
        home=lambda tenant: home,
        cheap=lambda tenant, boss: boss,
    )
    known = {w.name: w for w in (agent.workflow(turns), *workflows)}
    if store.pg:
        from alfred.runs.procrastinate import PostgresDelivery

        store.deliver = PostgresDelivery(url, Dispatcher()).deliver
    return Parts(
        home=home,
        script=script,
        store=store,
        runtime=Runtime(store=store, workflows=known, gate=gate, redact=lambda said: said),
        holder=leases.new_holder(),
        time=moved,
    )


def caps(_tenant: str, _agent: str) -> Caps:
    return Caps(total=8, per_agent=8)


def play(parts: Parts, scenario: Scenario) -> None:
    """A worker's life, in one thread: from its start until nothing is left to do."""
    world.during = (lambda n: scenario.during(parts, n)) if scenario.during else None
    store, holder = parts.store, parts.holder
    store.transact(leases.register, holder, kind="worker", slots=1)
    sweep.release_gone(store)
    scenario.begin(parts)
    for _ in range(300):
        sweep.beat(store, others=(_expire, _auto, _lapse, _crons))
        taken = store.transact(claims.claim, holder, caps)
        if isinstance(taken, tuple):
            lease, run = taken
            execute.drive(
                parts.runtime,
                Slot(lease, suspect=run.reclaims > 0),
                run,
                lease_us=holder.lease_us,
                stopping=lambda run=run: scenario.between(
                    parts, parts.one("select seq from runs where id=:id", id=run.id)
                ),
            )
            continue
        assert not isinstance(taken, Full), "a cap is full though nothing runs"
        if scenario.tend(parts):
            continue
        if not _move_on(parts):
            break
    store.transact(leases.leave, holder.worker)


def work_beside(parts: Parts, scenario: Scenario) -> None:
    """A worker's life beside others: until the story is over. Time passes as it does."""
    store, holder = parts.store, parts.holder
    store.transact(leases.register, holder, kind="worker", slots=1)
    scenario.begin(parts)
    while parts.one(_LIVE):
        sweep.beat(store)
        taken = store.transact(claims.claim, holder, caps)
        if isinstance(taken, tuple):
            lease, run = taken
            slot = Slot(lease, suspect=run.reclaims > 0)
            execute.drive(
                parts.runtime, slot, run, lease_us=holder.lease_us, stopping=lambda: False
            )
        else:
            time.sleep(0.005)
    store.transact(leases.leave, holder.worker)


def _move_on(parts: Parts) -> bool:
    """Moves the time to what is due next; false when nothing is."""
    due = parts.one(_NEXT)
    if due is None:
        return False
    ahead = max(0, due - clock.now()) + 1000
    parts.time.move(ahead)
    if parts.store.pg:
        parts.store.transact(_move_server, parts.time.moved)
    return True


def later(url: str, home: Path, us: int) -> None:
    """Whoever comes now finds that so much time has gone by."""
    (home / MOVES).write_text(json.dumps(us))
    store = connect.open_store(url)
    if store.pg:
        store.transact(_move_server, us)
    store.close()


def _move_server(tx: Tx, moved: int) -> None:
    tx(
        Sql(
            "insert into meta(k,v) values('test_moved',:v) on conflict(k) do update set v=excluded.v"
        ),
        v=str(moved),
    )


def _expire(store: Store) -> None:
    card_clock.expire_beat(store, ids.new)


def _auto(store: Store) -> None:
    card_clock.auto_beat(store, ids.new)


def _lapse(store: Store) -> None:
    store.transact(budget.lapse)


def _crons(store: Store) -> None:
    triggers.beat(store, start=_fired, zone=lambda tenant: "UTC")


def _fired(trigger: Any, run_id: str) -> NewRun:
    return NewRun(
        id=run_id,
        workflow="fire",
        step="act",
        brief=trigger.task,
        grants=Grant(actions=frozenset({"world.*"})).encode(),
    )


def judge(parts: Parts, scenario: Scenario) -> list[str]:
    """Everything that is wrong with how it ended."""
    wrong = [f"{f.check}: {f.rows}" for f in invariants.check(parts.store)]
    with parts.store.read() as look:
        _, broken = audit.verify(look)
        live = look(Sql(_LIVE)).scalar()
    if broken:
        wrong.append(f"audit: {broken}")
    if live:
        wrong.append(f"{live} runs are not over")
    ended = parts.all("select brief, status, error from runs order by id")
    for brief, status in scenario.ends.items():
        found = [(row.status, row.error) for row in ended if row.brief == brief]
        if [s for s, _ in found] != [status]:
            wrong.append(f"{brief!r} ended as {found}, not as {status}")
    count = world.took_place(parts.home)
    for n, times in count.items():
        if times > 1 or n not in (*scenario.exactly, *scenario.at_most):
            wrong.append(f"effect {n} took place {times} times: {world.received(parts.home)}")
    wrong += [f"effect {n} was lost" for n in scenario.exactly if not count[n]]
    return wrong + scenario.also(parts)
