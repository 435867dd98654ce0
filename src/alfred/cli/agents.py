"""Who works here: the agents of the configuration, what each comes to, and what about them is probably not meant."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from alfred import (
    app,
    beats,
    config,
    config_edit,
    config_servers,
    config_splice,
    config_text,
    errors,
    home,
)
from alfred.agents import bindings, entries, persona, servers
from alfred.agents.entries import ATTRIBUTES, MAIN
from alfred.agents.registry import AgentRegistry, EffectiveAgent
from alfred.agents.subagents import SubagentPolicy
from alfred.agents.tools import TOOL_PROFILES, ToolPolicy
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.config import Settings
from alfred.runs import crons, views

_ELSEWHERE = {attribute: key for key, attribute in ATTRIBUTES.items()}
"""Attributes whose key has another name."""

_TRIES = 20
"""So often an agent is added anew because other agents came or went meanwhile."""

_FROM_MODELS = {"model": "boss", "fallback_model": "fallback"}
"""What may stand below `models` of the top instead."""


def agents_list(*, common: Common = DEFAULT) -> int:
    """Every agent, with its model and its tools."""
    _settings, agents = _read(common)
    rows: list[dict[str, Any]] = []
    for id in agents.ids():
        agent = agents.effective(id)
        rows.append(
            {
                "id": id,
                "default": id == agents.default.id,
                "model": agent.model,
                "tools": _tools(agent.tool_policy),
                "description": agent.description,
            }
        )
    if common.json:
        terminal.document(rows)
        return 0
    terminal.table(
        ("agent", "model", "tools", "description"),
        [
            (
                f"{row['id']}{' (default)' if row['default'] else ''}",
                terminal.shown(row["model"] or "auto"),
                "all" if row["tools"] is None else config_splice.yaml_text(row["tools"]),
                terminal.shown(row["description"]),
            )
            for row in rows
        ],
    )
    return 0


def agents_show(agent: str | None = None, /, *, common: Common = DEFAULT) -> int:
    """One agent with all that it inherits, and where each value comes from.

    Args:
        agent: Its id; else the default agent.
    """
    settings, agents = _read(common)
    found = agents.effective(agent)
    values: dict[str, dict[str, Any]] = {}
    for one in dataclasses.fields(found):
        if one.name in ("id", "sources"):
            continue
        key = _ELSEWHERE.get(one.name, one.name)
        value: Any = getattr(found, one.name)
        if isinstance(value, SubagentPolicy):
            values |= _children(settings, agents, found)
            continue
        if isinstance(value, ToolPolicy):
            value = _tools(value)
        elif one.name == config_servers.KEY:
            value = servers.named(value) if value else None
        elif value is not None and not isinstance(value, bool | int):
            value = list(value) if isinstance(value, tuple) else str(value)
        shown = config.redacted(value, ("agents", found.id, key))
        values[key] = {"value": shown, "source": _source(settings, found, one.name, key)}
    folder = common.folder()
    own = agents.workspace(found.id, home=folder)
    if speaks := persona.of(found, workspace=own, home=folder):
        source = values["personality"]["source"]
        source = source if speaks.source in ("agent", "global") else speaks.source
        values["personality"] = {"value": speaks.text, "source": source}
    private = str(home.of_agent(folder, found.id))
    if common.json:
        terminal.document({"id": found.id, "folder": private, "values": values})
        return 0
    terminal.out(f"id: {found.id}")
    terminal.out(f"folder: {terminal.shown(private, 400)}")
    for key, entry in values.items():
        source = "" if entry["source"] == "default" else f"   ({entry['source']})"
        value = terminal.shown(config_splice.yaml_text(entry["value"]), 200)
        terminal.out(f"{key}: {value}{source}")
    terminal.out(f"`alfred tools --agent {found.id}` says which tools that are.")
    return 0


def agents_add(
    agent: str | None = None,
    /,
    *,
    description: str | None = None,
    model: str | None = None,
    tools: str | None = None,
    workspace: Path | None = None,
    personality: str | None = None,
    reasoning: str | None = None,
    max_turns: int | None = None,
    default: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Write an agent into config.yaml, keeping what stands there. The first one leaves `main` the default. On a terminal,
    without any option, what it needs is asked.

    Args:
        agent: Its id.
        description: What it is for.
        model: Its own model, provider:model.
        tools: A profile, or tools as YAML in one line, as in [web_search, memory] or {deny: [shell]}.
        workspace: The folder that its runs work in.
        personality: How it speaks, or the path of a file that says so.
        reasoning: How much its model thinks first.
        max_turns: Turns of a run at most.
        default: It is meant when no agent is named.
    """
    folder = common.folder()
    home.ensure(folder)
    settings, agents = _read(common)
    if agent is not None:
        _free(agent, settings, agents)
    _in_file(settings, "Add")
    given: dict[str, Any] = {
        "default": default or None,
        "description": description,
        "model": model,
        "tools": None if tools is None else _yaml("--tools", tools),
        "workspace": None if workspace is None else str(workspace.expanduser().absolute()),
        "personality": personality,
        "reasoning": reasoning,
        "max_turns": max_turns,
    }
    entry = {key: value for key, value in given.items() if value is not None}
    if not entry and terminal.interactive() and not common.json:
        agent, entry = _asked(agent, settings, agents)
    if agent is None:
        raise errors.UsageError(
            "Nobody said what the agent is called.", next="alfred agents add NAME"
        )
    for _ in range(_TRIES):
        if written := _added(folder, settings, agent, entry, default=default):
            break
        settings, agents = _read(common)  # somebody else has added one, or taken one out
        _free(agent, settings, agents)
    else:
        raise errors.ConfigError(
            "config.yaml has other agents at each look.", next="Write the agent into it by hand."
        )
    where = written.place("agents", agent) or "config.yaml"
    if common.json:
        terminal.document({"id": agent, "place": where})
    else:
        terminal.out(f'{where}: {agent}. Try it: alfred run "…" --agent {agent}')
    return 0


