"""Who works here: the agents of the configuration, what each comes to, and what about them is probably not meant."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from alfred import app, config, config_edit, config_splice, config_text, errors, home
from alfred.agents import persona
from alfred.agents.entries import ATTRIBUTES, MAIN
from alfred.agents.registry import AgentRegistry, EffectiveAgent
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
        if isinstance(value, ToolPolicy):
            value = _tools(value)
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
    if common.json:
        terminal.document({"id": found.id, "values": values})
        return 0
    terminal.out(f"id: {found.id}")
    for key, entry in values.items():
        source = "" if entry["source"] == "default" else f"   ({entry['source']})"
        value = terminal.shown(config_splice.yaml_text(entry["value"]), 200)
        terminal.out(f"{key}: {value}{source}")
    terminal.out(f"`alfred tools --agent {found.id}` says which tools that are.")
    return 0


def agents_add(
    agent: str,
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
    """Write an agent into config.yaml, keeping what stands there. The first one leaves `main` the default.

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
    if settings.agents and agent in agents.ids():
        raise errors.NameTaken(
            f"There is an agent {agent!r} already.",
            next=f"`alfred agents show {agent}`; `alfred config edit agents.{agent}.KEY VALUE` changes it.",
        )
    place = settings.place("agents") or ""
    if place.startswith("env:"):
        raise errors.UsageError(
            f"The agents come from {place.removeprefix('env:')}, which wins over config.yaml.",
            next="Add the agent there, or unset it.",
        )
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
    if settings.agents:
        written = config_edit.edit(folder, ("agents", agent), entry, check=app.check)
    else:
        # whoever was there without a word about it stays there, and is meant as before
        main = {} if default else {"default": True}
        both = {MAIN: main, agent: entry} if agent != MAIN else {agent: entry}
        written = config_edit.edit(folder, ("agents",), both, check=app.check)
    where = written.place("agents", agent) or "config.yaml"
    if common.json:
        terminal.document({"id": agent, "place": where})
    else:
        terminal.out(f'{where}: {agent}. Try it: alfred run "…" --agent {agent}')
    return 0


def agents_check(*, common: Common = DEFAULT) -> int:
    """Say what is wrong with the agents of config.yaml (code 2), and what is right and probably not meant."""
    from alfred.agents import doubts

    _settings, agents = _read(common)
    registry, _problems = app.actions_of(common.folder())
    found = doubts.doubts(agents, tools=registry.names(), home=common.folder())
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


def _source(settings: Settings, agent: EffectiveAgent, name: str, key: str) -> str:
    """Where a value stands: `config.yaml:<line>`, `env:<NAME>`, or `default`."""
    place: str | None = None
    if agent.sources[name] == "agent":
        for entry, said in settings.agents.items():
            own = (said or {}).get("id", entry)
            if str(own) == agent.id:
                written = name if name in (said or {}) else key
                place = settings.place("agents", str(entry), written)
    elif agent.sources[name] == "global":
        below = _FROM_MODELS.get(key)
        deep = settings.place("models", below) if below else None
        plain = settings.place(key)
        env = (plain or "").startswith("env:") and not (deep or "").startswith("env:")
        listed = bool(getattr(settings.models, below)) if below else False
        place = deep if listed and not env else plain
    return place or "default"
