"""What a coding program is asked for one turn, and what it says: plain values, the same for every program.

An engine is a program of somebody else's that talks to its own provider with its own login. In its one-turn form it is a
model and nothing more: it gets a system prompt, blocks of a conversation and a schema, and gives one answer; its own
tools are off. Who asks it, and what its failures mean for a run, is not known here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from alfred import errors
from alfred.trust import redact, text

MAX_DETAIL = 600  # characters of a program's own words that are kept
MAX_LOGIN = 1_000_000  # bytes of a file with a login that are read

FailureKind = Literal[
    "auth",  # the program is not there or not logged in, or its login is refused
    "rate_limit",  # too many requests for now
    "overloaded",  # its provider cannot serve now
    "budget",  # what the subscription includes is used up, mostly until a known time
    "context",  # the prompt is longer than the model takes
    "refused",  # refused, and it would be again
    "network",  # its provider is not reached, or the answer broke off
    "malformed",  # an answer that is none
    "cancelled",  # the caller's own wish
]

# Of the caller's environment, what a program may see: where programs are, how text is written, the way to the network.
# A login is added by its engine, and nothing else is.
_PASSED = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One turn.

    Args:
        system: The system prompt, whole: the program's own is replaced by it.
        blocks: The conversation, in pieces that stay what they are when more is said.
        schema: JSON schema of the answer; None for an answer in words.
        model: The program's name for a model; empty for its own choice.
        max_output: Output tokens at most, where the program can be told.
        env: The caller's environment, of which little is passed on.
        token: The login, when it is a secret of the caller's; None for the program's own.
        url: Where the program's provider is, when it is not in its own place.
        timeout: Seconds, then it is ended.
    """

    system: str
    blocks: tuple[str, ...]
    schema: dict[str, Any] | None
    model: str
    max_output: int
    env: Mapping[str, str]
    token: str | None = None
    url: str | None = None
    timeout: float = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a turn used, as the program reports it.

    Args:
        input_tokens: All of the prompt, with what was read from and written to a cache.
        cost_usd: Its own figure; None when it gives none.
        charged: Whether that is money, and no share of a subscription.
        model: The model that answered.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal | None = None
    charged: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer: its words, the value that the schema asked for (None where none was), and what it used; None when
    the program does not say."""

    text: str
    value: Any = None
    spent: Spent | None = None


class EngineError(errors.AlfredError):
    """A program gave no answer that can be used."""

    code: ClassVar[str] = "engine"

    def __init__(
        self,
        kind: FailureKind,
        detail: str,
        *,
        retry_after_s: float | None = None,
        spent: Spent | None = None,
        next: str | None = None,
    ):
        super().__init__(detail, next=next)
        self.kind: FailureKind = kind
        self.retry_after_s = retry_after_s
        self.spent = spent


class Cancel(Protocol):
    """What tells that an answer is no longer wanted; a `threading.Event` is one."""

    def is_set(self) -> bool: ...


class Engine(Protocol):
    """A program that answers one turn."""

    @property
    def program(self) -> str:
        """Its name on the PATH."""
        ...

    @property
    def install(self) -> str:
        """What a person does to have it."""
        ...

    @property
    def login(self) -> str:
        """What a person does to log it in."""
        ...

    def logged_in(self, env: Mapping[str, str]) -> bool:
        """Whether its own login lies where it looks for it. Files are looked at, nothing is started."""
        ...

    def answer(self, question: Question, *, cancelled: Cancel | None) -> Said:
        """Asks once.

        Raises:
            EngineError: Every failure of the program or its provider, and `cancelled`.
        """
        ...


def find(program: str, env: Mapping[str, str]) -> Path | None:
    """The program on the caller's PATH; a folder that is not named from the root is no place for one."""
    found = shutil.which(program, path=search_path(env))
    return Path(found) if found else None


def search_path(env: Mapping[str, str]) -> str:
    """The caller's PATH without folders that are meant from where one stands: those may be anybody's."""
    folders = env.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())


def environment(env: Mapping[str, str], **more: str) -> dict[str, str]:
    """What a program is started with: the few variables that it may see, and `more`."""
    passed = {name: env[name] for name in _PASSED if env.get(name)}
    return passed | {"PATH": search_path(env)} | more


def config_folder(env: Mapping[str, str], variable: str, name: str) -> Path:
    """Where a program keeps its own settings and login: what its variable says, else `name` in the person's home."""
    return Path(env.get(variable) or Path(env.get("HOME") or Path.home()) / name)


def read_login(path: Path) -> dict[str, Any]:
    """What a file with a login holds; nothing when there is none that can be read."""
    try:
        with path.open("rb") as file:
            held = json.loads(file.read(MAX_LOGIN))
    except (OSError, ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def count(used: Mapping[str, Any], name: str) -> int:
    """A number of tokens that a program reports; 0 where it is none."""
    value = used.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def shown(words: str, hide: str | None = None) -> str:
    """A program's own words as an error shows them: in one line, cut, without the login."""
    clean = " ".join(str(text.sanitize(words)[0]).split())
    if hide:
        clean = clean.replace(hide, "[hidden]")
    clean = redact.redact(clean)  # before it is cut: half a secret is known to nobody
    return clean if len(clean) <= MAX_DETAIL else clean[:MAX_DETAIL] + " …"
