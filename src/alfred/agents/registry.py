"""Who speaks: the configuration of each agent. Without an `agents` key there is one, `main`, with the defaults.

Invariant: nothing that a configuration says about agents is passed over. A key that has no effect yet is wrong as a
mistyped one is, and so is the name of an agent that nobody has: a policy that is quietly not applied is worse than
none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from alfred import config_text, errors
from alfred.config_text import Finding, Where

if TYPE_CHECKING:
    from alfred.config import Settings

MAIN = "main"


class UnknownAgent(errors.ConfigError):
    """No agent has this name."""

    code: ClassVar[str] = "unknown_agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """One agent.

    Attributes:
        id: Its name in commands, rows and paths.
        model: `provider:model`, None for the installation's.
        personality: What its system prompt says about how it speaks.
        max_turns: Boss turns of a run at most, None for `limits.turns`.
        memory_enabled: Whether memories are read into its runs.
        default: Whether it is meant when no agent is named.
    """

    id: str
    model: str | None = None
    personality: str | None = None
    max_turns: int | None = None
    memory_enabled: bool = True
    default: bool = False


_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # it becomes the name of a folder
_INHERITED_LATER = ("provider", "reasoning", "fallback_model", "tools")
_LATER = (
    *_INHERITED_LATER,
    *(
        "id",
        "description",
        "workspace",
        "toolsets",
        "tool_policy",
        "sandbox",
        "subagents",
        "dm_scope",
    ),
)
"""Keys of agents that nothing reads yet; the first of them can be inherited from the top."""

_KEYS = tuple(f.name for f in fields(AgentConfig) if f.name != "id")


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with what a configuration says about agents, by its key. Places are not known here.

    Args:
        tree: The whole configuration as it is written: it need not be right otherwise.
    """
    found = [
        Finding((key,), "has no effect in this version, take it out")
        for key in _INHERITED_LATER
        if tree.get(key) is not None
    ]
    agents = tree.get("agents") or {}
    if not isinstance(agents, Mapping):
        return found  # which is told as such, and who there is cannot be known
    marked: list[str] = []
    for name, entry in agents.items():
        here: Where = ("agents", str(name))
        if not _ID.fullmatch(str(name)):
            message = "is no name for an agent: 1 to 64 of a-z, 0-9, _ and -, with a letter or digit first"
            found.append(Finding(here, message))
        config, wrong = _parsed(str(name), entry, AgentConfig(id=MAIN))
        found += wrong
        if config.default:
            marked.append(str(name))
            if len(marked) > 1:
                message = f"only one agent can be the default, and {marked[0]} is"
                found.append(Finding((*here, "default"), message))
    known = [str(name) for name in agents if _ID.fullmatch(str(name))] or [MAIN]
    there = {*map(str, agents), *known, *_of_the_fleet(tree)}
    for path, name in _named(tree):
        if name not in there:
            found.append(
                Finding(path, f"names no agent{_meant(name, known)}", config_text.shown(name))
            )
    return found


class AgentRegistry:
    """The agents of one tenant, by id."""

    def __init__(self, agents: Mapping[str, AgentConfig]):
        self._agents = dict(agents)

    @classmethod
    def from_settings(cls, settings: Settings) -> AgentRegistry:
        """The agents of a tenant, with what they inherit from the top of its configuration.

        Raises:
            ConfigError: as `from_config`. Not for settings that were loaded with `problems` as a check.
        """
        inherited = AgentConfig(
            id=MAIN,
            max_turns=settings.max_turns,
            personality=settings.personality,
            memory_enabled=settings.memory_enabled,
        )
        return cls.from_config(settings.agents, inherited=inherited)

    @classmethod
    def from_config(
        cls, raw: Mapping[str, Any] | None, *, inherited: AgentConfig | None = None
    ) -> AgentRegistry:
        """The registry that the `agents` key describes; a missing or empty one is one `main`.

        Raises:
            ConfigError, ConfigErrors: what `problems` finds.
        """
        raw = raw or {}
        if found := problems({"agents": raw}):
            kind = errors.ConfigErrors if len(found) > 1 else errors.ConfigError
            raise kind("; ".join(map(str, found)) + ".", next="`alfred doctor` tells the places.")
        base = inherited or AgentConfig(id=MAIN)
        agents = {str(name): _parsed(str(name), entry, base)[0] for name, entry in raw.items()}
        return cls(agents or {MAIN: replace(base, default=True)})

    def default(self) -> AgentConfig:
        """The agent that is meant when none is named: the one marked so, else `main`, else the first."""
        agents = list(self._agents.values())
        marked = [agent for agent in agents if agent.default]
        return (marked or [agent for agent in agents if agent.id == MAIN] or agents)[0]

    def get(self, name: str | None) -> AgentConfig:
        """The agent of this name, the default one for None.

        Raises:
            UnknownAgent: nobody is called so.
        """
        if name is None:
            return self.default()
        if name in self._agents:
            return self._agents[name]
        near = difflib.get_close_matches(name, self._agents, n=1)
        raise UnknownAgent(
            f"No agent named {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""),
            next=f"Known: {', '.join(self._agents)}.",
        )

    def names(self) -> tuple[str, ...]:
        """Every agent's id, in the order of the configuration."""
        return tuple(self._agents)


