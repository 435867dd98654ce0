"""Teams: a lead that hands work on to members, and what all of them are told.

Invariant: a team is nothing but words in heads: its lead hands on as any agent does, to agents that there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from alfred import config_text
from alfred.agents import entries
from alfred.config_text import Finding, Where

_KEYS = ("lead", "members", "brief")


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Agents that work together.

    Attributes:
        name: What it is called.
        lead: The agent that hands on.
        members: The agents that it hands on to.
        brief: What all of them are told besides their own briefs.
    """

    name: str
    lead: str
    members: tuple[str, ...]
    brief: str = ""


def read(tree: Mapping[str, Any], agents: Collection[str]) -> tuple[list[Team], list[Finding]]:
    """The teams of a configuration as far as they are right, and all that is wrong with them.

    Args:
        agents: The ids of those that there are.
    """
    section = tree.get("teams") or {}
    if not isinstance(section, Mapping):
        return [], []  # which is told as such
    teams: list[Team] = []
    found: list[Finding] = []
    for name, entry in section.items():
        here: Where = ("teams", str(name))
        said = config_text.resolve(entry)
        if not isinstance(said, Mapping):
            message = f"must be keys of {', '.join(_KEYS)}"
            found.append(Finding(here, message, config_text.shown(said)))
            continue
        wrong = [
            Finding((*here, str(key)), f"is no key of a team; known: {', '.join(_KEYS)}")
            for key in said
            if key not in _KEYS
        ]
        members = said.get("members")
        several = members if isinstance(members, list | tuple) else [members]
        named = [(("lead",), said.get("lead"))]
        named += [(("members", n), member) for n, member in enumerate(several)]
        wrong += [
            _unknown((*here, *at), one, agents)
            for at, one in named
            if not isinstance(one, str) or one not in agents
        ]
        if said.get("lead") in several:
            wrong.append(Finding((*here, "members"), "has the lead, which hands on to others"))
        brief = said.get("brief")
        if brief is not None and not isinstance(brief, str):
            wrong.append(Finding((*here, "brief"), "must be a text", config_text.shown(brief)))
        found += wrong
        if not wrong:
            team = Team(
                name=str(name), lead=said["lead"], members=tuple(several), brief=brief or ""
            )
            teams.append(team)
    return teams, found


def naming(tree: Mapping[str, Any], id: str) -> list[Where]:
    """Where teams name this agent; of teams that are right."""
    section = tree.get("teams") or {}
    found: list[Where] = []
    for name, team in section.items():
        here: Where = ("teams", str(name))
        members = team.get("members")
        if team.get("lead") == id:
            found.append((*here, "lead"))
        if isinstance(members, list | tuple):
            found += [(*here, "members", n) for n, one in enumerate(members) if one == id]
        elif members == id:
            found.append((*here, "members"))
    return found


def _unknown(at: Where, name: Any, agents: Collection[str]) -> Finding:
    if not isinstance(name, str):
        return Finding(at, "must name an agent", config_text.shown(name))
    message = f"names no agent{config_text.meant(name, list(agents))}"
    return Finding(at, message, config_text.shown(name), kind=entries.UnknownAgent)
