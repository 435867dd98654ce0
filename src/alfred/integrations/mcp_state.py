"""How the MCP servers of an agent stand, for people, by what the ledger knows. Nothing is started and nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alfred import clock
from alfred.actions.ledger.pins import Pin, Place
from alfred.config_servers import Server

State = Literal["new", "pinned", "changed", "written otherwise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One server: whose it is, and what is known of it."""

    server: str
    agent: str
    """Whose entry it stands in; empty: the top of the configuration."""
    state: State
    tools: int
    at: int | None
    """When its tools were pinned."""
    asked: str | None
    """The run that asks a person about what it says now."""

    @property
    def words(self) -> str:
        """For a person."""
        where = f"MCP server {self.server}" + (f" of {self.agent}" if self.agent else "")
        match self.state:
            case "new":
                return f"{where}: nobody has asked it for its tools yet; the first run that may use it does."
            case "written otherwise":
                return f"{where}: it was written otherwise when its tools were pinned; the next run that may use it pins them anew."
            case "changed":
                return (
                    f"{where}: it describes its tools otherwise than when they were pinned, so none can be used: "
                    "`alfred approvals list`."
                )
        tools = "1 tool" if self.tools == 1 else f"{self.tools} tools"
        return f"{where}: {tools}, pinned {clock.rfc3339(self.at or 0)}."


def standings(servers: Mapping[Place, Server], pinned: Mapping[Place, Pin]) -> list[Standing]:
    """Every server, in the order of its name."""
    found = []
    for place, server in sorted(servers.items(), key=lambda one: (one[0].server, one[0].scope)):
        pin = pinned.get(place)
        state: State = "pinned"
        if pin is None:
            state = "new"
        elif pin.definition != server.digest:
            state = "written otherwise"
        elif pin.seen is not None:
            state = "changed"
        found.append(
            Standing(
                server=place.server,
                agent=place.scope,
                state=state,
                tools=len(pin.offered) if pin else 0,
                at=pin.at if pin else None,
                asked=pin.asked if pin else None,
            )
        )
    return found
