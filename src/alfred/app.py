"""The composition root: every part is made here, once, from values and lists, and nowhere else.

`base` opens what every command needs (home, settings, ledger, desk) and imports nothing heavy. `whole` adds
actions, gate, model and workflows, for processes that execute runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from alfred import beats, config, config_edit, config_servers, config_text, errors, home
from alfred.agents import bindings, entries, named, teams
from alfred.channels import written
from alfred.channels.base import NONE, Lines
from alfred.config_live import LiveSettings
from alfred.desk import Desk, person
from alfred.runs import audit
from alfred.runs.delivery import Delivery, queue
from alfred.runs.dispatcher import Dispatcher
from alfred.runs.rows import Caps
from alfred.store import connect, migrate
from alfred.store.connect import Store

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
    from alfred.config_servers import Server
    from alfred.integrations.mcp import Servers
    from alfred.integrations.mcp_listing import Listing
    from alfred.runs.execute import Runtime
    from alfred.runs.worker import Worker
    from alfred.runs.workflow import StepContext
    from alfred.store.tx import Tx
    from alfred.workflows.contracts import Resolved


FULL = 1_000_000
"""Bytes of free space below which a disk is called full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What every command needs."""

    home: Path
    settings: config.Settings
    store: Store
    desk: Desk
    dispatcher: Dispatcher
    delivery: Delivery
    lines: Lines = NONE
    """The channels that are served here: people of the tenant talk to its agents there."""

    def close(self) -> None:
        """Closes every connection."""
        self.delivery.stop()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


def base(
    *, folder: Path | None = None, tenant: str = "main", upgrade: bool = True, lines: Lines = NONE
) -> Base:
    """Opens home, settings and ledger.

    Args:
        folder: The home, None for the one that the environment names.
        upgrade: Whether the schema is made or migrated; `db` commands do that themselves.
        lines: The channels that are served here; none comes with alfred yet.

    Raises:
        HomeRefused, ConfigError, SchemaMismatch, StoreUnavailable.
    """
    folder = folder or home.path()
    if any(0xD800 <= ord(letter) < 0xE000 for letter in str(folder)):
        raise errors.HomeRefused(
            f"The home {str(folder)!r} cannot be used: its name holds bytes that are no text.",
            next="Set ALFRED_HOME to a folder with a name in UTF-8.",
        )
    home.ensure(folder)
    return replace(_over(folder, settings_of(folder), tenant=tenant, upgrade=upgrade), lines=lines)


def settings_of(folder: Path, tenant: str = "main") -> config.Settings:
    """The settings of a tenant.

    Raises:
        ConfigError, ConfigErrors: all that is wrong with them, of every floor, together.
    """
    return config.load(folder, tenant=tenant, check=check)


def check(tree: Mapping[str, Any]) -> list[config_text.Finding]:
    """What the floors above `config` find wrong with the keys that it keeps raw for them.

    Args:
        tree: The configuration as it is written. There are no `Settings` of one that is wrong elsewhere, and all that
            is wrong is told at once.
    """
    found = [*entries.problems(tree), *bindings.problems(tree), *named.problems(tree)]
    found += [*config_servers.problems(tree), *written.problems(tree)]
    if (there := bindings.defined(tree)) is not None:
        found += teams.read(tree, there)[1]
    if tree.get("integrations") is not None:
        from alfred.integrations import web_settings  # what it needs is loaded where it is used

        found += web_settings.problems(tree)
    return found


def base_despite(problem: errors.AlfredError, folder: Path) -> tuple[Base, str | None]:
    """Opens the ledger although the configuration, or the home around a ledger on a server, cannot be used.

    For `stop --all` alone, which must not wait until that is mended. Nothing is made in the home.

    Args:
        problem: What `base` said.

    Returns:
        The ledger with settings that are the defaults, and where its database was named; None: nowhere, so it is
        the home's own.

    Raises:
        HomeRefused: `problem`, where the ledger lies in the home that was refused.
        SchemaMismatch, StoreUnavailable, ConfigError: the database cannot be used either.
    """
    database, place = config.database_despite(folder)
    if isinstance(problem, errors.HomeRefused) and database == "sqlite":
        raise problem
    return _over(folder, config.Settings.model_construct(database=database)), place


def _over(
    folder: Path, settings: config.Settings, *, tenant: str = "main", upgrade: bool = True
) -> Base:
    dispatcher = Dispatcher(poll=1.0 if settings.database != "sqlite" else 0.1)
    store = _opened(folder, settings)
    delivery = Delivery(store, dispatcher)
    if upgrade:
        migrate.ensure_schema(store, backups=folder / "backups", extras=queue if store.pg else None)
    # `doctor` says what is wrong with a `.env`, and whatever needs one of its secrets refuses to go on.
    with contextlib.suppress(errors.ConfigError):
        _hide(folder, settings)
    desk = Desk(store=store, settings=settings, home=folder, tenant=tenant, by=person())
    return Base(
        home=folder,
        settings=settings,
        store=store,
        desk=desk,
        dispatcher=dispatcher,
        delivery=delivery,
    )


def _opened(folder: Path, settings: config.Settings) -> Store:
    try:
        return connect.open_store(config.database_url(settings, folder))
    except errors.StoreUnavailable as problem:
        # SQLite calls it an I/O error when its shared memory finds no room.
        if settings.database == "sqlite" and shutil.disk_usage(folder).free < FULL:
            raise errors.StoreUnavailable(
                f"The disk of the home {str(folder)!r} is full.",
                next="Free some space; nothing that was acknowledged is lost.",
            ) from problem
        raise


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
    from alfred.agents.registry import AgentRegistry
    from alfred.agents.turn import Turns
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

    registry, load_errors = actions_of(base.home, base.lines)
    secret = _secrets(base.home, base.settings)
    settings = LiveSettings(base.home, settings_of)
    servers = servers_of(base, settings, ask=True)
    registry.also(servers.of)
    for name in base.settings.secrets:
        with contextlib.suppress(errors.ConfigError):  # said when it is used
            secret(home.MAIN, name)  # and known from now on, wherever it lies
    beats.seal_rules(base.store, base.desk.tenant, settings.of)
    meter = Meter(settings=settings.of, secrets=secret)

    def cheap(tenant: str, boss: str) -> str:
        tiers = _tiers(settings.of(tenant))
        return catalog.tier("cheap", boss=boss, configured=tiers, env=os.environ)

    def lower(tenant: str, boss: str) -> tuple[str, ...]:
        return catalog.lower(boss, configured=_tiers(settings.of(tenant)), env=os.environ)

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
    people = People(
        settings.of,
        lambda tenant: beats.is_quiet(settings, tenant),
        lambda tenant: _way(settings.of(tenant), partial(secret, tenant)),
    )

    deliverers = [Deliverer(base.store, base.desk.tenant, line.channel) for line in base.lines]

    def to_tell() -> bool:
        return any(one.coming() for one in deliverers) or any(
            people.due_soon(base.store, tenant)
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
                quiet=lambda tenant: beats.is_quiet(settings, tenant),
                settings=settings.of,
                tenants=lambda: home.tenants(base.home),
                earned=earned.beat,
                told=people.beat,
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

    draft = authored.look(base.home, name)
    who = contracts.agent_of(draft.definition, base.settings)
    meet(who)
    return contracts.resolve(draft, base.settings, list(offered(base, who)[0]))


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
    place = base.settings.place("policy", "rules") or ""
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

    registry, _problems = actions_of(base.home, base.lines)
    settings = LiveSettings(base.home, settings_of)
    registry.also(servers_of(base, settings).of)
    around = Surroundings(
        home=settings.home, settings=settings.of, secrets=_secrets(base.home, base.settings)
    )
    return registry, around


def _hide(folder: Path, settings: config.Settings) -> None:
    """Whatever the environment and the `.env` of each tenant hold of secrets is hidden from now on.

    Raises:
        ConfigError: the home's own `.env` cannot be used. One of another tenant that cannot be used is theirs: nothing
            of it is read, by anybody.
    """
    from alfred.trust import secrets

    for tenant in home.tenants(folder):
        if tenant != home.MAIN:
            own = home.of_tenant(folder, tenant)
            with contextlib.suppress(errors.ConfigError):
                secrets.register_known(home=own)
                secrets.register_known(home=own, names=settings_of(folder, tenant).secrets)
    secrets.register_known(home=folder, names=settings.secrets)


def _secrets(folder: Path, settings: config.Settings) -> Callable[[str, str], str | None]:
    """(tenant, name) -> the secret of a tenant; what is known of all of them is hidden from now on."""
    from alfred.trust import secrets

    _hide(folder, settings)

    def secret(tenant: str, name: str) -> str | None:
        if tenant == home.MAIN:
            return secrets.get(name, home=folder)
        return secrets.of_tenant(name, home=home.of_tenant(folder, tenant))

    return secret


def actions_of(folder: Path, lines: Lines = NONE) -> tuple[Registry, tuple[LoadError, ...]]:
    """Every action: the built-in ones, the home's own files, installed packages; and what could not be loaded."""
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

    registry = Registry()
    for module in (
        *(files, shell, code, git, web, search, extract, notify),
        *(todos, memories, conversations, scratch, skills, ask, delegate),
    ):
        registry.register(module.ACTIONS)
    for module in (mcp_pin, activation):
        registry.register(module.ACTIONS, offered=False)
    registry.register(send.actions(lines))
    with contextlib.redirect_stdout(sys.stderr):  # a `print` in one of them is no part of an answer
        problems = (*registry.load_home(folder), *registry.load_entry_points())
    return registry, problems


