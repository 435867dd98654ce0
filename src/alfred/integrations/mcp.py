"""The tools of MCP servers as actions, and the connections behind them.

Invariants: what is offered of a server is what was pinned (`actions.ledger.pins`), and nothing of it while it says something
else; every call is a medium risk with a blind effect, whatever the server says about it, and its result is external. A
server that is dead, hangs, floods or lies makes its own tools unavailable, for a reason in words: it is waited for
`CONNECT_S` at most, then left alone for a while, and no other server waits with it. Connections belong to this process
and end with it.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Container, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import structlog

from alfred import clock, errors, ids
from alfred.actions import Effect, Risk, declare
from alfred.actions.context import ActionContext
from alfred.actions.declare import Action
from alfred.actions.ledger import pins
from alfred.actions.ledger.pins import Pin, Place
from alfred.config_servers import Server
from alfred.integrations import mcp_way
from alfred.integrations.mcp_link import Broken, Link
from alfred.integrations.mcp_listing import Listing
from alfred.integrations.mcp_state import Standing, standings
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import display

log = structlog.get_logger()

T = TypeVar("T")

CONNECT_S = 15.0
"""Seconds that a server has to be there and to list its tools."""

REST = 20
"""Seconds that a server is left alone when it could not be used, twice as long each time: longer than any other of the same
run may take to be there, so that the run is told what is missing."""

PATIENCE = 300
"""Seconds that it is left alone at most."""

Effective = Callable[[str, str], Mapping[Place, Server]]
"""(tenant, agent) -> the servers that the agent has."""


@dataclass(slots=True)
class _Held:
    """What this process knows of a server."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    link: Link | None = None
    definition: str = ""
    failures: int = 0
    why: str | None = None
    again_at: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)


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
        self._settings = settings
        self._home = home
        self._secrets = secrets
        self._ask = ask
        self._asked = asked
        self._lock = threading.Lock()
        self._all: dict[Place, _Held] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._built: dict[tuple[Place, str, float], tuple[Action, ...]] = {}

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
                self._linked(place, servers[place], agent)
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
        self, tenant: str, agent: str, *, beside: Container[Place] = ()
    ) -> dict[Place, str | Listing]:
        """Connects to every server of an agent, all at once: what it lists, or why it cannot be used. Pins nothing.

        Args:
            beside: These are left out.
        """
        all_of = self._effective(tenant, agent)
        servers = {place: server for place, server in all_of.items() if place not in beside}

        def one(place: Place) -> str | Listing:
            try:
                link = self._new(place, servers[place])
                self._within(link.open(), link)
            except Broken as why:
                return str(why)
            self._start(link.close())
            assert link.listing is not None
            return link.listing

        if not servers:
            return {}
        with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
            return dict(zip(servers, pool.map(one, servers), strict=True))

    def missing(self) -> list[str]:
        """For a person: which servers this process could not use, and which of their tools are not offered, and why."""
        told: list[str] = []
        with self._lock:
            every = sorted(self._all.items(), key=lambda one: str(one[0]))
        for place, held in every:
            if held.why is not None:
                told.append(f"The MCP server {place} cannot be used: {held.why}.")
            told += [
                f"{display.display(tool, limit=100)} of the MCP server {place} is not offered: {why}."
                for tool, why in held.left_out.items()
            ]
        return told

    def why_not(self, place: Place) -> errors.CallRefused | None:
        """Why nothing of a server can be called; None when nothing is known against it. Nothing is started or asked, and
        nothing that the server said is repeated: a refusal is alfred's own word to the model."""
        with self._store.read() as look:
            pin = pins.get(look, place)
        if pin is not None and pin.seen is not None:
            return errors.CallRefused(
                f"The MCP server {place} describes its tools otherwise than when they were pinned.",
                next="The owner reads the difference: `alfred approvals list`.",
            )
        held = self._held(place)
        if held.why is not None and clock.monotonic() < held.again_at:
            return errors.CallRefused(
                f"The MCP server {place} could not be used a moment ago, and is left alone for a while.",
                next="Go on without it. The owner sees why: `alfred doctor`.",
            )
        return None

    def close(self) -> None:
        """Ends every connection, with what it started."""
        with self._lock:
            links = [held.link for held in self._all.values() if held.link]
            loop, self._loop = self._loop, None
            self._all.clear()
        if loop is None:
            return
        atexit.unregister(self.close)

        async def end() -> None:
            await asyncio.wait_for(asyncio.gather(*(link.close() for link in links)), CONNECT_S)

        with contextlib.suppress(TimeoutError, concurrent.futures.TimeoutError):
            # whoever does not listen ends with this process: its lifeline does
            asyncio.run_coroutine_threadsafe(end(), loop).result(CONNECT_S + 1)
        loop.call_soon_threadsafe(loop.stop)

    # ---- actions

    def _actions(self, pin: Pin, server: Server) -> tuple[Action, ...]:
        key = (pin.place, pin.digest, server.timeout_s)
        if key not in self._built:
            self._built[key] = tuple(self._action(pin.place, server, one) for one in pin.offered)
        return self._built[key]

    def _action(self, place: Place, server: Server, tool: Mapping[str, Any]) -> Action:
        name = f"mcp.{place.server}.{tool['name']}"

        def call(arguments: dict[str, Any], *, ctx: ActionContext) -> Any:
            return self._call(place, tool["called"], arguments, ctx)

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
            lacks=lambda settings: self.why_not(place),
            label="external",
            timeout_s=CONNECT_S + server.timeout_s + 5,
            schema=MappingProxyType(dict(tool["schema"])),
            # all that the server said about it: a yes is to that
            schema_hash=tool["digest"],
            description=tool["description"],
            source=declare.MCP,
            wire=declare.wire_name(name),
            injects=frozenset({"ctx"}),
            secrets=MappingProxyType({}),
            is_async=False,
            model=None,
        )

    def _call(self, place: Place, tool: str, args: dict[str, Any], ctx: ActionContext) -> Any:
        server = self._effective(ctx.tenant, ctx.agent).get(place)
        if server is None:
            raise errors.CallRefused(
                f"The MCP server {place} is not in the configuration any more."
            )
        try:
            link = self._linked(place, server, ctx.agent)
        except Broken as why:
            raise errors.CallFailed(f"The MCP server {place} cannot be used: {why}.") from None
        if problem := self.why_not(place):
            raise problem
        asked = self._start(link.call(tool, args, server.timeout_s))

        def stop() -> None:
            asked.cancel()

        ctx.on_cancel(stop)
        try:
            said = asked.result(server.timeout_s + 4)
            self._held(place).failures = 0
            return said
        except (concurrent.futures.CancelledError, TimeoutError):
            raise errors.OutcomeUnknown(f"{tool} was asked, and its run was stopped.") from None

    # ---- connections

    def _held(self, place: Place) -> _Held:
        with self._lock:
            return self._all.setdefault(place, _Held())

    def _linked(self, place: Place, server: Server, agent: str) -> Link:
        """A connection whose tools are known and were compared with the pinned ones.

        Raises:
            Broken: there is none.
        """
        held = self._held(place)
        with held.lock:
            link = held.link
            if link is not None and held.definition != server.digest:
                self._start(link.close())
                held.link = link = None
                held.failures, held.why = 0, None
            if link is not None and link.over:
                self._failed(held, link.reason(), again=True)
                link = None
            if held.why is not None and clock.monotonic() < held.again_at:
                left = (held.again_at - clock.monotonic()) // clock.SECOND + 1
                raise Broken(f"{held.why} (it is tried again in {left} s)")
            held.definition = server.digest
            if link is not None and not link.stale:
                return link
            try:
                if link is None:
                    link = self._new(place, server)
                    self._within(link.open(), link)
                else:
                    self._within(link.read(), link)
            except Broken as why:
                self._failed(held, str(why))
                raise
            assert link.listing is not None
            self._compared(place, server, link.listing, agent)
            held.link, held.why, held.left_out = link, None, link.listing.left_out
            return link

    def _new(self, place: Place, server: Server) -> Link:
        try:
            return mcp_way.link(
                place,
                server,
                folder=self._home(place.tenant),
                settings=self._settings(place.tenant),
                secret=lambda name: self._secrets(place.tenant, name),
            )
        except errors.ConfigError as why:  # where the secrets lie
            raise Broken(why.detail) from None

    def _failed(self, held: _Held, why: str, *, again: bool = False) -> None:
        """It is left alone for a while; one that was there before (`again`) is tried once more at once."""
        held.link = None
        held.why = why
        wait = 0 if again and not held.failures else min(PATIENCE, REST * 2**held.failures)
        held.failures += 1
        held.again_at = clock.monotonic() + wait * clock.SECOND

    def _compared(self, place: Place, server: Server, found: Listing, agent: str) -> None:
        run = ids.new()

        def write(tx: Tx) -> bool:
            pin = pins.meet(
                tx,
                place,
                definition=server.digest,
                digest=found.digest,
                tools=found.rows,
                run=run,
            )
            if pin.asked == run:
                self._ask(tx, pin, agent)
            return pin.asked == run

        if self._store.transact(write):
            self._asked()

    def _within(self, work: Coroutine[Any, Any, T], link: Link) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(work, CONNECT_S)

        try:
            return self._start(bounded()).result(CONNECT_S + 4)
        except (TimeoutError, concurrent.futures.TimeoutError):
            raise Broken(link.told(f"it was not ready within {CONNECT_S:g} s")) from None
        except Broken:
            raise
        except Exception as why:
            raise Broken(f"it does not work ({type(why).__name__})") from None

    def _start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                atexit.register(self.close)
                threading.Thread(
                    target=_live, args=(self._loop,), name="alfred-mcp", daemon=True
                ).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)


def _live(loop: asyncio.AbstractEventLoop) -> None:
    """The thread of all connections."""
    loop.run_forever()
    loop.close()