class _Meanwhile(Exception):
    """There are other agents in the file than those that were read."""


def _added(
    folder: Path, settings: Settings, agent: str, entry: dict[str, Any], *, default: bool
) -> Settings | None:
    """Writes an agent beside those that were read; None, and nothing written, where others are there by now."""

    def first(tree: Mapping[str, Any]) -> None:
        if set(tree.get("agents") or ()) != set(settings.agents):
            raise _Meanwhile

    path, value = ("agents", agent), entry
    if not settings.agents:
        # whoever was there without a word about it stays there, and is meant as before
        main = {} if default else {"default": True}
        path, value = ("agents",), {MAIN: main, agent: entry} if agent != MAIN else {agent: entry}
    try:
        return config_edit.edit(folder, path, value, check=app.check, first=first)
    except _Meanwhile:
        return None


def agents_remove(agent: str, /, *, common: Common = DEFAULT) -> int:
    """Take an agent out of config.yaml, keeping all else that stands there. Its folder and what it did stay.

    Args:
        agent: Its id.
    """
    folder = common.folder()
    settings, agents = _read(common)
    agents.get(agent)
    _in_file(settings, "Take the agent out")
    entry = next((key for key, said in settings.agents.items() if _id(key, said) == agent), None)
    if entry is None:
        raise errors.UsageError(
            f"{agent!r} is who there is without `agents` in config.yaml.",
            next="`alfred agents add NAME` writes another.",
        )
    with app.base(folder=folder) as base:
        tenant = base.desk.tenant
        with base.store.read() as look:
            runs = views.open_of(look, tenant, agent)
            fired = [one.name for one in crons.of_tenant(look, tenant) if one.agent == agent]
        if named := [*_named(settings, agent), *(f"cron {name}" for name in fired)]:
            raise errors.ConfigError(
                f"{agent} is still named: {'; '.join(named)}.",
                next="Take that out first, or name another agent there.",
            )
        if runs:
            told = ", ".join(map(terminal.short, runs[:10])) + (" and more" if runs[10:] else "")
            raise errors.UsageError(
                f"{agent} has runs that are not over: {told}.",
                next="Let them end, or end them with `alfred runs cancel ID`.",
            )
        written = config_edit.remove(folder, ("agents", entry), check=app.check)
        beats.seal_rules(base.store, tenant, lambda whose: app.settings_of(folder, whose))
    left = AgentRegistry.from_settings(written).default.id
    own = home.of_agent(folder, agent)
    kept = str(own) if own != folder and own.is_dir() else None
    if common.json:
        terminal.document({"id": agent, "folder": kept, "default": left})
        return 0
    terminal.out(f"{agent} is out of config.yaml. What it did stays in the ledger.")
    if kept:
        terminal.out(f"Its folder stays: {terminal.shown(kept, 400)}")
    if agents.default.id == agent:
        terminal.out(f"The agent that is meant when none is named is now {left}.")
    return 0


