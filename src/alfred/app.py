"""The composition root: every part is made here, once, from values and lists, and nowhere else.

`base` opens what every command needs (`opening`). `whole` adds actions, gate, model and workflows, for processes that
execute runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alfred import beats, config, config_edit, errors, home
from alfred.channels.base import NONE, Lines
from alfred.config_live import LiveSettings
from alfred.opening import Base as Base
from alfred.opening import base as base
from alfred.opening import base_despite as base_despite
from alfred.opening import check as check
from alfred.opening import database_url as database_url
from alfred.opening import secrets_of
from alfred.opening import settings_of as settings_of
from alfred.runs import audit
from alfred.runs.rows import Caps

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext
    from alfred.actions.editing import Editing
    from alfred.actions.explaining import Explained, Hypothesis
    from alfred.actions.ledger.pins import Pin, Place
    from alfred.actions.notices import Tell
    from alfred.actions.registry import LoadError, Registry
    from alfred.actions.rulemaking import NewRule, Rulemaking
    from alfred.actions.surroundings import Surroundings
    from alfred.channels.door import Door
    from alfred.integrations.mcp import Servers
    from alfred.integrations.mcp_listing import Listing
    from alfred.runs.execute import Runtime
    from alfred.runs.worker import Worker
    from alfred.runs.workflow import StepContext
    from alfred.store.connect import Store
    from alfred.store.tx import Tx
    from alfred.workflows.contracts import Resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What a process needs that executes runs."""

    base: Base
    actions: Registry
    tools: Callable[[str | None], tuple[str, ...]]
    """(agent, None for the default one) -> the ids of what a new run of it may have. MCP servers that were never met are
    asked for their tools."""
    load_errors: tuple[LoadError, ...]
    runtime: Runtime
    worker: Callable[..., Worker]
    missing: Callable[[], list[str]]
    """What could not be used of the MCP servers that this process has met, and why: for a person."""
    secrets: Callable[[str, str], str | None]
    propose: Callable[[], None]
    """Looks whether a rule is to be proposed: for commands that end before the sweep comes to it."""
    to_tell: Callable[[], bool]
    """Whether somebody is to be told of something soon, which needs a process."""
    door: Door
    """Where what is said on the channels comes in."""


