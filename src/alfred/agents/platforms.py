"""What is known of every place that messages come from: its name, the kinds of chats there, when two ids are one.

Invariant: a binding and a message pass the same functions here, so that one written form never misses another one of
the same thing.
"""

from __future__ import annotations

import re

NAMES = (
    *("api_server", "bluebubbles", "cli", "cron", "dingtalk", "discord", "email", "feishu", "google_chat"),
    *("homeassistant", "irc", "line", "local", "matrix", "mattermost", "mcp", "msgraph_webhook", "ntfy"),
    *("photon", "qqbot", "raft", "relay", "signal", "simplex", "slack", "sms", "teams", "telegram"),
    *("webhook", "wecom", "wecom_callback", "weixin", "whatsapp", "whatsapp_cloud", "yuanbao"),
)  # fmt: skip
"""Platforms that a binding may name. Which of them alfred listens to is for the channels to say."""

KINDS = {
    "dm": "dm",
    "private": "dm",
    "im": "dm",
    "direct": "dm",
    "group": "group",
    "supergroup": "group",
    "mpim": "group",
    "forum": "group",
    "channel": "channel",
    "broadcast": "channel",
    "thread": "thread",
    "forum_post": "thread",
}
"""What platforms call a chat, and which of the four kinds that is."""

_PHONE = re.compile(r"\+?([0-9]{5,20})")
_DEVICE = re.compile(r"([0-9]+):[0-9]+(@s\.whatsapp\.net)")


def kind(name: str) -> str:
    """dm, group, channel or thread; what no platform is known to say stays as it is."""
    return KINDS.get(name, name)


def canonical(platform: str, key: str, text: str) -> str:
    """The one form of everything that names the same chat, person, group or kind.

    Args:
        key: Which field of a message it is, as `chat_id`.
    """
    if key == "chat_type":
        return kind(text)
    if platform == "whatsapp" and key in ("chat_id", "peer", "user_id"):
        if phone := _PHONE.fullmatch(text):
            return f"{phone[1]}@s.whatsapp.net"
        return _DEVICE.sub(r"\1\2", text)
    if platform == "email":
        if key == "guild_id":
            return text.lower()
        name, at, domain = text.rpartition("@")
        return f"{name}{at}{domain.lower()}" if at else text
    return text
