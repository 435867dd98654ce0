"""MCP servers as the configuration describes them, at its top or in the entry of an agent.

    mcp_servers:
      files: {command: npx, args: ["@modelcontextprotocol/server-filesystem", /srv/notes]}
      docs: {url: "https://docs.example.com/mcp", headers: {Authorization: "Bearer ${DOCS_TOKEN}"}}

Invariants: whatever is written means something or is wrong; no message repeats a value that may be a secret; the name of a
server is such that no tool of another one can be taken for its own, under any spelling of a policy.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alfred import config_text, config_values
from alfred.config_text import Finding, Where

KEY = "mcp_servers"

CALL_S = 60.0
"""Seconds that a call of a tool may take where the configuration says nothing."""

LONGEST = 3_600_000_000
"""Microseconds that may be written there."""

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""What stands for a secret, or for a variable of alfred's own environment."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PROGRAM = ("command", "args", "env")
_ADDRESS = ("url", "headers")
_KEYS = (*_PROGRAM, *_ADDRESS, "timeout")
_TAKEN = frozenset({"host", "content-length", "transfer-encoding", "connection", "user-agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server: a program that is started, or an address that is asked.

    Attributes:
        args, env: Of the program; `${NAME}` in a value of `env` or `headers` is not resolved yet.
        timeout_s: Seconds that one call of a tool may take.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = CALL_S

    @property
    def digest(self) -> str:
        """SHA-256 of what decides who answers: a server that is written otherwise is another one."""
        said = {key: value for key, value in asdict(self).items() if key != "timeout_s"}
        text = json.dumps(said, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


Servers = dict[str, Server | None]
"""By name; None, in the entry of an agent: it has not got the one of the top."""


def problems(tree: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with the servers at the top of a configuration. Places are not known here."""
    return read((KEY,), tree.get(KEY))[1]


def read(
    path: Where, given: Any, *, above: Iterable[str] | None = None
) -> tuple[Servers, list[Finding]]:
    """What the servers below a key are, as far as it is right, and everything that is wrong.

    Args:
        above: The names of the servers at the top, for those of an agent; None for the top itself.
    """
    if given is None:
        return {}, []
    if not isinstance(given, Mapping):
        message = "must be servers by name, as in `{files: {command: npx, args: […]}}`"
        return {}, [Finding(path, message, "a text" if isinstance(given, str) else None)]
    given = config_text.resolve(given)
    servers: Servers = {}
    wrong: list[Finding] = []
    for name, entry in given.items():
        here = (*path, str(name))
        if not _NAME.fullmatch(str(name)):
            message = (
                "is no name for a server: 1 to 32 of a-z, 0-9, _ and -, letters or digits outside"
            )
            wrong.append(Finding(here, message))
        elif entry is None and above is not None:
            servers[str(name)] = None
            if name not in above:
                wrong.append(Finding(here, "takes away a server that there is not at the top"))
        else:
            before = len(wrong)
            server = _server(here, entry, wrong)
            if len(wrong) == before:
                servers[str(name)] = server
    names = sorted({str(name) for name in given} | set(above or ()))
    for name in map(str, given):
        short = next((one for one in names if name.startswith(f"{one}_")), None)
        # one that is given is told as the longer one
        longer = next(
            (one for one in names if one.startswith(f"{name}_") and one not in given), None
        )
        if short or longer:
            told = (
                f"begins like the server {short}" if short else f"is how the server {longer} begins"
            )
            message = f"{told}: mcp_{longer or name} would mean tools of both in a policy"
            wrong.append(Finding((*path, name), message))
    return servers, wrong


