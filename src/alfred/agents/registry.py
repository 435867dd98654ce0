"""Who speaks: the configuration of each agent. Without an `agents` key there is one, `main`, with the defaults.

What an agent's configuration may say grows with the registry of named agents; a key that has no effect yet is
an error and not ignored, because a policy that is quietly not applied is worse than none.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from alfred import errors

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


_NOT_YET = ("provider", "reasoning", "fallback_model", "tools")
"""Keys that agents will inherit, and that nothing reads yet."""

_KEYS = tuple(f.name for f in fields(AgentConfig) if f.name != "id")


class AgentRegistry:
    """The agents of one tenant, by id."""

    def __init__(self, agents: Mapping[str, AgentConfig]):
        self._agents = dict(agents)

    @classmethod
    def from_settings(cls, settings: Settings) -> AgentRegistry:
        """The agents of a tenant, with what they inherit from the top of its configuration.

        Raises:
            ConfigError: as `from_config`; also for a key at the top that has no effect yet.
        """
        for key in _NOT_YET:
            if getattr(settings, key) is not None:
                raise errors.ConfigError(
                    f"{key} is not supported by this version.",
                    next=f"Take {key} out of config.yaml.",
                )
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
            ConfigError: a key that is not known (or has no effect yet), or a value of the wrong kind.
        """
        base = inherited or AgentConfig(id=MAIN)
        agents = {str(name): _parse(str(name), entry, base) for name, entry in (raw or {}).items()}
        return cls(agents or {MAIN: replace(base, default=True)})

    def default(self) -> AgentConfig:
        """The agent that is meant when none is named: the one marked so, else the first."""
        marked = [agent for agent in self._agents.values() if agent.default]
        return (marked or list(self._agents.values()))[0]

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


def _parse(name: str, entry: Any, inherited: AgentConfig) -> AgentConfig:
    if entry is None:
        entry = {}
    if not isinstance(entry, Mapping):
        raise errors.ConfigError(f"agents.{name} must be a mapping, not {entry!r}.")
    known: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(_KEYS)}."
            raise errors.ConfigError(f"agents.{name}.{key} is not supported by this version.{hint}")
        known[key] = _value(f"agents.{name}.{key}", key, value)
    return replace(inherited, id=name, **known)


def _value(where: str, key: str, value: Any) -> Any:
    text = str(value) if value is not None else None
    if key == "max_turns":
        if text is None or not text.isdigit() or int(text) < 1:
            raise errors.ConfigError(
                f"{where} must be a whole number of at least 1, not {value!r}."
            )
        return int(text)
    if key in ("memory_enabled", "default"):
        if str(value).lower() not in ("true", "false"):
            raise errors.ConfigError(f"{where} must be true or false, not {value!r}.")
        return str(value).lower() == "true"
    return text
