"""Who speaks: the configuration of each agent. Without an `agents` key there is one, `main`, with the defaults.

What an agent's configuration may say grows with the registry of named agents; a key that has no effect yet is
an error and not ignored, because a policy that is quietly not applied is worse than none.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from alfred import errors

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


_KEYS = tuple(f.name for f in fields(AgentConfig) if f.name != "id")


class AgentRegistry:
    """The agents of one tenant, by id."""

    def __init__(self, agents: Mapping[str, AgentConfig]):
        self._agents = dict(agents)

    @classmethod
    def from_config(cls, raw: Mapping[str, Any] | None) -> AgentRegistry:
        """The registry that the `agents` key describes; a missing or empty one is one `main`.

        Raises:
            ConfigError: a key that is not known (or has no effect yet), or a value of the wrong kind.
        """
        agents = {str(name): _parse(str(name), entry) for name, entry in (raw or {}).items()}
        if not agents:
            agents = {MAIN: AgentConfig(id=MAIN, default=True)}
        return cls(agents)

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


def _parse(name: str, entry: Any) -> AgentConfig:
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
    return AgentConfig(id=name, **known)


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
