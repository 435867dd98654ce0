"""What the owner's configuration says about the web, `integrations.web`: hosts and ports opened, and who is asked to search.

    integrations:
      web:
        allow_private: [searx.lan]
        search: {provider: searxng, url: "http://searx.lan:8080"}

Invariants: all that is wrong is found when the configuration is loaded, and no message repeats what may be a key. The key
of a search service is named and never written here, and is bound by `secrets` to the host that is asked.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alfred import config_text, errors
from alfred.config_text import Finding, Where
from alfred.trust import references, urls

PATH: Where = ("integrations", "web")

_PUBLIC = "9.9.9.9"
"""Stands for the address of any name: who a name leads to is looked at when it is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What the configuration has to know of a search service."""

    url: str | None
    """Where it is asked; None: everybody has an own one."""
    keyed: bool


PROVIDERS = {
    "searxng": Provider(url=None, keyed=False),
    "brave": Provider(url="https://api.search.brave.com/res/v1/web/search", keyed=True),
    "tavily": Provider(url="https://api.tavily.com/search", keyed=True),
}


MCP = "mcp"
"""The provider that is a tool of an MCP server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The search service that the owner chose."""

    provider: str
    url: str
    host: str
    port: int
    key: str | None
    """The name of the secret."""

    def at(self, url: str) -> bool:
        """Whether an address is one of this service. Raises `urls.Refused` for what is none."""
        return (urls.host_of(url), _port(url)) == (self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The tool of an MCP server that searches, because the owner says so."""

    tool: str
    """`mcp.<server>.<tool>`."""
    argument: str
    """Which of its arguments the query is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """`integrations.web`."""

    hosts: tuple[str, ...] = ()
    """Private hosts that the owner opened."""
    ports: tuple[int, ...] = ()
    search: Search | Served | None = None


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with `integrations.web`. Places are not known here.

    Args:
        tree: The whole configuration as it is written: it need not be right otherwise.
    """
    return _read(tree)[1]


def of(settings: Any) -> Web:
    """What the settings say.

    Raises:
        CallFailed: they are not as they must be; not for settings that were loaded with `problems` as a check.
    """
    found, wrong = _read(
        {
            "integrations": settings.integrations,
            "secrets": settings.secrets,
            "mcp_servers": settings.mcp_servers,
        }
    )
    if wrong:
        raise errors.CallFailed(f"{wrong[0]}.", next="`alfred doctor` tells the places.")
    return found


def _read(tree: Mapping[str, Any]) -> tuple[Web, list[Finding]]:
    integrations = tree.get("integrations")
    web = integrations.get("web") if isinstance(integrations, Mapping) else None
    if web is None:
        return Web(), []
    if not isinstance(web, Mapping):
        return Web(), [Finding(PATH, "must be keys with values", config_text.shown(web))]
    wrong = _unknown(PATH, web, ("allow_private", "ports", "search"))
    hosts, ports = _hosts(web.get("allow_private"), wrong), _ports(web.get("ports"), wrong)
    search = None
    if web.get("search") is not None:
        search = _search(web["search"], hosts, tree, wrong)
    return Web(hosts=hosts, ports=ports, search=search), wrong


def _unknown(path: Where, given: Mapping[str, Any], known: tuple[str, ...]) -> list[Finding]:
    """Keys that mean nothing; their values may be secrets in the wrong place."""
    found = []
    for key in given:
        if key not in known:
            found.append(
                Finding((*path, str(key)), f"is no setting{config_text.meant(str(key), known)}")
            )
    return found


def _hosts(given: Any, wrong: list[Finding]) -> tuple[str, ...]:
    path = (*PATH, "allow_private")
    if not isinstance(given or [], list | tuple):
        wrong.append(Finding(path, "must be a list of hosts, as in [searx.lan]"))
        return ()
    found: list[str] = []
    for number, host in enumerate(given or []):
        try:
            found += urls.opened_hosts([str(host)])
        except errors.ConfigError as why:
            wrong.append(Finding((*path, number), why.detail.rstrip(".")))
    return tuple(found)


def _ports(given: Any, wrong: list[Finding]) -> tuple[int, ...]:
    path = (*PATH, "ports")
    if not isinstance(given or [], list | tuple):
        wrong.append(Finding(path, "must be a list of numbers, as in [8888]"))
        return ()
    found: list[int] = []
    for number, port in enumerate(given or []):
        text = config_text.as_text(port) if isinstance(port, str | int) else ""
        if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65_535:
            found.append(int(text))
        else:
            wrong.append(Finding((*path, number), "must be a port, 1 to 65535"))
    return tuple(found)


