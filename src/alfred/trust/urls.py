"""What may be fetched, and a client that connects only to the address that was checked.

Invariant: a URL is parsed once, here; its host is resolved once per hop; every address of the answer must
be public (or opened for this host by the owner); the connection goes to the checked address, whatever
the name resolves to afterwards. Host header and TLS name stay those of the URL.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from alfred import clock, errors, version
from alfred.trust import addresses

Resolve = Callable[[str], Iterable[Any]]

PORTS = frozenset({80, 443, 8080, 8443})
MAX_REDIRECTS = 5
MAX_BYTES = 10_000_000
TIMEOUT_S = 30.0
RESOLVE_S = 10.0  # the system resolver alone would wait up to half a minute
MAX_URL = 16_384  # characters
_OVERHEAD = 1_000_000  # bytes of headers, chunk frames and TLS on top of the body

_DENIED_SUFFIXES = ("internal", "local", "localhost", "lan", "home.arpa", "onion")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?"
)
_AUTHORITY = re.compile(
    r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_QUAD = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NO_HEADERS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "upgrade",
        "trailer",
        "expect",
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a URL may be fetched, why or why not, and the address that was checked."""

    allowed: bool
    reason: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: the last URL, status, headers (lower case), at most `max_bytes` of decoded body.

    `truncated`: there was more. `redirects`: the URLs passed through before. `address`: where the last
    connection went.
    """

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    truncated: bool
    redirects: tuple[str, ...]
    address: str


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL taken apart, and every address that its host may be reached at."""

    scheme: str
    host: str
    port: int
    target: str  # path and query as they go on the wire
    addresses: tuple[addresses.Address, ...] = ()

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        port = "" if self.port == default else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"

    @property
    def private(self) -> bool:
        return any(addresses.is_private(address) for address in self.addresses)


class _Refused(Exception):
    """Why a URL may not be fetched."""


# ---- judging


def check_url(
    url: str,
    *,
    resolve: Resolve | None = None,
    allow_private: Iterable[str] = frozenset(),
    ports: Iterable[int] = frozenset(),
) -> Verdict:
    """Whether `url` may be fetched now, by the rules below; never raises for a hostile URL.

    http or https only; no userinfo, control character, white space, backslash, percent sign in the
    host, odd spelling of a number as host, zone; port 80, 443, 8080, 8443 or one of `ports`; host in
    IDNA 2008, one trailing dot dropped; no name under .internal, .local, .localhost, .lan, .home.arpa,
    .onion; every address of the host public (`addresses.why_closed`).

    `resolve(host)` replaces the system's resolver. `allow_private` are hosts whose private addresses the
    owner opened (metadata services stay closed). Raises ConfigError for an entry of it that is no host.
    """
    try:
        found = _check(url, resolve, _opened(allow_private), frozenset(ports))
    except _Refused as why:
        return Verdict(False, str(why))
    reason = "opened by the owner" if found.private else "public address"
    return Verdict(True, reason, str(found.addresses[0]))


def _check(
    url: str, resolve: Resolve | None, opened: frozenset[str], ports: frozenset[int]
) -> _Target:
    parsed = _parse(url)
    if parsed.port not in PORTS | ports:
        raise _Refused(f"port {parsed.port} is not open; the owner can add it")
    is_open = parsed.host in opened
    if not is_open and _denied_name(parsed.host):
        raise _Refused(f"{_shown(parsed.host)} names something inside a network")
    found = _addresses(parsed.host, resolve)
    for address in found:
        if why := addresses.why_closed(address, opened=is_open):
            raise _Refused(f"{_shown(parsed.host)} leads to {address}: {why}")
    return _Target(parsed.scheme, parsed.host, parsed.port, parsed.target, found)


def _parse(url: str) -> _Target:
    if not isinstance(url, str):
        raise _Refused("it is not text")
    if len(url) > MAX_URL:
        raise _Refused(f"it is longer than {MAX_URL} characters")
    if bad := next((c for c in url if c == "\\" or unicodedata.category(c)[0] in "ZC"), None):
        raise _Refused(f"it contains the character U+{ord(bad):04X}")
    whole = _URL.fullmatch(url)
    if not whole:
        raise _Refused("it is no absolute http or https URL")
    scheme = whole["scheme"].lower()
    if scheme not in ("http", "https"):
        raise _Refused(f"the scheme {scheme[:20]!r} is neither http nor https")
    if "@" in whole["authority"]:
        raise _Refused("it carries a user or a password")
    authority = _AUTHORITY.fullmatch(whole["authority"])
    if not authority:
        raise _Refused("its host or port is malformed")
    host = _v6(authority["v6"]) if authority["v6"] is not None else _name(authority["name"])
    port = int(authority["port"] or {"http": 80, "https": 443}[scheme])
    if port > 65_535:
        raise _Refused(f"{port} is no port")
    target = _quoted(whole["path"]) or "/"
    if whole["query"] is not None:
        target += "?" + _quoted(whole["query"])
    return _Target(scheme, host, port, target)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="/%:@!$&'()*+,;=?~-._|[]")


