"""A client of the web that connects only to addresses that were checked (`urls`), and reads no more than was asked.

Invariant: every hop is judged anew, and the connection goes to the checked address, whatever the name resolves to
afterwards. Time and bytes are bounded over all hops, on the wire and unpacked.
"""

from __future__ import annotations

import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from alfred import clock, errors, version
from alfred.trust import urls

MAX_REDIRECTS = 5
MAX_BYTES = 10_000_000
TIMEOUT_S = 30.0
_OVERHEAD = 1_000_000  # bytes of headers, chunk frames and TLS on top of the body

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


def fetch(
    url: str,
    *,
    resolve: urls.Resolve | None = None,
    allow_private: Iterable[str] = frozenset(),
    ports: Iterable[int] = frozenset(),
    headers: Callable[[urls.Target], Mapping[str, str]] = lambda target: {},
    body: bytes | None = None,
    follow: bool = True,
    max_bytes: int = MAX_BYTES,
    timeout: float = TIMEOUT_S,
) -> Fetched:
    """GETs a URL that `check_url` allows, following at most five redirects, each checked again.

    With a `body` it is a POST, which is never repeated elsewhere. Without `follow`, and of a POST, a redirect is an answer
    like any other: what was asked goes to this host only.

    `timeout` (seconds) is for everything together: names, connections, all hops, the whole body.
    `max_bytes` counts what was decoded; there is no way to inflate more. `headers(target)` gives the headers
    of one hop, asked when that hop is checked and about to be made; what it raises ends the fetch before a byte
    of the hop is sent. No proxy, .netrc or cookie is used. Refused besides: https to http, a redirect from a
    public page to a host that the owner opened.

    Raises FetchRefused (by policy), FetchFailed (no answer, or not in time).
    """
    opened, extra_ports = urls.opened_hosts(allow_private), frozenset(ports)
    deadline = clock.monotonic() + int(timeout * clock.SECOND)
    passed: list[str] = []
    target = _checked(url, resolve, opened, extra_ports)
    while True:
        answer, location = _ask(target, _callers(headers(target)), body, deadline, max_bytes)
        if location is None or not follow or body is not None:
            return Fetched(*answer, redirects=tuple(passed), address=str(target.addresses[0]))
        if len(passed) == MAX_REDIRECTS:
            raise errors.FetchRefused(f"{_first(url)} redirects more than {MAX_REDIRECTS} times.")
        passed.append(target.url)
        target = _redirected(target, location, resolve, opened, extra_ports)


def _callers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that are the caller's to give."""
    if wrong := sorted(name for name in headers if name.lower() in _NO_HEADERS):
        raise errors.UsageError(
            f"The header {wrong[0]!r} belongs to the connection, not to the caller."
        )
    return dict(headers)


def _redirected(
    before: urls.Target,
    location: str,
    resolve: urls.Resolve | None,
    opened: frozenset[str],
    ports: frozenset[int],
) -> urls.Target:
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
            f"{_first(before.url)}, a public page, redirects to {urls.shown(target.host)}, which is private."
        )
    return target


def _checked(
    url: str, resolve: urls.Resolve | None, opened: frozenset[str], ports: frozenset[int]
) -> urls.Target:
    try:
        return urls.target_of(url, resolve, opened, ports)
    except urls.Refused as why:
        raise errors.FetchRefused(
            f"{_first(url)} may not be fetched: {why}.",
            next="Private hosts and other ports are opened by the owner in the configuration.",
        ) from None


def _first(url: str) -> str:
    """The URL in a message, without query and userinfo: they may carry secrets."""
    bare = re.sub(r"//[^/?#]*@", "//", str(url).partition("?")[0].partition("#")[0])
    return urls.shown(bare)


def _ask(
    target: urls.Target,
    headers: dict[str, str],
    content: bytes | None,
    deadline: int,
    max_bytes: int,
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
            client.stream(
                "GET" if content is None else "POST", url, headers=ours, content=content
            ) as response,
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
