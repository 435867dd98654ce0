"""What may be fetched.

Invariant: a URL is parsed once, here; its host is resolved once; every address of the answer must be public (or
opened for this host by the owner). Who connects goes to the addresses of the `Target`, whatever the name
resolves to afterwards (`fetching`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from alfred import errors
from alfred.trust import addresses

Resolve = Callable[[str], Iterable[Any]]

PORTS = frozenset({80, 443, 8080, 8443})
RESOLVE_S = 10.0  # the system resolver alone would wait up to half a minute
MAX_URL = 16_384  # characters

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a URL may be fetched, why or why not, and the address that was checked."""

    allowed: bool
    reason: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart, and every address that its host may be reached at."""

    scheme: str
    host: str
    port: int
    target: str  # path and query as they go on the wire
    addresses: tuple[addresses.Address, ...] = ()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        port = "" if self.port == default else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"

    @property
    def private(self) -> bool:
        return any(addresses.is_private(address) for address in self.addresses)


class Refused(Exception):
    """Why a URL may not be fetched."""


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
        found = target_of(url, resolve, opened_hosts(allow_private), frozenset(ports))
    except Refused as why:
        return Verdict(False, str(why))
    reason = "opened by the owner" if found.private else "public address"
    return Verdict(True, reason, _written(found.addresses[0]))


def target_of(
    url: str, resolve: Resolve | None, opened: frozenset[str], ports: frozenset[int]
) -> Target:
    """Where a URL leads, checked by the rules of `check_url`. Raises Refused."""
    parsed = _parse(url)
    if parsed.port not in PORTS | ports:
        raise Refused(f"port {parsed.port} is not open; the owner can add it")
    is_open = parsed.host in opened
    if not is_open and _denied_name(parsed.host):
        raise Refused(f"{shown(parsed.host)} names something inside a network")
    found = _addresses(parsed.host, resolve)
    for address in found:
        if why := addresses.why_closed(address, opened=is_open):
            raise Refused(f"{shown(parsed.host)} leads to {_written(address)}: {why}")
    return Target(parsed.scheme, parsed.host, parsed.port, parsed.target, found)


def host_of(url: str) -> str:
    """The host that a URL names, in its one form; nothing is looked up. Raises Refused."""
    return _parse(url).host


def port_of(url: str) -> int:
    """The port that a URL names. Raises Refused."""
    return _parse(url).port


def _parse(url: str) -> Target:
    if not isinstance(url, str):
        raise Refused("it is not text")
    if len(url) > MAX_URL:
        raise Refused(f"it is longer than {MAX_URL} characters")
    if bad := next((c for c in url if c == "\\" or unicodedata.category(c)[0] in "ZC"), None):
        raise Refused(f"it contains the character U+{ord(bad):04X}")
    whole = _URL.fullmatch(url)
    if not whole:
        raise Refused("it is no absolute http or https URL")
    scheme = whole["scheme"].lower()
    if scheme not in ("http", "https"):
        raise Refused(f"the scheme {scheme[:20]!r} is neither http nor https")
    if "@" in whole["authority"]:
        raise Refused("it carries a user or a password")
    authority = _AUTHORITY.fullmatch(whole["authority"])
    if not authority:
        raise Refused("its host or port is malformed")
    host = _v6(authority["v6"]) if authority["v6"] is not None else _name(authority["name"])
    port = int(authority["port"] or {"http": 80, "https": 443}[scheme])
    if port > 65_535:
        raise Refused(f"{port} is no port")
    target = _quoted(whole["path"]) or "/"
    if whole["query"] is not None:
        target += "?" + _quoted(whole["query"])
    return Target(scheme, host, port, target)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="/%:@!$&'()*+,;=?~-._|[]")


def _v6(text: str) -> str:
    if "%" in text:
        raise Refused("its address names a zone of this machine")
    try:
        return _written(ipaddress.IPv6Address(text))
    except ValueError:
        raise Refused("its host is no IPv6 address") from None


def _written(address: addresses.Address) -> str:
    """An address in its one form. A Python from 3.13 on writes one that carries an IPv4 address with dots, an older
    one without."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        high, low = divmod(int(address.ipv4_mapped), 1 << 16)
        return f"::ffff:{high:x}:{low:x}"
    return str(address)


def _name(text: str) -> str:
    """A host name in its one form: lower case, IDNA 2008, no trailing dot."""
    host = text.lower().removesuffix(".")
    if not host:
        raise Refused("it has no host")
    if not text.isascii():
        # A letter that only becomes ASCII by its lower case (the Kelvin sign) names another host.
        if any(not c.isascii() and any(map(str.isascii, c.lower())) for c in text):
            raise Refused(f"{shown(text)} is no host name (IDNA 2008)")
        if re.search("[\u3002\uff0e\uff61]", host):
            raise Refused("its host is written with dots that are no dots")
        import idna

        try:
            host = idna.encode(host).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise Refused(f"{shown(host)} is no host name (IDNA 2008)") from None
    labels = host.split(".")
    if _is_number(host) or _NUMBER.fullmatch(labels[-1]):
        if not _QUAD.fullmatch(host) or any(int(label) > 255 for label in labels):
            raise Refused(f"{shown(host)} is an address in an odd spelling")
        return host
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Refused(f"{shown(host)} is no host name")
    if any(label.startswith("xn--") for label in labels):
        import idna

        try:
            idna.decode(host)
        except (idna.IDNAError, UnicodeError):
            raise Refused(f"{shown(host)} is no host name (IDNA 2008)") from None
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


def is_inside(host: str) -> bool:
    """Whether a host, in its one form, says itself that it is of this machine or network: an address, a name of one word,
    or one that no public name ends like."""
    if ":" in host or _QUAD.fullmatch(host) or "." not in host:
        return True
    return _denied_name(host)


def opened_hosts(hosts: Iterable[str]) -> frozenset[str]:
    """Hosts that the owner opened, each in its one form. Raises ConfigError for one that is none."""
    found = set()
    for host in hosts:
        try:
            found.add(_v6(host.strip("[]")) if ":" in host else _name(host))
        except Refused as why:
            raise errors.ConfigError(
                f"{shown(host)} cannot be opened: {why}.", next="Write a host name or an address."
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
        raise Refused(f"{shown(host)} does not resolve: {why}") from None
    except ValueError:
        raise Refused(f"{shown(host)} resolves to something that is no address") from None
    if not answer:
        raise Refused(f"{shown(host)} does not resolve")
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


def shown(host: str) -> str:
    """A host or URL in a message: what could deceive is visible."""
    from alfred.trust import display

    return repr(display.display(host, limit=120))
