"""What a channel is: one identity on one platform, that people write to and that writes to them.

Invariant: what is said behind one identity is answered by that identity alone. So the identity is part of every address, and
an address is one text: two identities never have one in common, whatever their chats are called.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from alfred import clock, errors
from alfred.agents import platforms
from alfred.agents.sessions import escaped

_IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,64}")

LONGEST = 400
"""Bytes of an id: a chat, a thread and a person together are a key, which an index of Postgres takes up to 2700."""


class NotSent(errors.AlfredError):
    """A channel did not take a message, for certain.

    Attributes:
        for_good: It never will, as when the chat is gone or has blocked the identity.
        after_us: It asked to be left alone for so long (microseconds); None: it said nothing of that.
    """

    code: ClassVar[str] = "not_sent"

    def __init__(self, detail: str, *, for_good: bool = False, after_us: int | None = None):
        super().__init__(detail)
        self.for_good = for_good
        self.after_us = after_us


@dataclass(frozen=True, slots=True)
class Address:
    """A chat, as one identity sees it."""

    platform: str
    identity: str
    chat: str
    thread: str | None = None

    def __post_init__(self) -> None:
        """A chat that cannot be kept is refused here, where a channel makes it: kept as something else, it would be another
        chat, and what is said there would be lost.

        Raises:
            UsageError: an id is empty, or no text, or too long.
        """
        if not _kept(self.chat) or (self.thread is not None and not _kept(self.thread)):
            given = self.chat if not _kept(self.chat) else self.thread
            raise errors.UsageError(
                f"{str(given)[:80]!r} is the id of no chat.",
                next=f"An id is a text of at most {LONGEST} bytes; where there is no thread, it is None.",
            )

    @property
    def channel(self) -> str:
        """Which channel it belongs to: `platform:identity`."""
        return name(self.platform, self.identity)

    def __str__(self) -> str:
        """`platform:identity:chat[:thread]`, colons and percent signs in chats and threads escaped."""
        parts = (self.chat, *((self.thread,) if self.thread is not None else ()))
        return ":".join((self.channel, *(escaped(part) for part in parts)))

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that a text names.

        Raises:
            UsageError: it names none.
        """
        parts = text.split(":")
        if len(parts) not in (3, 4) or not all(parts) or not _IDENTITY.fullmatch(parts[1]):
            raise errors.UsageError(
                f"{text[:80]!r} is no chat.", next="Write platform:identity:chat, or …:chat:thread."
            )
        found = cls(parts[0], parts[1], *(_plain(part) for part in parts[2:]))
        if str(found) != text:
            raise errors.UsageError(f"{text[:80]!r} is no chat.", next=f"Did you mean {found}?")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message that came in."""

    to: Address
    """The chat that it was said in, which is where the answer goes."""
    key: str
    """The platform's own id of it, the same however often it is brought; one among all messages to this identity in this chat."""
    user: str
    """The platform's id of who wrote it: never a name, which can change hands."""
    text: str
    chat_type: str = "dm"
    parent_chat: str | None = None
    """The chat around a thread that is a chat of its own."""
    guild: str | None = None
    team: str | None = None

    def __post_init__(self) -> None:
        """Raises:
        UsageError: it has no id, so that all such messages would be one.
        """
        if not self.key:
            raise errors.UsageError(f"A message in {self.to} has no id.", next="Give its key.")


class Channel(Protocol):
    """One identity on one platform."""

    @property
    def platform(self) -> str:
        """A name of `agents.platforms.NAMES`."""
        ...

    @property
    def identity(self) -> str:
        """Which of the accounts there: letters, digits, dots, dashes and underscores."""
        ...

    @property
    def deduplicates(self) -> bool:
        """Whether a message that is sent a second time with the same key is shown once. If it is not, a message of which
        nobody knows whether it arrived is given up, and people may miss it; if it is, it is sent again."""
        ...

    def send(self, address: Address, text: str, *, key: str) -> str | None:
        """Says something in a chat; the platform's id of what it has become.

        Called from one thread at a time, and comes back within a minute.

        Args:
            text: Plain text, as long as it is: cutting it up and writing it as the platform wants it is the channel's.
            key: The same for every try of one message, and for no other message.

        Raises:
            NotSent: it did not arrive, for certain.
            Exception: anything else: nobody knows whether it arrived.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A channel that is served here, and between whom."""

    channel: Channel
    people: frozenset[str]
    """The platform's ids of those who may speak here, as owners do; what others say is dropped."""
    agent: str | None = None
    """Who answers whatever is said here; None: whom the bindings name for it."""

    @property
    def name(self) -> str:
        """`platform:identity`"""
        return name(self.channel.platform, self.channel.identity)


class Lines:
    """The channels that are served, each once.

    Raises:
        ConfigError: two of them are one identity, or one is called what nobody can address.
    """

    def __init__(self, lines: Iterable[Line] = ()):
        self._lines: dict[str, Line] = {}
        for line in lines:
            channel = line.channel
            if channel.platform not in platforms.NAMES or not _IDENTITY.fullmatch(channel.identity):
                raise errors.ConfigError(
                    f"{line.name!r} cannot be a channel.",
                    next="A platform is one that bindings know; an identity has letters, digits, '.', '-' and '_'.",
                )
            if line.name in self._lines:
                raise errors.ConfigError(
                    f"The channel {line.name!r} is there twice.",
                    next="Two that listen as one identity take each other's messages: keep one.",
                )
            self._lines[line.name] = line

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, channel: str) -> Line | None:
        """The line of a channel; None: it is not served here."""
        return self._lines.get(channel)

    def names(self) -> list[str]:
        """The names of all channels."""
        return list(self._lines)


NONE = Lines()
"""No channel."""

PATIENCE = clock.DAY
TRIES = 10
"""So long a message is tried, and at least so often, because it may have waited that long for a process; then it is given up."""


def name(platform: str, identity: str) -> str:
    """The name of a channel: `platform:identity`."""
    return f"{platform}:{identity}"


def _kept(part: object) -> bool:
    """Whether a database keeps an id as it is."""
    if not isinstance(part, str) or not part or "\0" in part:
        return False
    with contextlib.suppress(UnicodeEncodeError):  # half of a character
        return len(part.encode()) <= LONGEST
    return False


def _plain(part: str) -> str:
    return part.replace("%3A", ":").replace("%25", "%")