def agents_check(*, common: Common = DEFAULT) -> int:
    """Say what is wrong with the agents of config.yaml (code 2), and what is right and probably not meant."""
    from alfred.agents import doubts

    _settings, agents = _read(common)
    with common.open() as base:
        registry, _problems, mcp = app.offered(base, agents.default.id)
        found = doubts.doubts(
            agents,
            tools=registry.names(),
            home=common.folder(),
            servers=lambda agent: mcp.known(base.desk.tenant, agent),
        )
    if common.json:
        told = [one._asdict() for one in found]
        terminal.document({"agents": list(agents.ids()), "warnings": told})
        return 0
    for one in found:
        terminal.out(f"agents.{one.agent}.{one.key}: {terminal.shown(one.message, 400)}")
    told = terminal.count(found, "warning") if found else "nothing to correct"
    terminal.out(f"{terminal.count(agents.ids(), 'agent')}, {told}.")
    return 0


def _read(common: Common) -> tuple[Settings, AgentRegistry]:
    settings = app.settings_of(common.folder())
    for warning in config.mistyped(os.environ):
        terminal.say(warning)
    return settings, AgentRegistry.from_settings(settings)


def _id(entry: str, said: Any) -> str:
    """The id of an agent, by the key of its entry and what that says."""
    return str((said or {}).get("id") or entry)


def _free(id: str, settings: Settings, agents: AgentRegistry) -> None:
    """Refuses the id of an agent that there is."""
    if settings.agents and id in agents.ids():
        raise errors.NameTaken(
            f"There is an agent {id!r} already.",
            next=f"`alfred agents show {id}`; `alfred config edit agents.{id}.KEY VALUE` changes it.",
        )


def _in_file(settings: Settings, verb: str) -> None:
    """Refuses to change agents that are not written in the file."""
    place = settings.place("agents") or ""
    if place.startswith("env:"):
        raise errors.UsageError(
            f"The agents come from {place.removeprefix('env:')}, which wins over config.yaml.",
            next=f"{verb} there, or unset it.",
        )


def _named(settings: Settings, id: str) -> list[str]:
    """Where else the configuration names this agent, for people."""
    tree = settings.model_dump(mode="json")
    routed = [
        ("bindings", one.number - 1)
        for one in bindings.read(tree["bindings"])[0]
        if one.agent == id
    ]
    return [
        f"{config_text.dotted(path)} ({settings.place(*path) or 'config.yaml'})"
        for path in dict.fromkeys([*routed, *entries.naming(tree, id)])
    ]


