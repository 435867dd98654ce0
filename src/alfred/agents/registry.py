"""The agents of a tenant: who there is, what each inherits, and where each value comes from.

Invariants: a registry is a value that never changes, made of a configuration that is right as a whole; without an
`agents` key there is one agent, `main`; the home is asked for at every call.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alfred import config_text
from alfred import home as places
from alfred.agents import bindings, entries, persona, subagents, teams
from alfred.agents.entries import MAIN, AgentConfig, UnknownAgent
from alfred.agents.teams import Team
from alfred.agents.tools import ToolPolicy
from alfred.config_text import Finding

if TYPE_CHECKING:
    from alfred.config import Settings

Source = Literal["agent", "global", "built-in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveAgent(AgentConfig):
    """An agent with everything that it inherits.

    Attributes:
        sources: Where each value comes from, by its name: the agent's entry, the top of the configuration, or neither.
    """

    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def policy(self) -> ToolPolicy:
        """Which tools its runs have: what is offered to its model, and what their grants hold."""
        policy = self.tool_policy or ToolPolicy()
        return policy if self.memory_enabled else replace(policy, deny=policy.deny | {"memory"})


class AgentRegistry:
    """The agents of one tenant, by id.

    Args:
        agents: What each agent's entry gives.
        inherited: What the top of the configuration gives all of them.
        subagent: The model that it gives all children, as it is written.
        teams: Those of its agents that work together.
    """

    def __init__(
        self,
        agents: Mapping[str, Mapping[str, Any]],
        inherited: Mapping[str, Any],
        subagent: str | None = None,
        teams: Sequence[Team] = (),
    ):
        self.teams = tuple(teams)
        self._given = dict(agents) or {MAIN: {"id": MAIN, "default": True}}
        self._inherited = inherited
        self._subagent = subagent
        self._agents = {id: AgentConfig(**given) for id, given in self._given.items()}

    @classmethod
    def from_settings(cls, settings: Settings) -> AgentRegistry:
        """The agents of a tenant, with what they inherit from the top of its configuration.

        Raises:
            ConfigError: as `from_config`. Not for settings that were loaded with `entries.problems` as a check.
        """
        tree = {key: getattr(settings, key) for key in settings.model_fields_set}
        tree["models"] = {"fallback": settings.models.fallback}
        if settings.models.boss or "model" in tree:
            tree["model"] = installations(settings)
        return _checked(tree)

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> AgentRegistry:
        """The agents that a whole configuration describes; without any one `main`. Its bindings must be right too.

        Raises:
            ConfigError: of the kind of the one problem, `ConfigErrors` for several.
        """
        whole = config or {}
        return _checked(whole, bindings.read(whole.get("bindings"), bindings.defined(whole))[1])

    def ids(self) -> tuple[str, ...]:
        """Every agent's id, in the order of the configuration."""
        return tuple(self._agents)

    @property
    def default(self) -> AgentConfig:
        """The agent that is meant when none is named: the one marked so, else `main`, else the first."""
        agents = list(self._agents.values())
        marked = [agent for agent in agents if agent.default]
        return (marked or [agent for agent in agents if agent.id == MAIN] or agents)[0]

    def get(self, id: str | None) -> AgentConfig:
        """The agent as its entry says it; the default one for None.

        Raises:
            UnknownAgent: nobody is called so.
        """
        if id is None:
            return self.default
        if id in self._agents:
            return self._agents[id]
        near = difflib.get_close_matches(id, self._agents, n=1)
        raise UnknownAgent(
            f"No agent named {id!r}." + (f" Did you mean {near[0]!r}?" if near else ""),
            next=f"Known: {', '.join(self._agents)}.",
        )

    def effective(self, id: str | None) -> EffectiveAgent:
        """The agent with everything that it inherits, and the source of each value; the default one for None.

        Raises:
            UnknownAgent: nobody is called so.
        """
        given = self._given[self.get(id).id]
        values: dict[str, Any] = {**self._inherited, **given}
        sources: dict[str, Source] = {
            f.name: "agent" if f.name in given else "global" if f.name in values else "built-in"
            for f in fields(AgentConfig)
        }
        return EffectiveAgent(**values, sources=sources)

    def subagent_model(
        self,
        id: str | None,
        argument: str | None = None,
        parent_model: str | None = None,
        *,
        target: str | None = None,
    ) -> str | None:
        """The model of a child of this agent's, as it is written, so that it may name a tier.

        Args:
            argument: What the agent asked for.
            parent_model: What it runs on itself, where nobody says anything.
            target: The named agent that the child is; its own model goes before what its caller's entry says.

        Raises:
            UnknownAgent: nobody is called so.
        """
        own = self.get(target).model if target is not None else None
        return argument or own or self.get(id).subagents.model or self._subagent or parent_model

    def may_spawn(self, id: str | None, running: int) -> bool:
        """Whether a run of this agent with so many living children may start one more.

        Raises:
            UnknownAgent: nobody is called so.
        """
        return running < self.get(id).subagents.max_children

    def personality(self, id: str | None, *, home: Path | None = None) -> str | None:
        """How the agent speaks, as a text; None: nothing says it. See `agents.persona`.

        Args:
            home: The tenant's; None: the home that the environment names.
        """
        agent, home = self.effective(id), _home(home)
        found = persona.of(agent, workspace=workspace(agent, home), home=home)
        return found.text if found else None

    def workspace(self, id: str | None, *, home: Path | None = None) -> Path:
        """The agent's folder: the one of its entry, else its own in the home. Nothing is made."""
        agent = self.get(id)
        return workspace(agent, _home(home))


def workspace(agent: AgentConfig, home: Path) -> Path:
    """The agent's folder: the one of its entry, else its own in the home."""
    return agent.workspace.expanduser() if agent.workspace else places.agents(home) / agent.id


def installations(settings: Any) -> str:
    """The model of whoever names none, as it is written, so that it may be `auto`.

    What the environment says beats what the file says; in either of them `models.boss` beats `model`.
    """
    boss, plain = settings.models.boss, settings.model
    if _by_environment(settings, "model") and not _by_environment(settings, "models", "boss"):
        return plain
    return boss or plain


def _by_environment(settings: Any, *path: str) -> bool:
    return (settings.place(*path) or "").startswith("env:")


def _checked(tree: Mapping[str, Any], more: Sequence[Finding] = ()) -> AgentRegistry:
    agents, found = entries.read(tree)
    inherited, wrong = entries.top(tree)
    found += [one for one in wrong if one not in found]
    if not isinstance(tree.get("agents") or {}, Mapping):
        found.append(Finding(("agents",), "must be agents by name, as in `{coder: {model: auto}}`"))
    together, amiss = teams.read(tree, list(agents) or [MAIN])
    found += [*amiss, *more]
    if found:
        raise config_text.raised(found, "`alfred doctor` tells the places.")
    return AgentRegistry(agents, inherited, subagents.everyones(tree)[0], together)


def _home(home: Path | None) -> Path:
    return home or places.path()
