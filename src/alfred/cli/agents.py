"""Who works here: the agents of the configuration, what each comes to, and what about them is probably not meant."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from alfred import app, config, config_servers, config_splice, home
from alfred.agents import persona, servers
from alfred.agents.entries import ATTRIBUTES
from alfred.agents.registry import AgentRegistry, EffectiveAgent
from alfred.agents.subagents import SubagentPolicy
from alfred.agents.tools import ToolPolicy
from alfred.cli import terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.config import Settings

_ELSEWHERE = {attribute: key for key, attribute in ATTRIBUTES.items()}
"""Attributes whose key has another name."""

_FROM_MODELS = {"model": "boss", "fallback_model": "fallback"}
"""What may stand below `models` of the top instead."""


def agents_list(*, common: Common = DEFAULT) -> int:
    """Every agent, with its model and its tools."""
    _settings, agents = read(common)
    rows: list[dict[str, Any]] = []
    for id in agents.ids():
        agent = agents.effective(id)
        rows.append(
            {
                "id": id,
                "default": id == agents.default.id,
                "model": agent.model and agent.asked,
                "tools": _tools(agent.tool_policy),
                "toolsets": None if agent.toolsets is None else list(agent.toolsets),
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
                _of_row(row),
                terminal.beginning(row["description"]),
            )
            for row in rows
        ],
    )
    return 0


def _of_row(row: Mapping[str, Any]) -> str:
    """Which tools an agent of the list has."""
    tools = "all" if row["tools"] is None else config_splice.yaml_text(row["tools"])
    if row["toolsets"] is None:
        return tools
    return f"{tools} of {', '.join(row['toolsets'])}" if row["toolsets"] else "none"


def agents_show(agent: str | None = None, /, *, common: Common = DEFAULT) -> int:
    """One agent with all that it inherits, and where each value comes from.

    Args:
        agent: Its id; else the default agent.
    """
    settings, agents = read(common)
    found = agents.effective(agent)
    values: dict[str, dict[str, Any]] = {}
    for one in dataclasses.fields(found):
        if one.name in ("id", "sources", "naming"):
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
    for key, whole in _whole(agents, found).items():
        values[key]["means"] = config.redacted(whole, ("agents", found.id, key))
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
        means = entry.get("means")
        means = f", that is {terminal.shown(config_splice.yaml_text(means), 200)}" if means else ""
        terminal.out(f"{key}: {value}{means}{source}")
    terminal.out(f"`alfred tools --agent {found.id}` says which tools that are.")
    return 0


def agents_check(*, common: Common = DEFAULT) -> int:
    """Say what is wrong with the agents of config.yaml (code 2), and what is right and probably not meant."""
    from alfred import checks
    from alfred.agents import doubts

    settings, agents = read(common)
    with common.open() as base:
        registry, _problems, mcp = app.offered(base, agents.default.id)
        found = doubts.doubts(
            agents,
            tools=registry.names(),
            home=common.folder(),
            servers=lambda agent: mcp.known(base.desk.tenant, agent),
        )
        idle = doubts.of_rules(settings.policy.rules, registry.whole())
    rules = [(f"policy.rules[{place}]", said) for place, said in idle.items()]
    never = list(checks.bindings(common.folder(), settings, None))
    if common.json:
        told: list[dict[str, Any]] = [one._asdict() for one in found]
        told += [{"agent": None, "key": key, "message": said} for key, said in rules]
        told += [{"agent": None, "key": "bindings", "message": one.text} for one in never]
        terminal.document({"agents": list(agents.ids()), "warnings": told})
        return 0
    for one in found:
        terminal.out(f"agents.{one.agent}.{one.key}: {terminal.shown(one.message, 400)}")
    for key, said in rules:
        terminal.out(f"{key}: {terminal.shown(said, 400)}")
    for one in never:
        terminal.out(terminal.shown(one.text, 400))
    every = [*found, *rules, *never]
    said = terminal.count(every, "warning") if every else "nothing to correct"
    terminal.out(f"{terminal.count(agents.ids(), 'agent')}, {said}.")
    return 0


def read(common: Common) -> tuple[Settings, AgentRegistry]:
    """The configuration and its agents, with warnings about mistyped variables said once."""
    settings = app.settings_of(common.folder())
    for warning in config.mistyped(os.environ):
        terminal.say(warning)
    return settings, AgentRegistry.from_settings(settings)


def id_of(entry: str, said: Any) -> str:
    """The id of an agent, by the key of its entry and what that says."""
    return str((said or {}).get("id") or entry)


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
            value = agents.childrens(agent.id)
            place = settings.place("subagent", "model") if value else None
        told[f"subagents.{one.name}"] = {"value": value, "source": place or "default"}
    return told


def _whole(agents: AgentRegistry, agent: EffectiveAgent) -> dict[str, Any]:
    """Its models with their providers, by their keys, where that is more than what is written."""
    written = (agent.model, list(agent.fallback_model or ()), agents.childrens(agent.id))
    wholes = (agent.asked, list(agent.fallbacks), agents.subagent_model(agent.id))
    keys = ("model", "fallback_model", "subagents.model")
    return {
        key: whole
        for key, said, whole in zip(keys, written, wholes, strict=True)
        if said not in (None, whole)
    }


def _entry(settings: Settings, id: str) -> tuple[str, Mapping[str, Any]]:
    """The key and the entry of an agent in the configuration; what is empty where there is none."""
    for entry, said in settings.agents.items():
        if id_of(entry, said) == id:
            return str(entry), said or {}
    return id, {}


def _source(settings: Settings, agent: EffectiveAgent, name: str, key: str) -> str:
    """Where a value stands: `config.yaml:<line>`, `env:<NAME>`, or `default`."""
    place: str | None = None
    if agent.sources[name] == "agent":
        entry, said = _entry(settings, agent.id)
        stands = name if name in said else key
        if name == "provider" and name not in said:
            stands = "model"  # which says whose it is
        place = settings.place("agents", entry, stands)
    elif agent.sources[name] == "global":
        below = _FROM_MODELS.get(key)
        deep = settings.place("models", below) if below else None
        plain = settings.place(key)
        env = (plain or "").startswith("env:") and not (deep or "").startswith("env:")
        listed = bool(getattr(settings.models, below)) if below else False
        place = deep if listed and not env else plain
    return place or "default"
