"""The tools of MCP servers as actions.

Invariants: what is offered of a server is what was pinned (`actions.ledger.pins`), and nothing of it while it says something
else; every call is a medium risk with a blind effect, whatever the server says about it, and its result is external. A
server that cannot be used makes its own tools unavailable, and no others.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from alfred import errors
from alfred.actions import Effect, Risk, canonical, declare
from alfred.actions.context import ActionContext
from alfred.actions.declare import Action
from alfred.actions.ledger import pins
from alfred.actions.ledger.pins import Pin, Place
from alfred.config_servers import Server
from alfred.integrations import mcp_connections
from alfred.integrations.mcp_connections import Connections
from alfred.integrations.mcp_link import Broken
from alfred.integrations.mcp_listing import Listing
from alfred.integrations.mcp_state import Standing, standings
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import labels

log = structlog.get_logger()

Effective = Callable[[str, str], Mapping[Place, Server]]
"""(tenant, agent) -> the servers that the agent has."""


class Servers:
    """The servers of an installation.

    Args:
        effective: Which servers an agent has.
        ask: Starts the run that asks a person about a difference, in the transaction that found it.
        asked: Is told that there is such a run.
    """

    def __init__(
        self,
        *,
        store: Store,
        effective: Effective,
        settings: Callable[[str], Any],
        home: Callable[[str], Path],
        secrets: Callable[[str, str], str | None],
        ask: Callable[[Tx, Pin, str], None] = lambda tx, pin, agent: None,
        asked: Callable[[], object] = lambda: None,
    ):
        self._store = store
        self._effective = effective
        self.connections = Connections(
            store=store, settings=settings, home=home, secrets=secrets, ask=ask, asked=asked
        )
        self._built: dict[tuple[Place, str, str, float], tuple[Action, ...]] = {}

    def of(self, tenant: str, agent: str) -> list[Action]:
        """The tools of an agent's servers as they are pinned. Nothing is started or asked."""
        servers = self._effective(tenant, agent)
        if not servers:
            return []
        with self._store.read() as look:
            pinned = pins.of(look, tenant, ["", agent])
        return [
            action
            for pin in pinned
            if pin.place in servers and pin.definition == servers[pin.place].digest
            for action in self._actions(pin, servers[pin.place])
        ]

    def meet(
        self, tenant: str, agent: str, wanted: Iterable[Place], *, new: bool = False
    ) -> dict[Place, str]:
        """Connects to servers of an agent, all at once, and pins those that were never met. Never raises for a server.

        Args:
            new: Only to those that nothing is pinned of.

        Returns:
            Why servers cannot be used, in words.
        """
        servers = self._effective(tenant, agent)
        places = [place for place in wanted if place in servers]
        if places and new:
            with self._store.read() as look:
                known = {pin.place: pin.definition for pin in pins.of(look, tenant, ["", agent])}
            places = [place for place in places if known.get(place) != servers[place].digest]
        if not places:
            return {}

        def one(place: Place) -> str | None:
            try:
                self.connections.link(place, servers[place], agent)
            except Broken as why:
                return str(why)
            return None

        with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
            told = dict(zip(places, pool.map(one, places), strict=True))
        for place, why in told.items():
            if why:
                log.warning("mcp.unusable", server=str(place), why=why)
        return {place: why for place, why in told.items() if why}

    def known(self, tenant: str, agent: str) -> dict[str, list[str] | None]:
        """The servers of an agent by name, each with the ids of its tools; None where nobody has asked yet."""
        ids = [action.id for action in self.of(tenant, agent)]
        return {
            one.server: None
            if one.state in ("new", "written otherwise")
            else [id for id in ids if id.startswith(f"mcp.{one.server}.")]
            for one in self.standings(tenant, agent)
        }

    def standings(self, tenant: str, agent: str) -> list[Standing]:
        """How the servers of an agent stand, by what the ledger knows. Nothing is started or asked."""
        servers = self._effective(tenant, agent)
        with self._store.read() as look:
            pinned = {pin.place: pin for pin in pins.of(look, tenant, ["", agent])}
        return standings(servers, pinned)

    def probe(
        self,
        tenant: str,
        agent: str,
        *,
        beside: Container[Place] = (),
        loads: Callable[[str], bool] = lambda server: True,
    ) -> dict[Place, str | Listing]:
        """Connects to every server of an agent, all at once: what it lists, or why it cannot be used, also where that is
        otherwise than what is pinned. Pins nothing, and asks nobody.

        Args:
            beside: These are left out.
            loads: Whether the agent may have a tool of the server of this name; the others are left out too.
        """
        all_of = self._effective(tenant, agent)
        servers = {
            place: server
            for place, server in all_of.items()
            if place not in beside and loads(place.server)
        }

        def one(place: Place) -> str | Listing:
            try:
                link = self.connections.new(place, servers[place])
                self.connections.within(link.open(), link)
            except Broken as why:
                return str(why)
            self.connections.start(link.close())
            assert link.listing is not None
            pin = pinned.get(place)
            if pin is None or pin.definition != servers[place].digest:
                return link.listing
            if pin.digest == link.listing.digest:
                return link.listing
            return (
                "it describes its tools otherwise than when they were pinned: "
                "`alfred approvals list`"
            )

        if not servers:
            return {}
        with self._store.read() as look:
            pinned = {pin.place: pin for pin in pins.of(look, tenant, ["", agent])}
        with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
            return dict(zip(servers, pool.map(one, servers), strict=True))

    def missing(self) -> list[str]:
        """For a person: which servers this process could not use, and which of their tools are not offered, and why."""
        return self.connections.missing()

    def why_not(self, place: Place, definition: str) -> errors.CallRefused | None:
        """Why nothing of a server can be called; None when nothing is known against it. Nothing is started or asked, and
        nothing that the server said is repeated: a refusal is alfred's own word to the model.

        Args:
            definition: How it is written.
        """
        with self._store.read() as look:
            pin = pins.get(look, place)
        if pin is not None and pin.seen is not None:
            return _changed(place)
        if self.connections.resting(place, definition):
            return errors.CallRefused(
                f"The MCP server {place} could not be used a moment ago, and is left alone for a while.",
                next="Go on without it. The owner sees why: `alfred doctor`.",
            )
        return None

    def close(self) -> None:
        """Ends every connection, with what it started."""
        self.connections.close()

    # ---- actions

    def _actions(self, pin: Pin, server: Server) -> tuple[Action, ...]:
        key = (pin.place, pin.definition, pin.digest, server.timeout_s)
        if key not in self._built:
            self._built[key] = tuple(self._action(pin, server, one) for one in pin.offered)
        return self._built[key]

    def _action(self, pin: Pin, server: Server, tool: Mapping[str, Any]) -> Action:
        place = pin.place
        name = f"mcp.{place.server}.{tool['name']}"

        def call(arguments: dict[str, Any], *, ctx: ActionContext) -> Any:
            return self._call(pin, tool, arguments, ctx)

        return Action(
            id=name,
            integration=f"mcp.{place.server}",
            risk=Risk.MEDIUM,
            effect=Effect.BLIND,
            fn=call,
            check=None,
            preview=None,
            classify=None,
            redact=None,
            target=None,
            touches=None,
            destinations=None,
            sends=None,
            references=None,
            lacks=lambda settings: self.why_not(place, pin.definition),
            label=_label,
            timeout_s=mcp_connections.CONNECT_S + server.timeout_s + 5,
            schema=MappingProxyType(dict(tool["schema"])),
            # how the server is written, and all that it said about the tool: a yes is to that
            schema_hash=canonical.digest([pin.definition, tool["digest"]]),
            description=tool["description"],
            source=declare.MCP,
            wire=declare.wire_name(name),
            injects=frozenset({"ctx"}),
            secrets=MappingProxyType({}),
            is_async=False,
            model=None,
        )

    def _call(
        self, pin: Pin, tool: Mapping[str, Any], args: dict[str, Any], ctx: ActionContext
    ) -> Any:
        place, name = pin.place, tool["called"]
        server = self._effective(ctx.tenant, ctx.agent).get(place)
        if server is None or server.digest != pin.definition:
            raise errors.CallRefused(
                f"The MCP server {place} is not in the configuration any more, or is written otherwise."
            )
        try:
            link = self.connections.link(place, server, ctx.agent)
        except Broken as why:
            raise errors.CallFailed(f"The MCP server {place} cannot be used: {why}.") from None
        if problem := self.why_not(place, pin.definition):
            raise problem
        if link.digest(name) != tool["digest"]:
            raise _changed(place)  # and somebody has pinned what it says now, since this was judged
        asked = self.connections.start(link.call(name, args, server.timeout_s))

        def stop() -> None:
            asked.cancel()

        ctx.on_cancel(stop)
        try:
            said = asked.result(server.timeout_s + 4)
            self.connections.held(place).failures = 0
            return said
        except (concurrent.futures.CancelledError, TimeoutError):
            raise errors.OutcomeUnknown(f"{name} was asked, and its run was stopped.") from None


def _label(args: dict[str, Any], ctx: ActionContext) -> labels.Label:
    """A stranger's word. What a server is asked for it has by the owner's login, or as a program that runs as them."""
    return labels.Label(labels.Integrity.EXTERNAL, labels.Confidentiality.PRIVATE)


def _changed(place: Place) -> errors.CallRefused:
    return errors.CallRefused(
        f"The MCP server {place} describes its tools otherwise than when they were pinned.",
        next="The owner reads the difference: `alfred approvals list`.",
    )