def _server(here: Where, entry: Any, wrong: list[Finding]) -> Server | None:
    if not isinstance(entry, Mapping):
        wrong.append(Finding(here, "must be keys with values: command, args, env, or url, headers"))
        return None
    for key in entry:
        if key not in _KEYS:
            meant = config_text.meant(str(key), _KEYS)
            wrong.append(Finding((*here, str(key)), f"is no setting of a server{meant}"))
    program, address = entry.get("command") is not None, entry.get("url") is not None
    if program == address:
        wrong.append(Finding(here, "must have either a command or a url"))
        return None
    for key in _ADDRESS if program else _PROGRAM:
        if entry.get(key) is not None:
            owner = "url" if program else "command"
            wrong.append(Finding((*here, key), f"belongs to a server with a {owner}"))
    return Server(
        command=_text((*here, "command"), entry.get("command"), wrong),
        args=_args((*here, "args"), entry.get("args"), wrong),
        env=_values((*here, "env"), entry.get("env"), _VARIABLE, "an environment", wrong),
        url=_url((*here, "url"), entry.get("url"), wrong),
        headers=_headers((*here, "headers"), entry.get("headers"), wrong),
        timeout_s=_seconds((*here, "timeout"), entry.get("timeout"), wrong),
    )


def _text(path: Where, given: Any, wrong: list[Finding]) -> str | None:
    if given is None:
        return None
    text = "" if isinstance(given, Mapping | list | tuple) else config_text.as_text(given)
    if not text or text != text.strip() or not text.isprintable():
        wrong.append(Finding(path, "must be one line of text"))
        return None
    return text


def _args(path: Where, given: Any, wrong: list[Finding]) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list | tuple):
        wrong.append(Finding(path, "must be a list, as in [a, b]"))
        return ()
    found = []
    for number, one in enumerate(given):
        text = "" if isinstance(one, Mapping | list | tuple | None) else config_text.as_text(one)
        if one is None or isinstance(one, Mapping | list | tuple) or "\0" in text:
            wrong.append(Finding((*path, number), "must be a text"))
        elif REFERENCE.search(text):
            # whoever lists processes sees arguments
            wrong.append(Finding((*path, number), "shows a secret to everybody here, use env"))
        found.append(text)
    return tuple(found)


def _values(
    path: Where, given: Any, name: re.Pattern[str], what: str, wrong: list[Finding]
) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        wrong.append(Finding(path, "must be names with values"))
        return {}
    found: dict[str, str] = {}
    for key, value in given.items():
        here = (*path, str(key))
        if not name.fullmatch(str(key)):
            wrong.append(Finding(here, f"is no name in {what}"))
        elif value is None or isinstance(value, Mapping | list | tuple):
            wrong.append(Finding(here, "must be one text"))
        else:
            text = config_text.as_text(value)
            if "\0" in text or "${" in REFERENCE.sub("", text):
                wrong.append(Finding(here, "must be a text, with ${NAME} for a secret"))
            found[str(key)] = text
    return found


def _headers(path: Where, given: Any, wrong: list[Finding]) -> dict[str, str]:
    found = _values(path, given, _HEADER, "a request", wrong)
    for key, text in found.items():
        if key.lower() in _TAKEN or key.lower().startswith("mcp-"):
            wrong.append(Finding((*path, key), "is not yours to set: it belongs to the connection"))
        elif not text.isascii() or not text.isprintable():
            wrong.append(Finding((*path, key), "must be one line of ASCII"))
    return found


def _url(path: Where, given: Any, wrong: list[Finding]) -> str | None:
    text = _text(path, given, wrong)
    if text is None:
        return None
    if REFERENCE.search(text):
        wrong.append(Finding(path, "cannot hold a secret, headers can"))
    elif not re.fullmatch(r"https?://[^/@\s]+(?:/[^@\s]*)?", text):
        wrong.append(Finding(path, "must be an http or https address, without a user or password"))
    return text


def _seconds(path: Where, given: Any, wrong: list[Finding]) -> float:
    if given is None:
        return CALL_S
    try:
        us = config_values.duration_us(given) if isinstance(given, str) else 0
    except ValueError:
        us = 0
    if not 0 < us <= LONGEST:
        wrong.append(Finding(path, "must be a number with a unit, as in 30s or 5m, at most 1h"))
    return us / 1_000_000