def whole(base: Base, *, watch: Callable[[str, str, dict[str, Any]], None] | None = None) -> Whole:
    """Adds everything that executes. `watch(run, kind, body)` sees what runs of this process stream."""
    from alfred import scheduled
    from alfred.actions.dispatch import Dispatch
    from alfred.actions.earned import Earned
    from alfred.actions.grant import Grant
    from alfred.actions.notices import People
    from alfred.actions.surroundings import Surroundings
    from alfred.agents import choice, quarantine
    from alfred.agents import servers as of_agents
    from alfred.agents.metered import Meter
    from alfred.agents.registry import AgentRegistry, tiers
    from alfred.agents.turn import Turns
    from alfred.channels import owner
    from alfred.channels.deliver import Deliverer
    from alfred.channels.door import Door
    from alfred.integrations import served
    from alfred.llm import catalog
    from alfred.memory import search
    from alfred.runs.execute import Runtime
    from alfred.runs.worker import Worker
    from alfred.trust import redact
    from alfred.workflows import agent, smoke
    from alfred.workflows import ask as asks
    from alfred.workflows import replay as replays

    registry, load_errors = actions_of(base.home, base.lines, base.desk.tenant)
    secret = secrets_of(base.home, base.settings)
    settings = LiveSettings(base.home, settings_of)
    servers = servers_of(base, settings, ask=True)
    registry.also(servers.of)
    for name in base.settings.secrets:
        with contextlib.suppress(errors.ConfigError):  # said when it is used
            secret(home.MAIN, name)  # and known from now on, wherever it lies
    beats.seal_rules(base.store, base.desk.tenant, settings.of)
    meter = Meter(settings=settings.of, secrets=secret)

    def below(tenant: str) -> dict[str, Any]:
        configured = tiers(settings.of(tenant))
        return {"configured": configured, "secrets": partial(secret, tenant), "env": os.environ}

    def cheap(tenant: str, boss: str) -> str:
        return catalog.tier("cheap", boss=boss, **below(tenant))

    def lower(tenant: str, boss: str) -> tuple[str, ...]:
        return catalog.lower(boss, **below(tenant))

    def ask(ctx: StepContext, system: str, text: str) -> str:
        model = cheap(ctx.run.tenant, ctx.run.model or "")
        return quarantine.ask(ctx, system, text, meter=meter, model=model)

    def stands_in(ctx: ActionContext, id: str, args: dict[str, Any]) -> Any:
        return served.answer(registry.of(ctx.tenant, ctx.agent).get(id), id, args, ctx)

    around = Surroundings(
        home=settings.home, settings=settings.of, secrets=secret, ask=ask, served=stands_in
    )
    gate = Dispatch(base.store, registry, around)
    earned = Earned(registry, around)

    def way(tenant: str) -> Tell | None:
        return _way(settings.of(tenant), partial(secret, tenant))

    quiet = partial(beats.is_quiet, settings)
    people = People(settings.of, quiet, way)

    def told(store: Store, tenant: str, holder: str) -> None:
        people.beat(store, tenant, holder)
        owner.beat(store, tenant, way=partial(way, tenant), quiet=quiet(tenant), id=holder)

    deliverers = [Deliverer(base.store, base.desk.tenant, line.channel) for line in base.lines]

    def to_tell() -> bool:
        return any(one.coming() for one in deliverers) or any(
            people.due_soon(base.store, tenant)
            or owner.deliverer(base.store, tenant, partial(way, tenant)).coming()
            for tenant in home.tenants(base.home)
            if beats.can_be_read(settings, tenant)
        )

    def prepare(tenant: str, agent: str, grant: Grant) -> None:
        """Connects to the servers that a run has tools of, before it is told what there is."""
        now = settings.of(tenant)
        wanted = [*grant.actions, *served.standing_in(now, grant.actions)]
        servers.meet(tenant, agent, of_agents.granted(of_agents.of(now, tenant, agent), wanted))

    turns = Turns(
        gate=gate,
        actions=registry,
        meter=meter,
        settings=settings.of,
        agent=lambda tenant, name: AgentRegistry.from_settings(settings.of(tenant)).effective(name),
        home=settings.home,
        cheap=cheap,
        lower=lower,
        prepare=prepare,
        recall=search.recall,
    )
    workflows = (
        agent.workflow(turns),
        replays.workflow(meter),
        asks.workflow(),
        smoke.workflow(),
    )
    runtime = Runtime(
        store=base.store,
        workflows={workflow.name: workflow for workflow in workflows},
        gate=gate,
        redact=redact.redact,
        watch=watch or (lambda run_id, kind, body: None),
    )

    def tools(tenant: str, name: str | None) -> tuple[str, ...]:
        agent = AgentRegistry.from_settings(settings.of(tenant)).effective(name)
        there = of_agents.of(settings.of(tenant), tenant, agent.id)
        servers.meet(tenant, agent.id, of_agents.wanted(there, agent.policy), new=True)
        return registry.of(tenant, agent.id).names()

    model = partial(choice.of_agent, settings, secret)
    fired = partial(scheduled.run_of, runtime=runtime, settings=settings, model=model, tools=tools)

    def caps(tenant: str, _agent: str) -> Caps:
        limits = settings.of(tenant).limits
        return Caps(total=limits.concurrent_runs, per_agent=limits.per_agent)

    def worker(**options: Any) -> Worker:
        if options.get("root") is None:
            base.delivery.start()
        else:
            # The queue's jobs are for whoever takes any run; a command that stays with its own looks for itself.
            base.dispatcher.poll = min(base.dispatcher.poll, 0.25)
        options.setdefault("slots", base.settings.limits.concurrent_runs)
        return Worker(
            runtime,
            caps=caps,
            dispatcher=base.dispatcher,
            lingers=to_tell,
            beside=deliverers if options.get("root") is None else (),
            beats=beats.beats(
                fired,
                lambda tenant: settings.of(tenant).timezone,
                quiet=quiet,
                settings=settings.of,
                tenants=lambda: home.tenants(base.home),
                earned=earned.beat,
                told=told,
                crons=options.get("root") is None,
            ),
            **options,
        )

    return Whole(
        base=base,
        actions=registry,
        tools=partial(tools, base.desk.tenant),
        missing=servers.missing,
        load_errors=load_errors,
        runtime=runtime,
        worker=worker,
        secrets=secret,
        propose=lambda: earned.beat(base.store, base.desk.tenant),
        to_tell=to_tell,
        door=Door(
            store=base.store,
            tenant=base.desk.tenant,
            lines=base.lines,
            settings=settings,
            tools=tools,
            model=model,
            to_owner=lambda: (
                beats.can_be_read(settings, base.desk.tenant) and way(base.desk.tenant) is not None
            ),
        ),
    )