def _asked(
    agent: str | None, settings: Settings, agents: AgentRegistry
) -> tuple[str, dict[str, Any]]:
    """What a person at the terminal says of a new agent: only what is right, or nothing."""
    entry: dict[str, Any] = {}

    def wrong(id: str, said: dict[str, Any]) -> str | None:
        found = app.check({"agents": {**settings.agents, id: {**entry, **said}}})
        return next((str(one) for one in found if one.path[:2] == ("agents", id)), None)

    def ask(question: str, problem: Callable[[str], str | None]) -> str:
        while True:
            said = terminal.line_or_end(question)
            if said is None:
                raise errors.UsageError("Nothing was added.")
            told = problem(said) if said else None
            if told is None:
                return said
            terminal.say(told)

    if agent is None:
        agent = ask("name:", lambda said: wrong(said, {}) or _taken(said, settings, agents))
        if not agent:
            raise errors.UsageError("Nothing was added: it has no name.")
    id = agent
    questions = (
        ("description", "what it is for:", str),
        ("model", "model, provider:model [that of all]:", str),
        ("tools", f"tools: {', '.join(TOOL_PROFILES)}, or [a, b] [all]:", _tools_said),
    )
    for key, question, read in questions:
        if said := ask(question, lambda said, key=key, read=read: wrong(id, {key: read(said)})):
            entry[key] = read(said)
    return id, entry


def _taken(id: str, settings: Settings, agents: AgentRegistry) -> str | None:
    try:
        return _free(id, settings, agents)
    except errors.NameTaken as problem:
        return problem.detail


def _tools_said(said: str) -> Any:
    """What somebody typed for `tools`: what is no YAML is a name that no profile has."""
    try:
        return _yaml("tools", said)
    except errors.UsageError:
        return said


def _yaml(option: str, text: str) -> Any:
    """What an option says in one line of YAML.

    Raises:
        UsageError: it is none.
    """
    made = config_text.parse(f"value: {text}\n", option)
    if made.findings or made.tree.keys() != {"value"}:
        raise errors.UsageError(
            f"{option} is no YAML in one line: {config_text.shown(text)}.",
            next="Write a profile, [a, b] or {deny: [a]}.",
        )
    return config_text.resolve(made.tree["value"])


def _tools(policy: ToolPolicy | None) -> dict[str, Any] | None:
    """A policy as it is written out."""
    if policy is None:
        return None
    written = {f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)}
    return {
        key: sorted(value) if isinstance(value, frozenset) else value
        for key, value in written.items()
        if value or (key == "allow" and value is not None)
    }


def _children(
    settings: Settings, agents: AgentRegistry, agent: EffectiveAgent
) -> dict[str, dict[str, Any]]:
    """How far an agent may hand work on, value by value: an entry may give some of them alone."""
    entry, said = _entry(settings, agent.id)
    written = said.get("subagents")
    told: dict[str, dict[str, Any]] = {}
    for one in dataclasses.fields(agent.subagents):
        value: Any = getattr(agent.subagents, one.name)
        place: str | None = None
        if isinstance(written, Mapping):
            if written.get(one.name) is not None:
                place = settings.place("agents", entry, "subagents", one.name)
        elif written is not None and one.name == "max_children":
            place = settings.place("agents", entry, "subagents")
        if one.name == "model" and value is None:
            value = agents.subagent_model(agent.id)
            place = settings.place("subagent", "model") if value else None
        told[f"subagents.{one.name}"] = {"value": value, "source": place or "default"}
    return told


def _entry(settings: Settings, id: str) -> tuple[str, Mapping[str, Any]]:
    """The key and the entry of an agent in the configuration; what is empty where there is none."""
    for entry, said in settings.agents.items():
        if _id(entry, said) == id:
            return str(entry), said or {}
    return id, {}


def _source(settings: Settings, agent: EffectiveAgent, name: str, key: str) -> str:
    """Where a value stands: `config.yaml:<line>`, `env:<NAME>`, or `default`."""
    place: str | None = None
    if agent.sources[name] == "agent":
        entry, said = _entry(settings, agent.id)
        place = settings.place("agents", entry, name if name in said else key)
    elif agent.sources[name] == "global":
        below = _FROM_MODELS.get(key)
        deep = settings.place("models", below) if below else None
        plain = settings.place(key)
        env = (plain or "").startswith("env:") and not (deep or "").startswith("env:")
        listed = bool(getattr(settings.models, below)) if below else False
        place = deep if listed and not env else plain
    return place or "default"