def offered(base: Base, agent: str) -> tuple[Registry, tuple[LoadError, ...], Servers]:
    """What there is for an agent, with what could not be loaded, and its MCP servers. None of them is started or asked."""
    registry, problems = actions_of(base.home, base.lines)
    servers = servers_of(base, LiveSettings(base.home, settings_of))
    registry.also(servers.of)
    return registry.of(base.desk.tenant, agent), problems, servers


def probed(base: Base) -> dict[Place, str | Listing]:
    """Each MCP server of each agent: what it lists now, or why it cannot be used."""
    from alfred.agents.registry import AgentRegistry

    servers = servers_of(base, LiveSettings(base.home, settings_of))
    found: dict[Place, str | Listing] = {}
    for agent in AgentRegistry.from_settings(base.settings).ids():
        found |= servers.probe(base.desk.tenant, agent, beside=found)
    servers.close()
    return found


def servers_of(base: Base, settings: LiveSettings, *, ask: bool = False) -> Servers:
    """The MCP servers of every tenant. None is started or asked before a run needs it.

    Args:
        ask: Whether this process starts the run that asks a person about a difference.
    """
    from alfred.actions.ledger import pins
    from alfred.agents import servers
    from alfred.integrations import mcp
    from alfred.runs import ledger
    from alfred.workflows import ask as asks

    known: dict[tuple[str, str], tuple[config.Settings, dict[Place, Server]]] = {}

    def effective(tenant: str, agent: str) -> dict[Place, Server]:
        now = settings.of(tenant)
        held = known.get((tenant, agent))
        if held is None or held[0] is not now:
            held = known[tenant, agent] = (now, servers.of(now, tenant, agent))
        return held[1]

    def start(tx: Tx, pin: Pin, agent: str) -> None:
        args = {"name": pin.server, "agent": pin.scope, "tools": pin.seen}
        title = f"The MCP server {pin.place} describes its tools otherwise"
        new = asks.run(
            pin.asked or "",
            tenant=pin.tenant,
            agent=agent,
            title=title,
            action=pins.ACCEPT,
            args=args,
            key=pin.question,
        )
        ledger.start(tx, new)

    return mcp.Servers(
        store=base.store,
        effective=effective,
        settings=settings.of,
        home=settings.home,
        # a `.env` that cannot be used is the trouble of servers that need something of it
        secrets=lambda tenant, name: _secrets(base.home, base.settings)(tenant, name),
        ask=start if ask else lambda tx, pin, agent: None,
        asked=base.desk.ensure_worker if ask else lambda: None,
    )


def _way(settings: config.Settings, secret: Callable[[str], str | None]) -> Tell | None:
    """What sends a text to the people of a tenant; None: its configuration names nobody."""
    from alfred.integrations import notify

    return partial(notify.tell, settings, secret) if notify.configured(settings) else None


def _tiers(settings: config.Settings) -> dict[str, str | None]:
    return {"helper": settings.models.helper, "cheap": settings.models.cheap}
