"""The client, against servers on the loopback that were opened for it, and one that must never be reached."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import subprocess
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alfred import clock, errors
from alfred.trust import fetching, pinned, urls
from tests.unit.trust import test_urls


@dataclass
class Server:
    """A server that says what `answer` returns for a path, and remembers what it was asked."""

    address: str = "127.0.0.1"
    answer: Callable[[str], bytes] = lambda path: ok(b"hello")
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def header(self, name: str) -> list[str | None]:
        """What each request said in this header."""
        found = []
        for request in self.requests:
            lines = request.decode("latin-1").split("\r\n")[1:]
            named = [
                line.partition(": ")[2] for line in lines if line.lower().startswith(name + ":")
            ]
            found.append(named[0] if named else None)
        return found

    def paths(self) -> list[str]:
        return [request.split(b" ")[1].decode() for request in self.requests]


def ok(body: bytes, *headers: str, length: bool = True) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Connection: close", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def redirect(to: str, status: int = 302) -> bytes:
    head = f"HTTP/1.1 {status} Elsewhere\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n"
    return head.encode("utf-8")


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    listener = socket.create_server((server.address, 0), backlog=64)
    server.port = listener.getsockname()[1]

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                server.connections += 1
                request = b""
                while b"\r\n\r\n" not in request:
                    piece = connection.recv(65_536)
                    if not piece:
                        break
                    request += piece
                if not request:
                    continue
                server.requests.append(request)
                connection.sendall(server.answer(request.split(b" ")[1].decode()))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


@pytest.fixture
def victim() -> Iterator[Server]:
    """Something on this machine that nobody may reach: it counts connections."""
    with serving(Server()) as server:
        yield server
        assert server.connections == 0


def get(server: Server, path: str = "/", host: str = "home.lan", **options) -> fetching.Fetched:
    """Fetches from the server under a name that the owner opened."""
    options.setdefault("resolve", lambda name: [server.address])
    options.setdefault("allow_private", {host})
    options.setdefault("ports", {server.port})
    return fetching.fetch(f"http://{host}:{server.port}{path}", **options)


def test_the_name_stays_in_the_host_header_and_the_connection_goes_to_the_checked_address(
    server: Server,
) -> None:
    fetched = get(server, "/a%20b?c=d")
    assert fetched.body == b"hello"
    assert (fetched.status, fetched.truncated, fetched.redirects) == (200, False, ())
    assert fetched.address == "127.0.0.1"
    assert fetched.headers["content-length"] == "5"
    assert server.header("host") == [f"home.lan:{server.port}"]
    assert server.paths() == ["/a%20b?c=d"]


def test_the_loopback_is_closed_unless_it_was_opened(victim: Server) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "home.lan", "example.com"):
        with pytest.raises(errors.FetchRefused):
            fetching.fetch(
                f"http://{host}:{victim.port}/",
                resolve=lambda name: ["127.0.0.1"],
                ports={victim.port},
            )


def test_no_hostile_url_makes_a_connection(victim: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []

    def connect(address: str, port: int, timeout: float) -> None:
        reached.append(f"{address}:{port}")
        raise OSError("a connection was made")

    monkeypatch.setattr(pinned, "connect", connect)
    tried = 0
    for url in test_urls.HOSTILE_URLS:
        with pytest.raises(errors.FetchRefused):
            fetching.fetch(url, resolve=lambda name: ["127.0.0.1"])
        tried += 1
    for address in test_urls.CLOSED:
        with pytest.raises(errors.FetchRefused):
            fetching.fetch(
                "http://example.com/", resolve=lambda name, a=address: [test_urls.PUBLIC, a]
            )
        tried += 1
    assert tried > 250
    assert reached == []


@pytest.mark.slow
def test_no_hostile_url_is_followed_as_a_redirect(server: Server, victim: Server) -> None:
    """Each one as the Location of an opened server; the name in it leads to the victim."""
    targets = [
        url
        for url in test_urls.HOSTILE_URLS
        if url.isprintable() and url.strip() and "@" not in url
    ]
    targets += [f"http://user@127.0.0.1:{victim.port}/", f"http://127.0.0.1:{victim.port}/"]
    targets += [
        f"//127.0.0.1:{victim.port}/",
        f"http://evil.com:{victim.port}/",
        f"http://[::1]:{victim.port}/",
    ]
    relative = 0
    for target in targets:
        server.answer = lambda path, to=target: redirect(to) if path == "/" else ok(b"relative")
        try:
            fetched = get(
                server,
                resolve=lambda name: ["127.0.0.1"],
                ports={server.port, victim.port, 22, 25, 6379},
            )
        except errors.FetchRefused:
            continue
        # What has no scheme is a path on the same server, which was opened.
        assert fetched.url.startswith(f"http://home.lan:{server.port}/"), target
        relative += 1
    assert relative < 10
    assert len(targets) > 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_judged_again_at_every_hop(
    server: Server, victim: Server, status: int
) -> None:
    server.answer = lambda path: {
        "/": redirect("/second", status),
        "/second": redirect(f"http://other.lan:{victim.port}/", status),
    }[path]
    with pytest.raises(errors.FetchRefused, match=r"other\.lan"):
        get(server, ports={server.port, victim.port})
    assert server.paths() == ["/", "/second"]


@pytest.mark.parametrize(
    "location",
    [
        "/a\tb",
        "/a\xa0b",
        "/a\\b",
        "\\\\evil.com/",
        "/\\evil.com/",
        "http://home.lan\t:{port}/",
        "/a\x0bb",
        "/\x85",
    ],
)
def test_a_redirect_whose_characters_a_parser_would_drop_is_refused(
    server: Server, location: str
) -> None:
    to = location.replace("{port}", str(server.port))
    server.answer = lambda path: redirect(to) if path == "/" else ok(b"followed")
    with pytest.raises((errors.FetchRefused, errors.FetchFailed)):
        get(server)
    assert server.paths() == ["/"]


def test_five_redirects_are_followed_and_a_sixth_is_refused(server: Server) -> None:
    def answer(path: str) -> bytes:
        left = int(path[1:])
        return redirect(f"/{left - 1}") if left else ok(b"there")

    server.answer = answer
    fetched = get(server, "/5")
    assert fetched.body == b"there"
    assert [url.rpartition("/")[2] for url in fetched.redirects] == ["5", "4", "3", "2", "1"]
    assert fetched.url.endswith("/0")
    with pytest.raises(errors.FetchRefused, match="more than 5 times"):
        get(server, "/6")


def test_https_is_never_left_for_http(monkeypatch: pytest.MonkeyPatch) -> None:
    hops: list[str] = []

    def hop(target: urls.Target, *rest: object) -> tuple[tuple, str | None]:
        hops.append(target.url)
        return (target.url, 302, {}, b"", False), "http://example.com/plain"

    monkeypatch.setattr(fetching, "_ask", hop)
    with pytest.raises(errors.FetchRefused, match="from https to http"):
        fetching.fetch("https://example.com/", resolve=test_urls.public)
    assert hops == ["https://example.com/"]


def test_a_public_page_never_redirects_into_an_opened_host(monkeypatch: pytest.MonkeyPatch) -> None:
    hops: list[str] = []

    def hop(target: urls.Target, *rest: object) -> tuple[tuple, str | None]:
        hops.append(target.url)
        return (target.url, 302, {}, b"", False), "http://nas.lan/admin?reboot=1"

    monkeypatch.setattr(fetching, "_ask", hop)
    with pytest.raises(errors.FetchRefused, match="which is private"):
        fetching.fetch(
            "http://example.com/",
            resolve=lambda host: ["192.168.1.5" if host == "nas.lan" else test_urls.PUBLIC],
            allow_private={"nas.lan"},
        )
    assert hops == ["http://example.com/"]


def test_headers_are_asked_for_at_every_hop_and_end_the_fetch_before_a_byte_of_it(
    server: Server, victim: Server
) -> None:
    server.answer = lambda path: (
        redirect("/again") if path == "/" else redirect(f"http://away.lan:{victim.port}/")
    )
    hops: list[str] = []

    def headers(target: urls.Target) -> dict[str, str]:
        hops.append(target.host)
        if target.host != "home.lan":
            raise errors.CallRefused("not there")
        return {"Authorization": f"Bearer s3cret{len(hops)}"}

    with pytest.raises(errors.CallRefused, match="not there"):
        get(
            server,
            allow_private={"home.lan", "away.lan"},
            ports={server.port, victim.port},
            headers=headers,
        )
    assert hops == ["home.lan", "home.lan", "away.lan"]
    assert server.header("authorization") == ["Bearer s3cret1", "Bearer s3cret2"]


def test_no_cookie_is_kept_from_hop_to_hop(server: Server) -> None:
    head = (
        b"HTTP/1.1 302 x\r\nSet-Cookie: a=b; Path=/\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"
    )
    server.answer = lambda path: head if path == "/" else ok(b"x")
    get(server)
    assert server.header("cookie") == [None, None]


@pytest.mark.parametrize(
    "name", ["Host", "host", "Content-Length", "Transfer-Encoding", "Connection"]
)
def test_headers_of_the_connection_are_not_the_callers(victim: Server, name: str) -> None:
    with pytest.raises(errors.UsageError):
        get(victim, headers=lambda target: {name: "x"})


def test_a_header_cannot_carry_a_second_request(victim: Server) -> None:
    with contextlib.suppress(errors.FetchFailed), serving(Server()) as server:
        hostile = {"X-A": "1\r\n\r\nGET /evil HTTP/1.1\r\nHost: x"}
        get(server, headers=lambda target: hostile)
    assert not any(b"evil" in request for request in server.requests)


# ---- rebinding


def test_a_name_that_changes_its_mind_is_resolved_once(victim: Server) -> None:
    """First the opened address, then another: the connection goes where the check looked."""
    with serving(Server("127.0.0.2")) as good:
        answers = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
        asked: list[str] = []

        def resolve(host: str) -> list[str]:
            asked.append(host)
            return next(answers)

        assert get(good, resolve=resolve).address == "127.0.0.2"
        assert asked == ["home.lan"]
        assert good.connections == 1


def test_a_name_that_turns_private_at_a_redirect_is_refused(
    victim: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([[test_urls.PUBLIC], ["127.0.0.1"]])

    def hop(target: urls.Target, *rest: object) -> tuple[tuple, str | None]:
        assert str(target.addresses[0]) == test_urls.PUBLIC
        return (target.url, 302, {}, b"", False), "/again"

    monkeypatch.setattr(fetching, "_ask", hop)
    with pytest.raises(errors.FetchRefused, match="loopback"):
        fetching.fetch(
            f"http://example.com:{victim.port}/",
            resolve=lambda host: next(answers),
            ports={victim.port},
        )


def test_the_systems_resolver_is_not_asked_again_to_connect(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: object, *args: object, **kwargs: object) -> object:
        asked.append(str(host))
        return real("127.0.0.1", *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    get(server, resolve=None)
    assert asked.count("home.lan") == 1


def test_the_next_checked_address_is_tried_when_one_does_not_answer(server: Server) -> None:
    fetched = get(server, resolve=lambda host: ["127.0.0.3", "127.0.0.1"])
    assert fetched.body == b"hello"


def test_tls_names_the_host_and_not_the_address() -> None:
    """The ClientHello carries the name; the server speaks no TLS, so nothing else is needed."""
    hello: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            hello.append(connection.recv(65_536))

    thread = threading.Thread(target=run)
    thread.start()
    port = listener.getsockname()[1]
    with pytest.raises(errors.FetchFailed):
        fetching.fetch(
            f"https://secure.lan:{port}/",
            resolve=lambda host: ["127.0.0.1"],
            allow_private={"secure.lan"},
            ports={port},
        )
    thread.join()
    listener.close()
    assert b"secure.lan" in hello[0]


@pytest.mark.needs_program("openssl")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *(
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=secure.lan",
                "-addext",
                "subjectAltName=DNS:secure.lan",
            ),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    said: list[str] = []

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    said.append(f"a request came: {secure.recv(100)!r}")
            except OSError as why:
                said.append(str(why))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with pytest.raises(errors.FetchFailed, match=r"(?i)certificate"):
            fetching.fetch(
                f"https://secure.lan:{port}/",
                resolve=lambda host: ["127.0.0.1"],
                allow_private={"secure.lan"},
                ports={port},
            )
    finally:
        thread.join()
        listener.close()
    assert not any("a request came" in line for line in said)


# ---- limits


def test_a_body_is_cut_at_the_limit_and_says_so(server: Server) -> None:
    server.answer = lambda path: ok(b"x" * 1000)
    assert get(server, max_bytes=1000).truncated is False
    cut = get(server, max_bytes=999)
    assert (len(cut.body), cut.truncated) == (999, True)


def test_a_bomb_is_inflated_no_further_than_the_limit(server: Server) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    server.answer = lambda path: ok(bomb, "Content-Encoding: gzip")
    tracemalloc.start()
    cut = get(server, max_bytes=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(cut.body), cut.truncated) == (100_000, True)
    assert peak < 20_000_000  # bytes, of fifty million


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Encoding: gzip, gzip"],
        ["Content-Encoding: gzip", "Content-Encoding: gzip"],
        ["Content-Encoding: identity,GZIP ,, deflate"],
        ["Content-Encoding: " + ", ".join(["gzip"] * 50)],
    ],
)
def test_a_bomb_in_a_bomb_is_not_inflated(server: Server, headers: list[str]) -> None:
    """What the inner one makes of gigabytes may be nothing, which no limit of the body counts."""
    bomb = gzip.compress(
        gzip.compress(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0\0\0\xff\xff" * 200_000)
    )
    server.answer = lambda path: ok(bomb, *headers)
    with pytest.raises(errors.FetchFailed, match="more than once"):
        get(server)


@pytest.mark.parametrize("coding", ["gzip", "identity, x-gzip", "GZIP,identity"])
def test_one_encoding_is_read(server: Server, coding: str) -> None:
    packed = gzip.compress(b"hello")
    server.answer = lambda path: ok(packed, f"Content-Encoding: {coding}")
    assert get(server).body == (packed if "x-gzip" in coding else b"hello")


def test_bytes_that_inflate_to_nothing_are_counted_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_OVERHEAD", 10_000)
    # A gzip head, then stored blocks of length 0.
    nothing = b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0\0\0\xff\xff" * 200_000
    server.answer = lambda path: ok(nothing, "Content-Encoding: gzip")
    with pytest.raises(errors.FetchFailed, match="more than was asked for"):
        get(server, max_bytes=1000)


def test_a_broken_encoding_is_a_failure_and_not_an_empty_page(server: Server) -> None:
    server.answer = lambda path: ok(b"this is no gzip", "Content-Encoding: gzip")
    with pytest.raises(errors.FetchFailed):
        get(server)


def test_headers_without_end_are_cut(server: Server) -> None:
    server.answer = lambda path: b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"b" * 5_000_000 + b"\r\n\r\n"
    with pytest.raises(errors.FetchFailed):
        get(server)


class _Ticking:
    """A clock on which every look costs a second: no test waits."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        return 0

    def monotonic(self) -> int:
        self.at += clock.SECOND
        return self.at

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing sleeps")