def _v6(text: str) -> str:
    if "%" in text:
        raise _Refused("its address names a zone of this machine")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise _Refused("its host is no IPv6 address") from None


def _name(text: str) -> str:
    """A host name in its one form: lower case, IDNA 2008, no trailing dot."""
    host = text.lower().removesuffix(".")
    if not host:
        raise _Refused("it has no host")
    if not text.isascii():
        # A letter that only becomes ASCII by its lower case (the Kelvin sign) names another host.
        if any(not c.isascii() and any(map(str.isascii, c.lower())) for c in text):
            raise _Refused(f"{_shown(text)} is no host name (IDNA 2008)")
        if re.search("[\u3002\uff0e\uff61]", host):
            raise _Refused("its host is written with dots that are no dots")
        import idna

        try:
            host = idna.encode(host).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise _Refused(f"{_shown(host)} is no host name (IDNA 2008)") from None
    labels = host.split(".")
    if _is_number(host) or _NUMBER.fullmatch(labels[-1]):
        if not _QUAD.fullmatch(host) or any(int(label) > 255 for label in labels):
            raise _Refused(f"{_shown(host)} is an address in an odd spelling")
        return host
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _Refused(f"{_shown(host)} is no host name")
    if any(label.startswith("xn--") for label in labels):
        import idna

        try:
            idna.decode(host)
        except (idna.IDNAError, UnicodeError):
            raise _Refused(f"{_shown(host)} is no host name (IDNA 2008)") from None
    return host


def _is_number(host: str) -> bool:
    """Whether the C library would take it for an address: 127.1, 0177.0.0.1, 2130706433."""
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


def _denied_name(host: str) -> bool:
    return any(host == suffix or host.endswith("." + suffix) for suffix in _DENIED_SUFFIXES)


def _opened(hosts: Iterable[str]) -> frozenset[str]:
    found = set()
    for host in hosts:
        try:
            found.add(_v6(host.strip("[]")) if ":" in host else _name(host))
        except _Refused as why:
            raise errors.ConfigError(
                f"{_shown(host)} cannot be opened: {why}.", next="Write a host name or an address."
            ) from None
    return frozenset(found)


def _addresses(host: str, resolve: Resolve | None) -> tuple[addresses.Address, ...]:
    try:
        return (ipaddress.ip_address(host),)
    except ValueError:
        pass  # a name
    try:
        found = list(resolve(host)) if resolve else _system_resolve(host)
        answer = tuple(dict.fromkeys(ipaddress.ip_address(address) for address in found))
    except (OSError, UnicodeError) as why:
        raise _Refused(f"{_shown(host)} does not resolve: {why}") from None
    except ValueError:
        raise _Refused(f"{_shown(host)} resolves to something that is no address") from None
    if not answer:
        raise _Refused(f"{_shown(host)} does not resolve")
    return answer


