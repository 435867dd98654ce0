"""Secrets by reference: `secret://NAME` in the arguments of a call, and the hosts that each may go to.

Invariants: what is stored, hashed and shown is the reference; the value takes its place only in `resolved`, for one
connection, right before its bytes are sent, and only for a host that the owner bound it to (`secrets` of the
configuration), over TLS unless the host is a private one that the owner opened. A reference stands in a place of its
own, never within other text, so that nothing a model writes can be sent along with a secret or in its stead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from alfred import errors
from alfred.trust import urls

SCHEME = "secret://"

Bound = Mapping[str, Collection[str]]
"""Names of secrets, each with the hosts that it may be sent to."""

_REFERENCE = re.compile(r"secret://([A-Za-z_][A-Za-z0-9_]*)")
CREDENTIAL = rf"^((?:[A-Za-z][A-Za-z0-9-]{{0,30}} )?){_REFERENCE.pattern}$"
"""The value of a header: a reference, with one word such as `Bearer` before it at most."""

_WHOLE = re.compile(CREDENTIAL)
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def named(value: Any) -> list[str]:
    """The secrets that a JSON value names anywhere, keys included, each once."""
    found: dict[str, None] = {}
    if isinstance(value, str):
        found.update(dict.fromkeys(_REFERENCE.findall(value)))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            found.update(dict.fromkeys([*named(key), *named(inner)]))
    elif isinstance(value, list | tuple):
        for inner in value:
            found.update(dict.fromkeys(named(inner)))
    return list(found)


def refused(name: str, host: str, bound: Bound) -> errors.CallRefused | None:
    """Why the secret of this name may not go to a host; None when it may."""
    hosts = bound.get(name)
    if hosts is None:
        near = difflib.get_close_matches(name, bound, n=1, cutoff=0.5)
        meant = f" Did you mean {SCHEME}{near[0]}?" if near else ""
        known = "" if near or not bound else f" There are {', '.join(sorted(bound))}."
        return errors.CallRefused(
            f"{SCHEME}{name} names no secret that the owner allows.{meant}{known}",
            next=f"The owner writes secrets: {{{name}: [{host}]}} into config.yaml, and its value into .env.",
        )
    if host not in hosts:
        return errors.CallRefused(
            f"{SCHEME}{name} may go to {', '.join(hosts)}, not to {urls.shown(host)}.",
            next=f"The owner adds the host to secrets.{name} of config.yaml.",
        )
    return None


def missing(name: str) -> errors.CallRefused:
    """What is said of a secret that is bound, and has no value."""
    return errors.CallRefused(
        f"The secret {name} has no value here.",
        next=f"The owner writes {name}=… into .env of alfred's home.",
    )


def headers(given: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Headers whose values are references: name -> (the word before it, such as `Bearer `, and the secret's name).

    Raises:
        CallRefused: a name is none, or a value is anything else than a reference, with one word before it at most.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, value in given.items():
        whole = _WHOLE.fullmatch(value)
        if not _HEADER.fullmatch(name):
            raise errors.CallRefused(f"{name[:80]!r} is no name of a header.")
        if name.lower() in {"user-agent", *map(str.lower, found)}:
            raise errors.CallRefused(f"The header {name} is alfred's own, or is there twice.")
        if not whole:
            raise errors.CallRefused(
                f"The header {name} is no reference to a secret.",
                next=f'Headers are for credentials alone: {{"Authorization": "Bearer {SCHEME}NAME"}}.',
            )
        found[name] = whole[1], whole[2]
    return found


def resolved(
    given: Mapping[str, tuple[str, str]],
    target: urls.Target,
    *,
    bound: Bound,
    secrets: Callable[[str], str | None],
) -> dict[str, str]:
    """The headers of one connection, with their secrets in them.

    Args:
        given: As `headers` returns them.
        target: Where the connection goes.
        secrets: The value of a name, None when there is none; whatever it gives is known to `redact` from then on.

    Raises:
        CallRefused: a secret may not go there, or has no value that can be sent.
    """
    made: dict[str, str] = {}
    for header, (before, name) in given.items():
        if problem := refused(name, target.host, bound):
            raise problem
        if target.scheme != "https" and not target.private:
            raise errors.CallRefused(
                f"{SCHEME}{name} goes over https only, not to {urls.shown(target.host)} over http.",
                next="Use the https address.",
            )
        value = secrets(name)
        if not value:
            raise missing(name)
        if not _SENDABLE.fullmatch(value):
            raise errors.CallRefused(
                f"The value of the secret {name} cannot stand in a header: it has to be one line of ASCII."
            )
        made[header] = before + value
    return made
