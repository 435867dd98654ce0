"""The connections of this process to MCP servers: made when somebody needs one, kept, compared with what is pinned.

Invariants: a server that is dead, hangs, floods or lies is waited for `CONNECT_S` at most, then left alone for a while, for a
reason in words, and no other server waits with it. Whatever a connection says about its tools is compared with what
is pinned before anybody gets it. Connections belong to this process and end with it.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from alfred import clock, errors, ids
from alfred.actions.ledger import pins
from alfred.actions.ledger.pins import Pin, Place
from alfred.config_servers import Server
from alfred.integrations import mcp_way
from alfred.integrations.mcp_link import Broken, Link
from alfred.integrations.mcp_listing import Listing
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import display

T = TypeVar("T")

CONNECT_S = 15.0
"""Seconds that a server has to be there and to list its tools."""

REST = 20
"""Seconds that a server is left alone when it could not be used, twice as long each time: longer than any other of the same
run may take to be there, so that the run is told what is missing."""

PATIENCE = 300
"""Seconds that it is left alone at most."""


@dataclass(slots=True)
class Held:
    """What this process knows of a server."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    link: Link | None = None
    definition: str = ""
    failures: int = 0
    why: str | None = None
    again_at: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)


class Connections:
    """Those of one installation.

    Args:
        ask: Starts the run that asks a person about a difference, in the transaction that found it.
        asked: Is told that there is such a run.
    """

    def __init__(
        self,
        *,
        store: Store,
        settings: Callable[[str], Any],
        home: Callable[[str], Path],
        secrets: Callable[[str, str], str | None],
        ask: Callable[[Tx, Pin, str], None],
        asked: Callable[[], object],
    ):
        self._store = store
        self._settings = settings
        self._home = home
        self._secrets = secrets
        self._ask = ask
        self._asked = asked
        self._lock = threading.Lock()
        self._all: dict[Place, Held] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def held(self, place: Place) -> Held:
        """What is known of a server."""
        with self._lock:
            return self._all.setdefault(place, Held())

    def link(self, place: Place, server: Server, agent: str) -> Link:
        """A connection whose tools are known and were compared with the pinned ones.

        Raises:
            Broken: there is none.
        """
        held = self.held(place)
        until = clock.monotonic() + int(CONNECT_S * clock.SECOND)
        with held.lock:
            if held.definition != server.digest:
                self._let_go(held)
                held.definition, held.failures, held.why = server.digest, 0, None
            if held.link is not None and held.link.over:
                self._failed(held, held.link.reason(), again=True)
            if held.why is not None and clock.monotonic() < held.again_at:
                left = (held.again_at - clock.monotonic()) // clock.SECOND + 1
                raise Broken(f"{held.why} (it is tried again in {left} s)")
            if held.link is not None and not held.link.stale:
                return held.link
            try:
                if not self._still(held, place, until):
                    held.link = self.new(place, server)
                    self.within(held.link.open(), held.link, until)
            except Broken as why:
                self._failed(held, str(why))
                raise
            link = held.link
            assert link is not None and link.listing is not None
            self._compared(place, server, link.listing, agent)
            held.why, held.left_out = None, link.listing.left_out
            return link

    def _still(self, held: Held, place: Place, until: int) -> bool:
        """Whether what there is of a connection can go on: it says what is pinned. Else it is closed, and a new one is asked: a
        program that has run for long, or a session that is over there, is not what the server is now."""
        if held.link is None:
            return False
        try:
            said = self.within(held.link.read(), held.link, until).digest
        except Broken:
            if not held.link.over:
                raise
            said = None
        with self._store.read() as look:
            pin = pins.get(look, place)
        if pin is not None and said == pin.digest:
            return True
        self._let_go(held)
        return False

    def _let_go(self, held: Held) -> None:
        if held.link is not None:
            self.start(held.link.close())
        held.link = None

    def resting(self, place: Place, definition: str) -> bool:
        """Whether a server, written like this, is left alone, because it could not be used a moment ago."""
        held = self.held(place)
        failed = held.why is not None and held.definition == definition
        return failed and clock.monotonic() < held.again_at

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
            ends = {asyncio.ensure_future(link.close()) for link in links}
            # and whatever is ending already: a loop that is closed before a program tells of it
            there = asyncio.all_tasks() - {asyncio.current_task()}
            if ends | there:
                await asyncio.wait(ends | there, timeout=CONNECT_S)

        with contextlib.suppress(TimeoutError, concurrent.futures.TimeoutError):
            # whoever does not listen ends with this process: its lifeline does
            asyncio.run_coroutine_threadsafe(end(), loop).result(CONNECT_S + 1)
        loop.call_soon_threadsafe(loop.stop)

    def new(self, place: Place, server: Server) -> Link:
        """A connection that is not open yet.

        Raises:
            Broken: there cannot be one.
        """
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

    def within(self, work: Coroutine[Any, Any, T], link: Link, until: int | None = None) -> T:
        """What somebody in the loop of connections comes to.

        Args:
            until: By when, as `clock.monotonic` says; None: within `CONNECT_S`.

        Raises:
            Broken: it failed, or took too long.
        """

        left = CONNECT_S if until is None else max(0, until - clock.monotonic()) / clock.SECOND

        async def bounded() -> T:
            return await asyncio.wait_for(work, left)

        try:
            return self.start(bounded()).result(left + 4)
        except (TimeoutError, concurrent.futures.TimeoutError):
            raise Broken(link.told(f"it was not ready within {CONNECT_S:g} s")) from None
        except Broken:
            raise
        except Exception as why:
            raise Broken(f"it does not work ({type(why).__name__})") from None

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begins something in the loop of connections."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                atexit.register(self.close)
                threading.Thread(
                    target=_live, args=(self._loop,), name="alfred-mcp", daemon=True
                ).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _failed(self, held: Held, why: str, *, again: bool = False) -> None:
        """It is left alone for a while; one that was there before (`again`) is tried once more at once."""
        self._let_go(held)
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


def _live(loop: asyncio.AbstractEventLoop) -> None:
    """The thread of all connections."""
    loop.run_forever()
    loop.close()
