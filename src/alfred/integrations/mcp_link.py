"""One connection to an MCP server: it is opened, it says what tools it has, calls go over it, it ends.

Invariants: whatever a server does ends in a listing, a result, or a reason in words, within the time that was given for
it. A call that was sent and has no answer is `OutcomeUnknown`; one that was not sent, or that the server refused, has
failed. Server and library say nothing into alfred's own output.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from alfred import clock, errors, generators, version
from alfred.integrations import mcp_listing
from alfred.integrations.mcp_listing import Listing
from alfred.integrations.mcp_wire import Allowance
from alfred.trust import display, redact

FRESH = 30 * clock.SECOND
"""So long a list of tools is taken for what the server would say."""

PAGES = 20
"""Pages of a list of tools."""

_NO_SESSION = "Session terminated"
"""The library's word for an address that does not know the session any more, and did nothing."""

_LOOKED_AT = 20_000
"""Characters of what a server said that are looked at for a message."""

Open = Callable[[Allowance], AbstractAsyncContextManager[Any]]
"""Opens the way to a server; what it gives are the streams of messages."""


class Broken(Exception):
    """Why a server cannot be used, in words."""


class Link:
    """A connection. Everything of it happens in one event loop; `open` is called once."""

    def __init__(self, way: Open, *, complaint: Callable[[], str]):
        self.allowance = Allowance()
        self.listing: Listing | None = None
        self._changed = False
        """The server has said that its tools are others now."""
        self.ended: str | None = None
        """Why it is over; None while it lasts."""
        self._way = way
        self._complaint = complaint
        self._client: Any = None
        self._close = asyncio.Event()
        self._gone = asyncio.Event()
        self._read: list[dict[str, Any]] = []
        self._read_at = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more can come over it."""
        return self._gone.is_set() or self.ended is not None

    @property
    def stale(self) -> bool:
        """Whether its tools may be others by now."""
        return self._changed or clock.monotonic() - self._read_at > FRESH

    def digest(self, called: str) -> str | None:
        """SHA-256 of all that it says about a tool; None: it has no such tool that may be offered."""
        tools = self.listing.tools if self.listing else ()
        return next((tool.digest for tool in tools if tool.called == called), None)

    async def open(self) -> None:
        """Connects and reads the tools.

        Raises:
            Broken: it cannot be used, for this reason.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(generators.ended_with(self._live(ready)))
        try:
            await ready
        except asyncio.CancelledError:
            self._task.cancel()  # the time that it had is over
            raise

    async def close(self) -> None:
        """Ends it, with what it started."""
        self._close.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._task

    async def read(self) -> Listing:
        """The tools, as they are now.

        Raises:
            Broken: they cannot be used.
            MCPError: it refuses to say them, and the connection is over: where a session has ended that is the answer.
        """
        from mcp.shared.exceptions import MCPError

        self._changed = False
        try:
            said = await self._said()
        except MCPError as why:
            self.ended = _words(why.error.message)
            raise
        if self.listing is None or said != self._read:
            try:
                # beside the loop, where the other servers are: what a schema takes to be read its server decides
                self.listing = await asyncio.to_thread(mcp_listing.read, said)
            except mcp_listing.Unusable as why:
                raise Broken(str(why)) from None
            self._read = said
        self._read_at = clock.monotonic()
        self.allowance.renew()
        return self.listing

    async def _said(self) -> list[dict[str, Any]]:
        """Its list of tools, page by page."""
        said: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = await self._client.list_tools(cursor=cursor, cache_mode="bypass")
            said += [
                tool.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if not cursor:
                break
        else:
            raise Broken(f"its list of tools has more than {PAGES} pages")
        return said

    async def call(self, tool: str, args: dict[str, Any], timeout_s: float) -> Any:
        """What a tool says, as JSON.

        Raises:
            OutcomeUnknown: it was asked, and there is no answer.
            CallFailed: it says that it failed.
        """
        from mcp import types
        from mcp.shared.exceptions import MCPError

        params = types.CallToolRequestParams(name=tool, arguments=args)
        asked = self._client.session.send_request(
            types.CallToolRequest(params=params), types.CallToolResult
        )
        # when the connection ends, nobody answers
        over = asyncio.create_task(self._over())
        answer = asyncio.ensure_future(asked)
        try:
            done, _ = await asyncio.wait(
                {answer, over}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if answer not in done:
                why = (
                    f"ended the connection: {self.reason()}"
                    if over in done
                    else f"did not answer within {timeout_s:g} s"
                )
                raise errors.OutcomeUnknown(f"{tool} was asked, and the server {why}.")
            result = answer.result()
            self.allowance.renew()
            return _told(result)
        except MCPError as why:
            said = _words(why.error.message)
            if why.error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT):
                raise errors.OutcomeUnknown(
                    f"{tool} was asked, and the server did not answer: {self.reason()}."
                ) from None
            status = f"HTTP {self.allowance.status}, " if self.allowance.status else ""
            self.allowance.renew()
            if said == _NO_SESSION:
                self.ended = said
            elif why.error.code in (types.INVALID_REQUEST, types.PARSE_ERROR):
                # so the library calls an answer that is none
                raise errors.OutcomeUnknown(
                    f"{tool} was asked, and the answer cannot be used: {said}."
                ) from None
            raise errors.CallFailed(
                f"The server refused it: {said} ({status}{why.error.code})."
            ) from None
        except (errors.AlfredError, asyncio.CancelledError):
            raise
        except Exception as why:
            raise errors.OutcomeUnknown(
                f"{tool} was asked, and the answer cannot be read ({type(why).__name__})."
            ) from None
        finally:
            for task in (over, answer):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await answer

    def reason(self) -> str:
        """Why it does not work, in words."""
        return self.allowance.why or self.ended or "the connection was lost"

    def told(self, why: str) -> str:
        """A reason, with the last words of the server."""
        said = _words(self._complaint())
        return f"{why}; it said: {said}" if said else why

    async def _over(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _live(self, ready: asyncio.Future[None]) -> None:
        from mcp import Client
        from mcp.shared.exceptions import MCPError
        from mcp.types import Implementation

        logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)  # it logs what servers say
        why: str | None = None
        try:
            async with Client(
                _Watched(self._way(self.allowance), self._gone),
                client_info=Implementation(name="alfred", version=version.VERSION),
                message_handler=self._noted,
                cache=None,
            ) as self._client:
                await self.read()
                if not ready.done():
                    ready.set_result(None)
                closing = [asyncio.ensure_future(one.wait()) for one in (self._close, self._gone)]
                try:
                    await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in closing:
                        one.cancel()
            why = "it was closed" if self._close.is_set() else None
        except asyncio.CancelledError:
            why = "it took too long"
        except BaseException as problem:
            why = _first(problem, MCPError)
            if why and self.allowance.status:
                why += f" (HTTP {self.allowance.status})"
        self.ended = self.allowance.why or self.told(why or "it ended")
        if not ready.done():
            ready.set_exception(Broken(self.ended))

    async def _noted(self, message: Any) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            self._changed = True


class _Watched:
    """A way to a server that tells when nothing more can come from there."""

    def __init__(self, way: AbstractAsyncContextManager[Any], gone: asyncio.Event):
        self._way = way
        self._gone = gone

    async def __aenter__(self) -> Any:
        heard, to_say = await self._way.__aenter__()
        return _Heard(heard, self._gone), to_say

    async def __aexit__(self, *why: Any) -> Any:
        return await self._way.__aexit__(*why)


class _Heard:
    """A stream of messages that sets an event at its end. Everything else is the stream's."""

    def __init__(self, inner: Any, gone: asyncio.Event):
        self._inner = inner
        self._gone = gone

    async def __aenter__(self) -> _Heard:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *why: Any) -> Any:
        return await self._inner.__aexit__(*why)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Any]:
        try:
            async for message in self._inner:
                yield message
        finally:
            self._gone.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _first(problem: BaseException, known: type[Exception]) -> str:
    """What went wrong first, of a group of problems: what is ours in its words, the rest by its kind."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    if isinstance(problem, Broken):
        return str(problem)
    said = _words(str(problem))
    if isinstance(problem, known):
        return "" if said == "Connection closed" else said
    return f"{type(problem).__name__}: {said}" if said else type(problem).__name__


def _words(said: str) -> str:
    """What a server said, in a message: one line, short, nothing that deceives."""
    if len(said) > _LOOKED_AT:
        said = said[:_LOOKED_AT].rpartition(" ")[0]  # no half of a secret at its end
    # before it is cut, which a secret might be
    return display.display(redact.redact(" ".join(said.split())), limit=300).rstrip(".")


def _told(result: Any) -> Any:
    """An answer as JSON: its texts, and its values where the texts do not say the same."""
    parts: list[str] = []
    for one in result.content:
        said = one.model_dump(mode="json", by_alias=True, exclude_none=True)
        match said.get("type"):
            case "text":
                parts.append(said["text"])
            case "resource" if "text" in said["resource"]:
                parts.append(f"[{said['resource'].get('uri')}]\n{said['resource']['text']}")
            case "resource_link":
                parts.append(f"[{said.get('name')}: {said.get('uri')}]")
            case kind:
                data = said.get("data") or said.get("resource", {}).get("blob") or ""
                mime = said.get("mimeType") or said.get("resource", {}).get("mimeType") or "?"
                parts.append(f"[{kind}, {mime}, {len(data) * 3 // 4:,} bytes, not shown]")
    text = "\n".join(parts)
    if result.is_error:
        raise errors.CallFailed(
            redact.redact(text)[:20_000] or "The tool says that it failed, and not why."
        )
    if result.structured_content is None:
        return text
    return (
        {"text": text, "structured": result.structured_content}
        if text
        else result.structured_content
    )
