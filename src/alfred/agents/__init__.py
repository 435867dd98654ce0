"""Who speaks: the agents of a tenant, what each may use, which of them a message reaches, and how a run of one goes on.

The names below are for whoever builds on alfred. They are loaded at first use (PEP 562): a light command passes through
this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alfred.agents.entries import (
        AgentConfig,
        DuplicateAgentId,
        InvalidAgentId,
        MultipleDefaults,
        UnknownAgent,
    )
    from alfred.agents.registry import AgentRegistry
    from alfred.agents.router import BindingRouter, Route
    from alfred.agents.sessions import build_session_key
    from alfred.agents.subagents import InvalidSubagentPolicy, SubagentPolicy
    from alfred.agents.tools import (
        TOOL_PROFILES,
        InvalidToolConfig,
        ToolPolicy,
        UnknownProfile,
        normalize_tool_config,
    )

_HOMES = {
    "AgentConfig": "entries",
    "AgentRegistry": "registry",
    "BindingRouter": "router",
    "DuplicateAgentId": "entries",
    "InvalidAgentId": "entries",
    "InvalidSubagentPolicy": "subagents",
    "InvalidToolConfig": "tools",
    "MultipleDefaults": "entries",
    "Route": "router",
    "SubagentPolicy": "subagents",
    "TOOL_PROFILES": "tools",
    "ToolPolicy": "tools",
    "UnknownAgent": "entries",
    "UnknownProfile": "tools",
    "build_session_key": "sessions",
    "normalize_tool_config": "tools",
}

__all__ = [
    "TOOL_PROFILES",
    "AgentConfig",
    "AgentRegistry",
    "BindingRouter",
    "DuplicateAgentId",
    "InvalidAgentId",
    "InvalidSubagentPolicy",
    "InvalidToolConfig",
    "MultipleDefaults",
    "Route",
    "SubagentPolicy",
    "ToolPolicy",
    "UnknownAgent",
    "UnknownProfile",
    "build_session_key",
    "normalize_tool_config",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
