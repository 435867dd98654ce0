"""What a configuration says about agents that is right and was probably not meant. Nothing here is an error."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from alfred import config_text
from alfred.actions import policy
from alfred.actions.declare import Action
from alfred.agents import persona
from alfred.agents.entries import MAIN
from alfred.agents.registry import AgentRegistry, EffectiveAgent
from alfred.agents.tools import TOOL_ALIASES, ToolPolicy, matches

_OWN_WAY = ("claude-cli", "codex-cli")
"""Programs that answer in the place of a provider, and think as they are set up themselves."""


class Doubt(NamedTuple):
    """What may not be meant: of which agent, in which key, and why."""

    agent: str
    key: str
    message: str


Servers = Callable[[str], Mapping[str, Sequence[str] | None]]
"""(agent) -> its MCP servers by name, each with the ids of its tools; None where they are not known."""


def doubts(
    agents: AgentRegistry,
    *,
    tools: Sequence[str],
    home: Path,
    servers: Servers = lambda agent: {},
) -> list[Doubt]:
    """Everything that may not be meant.

    Args:
        tools: The tools that there are.
        home: The tenant's.
    """
    every = [agents.effective(id) for id in agents.ids()]
    found: list[Doubt] = []
    if len(every) > 1 and not any(one.default or one.id == MAIN for one in every):
        first = agents.default.id
        found.append(Doubt(first, "default", "no agent is the default, so the first one is"))
    folders: dict[Path, str] = {}
    for agent in every:
        found += _of_one(agent, [*tools, *TOOL_ALIASES.values()], home)
        found += _of_servers(agent, servers(agent.id))
        found += _of_groups(agent, [*tools, *TOOL_ALIASES.values()], servers(agent.id))
        if agent.workspace is not None:
            folder = Path(os.path.realpath(agent.workspace.expanduser()))
            found += _shared(agent.id, folder, folders)
            folders.setdefault(folder, agent.id)
    return found


def of_rules(rules: Sequence[policy.Rule], actions: Iterable[Action]) -> dict[int, str]:
    """The rules of the policy that are about no action, by their places: one that was to forbid forbids nothing.

    Args:
        actions: All that there are. What servers have is not known here.
    """
    there = {
        *((one.id, one.integration) for one in actions),
        *((id, id.partition(".")[0]) for id in TOOL_ALIASES.values()),
    }
    found: dict[int, str] = {}
    for place, rule in enumerate(rules):
        named = rule.action or rule.integration
        if named is None or named.startswith(("mcp", "*", "?", "[")):
            continue
        if not any(policy.about(rule, id, integration) for id, integration in there):
            found[place] = _about_nothing(rule, there)
    return found


def _about_nothing(rule: policy.Rule, there: Iterable[tuple[str, str]]) -> str:
    ids, integrations = ({one[part] for one in there} for part in (0, 1))
    name = rule.action
    if name is None:
        shown = config_text.shown(rule.integration)
        meant = config_text.meant(rule.integration or "", integrations, "")
        return f"no action is of the integration {shown}{meant}"
    if name in ids:
        meant = ""
    elif name in TOOL_ALIASES:
        meant = f", did you mean {TOOL_ALIASES[name]}?"
    elif any(id.startswith(f"{name}.") for id in ids):
        meant = f", did you mean {name}.*?"
    else:
        meant = config_text.meant(name, ids, "")
    of = f" of {config_text.shown(rule.integration)}" if rule.integration is not None else ""
    return f"no action{of} is called {config_text.shown(name)}{meant}"


def _shared(id: str, folder: Path, folders: Mapping[Path, str]) -> Iterator[Doubt]:
    """Whose files an agent works on besides its own: what one of them writes there the other reads."""
    for other, owner in folders.items():
        if other == folder:
            yield Doubt(id, "workspace", f"{owner} works in it too")
        elif folder.is_relative_to(other) or other.is_relative_to(folder):
            inner, outer = (id, owner) if folder.is_relative_to(other) else (owner, id)
            yield Doubt(id, "workspace", f"the folder of {inner} lies in that of {outer}")


def _of_servers(
    agent: EffectiveAgent, servers: Mapping[str, Sequence[str] | None]
) -> Iterator[Doubt]:
    """Names of tools that no MCP server of the agent can have."""
    for name in sorted(agent.policy.names()):
        plain = name.replace(".", "_")
        if not plain.startswith("mcp_") or re.match(r"mcp_[^_]*[*?]", plain):
            continue
        server = next((one for one in servers if plain.startswith(f"mcp_{one}_")), None)
        shown = config_text.shown(name)
        if server is None:
            near = config_text.nearest(plain.split("_")[1], servers)
            meant = f", did you mean mcp.{near}.*?" if near else ""
            yield Doubt(agent.id, "tools", f"no MCP server of it has tools called {shown}{meant}")
            continue
        tools = servers[server]
        if tools is not None and not any(matches(name, tool) for tool in tools):
            meant = config_text.meant(name, tools, "")
            yield Doubt(agent.id, "tools", f"the MCP server {server} has no tool {shown}{meant}")


def _of_groups(
    agent: EffectiveAgent, tools: Sequence[str], servers: Mapping[str, Sequence[str] | None]
) -> Iterator[Doubt]:
    """Groups that nobody has, and names of tools whose group is not loaded."""
    groups = sorted({tool.split(".")[0] for tool in tools} - {"mcp"})
    groups += ["mcp", *(f"mcp.{server}" for server in servers)]
    for name in agent.toolsets or ():
        if name not in groups:
            meant = config_text.meant(name, groups, "")
            shown = config_text.shown(name)
            yield Doubt(agent.id, "toolsets", f"no tool is of the group {shown}{meant}")
    policy = agent.tool_policy
    if policy is None or agent.toolsets is None:
        return
    loaded = ToolPolicy(toolsets=agent.policy.toolsets)
    for name in sorted(policy.also_allow | (policy.allow or frozenset())):
        meant = [tool for tool in tools if matches(name, tool)]
        if meant and not loaded.apply(meant):
            shown = config_text.shown(name)
            yield Doubt(
                agent.id, "tools", f"{shown} is of no group of toolsets, so it is not there"
            )


def _of_one(agent: EffectiveAgent, tools: Sequence[str], home: Path) -> Iterator[Doubt]:
    for name in sorted(agent.policy.names()):
        if not any(matches(name, tool) for tool in tools) and not name.startswith("mcp"):
            meant = config_text.meant(name, [*tools, *TOOL_ALIASES], "")
            yield Doubt(agent.id, "tools", f"no tool is called {config_text.shown(name)}{meant}")
    said = (agent.personality or "").strip()
    a_file = said.lower().endswith((".md", ".txt")) and persona.path_of(said)
    if a_file and persona.text_of(said, home) == said:
        yield Doubt(agent.id, "personality", "names no file, so these words are told")
    if agent.workspace is not None and not agent.workspace.expanduser().is_dir():
        yield Doubt(agent.id, "workspace", f"{agent.workspace} is no folder")
    if agent.reasoning is not None and agent.asked.startswith(_OWN_WAY):
        yield Doubt(agent.id, "reasoning", f"{agent.asked} thinks as it is set up itself")
