"""A machine on which every address is its own: whoever connects to any address and any port is seen.

Run as a program in a network of its own, it fetches by the real `web.fetch` and prints, as JSON, where connections were
begun. Names are resolved by the table of the test; the web server at every address answers, or redirects as it is told.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alfred import errors
from alfred.actions.context import ActionContext, Workspace
from alfred.config import Settings
from alfred.integrations import web
from tests.unit.trust import test_urls

PUBLIC = test_urls.PUBLIC
SOMEWHERE = "http://example.com/"


def own_every_address() -> None:
    """Routes both families to this machine (`ip route add local default dev lo`): what is sent arrives here."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            # rtmsg: no prefix, table local (255), static (4), scope host (254), type local (2); RTA_OIF: through lo
            route = struct.pack("8BI", family, 0, 0, 0, 255, 4, 254, 2, 0)
            route += struct.pack("HHI", 8, 4, socket.if_nametoindex("lo"))
            # RTM_NEWROUTE (24): request, answer, create
            kernel.send(struct.pack("IHHII", 16 + len(route), 24, 0x405, 1, 0) + route)
            (problem,) = struct.unpack_from("i", kernel.recv(4096), 16)
            if problem:
                raise OSError(-problem, "the kernel makes no route")


class Seen:
    """What has left for anywhere: the first packet of each TCP connection, and every datagram."""

    def __init__(self) -> None:
        everything = socket.htons(3)
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, everything)
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
        self._wire.setblocking(False)

    def since(self) -> list[str]:
        """Where to, since the last time that this was asked."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, protocol, kind, *_rest) = self._wire.recvfrom(65_536)
                if kind == socket.PACKET_OUTGOING and (to := _begun(packet, protocol)):
                    found.append(to)
        return found


def _begun(packet: bytes, protocol: int) -> str | None:
    """Where a packet goes, when it is the first of a connection or a datagram."""
    match protocol:
        case 0x0800:
            length, kind, host = (packet[0] & 15) * 4, packet[9], packet[16:20]
        case 0x86DD:
            length, kind, host = 40, packet[6], packet[24:40]
        case _:
            return None
    (port,) = struct.unpack_from("!H", packet, length + 2)
    if kind == socket.IPPROTO_TCP and packet[length + 13] & 0x12 != 0x02:
        return None  # not SYN alone
    if kind not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        return None
    return f"{ipaddress.ip_address(host)} {port}"


class Everywhere:
    """A web server at every address, on the ports that may be asked for."""

    def __init__(self) -> None:
        self.redirects: dict[bytes, str] = {}
        """The Location that a path answers with."""
        for port in (80, 443, 8080, 8443):
            listener = socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64
            )
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                asked = connection.recv(65_536)
                if not asked.startswith(b"GET "):
                    continue  # it wants TLS: that it came is all that counts
                to = self.redirects.get(asked.split(b" ")[1])
                first = (
                    f"302 Elsewhere\r\nLocation: {to}"
                    if to
                    else "200 OK\r\nContent-Type: text/plain"
                )
                said = f"HTTP/1.1 {first}\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
                connection.sendall(said.encode("utf-8", "replace"))


class Names:
    """The name servers: they say of every name the next of these answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = []
        self._numbers = socket.getaddrinfo
        socket.getaddrinfo = self._resolve  # type: ignore[assignment]

    def say(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    def _resolve(self, host: Any, *args: Any, **more: Any) -> list[Any]:
        try:
            return self._numbers(host, *args, **more | {"flags": socket.AI_NUMERICHOST})
        except (OSError, UnicodeError):
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return [(socket.AF_INET, 0, 0, "", (address, 0)) for address in answer]


def fetched(url: str, home: Path) -> str:
    """How the real action ends: `read`, `refused` (by policy), `failed` (no answer)."""
    ctx = ActionContext(
        run_id="r",
        call_id="c",
        agent="main",
        tenant="main",
        home=home,
        workspace=Workspace(root=home, made=True, trusted=False),
        inputs={},
        settings=Settings.model_validate({}),
        store=None,  # type: ignore[arg-type]
        cancelled=lambda: False,
        on_cancel=lambda stop: None,
        emit=lambda line: None,
        secrets=lambda name: None,
    )
    try:
        web.fetch(url, ctx=ctx)
    except errors.FetchRefused:
        return "refused"
    except errors.FetchFailed:
        return "failed"
    return "read"


def plain(address: str) -> str:
    """What a client without any judgement does: the oracle must see it."""
    try:
        socket.create_connection((address, 80), timeout=5).close()
    except OSError as why:
        return str(why)  # broadcast, multicast, a link's own: the kernel does not even try
    return "reached"


def main(home: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    """Each thing that is tried: how, what, what came of it, where connections were begun."""
    own_every_address()
    server, seen, names = Everywhere(), Seen(), Names()
    for address in test_urls.CLOSED:
        if "%" not in address:  # no link of that name is here
            yield "plain", address, plain(address), seen.since()
    names.say([PUBLIC])
    for url, _ in test_urls.ALLOWED:
        yield "allowed", url, fetched(url, home), seen.since()
    for url in test_urls.HOSTILE_URLS:
        yield "asked", url, fetched(url, home), seen.since()
    for url in test_urls.HOSTILE_URLS:
        if "\n" not in url:
            server.redirects = {b"/": url}
            yield "redirected", url, fetched(SOMEWHERE, home), seen.since()
    server.redirects = {}
    for address in test_urls.CLOSED:
        for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
            names.say(answer)
            yield "named", " ".join(answer), fetched(SOMEWHERE, home), seen.since()
    for first in (PUBLIC, "2606:4700::1111"):
        names.say([first], ["127.0.0.1"])
        yield "rebound", first, fetched(SOMEWHERE, home), seen.since()
    server.redirects = {b"/": "http://evil.example/"}
    yield "led home", "http://1.1.1.1/", fetched("http://1.1.1.1/", home), seen.since()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        json.dump(list(main(Path(made))), sys.stdout)