@pytest.fixture
def ticking() -> Iterator[None]:
    before = clock.install(_Ticking())
    yield
    clock.install(before)


def test_the_time_is_for_everything_together(server: Server, ticking: None) -> None:
    """A body of many pieces, a chain of hops: each look at the clock is a second, thirty are allowed."""
    server.answer = lambda path: ok(b"x" * 9_000_000)
    with pytest.raises(errors.FetchFailed, match="too long"):
        get(server)
    server.answer = lambda path: redirect("/again")
    with pytest.raises(errors.FetchFailed, match="too long"):
        get(server, timeout=10.0)


def test_a_server_that_says_nothing_is_left(server: Server) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    server.port = silent.getsockname()[1]
    with pytest.raises(errors.FetchFailed):
        get(server, timeout=0.05)
    silent.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\0" * 1000,
    ],
    ids=repr,
)
def test_a_malformed_answer_is_a_failure(server: Server, answer: bytes) -> None:
    server.answer = lambda path: answer
    with pytest.raises(errors.FetchFailed):
        get(server)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_used(
    server: Server, victim: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{victim.port}")
    assert get(server).body == b"hello"


def test_a_netrc_file_is_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (tmp_path / "netrc").write_text("machine home.lan login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    get(server)
    assert server.header("authorization") == [None]


def test_an_error_page_is_an_answer(server: Server) -> None:
    server.answer = lambda path: b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
    fetched = get(server)
    assert (fetched.status, fetched.body) == (404, b"no")


def test_a_redirect_without_a_place_is_the_answer(server: Server) -> None:
    server.answer = lambda path: b"HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhm"
    assert get(server).body == b"hm"


def test_a_message_never_repeats_the_query_or_the_user(server: Server) -> None:
    for url in (
        "http://me:s3cret@example.com/?token=s3cret",
        "http://10.0.0.1/?token=s3cret#s3cret",
    ):
        with pytest.raises(errors.FetchRefused) as caught:
            fetching.fetch(url)
        assert "s3cret" not in caught.value.detail
