"""Which MCP servers an agent has: those at the top of the configuration, and those of its own entry over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from alfred import config_servers
from alfred.actions.ledger.pins import Place
from alfred.agents.registry import AgentRegistry
from alfred.agents.tools import ToolPolicy
from alfred.config_servers import Server

if TYPE_CHECKING:
    from alfred.config import Settings


def of(settings: Settings, tenant: str, agent: str) -> dict[Place, Server]:
    """The servers of an agent, each where it is written. Somebody who is not there any more has none.

    Not for settings that were loaded without the checks of this floor: what is wrong in them is passed over.
    """
    top, _wrong = config_servers.read((config_servers.KEY,), settings.mcp_servers)
    agents = AgentRegistry.from_settings(settings)
    if agent not in agents.ids():
        return {}
    own = agents.get(agent).mcp_servers or {}
    found = {Place(tenant, "", name): server for name, server in top.items() if name not in own}
    found |= {Place(tenant, agent, name): server for name, server in own.items()}
    return {place: server for place, server in found.items() if server is not None}


class Effective:
    """`of`, read once for as long as the settings of a tenant are the same."""

    def __init__(self, settings: Callable[[str], Settings]) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], tuple[Settings, dict[Place, Server]]] = {}

    def __call__(self, tenant: str, agent: str) -> dict[Place, Server]:
        """The servers of an agent of a tenant."""
        now = self._settings(tenant)
        held = self._known.get((tenant, agent))
        if held is None or held[0] is not now:
            held = self._known[tenant, agent] = (now, of(now, tenant, agent))
        return held[1]


def wanted(servers: Iterable[Place], policy: ToolPolicy) -> list[Place]:
    """Those that a policy may leave a tool of, whatever they are called."""
    return [place for place in servers if policy.may_have(place.server)]


def granted(servers: Iterable[Place], actions: Iterable[str]) -> list[Place]:
    """Those that some of these tools are of."""
    names = {name.split(".")[1] for name in actions if name.startswith("mcp.")}
    return [place for place in servers if place.server in names]


def named(given: Any) -> list[str]:
    """The servers of an agent's entry, as they are shown: one that it has not got with a `-`."""
    return [name if server is not None else f"-{name}" for name, server in (given or {}).items()]
