"""The search services that can be asked: how each is asked, and what its answer says.

Invariant: whatever a service answers becomes a list of `Hit`s of bounded size, or `Unusable`: no shape, depth or character
of an answer gets further than here. A hit is what a person would see of it: markup, and letters that draw nothing, are
taken out and counted.

Requests and answers are those of the services' own references: https://docs.searxng.org/dev/search_api.html,
https://api-dashboard.search.brave.com/documentation, https://docs.tavily.com/documentation/api-reference/endpoint/search.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from alfred.integrations import excerpt
from alfred.integrations import page as pages
from alfred.trust import redact, text, urls

TITLE = 200
SNIPPET = 700
URL = 1_000
"""Characters of the parts of a hit, as JSON writes them."""

_SEEN = 5_000
"""Characters of a title or snippet that are looked at."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
    ]
)
_SILENT = frozenset(
    ["script", "style", "template", "noscript", "title", "head", "iframe", "object", "svg", "math"]
)


class Unusable(Exception):
    """What was answered is no answer of this service."""


@dataclass(frozen=True, slots=True)
class Request:
    """How a service is asked. `headers` are besides the key's."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One result."""

    title: str
    url: str
    snippet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a service found."""

    hits: tuple[Hit, ...]
    hidden: int
    """Characters that nobody would see, which were taken out."""
    left_out: int
    """Results without an address that could be read."""
    silent: tuple[str, ...] = ()
    """Engines behind the service that gave nothing."""


KEYS = {"brave": ("X-Subscription-Token", ""), "tavily": ("Authorization", "Bearer ")}
"""The header that a key goes in, and what stands before it there."""


def request(provider: str, url: str, query: str, count: int) -> Request:
    """How this service is asked for something."""
    json_wanted = {"accept": "application/json"}
    match provider:
        case "searxng":
            base = url.rstrip("/")
            base = base if base.endswith("/search") else f"{base}/search"
            return Request(_with(base, q=query, format="json"), json_wanted)
        case "brave":
            asked = _with(
                url, q=query, count=str(count), result_filter="web", text_decorations="false"
            )
            return Request(asked, json_wanted)
        case "tavily":
            said = json.dumps({"query": query, "max_results": count}).encode()
            return Request(url, json_wanted | {"content-type": "application/json"}, said)
    raise ValueError(provider)


def read(provider: str, body: bytes, count: int) -> Answer:
    """What a service answered, at most `count` results of it.

    Raises:
        Unusable: it is no answer of this service.
    """
    try:
        said = text.sanitize(json.loads(body))[0]
    except (ValueError, RecursionError):
        raise Unusable from None
    if not isinstance(said, dict):
        raise Unusable
    if provider == "brave":
        # Without any result there is no `web`, but it says that it is a search.
        web = said.get("web") or ({"results": []} if said.get("type") == "search" else None)
        listed, snippet = web.get("results") if isinstance(web, dict) else None, "description"
    else:
        listed, snippet = said.get("results"), "content"
    if not isinstance(listed, list):
        raise Unusable
    hits: list[Hit] = []
    hidden = left_out = 0
    for one in listed:
        if len(hits) == count:
            break
        url = one.get("url") if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(url, str) or not _readable(url):
            left_out += 1
            continue
        title, away = _seen(one.get("title"), TITLE, markup=provider == "brave")
        shown, more = _seen(one.get(snippet), SNIPPET, markup=provider == "brave")
        hidden += away + more
        hits.append(Hit(title, url, shown))
    silent = said.get("unresponsive_engines") if provider == "searxng" else None
    return Answer(
        hits=tuple(hits),
        hidden=hidden,
        left_out=left_out,
        silent=tuple(_engines(silent)) if isinstance(silent, list) else (),
    )


def _with(url: str, **query: str) -> str:
    return f"{url}?{urllib.parse.urlencode(query)}"


def _readable(url: str) -> bool:
    """Whether it is an address that `web.fetch` would look at."""
    try:
        urls.host_of(url)
    except urls.Refused:
        return False
    return excerpt.cost(url) <= URL


def _engines(listed: list[Any]) -> list[str]:
    """Names and reasons, as in `google (timeout)`; the service gives pairs."""
    found = []
    for one in listed[:10]:
        parts = [_seen(part, 40, markup=False)[0] for part in one] if isinstance(one, list) else []
        if parts and parts[0]:
            found.append(parts[0] + (f" ({parts[1]})" if len(parts) > 1 and parts[1] else ""))
    return found


def _seen(said: Any, room: int, *, markup: bool) -> tuple[str, int]:
    """What a person sees of a text, in one line of at most `room`, and how many characters nobody would see."""
    if not isinstance(said, str):
        return "", 0
    said = said[:_SEEN]
    hidden = 0
    if markup:
        reader = _Reader()
        reader.feed(said)
        reader.close()
        said, hidden = "".join(reader.seen), reader.hidden
    said, drawn_nothing = pages.visible(said)
    said, controls = _CONTROL.subn("", said)
    line = redact.redact(
        " ".join(said.split())
    )  # before it is cut: half a secret is known to nobody
    short = excerpt.head(line, room)
    return short + ("…" if short != line else ""), hidden + drawn_nothing + controls


class _Reader(HTMLParser):
    """The text of a piece of HTML, without what its markup hides."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self.hidden = 0
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        given = dict(attrs)
        away = tag in _SILENT or "hidden" in given or pages.hides(given.get("style") or "")
        self._open.append((tag, away or self._away))

    def handle_endtag(self, tag: str) -> None:
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at][0] == tag:
                del self._open[at:]
                return

    def handle_data(self, data: str) -> None:
        if self._away:
            self.hidden += len(data)
        else:
            self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        self.hidden += len(data)

    @property
    def _away(self) -> bool:
        return bool(self._open) and self._open[-1][1]