def _system_resolve(host: str) -> list[str]:
    """All A and AAAA records in the system's order of preference, in at most RESOLVE_S seconds."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as problem:
            answer.append(problem)

    thread = threading.Thread(target=ask, name="resolve", daemon=True)  # it cannot be interrupted
    thread.start()
    thread.join(RESOLVE_S)
    if not answer:
        raise OSError(f"no answer in {RESOLVE_S:g} s")
    if isinstance(answer[0], Exception):
        raise answer[0]
    return [info[4][0] for info in answer[0]]


def _shown(host: str) -> str:
    from alfred.trust import display

    return repr(display.display(host, limit=120))


# ---- fetching


def fetch(
    url: str,
    *,
    resolve: Resolve | None = None,
    allow_private: Iterable[str] = frozenset(),
    ports: Iterable[int] = frozenset(),
    headers: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
    timeout: float = TIMEOUT_S,
) -> Fetched:
    """GETs a URL that `check_url` allows, following at most five redirects, each checked again.

    `timeout` (seconds) is for everything together: names, connections, all hops, the whole body.
    `max_bytes` counts what was decoded; there is no way to inflate more. `headers` go to the first origin
    only. No proxy, .netrc or cookie is used. Refused besides: https to http, a redirect from a public
    page to a host that the owner opened.

    Raises FetchRefused (by policy), FetchFailed (no answer, or not in time).
    """
    opened, extra_ports = _opened(allow_private), frozenset(ports)
    given = dict(headers or {})
    if wrong := sorted(name for name in given if name.lower() in _NO_HEADERS):
        raise errors.UsageError(
            f"The header {wrong[0]!r} belongs to the connection, not to the caller."
        )
    deadline = clock.monotonic() + int(timeout * clock.SECOND)
    passed: list[str] = []
    target = _checked(url, resolve, opened, extra_ports)
    while True:
        answer, location = _get(target, given, deadline, max_bytes)
        if location is None:
            return Fetched(*answer, redirects=tuple(passed), address=str(target.addresses[0]))
        if len(passed) == MAX_REDIRECTS:
            raise errors.FetchRefused(f"{_first(url)} redirects more than {MAX_REDIRECTS} times.")
        passed.append(target.url)
        before, target = target, _redirected(target, location, resolve, opened, extra_ports)
        if before.origin != target.origin:
            given = {}


def _redirected(
    before: _Target,
    location: str,
    resolve: Resolve | None,
    opened: frozenset[str],
    ports: frozenset[int],
) -> _Target:
    try:
        joined = urllib.parse.urljoin(before.url, location)
        # urljoin drops tabs and newlines: what it was given must be clean, not what it returns.
        clean = all(c != "\\" and unicodedata.category(c)[0] not in "ZC" for c in location)
    except ValueError:
        joined, clean = location, False
    if not clean:
        raise errors.FetchRefused(f"{_first(before.url)} redirects to something that is no URL.")
    target = _checked(joined, resolve, opened, ports)
    if before.scheme == "https" and target.scheme == "http":
        raise errors.FetchRefused(f"{_first(before.url)} redirects from https to http.")
    if target.private and not before.private:
        raise errors.FetchRefused(
            f"{_first(before.url)}, a public page, redirects to {_shown(target.host)}, which is private."
        )
    return target


def _checked(
    url: str, resolve: Resolve | None, opened: frozenset[str], ports: frozenset[int]
) -> _Target:
    try:
        return _check(url, resolve, opened, ports)
    except _Refused as why:
        raise errors.FetchRefused(
            f"{_first(url)} may not be fetched: {why}.",
            next="Private hosts and other ports are opened by the owner in the configuration.",
        ) from None


def _first(url: str) -> str:
    """The URL in a message, without query and userinfo: they may carry secrets."""
    bare = re.sub(r"//[^/?#]*@", "//", str(url).partition("?")[0].partition("#")[0])
    return _shown(bare)


def _get(
    target: _Target, headers: dict[str, str], deadline: int, max_bytes: int
) -> tuple[tuple[str, int, dict[str, str], bytes, bool], str | None]:
    """One hop: (url, status, headers, body, truncated) and the place it redirects to, if it does."""
    import httpx2

    from alfred.trust import pinned  # with the client, only when something is fetched

    url = httpx2.URL(
        scheme=target.scheme,
        host=target.host,
        port=target.port,
        raw_path=target.target.encode("ascii"),
    )
    ours = {
        "user-agent": f"alfred/{version.VERSION}",
        "accept": "*/*",
        "accept-encoding": "gzip, deflate",
    }
    ours |= {name.lower(): value for name, value in headers.items()}
    try:
        with (
            httpx2.Client(
                transport=pinned.Transport(
                    tuple(map(str, target.addresses)),
                    target.port,
                    deadline=deadline,
                    max_wire=max_bytes + _OVERHEAD,
                ),
                trust_env=False,
                follow_redirects=False,
                timeout=None,  # the deadline is kept by the connection itself
            ) as client,
            client.stream("GET", url, headers=ours) as response,
        ):
            shown = {name.lower(): value for name, value in response.headers.items()}
            location = response.headers.get("location")
            if response.status_code in (301, 302, 303, 307, 308) and location is not None:
                return (target.url, response.status_code, shown, b"", False), location
            _refuse_layers(response.headers.get("content-encoding", ""))
            body = bytearray()
            for piece in response.iter_bytes():  # inflated in pieces of at most 1 MiB
                body += piece
                if len(body) > max_bytes:
                    break
            truncated = len(body) > max_bytes
            whole = bytes(body[:max_bytes])
            return (target.url, response.status_code, shown, whole, truncated), None
    except (httpx2.HTTPError, httpx2.StreamError, OSError, ValueError) as why:
        said = str(why) or type(why).__name__
        raise errors.FetchFailed(f"{_first(target.url)} did not answer: {said}.") from why


def _refuse_layers(codings: str) -> None:
    """Only what was packed once is unpacked: between two layers nothing counts how much there is."""
    packed = [c for c in codings.lower().split(",") if c.strip() not in ("", "identity")]
    if len(packed) > 1:
        raise ValueError("its body is packed more than once")
