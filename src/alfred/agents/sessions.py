"""Which conversation a message belongs to.

Invariant: two conversations have one key only where `dm_scope` says that they are one: an id cannot pass for two parts,
because what separates parts is escaped in them.
"""

from __future__ import annotations

from typing import Literal, get_args

from alfred import config_text, errors
from alfred.agents import platforms

DmScope = Literal["main", "per_peer", "per_chat", "shared"]
Id = str | int | None

_BY_CHAT = frozenset({"whatsapp"})
"""Platforms whose direct chats are apart from each other in every scope but `shared`."""


def build_session_key(
    *,
    agent_id: str,
    platform: str,
    dm_scope: DmScope = "main",
    chat_id: Id = None,
    peer: Id = None,
    user_id: Id = None,
    chat_type: str = "dm",
    guild_id: Id = None,
    team_id: Id = None,
    thread_id: Id = None,
) -> str:
    """The key of a conversation: `agent:<agent>:<platform>:<kind>[:<chat>][:<thread>][:<user>]`.

    In groups and channels everybody has a conversation of their own, in a thread all have one.

    Args:
        dm_scope: What one conversation is in direct chats: `main` all of a platform (on WhatsApp each chat), `per_peer`
            all with one person, `per_chat` one chat, `shared` all of every platform. It concerns nothing else.
        peer: Who a direct chat is with; where it is not given, `user_id`.
        guild_id: In no key, as `team_id`: the id of a chat is one on its whole platform.

    Raises:
        ConfigError: there is no such scope.
    """
    if dm_scope not in get_args(DmScope):
        near = config_text.nearest(str(dm_scope), get_args(DmScope))
        raise errors.ConfigError(
            f"dm_scope is {config_text.shown(dm_scope)}."
            + (f" Did you mean {near}?" if near else ""),
            next=f"Write one of {', '.join(get_args(DmScope))}.",
        )
    kind = platforms.kind(chat_type)
    if kind == "dm":
        parts = _direct(dm_scope, platform, chat_id, _given(peer) or user_id)
        return _key(agent_id, *parts, thread_id)
    alone = kind != "thread" and not _given(thread_id)
    return _key(agent_id, platform, kind, chat_id, thread_id, user_id if alone else None)


def _direct(scope: DmScope, platform: str, chat: Id, person: Id) -> tuple[Id, ...]:
    if scope == "shared":
        return ("dm",)
    if scope == "per_peer" and _given(person):
        return platform, "dm", person
    if scope == "per_chat":
        return platform, "dm", _given(chat) or person
    return platform, "dm", chat if platform in _BY_CHAT else None


def _key(*parts: Id) -> str:
    there = (text for part in parts if (text := _given(part)))
    return ":".join(("agent", *map(escaped, there)))


def escaped(part: str) -> str:
    """A part of a key or an address, in which nothing separates parts."""
    return part.replace("%", "%25").replace(":", "%3A")


def _given(part: Id) -> str:
    """The text of a part; an empty one where there is none."""
    return "" if part is None else str(part)
