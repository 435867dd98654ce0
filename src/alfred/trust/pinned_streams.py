"""`pinned` for who holds a connection open in an event loop: to addresses that were checked, and nowhere else.

Invariant: no name is looked up here, and whoever opened the transport is told of every byte that comes in before anybody
else reads it, so that it can refuse more. What was packed is refused: nothing would count how much there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Any

import httpcore2
import httpx2

Received = Callable[[bytes], None]
"""Is given what came in; what it raises ends the connection."""


class Transport(httpx2.AsyncHTTPTransport):
    """Connects to `addresses` in their order, port `port`."""

    def __init__(self, addresses: tuple[str, ...], port: int, received: Received) -> None:
        # as in `pinned`: the constructor takes no network backend, its pool does; no proxy, ever
        self._pool = httpcore2.AsyncConnectionPool(
            network_backend=_Backend(addresses, port, received)
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            await response.aclose()
            raise httpx2.ReadError("its answer is packed", request=request)
        return response


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream, received: Received) -> None:
        self._inner = inner
        self._received = received

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        self._received(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(inner, self._received)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.AsyncNetworkBackend):
    def __init__(self, addresses: tuple[str, ...], port: int, received: Received) -> None:
        self._addresses = addresses
        self._port = port
        self._received = received
        self._real: Any = httpcore2.AnyIOBackend()  # there is another one without anyio

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        *others, last = self._addresses
        for address in others:
            try:
                return _Stream(
                    await self._real.connect_tcp(address, self._port, timeout), self._received
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue  # the next one; what the last one says is reported
        return _Stream(await self._real.connect_tcp(last, self._port, timeout), self._received)

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("only TCP is used")

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)