def resolved(base: Base, name: str, meet: Callable[[str], object] = lambda who: None) -> Resolved:
    """What the file of a user-written workflow comes to, with all that is wrong with it.

    Args:
        meet: Asks the MCP servers of its agent that were never met, as `Whole.tools` does; else none is started.

    Raises:
        NotFound: there is no such file.
    """
    from alfred.workflows import authored, contracts

    draft = authored.look(base.desk.home, name)
    who = contracts.agent_of(draft.definition, base.desk.settings)
    meet(who)
    return contracts.resolve(draft, base.desk.settings, list(offered(base, who)[0]))


def editing(base: Base) -> Editing:
    """What changes a call before it is allowed: the gate's checks, over the actions that there are, and no model."""
    from alfred.actions.editing import Editing

    registry, around = _gate(base)
    return Editing(base.store, registry, around)


def rulemaking(base: Base) -> Rulemaking:
    """What makes rules of cards."""
    from alfred.actions.rulemaking import Rulemaking

    return Rulemaking(base.store, *_gate(base))


def allow(base: Base, rule: NewRule, **about: Any) -> str:
    """Writes a rule into config.yaml, after its owner's yes, and both into the audit. Where it stands then.

    Args:
        about: What the audit says besides: what it was made of.

    Raises:
        UsageError: the rules come from the environment, which wins over the file.
        ConfigError: the file cannot take it.
    """
    tenant = base.desk.tenant
    place = base.desk.settings.place("policy", "rules") or ""
    if place.startswith("env:"):
        raise errors.UsageError(
            f"The rules come from {place.removeprefix('env:')}, which wins over config.yaml.",
            next="Add the rule there, or unset it.",
        )
    written = config_edit.append(
        base.home, ("policy", "rules"), rule.tree, tenant=tenant, check=check
    )
    sealed = {"by": base.desk.by, "via": base.desk.via, "rule": dict(rule.tree), **about}
    base.store.transact(lambda tx: audit.append(tx, tenant, "rule", **sealed))
    beats.seal_rules(base.store, tenant, lambda whose: settings_of(base.home, whose))
    return written.place("policy", "rules", len(written.policy.rules) - 1) or "config.yaml"


def explained(base: Base, wanted: Hypothesis) -> Explained:
    """What the gate would say about a call that nobody has made."""
    from alfred.actions import explaining

    registry, around = _gate(base)
    agent = base.desk.agent(wanted.agent)
    tools = agent.policy.apply(registry.of(base.desk.tenant, agent.id).names())
    wanted = replace(wanted, tools=frozenset(tools))
    return explaining.explain(wanted, store=base.store, actions=registry, around=around)