def _search(
    given: Any, opened: tuple[str, ...], tree: Mapping[str, Any], wrong: list[Finding]
) -> Search | Served | None:
    path = (*PATH, "search")
    before = len(wrong)
    if not isinstance(given, Mapping):
        wrong.append(Finding(path, "must be keys with values, as in {provider: brave, key: …}"))
        return None
    name = given.get("provider")
    if name == MCP:
        return _served(given, tree.get("mcp_servers"), wrong)
    wrong += _unknown(path, given, ("provider", "url", "key"))
    provider = PROVIDERS.get(str(name))
    if provider is None:
        meant = "" if name is None else config_text.meant(str(name), (*PROVIDERS, MCP), "")
        said = f"must be {', '.join(PROVIDERS)} or {MCP}{meant}"
        wrong.append(Finding((*path, "provider"), said))
        return None
    url = str(given.get("url") or provider.url or "")
    host = _asked(url, opened, wrong)
    key = _key(given.get("key"), str(name), provider, host, tree.get("secrets"), wrong)
    if host is None or len(wrong) > before:
        return None
    return Search(provider=str(name), url=url, host=host, port=_port(url), key=key)


def _served(given: Mapping[str, Any], servers: Any, wrong: list[Finding]) -> Served | None:
    path = (*PATH, "search")
    before = len(wrong)
    wrong += _unknown(path, given, ("provider", "tool", "argument"))
    tool, argument = given.get("tool"), given.get("argument", "query")
    parts = tool.split(".") if isinstance(tool, str) else []
    if len(parts) != 3 or parts[0] != MCP or not all(parts):
        wrong.append(Finding((*path, "tool"), "must be mcp.<server>.<tool>"))
    elif not isinstance(servers, Mapping) or servers.get(parts[1]) is None:
        meant = config_text.meant(parts[1], list(servers or ()), "")
        wrong.append(Finding((*path, "tool"), f"names a server that mcp_servers has not{meant}"))
    if not isinstance(argument, str) or not argument:
        wrong.append(Finding((*path, "argument"), "must be the name of an argument of the tool"))
    if len(wrong) > before:
        return None
    return Served(tool=str(tool), argument=str(argument))


def _port(url: str) -> int:
    parts = urllib.parse.urlsplit(url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme.lower()]


def _asked(url: str, opened: tuple[str, ...], wrong: list[Finding]) -> str | None:
    """The host of the address that is asked; nothing is looked up."""
    path = (*PATH, "search", "url")
    if not url:
        wrong.append(Finding(path, "is missing: the address of your own instance"))
        return None
    try:
        host = urls.host_of(url)
    except urls.Refused as why:
        wrong.append(Finding(path, f"cannot be asked: {why}"))
        return None
    if "?" in url or "#" in url:
        wrong.append(Finding(path, "must be an address without `?` and `#`"))
        return None
    verdict = urls.check_url(
        url, resolve=lambda name: [_PUBLIC], allow_private=opened, ports=[_port(url)]
    )
    if not verdict.allowed:
        said = f"{verdict.reason}; if it is yours, add {host} to integrations.web.allow_private"
        wrong.append(Finding(path, said))
        return None
    return host


def _key(
    given: Any,
    name: str,
    provider: Provider,
    host: str | None,
    bound: Any,
    wrong: list[Finding],
) -> str | None:
    path = (*PATH, "search", "key")
    if not provider.keyed:
        if given is not None:
            wrong.append(Finding(path, f"has no meaning for {name}, take it out"))
        return None
    if given is None:
        wrong.append(Finding(path, f"is missing: {references.SCHEME}NAME, with the value in .env"))
        return None
    named = references.named(given)
    if not isinstance(given, str) or given != f"{references.SCHEME}{''.join(named)}":
        # What stands there may be the key itself.
        wrong.append(Finding(path, f"must be {references.SCHEME}NAME, with the value in .env"))
        return None
    secret = named[0]
    hosts = bound.get(secret) if isinstance(bound, Mapping) else None
    listed = [hosts] if isinstance(hosts, str) else list(hosts or ())
    if host is not None and host not in [str(one).lower().strip("[]") for one in listed]:
        said = f"names {secret}, which `secrets` does not bind to {host}: write secrets: {{{secret}: [{host}]}}"
        wrong.append(Finding(path, said))
        return None
    return secret
