"""What a message says and what a binding asks for, side by side, and where a binding that fits stands among the others.

Invariant: the order of all bindings that fit a message is total: its tier, a chat itself before the one that its thread
belongs to, more keys, the order in the file. It follows from what a binding asks for, never from how it is written.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Required, TypedDict

from alfred.agents import platforms
from alfred.agents.bindings import KEYS, Binding

DEFAULT = 7
TIERS = {
    1: "one chat",
    2: "one person, directly",
    3: "a kind of chat in a guild or team",
    4: "a guild or team",
    5: "a kind of chat",
    6: "a platform",
    DEFAULT: "the default agent",
}
"""What the bindings of a tier name; a lower number wins."""

Id = str | int | None
Values = tuple[str | None, ...]
"""What there is of each of `KEYS`, in their order; None: nothing."""

Rank = tuple[int, bool, int, int]
"""The least one wins."""


class Message(TypedDict, total=False):
    """What is known of a message; see `router.BindingRouter.resolve`."""

    platform: Required[str]
    chat_id: Id
    peer: Id
    user_id: Id
    chat_type: str | None
    guild_id: Id
    team_id: Id
    thread_id: Id
    parent_chat_id: Id


def said(message: Message) -> tuple[Values, str | None]:
    """What a message has, and the chat around its own. In a direct chat the peer is whoever wrote."""
    platform, chat_type = message["platform"], message.get("chat_type")
    values = {key: value for key, value in message.items() if value not in (None, "")}
    if chat_type is not None and "peer" not in values and platforms.kind(chat_type) == "dm":
        values["peer"] = values.get("user_id")
    texts = tuple(_text(platform, key, values.get(key)) for key in KEYS)
    parent = _text(platform, "chat_id", values.get("parent_chat_id"))
    return texts, None if parent == texts[0] else parent


def asked(binding: Binding) -> Values:
    """What a binding asks for."""
    return tuple(_text(binding.platform, key, binding.match.get(key)) for key in KEYS)


def tier(keys: Collection[str]) -> int:
    """The tier of a binding that asks for these."""
    if "chat_id" in keys:
        return 1
    if "peer" in keys:
        return 2
    whole = "guild_id" in keys or "team_id" in keys
    if "chat_type" in keys:
        return 3 if whole else 5
    return 4 if whole else 6


def rank(number: int, binding: Binding, has: Values) -> Rank:
    """Where a binding that fits a message stands; `number` counts all bindings in the order of the file."""
    chat = asked(binding)[0]
    return tier(binding.match), chat is not None and chat != has[0], -len(binding.match), number


def _text(platform: str, key: str, value: object) -> str | None:
    return None if value is None else platforms.canonical(platform, key, str(value))