def _gate(base: Base) -> tuple[Registry, Surroundings]:
    from alfred.actions.surroundings import Surroundings

    registry, _problems = actions_of(base.home, base.lines, base.desk.tenant)
    settings = LiveSettings(base.home, settings_of)
    registry.also(servers_of(base, settings).of)
    around = Surroundings(
        home=settings.home, settings=settings.of, secrets=secrets_of(base.home, base.settings)
    )
    return registry, around


def actions_of(
    folder: Path, lines: Lines = NONE, tenant: str = home.MAIN
) -> tuple[Registry, tuple[LoadError, ...]]:
    """Every action: the built-in ones, the home's own files, installed packages; and what could not be loaded.

    Args:
        lines: The channels that are served here.
        tenant: Whose they are.
    """
    from alfred import logs
    from alfred.actions.registry import Registry
    from alfred.agents import delegate
    from alfred.channels import send
    from alfred.integrations import (
        ask,
        code,
        extract,
        files,
        git,
        mcp_pin,
        notify,
        search,
        shell,
        web,
    )
    from alfred.memory import conversations, scratch, skills, todos
    from alfred.memory import search as memories
    from alfred.workflows import activation

    if folder.is_dir():
        with contextlib.suppress(OSError):  # said by `doctor`, and by whoever has to write there
            logs.configure(folder)  # what one of them does wrong is no part of an answer either
    registry = Registry()
    for module in (
        *(files, shell, code, git, web, search, extract, notify),
        *(todos, memories, conversations, scratch, skills, ask, delegate),
    ):
        registry.register(module.ACTIONS)
    for module in (mcp_pin, activation):
        registry.register(module.ACTIONS, offered=False)
    registry.register(send.actions(lines, tenant))
    with contextlib.redirect_stdout(sys.stderr):  # a `print` in one of them is no part of an answer
        problems = (*registry.load_home(folder), *registry.load_entry_points())
    return registry, problems


def offered(base: Base, agent: str) -> tuple[Registry, tuple[LoadError, ...], Servers]:
    """What there is for an agent, with what could not be loaded, and its MCP servers. None of them is started or asked."""
    registry, problems = actions_of(base.home, base.lines, base.desk.tenant)
    servers = servers_of(base, LiveSettings(base.home, settings_of))
    registry.also(servers.of)
    return registry.of(base.desk.tenant, agent), problems, servers


def probed(base: Base) -> dict[Place, str | Listing]:
    """Each MCP server of each agent: what it lists now, or why it cannot be used."""
    from alfred.agents.registry import AgentRegistry

    servers = servers_of(base, LiveSettings(base.home, settings_of))
    found: dict[Place, str | Listing] = {}
    agents = AgentRegistry.from_settings(base.desk.settings)
    for agent in agents.ids():
        may_have = agents.effective(agent).policy.may_have
        found |= servers.probe(base.desk.tenant, agent, beside=found, loads=may_have)
    servers.close()
    return found


def servers_of(base: Base, settings: LiveSettings, *, ask: bool = False) -> Servers:
    """The MCP servers of every tenant. None is started or asked before a run needs it.

    Args:
        ask: Whether this process starts the run that asks a person about a difference.
    """
    from alfred.agents import servers as of_agents
    from alfred.integrations import mcp
    from alfred.runs import ledger
    from alfred.workflows import ask as asks

    def start(tx: Tx, pin: Pin, agent: str) -> None:
        ledger.start(tx, asks.about_server(pin, agent))

    return mcp.Servers(
        store=base.store,
        effective=of_agents.Effective(settings.of),
        settings=settings.of,
        home=settings.home,
        # a `.env` that cannot be used is the trouble of servers that need something of it
        secrets=lambda tenant, name: secrets_of(base.home, base.settings)(tenant, name),
        ask=start if ask else lambda tx, pin, agent: None,
        asked=base.desk.ensure_worker if ask else lambda: None,
    )


def _way(settings: config.Settings, secret: Callable[[str], str | None]) -> Tell | None:
    """What sends a text to the people of a tenant; None: its configuration names nobody."""
    from alfred.integrations import notify

    return partial(notify.tell, settings, secret) if notify.configured(settings) else None
