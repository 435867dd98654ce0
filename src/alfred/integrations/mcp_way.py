"""From what the configuration says about an MCP server to a way that leads there.

Invariants: a value stands in the place of its name only here, right before it is used, and `redact` knows it from then on.
Credentials go to the host that the owner wrote, over TLS unless that host is of this machine or network. A name that
looks public leads to public addresses only, unless the owner opened it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alfred import errors, home
from alfred.actions.ledger.pins import Place
from alfred.config_servers import REFERENCE, Server
from alfred.integrations import mcp_wire, web_settings
from alfred.integrations.mcp_complaints import Complaints
from alfred.integrations.mcp_link import Broken, Link
from alfred.trust import references, urls

Secret = Callable[[str], str | None]
"""The secret of this name, None when there is none."""


def link(place: Place, server: Server, *, folder: Path, settings: Any, secret: Secret) -> Link:
    """A connection that is not open yet.

    Args:
        folder: The tenant's home.

    Raises:
        Broken: what it needs is not there, or it may not be asked.
    """
    if server.command is not None:
        name = f"mcp-{place.scope}-{place.server}" if place.scope else f"mcp-{place.server}"
        logs = home.logs(folder)
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        complaints = Complaints(logs / f"{name}.log")
        one = mcp_wire.Program(
            command=server.command,
            args=server.args,
            env={key: _resolved(text, place, secret) for key, text in server.env.items()},
            folder=home.state(folder) / name,
            complaints=complaints,
        )
        return Link(
            lambda allowance: mcp_wire.program(one, allowance),
            complaint=lambda: complaints.last,
        )
    target = _target(server.url or "", settings)
    headers = _headers(server.headers, target, place, settings, secret)
    return Link(
        lambda allowance: mcp_wire.address(target, headers, allowance), complaint=lambda: ""
    )


def _resolved(text: str, place: Place, secret: Secret) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1]
        if place.tenant == home.MAIN and name in mcp_wire.INHERITED:
            return os.environ.get(name, "")  # no secret, and not to be hidden as one
        said = secret(name)
        if not said:
            raise Broken(f"it needs {name}, which has no value here; write {name}=… into .env")
        return said

    return REFERENCE.sub(value, text)


def _target(url: str, settings: Any) -> urls.Target:
    """Where an address of the configuration leads."""
    try:
        host = urls.host_of(url)
        opened = set(web_settings.of(settings).hosts)
        if urls.is_inside(host):
            opened.add(host)
        return urls.target_of(url, None, frozenset(opened), frozenset([urls.port_of(url)]))
    except (urls.Refused, errors.CallFailed) as why:
        said = why.detail if isinstance(why, errors.AlfredError) else str(why)
        raise Broken(f"it may not be asked: {said}") from None


def _headers(
    written: Mapping[str, str], target: urls.Target, place: Place, settings: Any, secret: Secret
) -> dict[str, str]:
    by_name = {key: text for key, text in written.items() if references.named(text)}
    plain = {key: text for key, text in written.items() if key not in by_name}
    if (
        target.scheme != "https"
        and not target.private
        and REFERENCE.search("".join(plain.values()))
    ):
        raise Broken("its headers hold a secret, which goes over https only")
    try:
        made = references.resolved(
            references.headers(by_name), target, bound=settings.secrets, secrets=secret
        )
    except errors.CallRefused as why:
        raise Broken(f"{why.detail} {why.next or ''}".strip().rstrip(".")) from None
    return {**made, **{key: _resolved(text, place, secret) for key, text in plain.items()}}