def _parsed(name: str, entry: Any, inherited: AgentConfig) -> tuple[AgentConfig, list[Finding]]:
    """An agent as far as its entry is right, and what is wrong with it."""
    here: Where = ("agents", name)
    if entry is None:
        entry = {}
    if not isinstance(entry, Mapping):
        message = "must be keys with values, as in `{model: auto}`"
        return replace(inherited, id=name), [Finding(here, message, config_text.shown(entry))]
    known: dict[str, Any] = {}
    found: list[Finding] = []
    for key, value in entry.items():
        path = (*here, str(key))
        if key in _LATER:
            found.append(Finding(path, "has no effect in this version, take it out"))
        elif key not in _KEYS:
            # the value is not shown: it may be a secret in the wrong place
            found.append(
                Finding(path, f"is no setting of an agent{_meant(str(key), (*_KEYS, *_LATER))}")
            )
        elif value is not None:
            known[str(key)], message = _value(str(key), value)
            if message:
                found.append(Finding(path, message, config_text.shown(value)))
                del known[str(key)]
    return replace(inherited, id=name, **known), found


def _value(key: str, value: Any) -> tuple[Any, str | None]:
    """What a value means, or what is wrong with it."""
    if isinstance(value, Mapping | list):
        return None, "must be one value"
    text = config_text.as_text(value)
    match key:
        case "max_turns":
            good = text.isascii() and text.isdigit() and 1 <= len(text) <= 9 and int(text) >= 1
            return (int(text), None) if good else (None, "must be a whole number of at least 1")
        case "memory_enabled" | "default":
            good = text in ("true", "false")
            return (text == "true", None) if good else (None, "must be true or false")
        case "model" if not text or text != text.strip() or not text.isprintable():
            return None, "must be `provider:model` in one line"
    return text, None


def _named(tree: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    """Where the configuration names an agent; patterns of rules name nobody in particular."""
    budget, policy = tree.get("budget"), tree.get("policy")
    caps = budget.get("per_agent") if isinstance(budget, Mapping) else None
    for name in caps if isinstance(caps, Mapping) else ():
        yield ("budget", "per_agent", str(name)), str(name)
    rules = policy.get("rules") if isinstance(policy, Mapping) else None
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        name = rule.get("agent") if isinstance(rule, Mapping) else None
        if isinstance(name, str) and not set("*?[") & set(name):
            yield ("policy", "rules", number, "agent"), name


def _of_the_fleet(tree: Mapping[str, Any]) -> Iterator[str]:
    """Agents that exist by their place in the fleet, which is read elsewhere."""
    fleet = tree.get("fleet")
    agents = fleet.get("agents") if isinstance(fleet, Mapping) else None
    for name, entry in agents.items() if isinstance(agents, Mapping) else ():
        yield str(name)
        if isinstance(entry, Mapping) and entry.get("agent"):
            yield str(entry["agent"])


def _meant(name: str, names: Sequence[str]) -> str:
    near = config_text.nearest(name, names)
    return f", did you mean {near}?" if near else f"; known: {', '.join(names)}"
