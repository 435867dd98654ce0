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
from alfred.agents.subagents import TIERS
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
        naming: For `model` and `fallback_model` the provider that they are named with, and whether that is said beside them.
    """

    sources: Mapping[str, Source] = field(default_factory=dict)
    naming: Mapping[str, tuple[str | None, bool]] = field(default_factory=dict)

    @property
    def asked(self) -> str:
        """Who answers for it, with the provider: `auto`, or what `llm.catalog.parse` reads."""
        return self._whole(self.model or "auto", "model")

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Who answers in this order when that one is limited or away, each with its provider."""
        return tuple(self._whole(one, "fallback_model") for one in self.fallback_model or ())

    def _whole(self, model: str, key: str) -> str:
        provider, beside = self.naming[key]
        return _whole(model, provider, beside=beside)

    @property
    def policy(self) -> ToolPolicy:
        """Which tools its runs have, of the groups that are loaded for them: what is offered to its model, and what their
        grants hold."""
        loaded = None if self.toolsets is None else frozenset(self.toolsets)
        policy = replace(self.tool_policy or ToolPolicy(), toolsets=loaded)
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
        own, top = given.get("provider"), self._inherited.get("provider")
        whose = own or _whose(given.get("model"), top)
        if whose != (own or top):
            values["provider"], sources["provider"] = whose, "agent"
        naming = {
            key: (own, True) if own else (by, False) if key in given else (top, True)
            for key, by in (("model", top), ("fallback_model", whose))
        }
        return EffectiveAgent(**values, sources=sources, naming=naming)

    def subagent_model(
        self,
        id: str | None,
        argument: str | None = None,
        parent_model: str | None = None,
        *,
        target: str | None = None,
    ) -> str | None:
        """The model of a child of this agent's, with its provider; it may be `auto`, or name a tier.

        Args:
            argument: What the agent asked for.
            parent_model: What it runs on itself, where nobody says anything.
            target: The named agent that the child is; its own model goes before what its caller's entry says. Whoever has
                a provider of its own has a model of its own.

        Raises:
            UnknownAgent: nobody is called so.
        """
        if argument:
            return argument if argument in TIERS else self.named(argument, target or id)
        if target is not None and (own := self.get(target)) and (own.model or own.provider):
            return self.effective(target).asked
        written = self.childrens(id)
        if written is None or written in TIERS:
            return written or parent_model
        caller = self.get(id)
        if caller.subagents.model is None:
            return _whole(written, self.provider(id), beside=True)
        return _whole(written, self.effective(id).provider, beside=caller.provider is not None)

    def childrens(self, id: str | None) -> str | None:
        """The model that the configuration gives children of this agent's, as it is written.

        Raises:
            UnknownAgent: nobody is called so.
        """
        return self.get(id).subagents.model or self._subagent

    def provider(self, id: str | None) -> str | None:
        """Whose models of this agent's are that do not say it themselves; of somebody who is not there any more those of
        the installation. None: nobody says it."""
        given = self._given.get(self.default.id if id is None else id, {})
        return given.get("provider") or self._inherited.get("provider")

    def named(self, model: str, id: str | None) -> str:
        """A model that somebody names for a run of this agent, with its provider; `auto` stays what it is."""
        return _whole(model, self.provider(id), beside=False)

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


def tiers(settings: Any) -> dict[str, str | None]:
    """The installation's models of small questions by their tier, with their providers; None where it names none."""
    written = {tier: getattr(settings.models, tier) for tier in TIERS}
    return {
        tier: model and _whole(model, settings.provider, beside=True)
        for tier, model in written.items()
    }


def _whole(model: str, provider: str | None, *, beside: bool) -> str:
    if provider is None:
        return model  # most commands only look, and load nothing for it
    from alfred.llm import catalog

    return catalog.whole(model, provider, beside=beside)


def _whose(model: str | None, provider: str | None) -> str | None:
    if model is None:
        return provider
    from alfred.llm import catalog

    return catalog.whose(model, provider)


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
