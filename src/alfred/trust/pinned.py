"""A transport of httpx2 whose connections go to addresses that were checked, and nowhere else.

Invariant: no name is looked up here. Whatever host a request names, the connection goes to one of the
given addresses; the Host header and the name for TLS stay those of the request. A connection ends at its
deadline and after so many bytes, whatever it carries.
"""

from __future__ import annotations

from collections.abc import Iterable
from ssl import SSLContext
from typing import Any

import httpcore2
import httpx2

from alfred import clock


class Transport(httpx2.HTTPTransport):
    """Connects to `addresses` in their order, port `port`; `deadline` in microseconds of the monotonic
    clock; `max_wire` bytes may come in, headers and frames included."""

    def __init__(
        self, addresses: tuple[str, ...], port: int, *, deadline: int, max_wire: int
    ) -> None:
        # The constructor of HTTPTransport takes no network backend, its pool does. No proxy, ever.
        # Without a context of its own the pool makes the verifying default one, for TLS only.
        self._pool = httpcore2.ConnectionPool(
            network_backend=_Backend(addresses, port, _Budget(deadline, max_wire))
        )


class _Budget:
    """What is left of time and bytes, for all connections of one transport."""

    def __init__(self, deadline: int, wire: int) -> None:
        self._deadline = deadline
        self._wire = wire

    def seconds(self) -> float:
        left = (self._deadline - clock.monotonic()) / clock.SECOND
        if left <= 0:
            raise httpcore2.ReadTimeout("it took too long")
        return left

    def received(self, size: int) -> None:
        self._wire -= size
        if self._wire < 0:
            raise httpcore2.ReadError("it sent more than was asked for")


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream, budget: _Budget) -> None:
        self._inner = inner
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._inner.read(max_bytes, self._budget.seconds())
        self._budget.received(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._budget.seconds())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._budget.seconds())
        return _Stream(inner, self._budget)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, addresses: tuple[str, ...], port: int, budget: _Budget) -> None:
        self._addresses = addresses
        self._port = port
        self._budget = budget

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        *others, last = self._addresses
        for at, address in enumerate(others):
            share = self._budget.seconds() / (len(self._addresses) - at)
            try:
                return _Stream(connect(address, self._port, share), self._budget)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue  # the next one; what the last one says is reported
        return _Stream(connect(last, self._port, self._budget.seconds()), self._budget)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        raise httpcore2.ConnectError("only TCP is used")


def connect(address: str, port: int, timeout: float) -> httpcore2.NetworkStream:
    """A TCP connection to a numeric address: where every byte of a fetch goes through."""
    return httpcore2.SyncBackend().connect_tcp(address, port, timeout=timeout)
