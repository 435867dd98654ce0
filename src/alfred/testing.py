"""What tests of alfred and of channels need, without a network: a channel that lives in the process.

bot = FakeChannel("coder")
base = app.base(lines=Lines([Line(channel=bot, people=frozenset({"42"}), agent="coder")]))
app.whole(base).door.accept(bot.message("hello", user="42"))
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from alfred.channels.base import Address, Envelope, NotSent


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a fake channel was told to say.

    Attributes:
        key: The key that came with it, the same for each try of one message.
        chat: The chat, without platform and identity.
        text: What was said.
    """

    key: str
    chat: str
    text: str


Behaviour = Callable[[Callable[[], None]], None]
"""What becomes of one `send`: it is given what shows the message, and calls that, or raises, or both."""


def refuses(why: str = "busy", *, for_good: bool = False, after_us: int | None = None) -> Behaviour:
    """The message is not shown, and the sender knows it.

    Args:
        why: What the platform says.
        for_good: It says that it never will take it.
        after_us: It says that it wants to be left alone for so many microseconds.
    """

    def behave(show: Callable[[], None]) -> None:
        raise NotSent(why, for_good=for_good, after_us=after_us)

    return behave


def loses_the_answer(*, shown: bool = True) -> Behaviour:
    """The line is cut, so that the sender does not know whether the message arrived.

    Args:
        shown: Whether it did.
    """

    def behave(show: Callable[[], None]) -> None:
        if shown:
            show()
        raise ConnectionResetError("the line was cut")

    return behave


def waits_for(released: threading.Event) -> Behaviour:
    """The message is shown when the event is set: a slow platform."""

    def behave(show: Callable[[], None]) -> None:
        if not released.wait(30):
            raise TimeoutError("nobody has released it")
        show()

    return behave


class FakeChannel:
    """One identity of a platform that is nowhere; a `Channel`. Several of them are several bots.

    Attributes:
        platform: A name that bindings know.
        identity: Which of the bots it is.
        deduplicates: Whether it drops what comes a second time with a key that it has shown.
        tried: Everything that it was told to say, every try of it, in order.
        shown: What people see, in order.
    """

    def __init__(self, identity: str, *, platform: str = "local", deduplicates: bool = True):
        self.platform = platform
        self.identity = identity
        self.deduplicates = deduplicates
        self.tried: list[Said] = []
        self.shown: list[Said] = []
        self._next: deque[Behaviour] = deque()
        self._count = 0

    def then(self, *behaviours: Behaviour) -> None:
        """The next sends go like this, one after the other; those after them simply arrive."""
        self._next.extend(behaviours)

    def address(self, chat: str, thread: str | None = None) -> Address:
        """A chat, as this identity sees it."""
        return Address(self.platform, self.identity, chat, thread)

    def message(
        self,
        text: str,
        *,
        user: str = "1",
        chat: str | None = None,
        thread: str | None = None,
        chat_type: str = "dm",
        key: str | None = None,
    ) -> Envelope:
        """Something that a person says to this identity.

        Args:
            user: Who says it.
            chat: Where; in a direct chat, where it is not given, their own.
            key: The platform's id of it; a new one when it is not given. The same again is the same message.
        """
        self._count += 1
        return Envelope(
            to=self.address(chat or user, thread),
            key=key or f"m{self._count}",
            user=user,
            text=text,
            chat_type=chat_type,
        )

    def send(self, address: Address, text: str, *, key: str) -> str | None:
        """See `Channel.send`. The platform's id is the place of the message among those that are shown."""
        said = Said(key, address.chat, text)
        self.tried.append(said)

        def show() -> None:
            if not (self.deduplicates and any(one.key == key for one in self.shown)):
                self.shown.append(said)

        if self._next:
            self._next.popleft()(show)
        else:
            show()
        return str([one.key for one in self.shown].index(key) + 1)

    def said(self, chat: str) -> list[str]:
        """What people read in a chat, in order."""
        return [one.text for one in self.shown if one.chat == chat]
