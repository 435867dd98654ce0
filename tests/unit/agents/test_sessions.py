"""A message's conversation has a key, and no other conversation has the same one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alfred import errors
from alfred.agents import build_session_key
from tests.table import table

DM: dict[str, Any] = {"chat_type": "dm", "chat_id": "c", "user_id": "u"}
GROUP: dict[str, Any] = {"chat_type": "group", "chat_id": "c", "user_id": "u"}

KEYS: list[tuple[dict[str, Any], str]] = [
    (DM, "telegram:dm"),
    ({**DM, "dm_scope": "main", "thread_id": 5}, "telegram:dm:5"),
    ({**DM, "platform": "whatsapp"}, "whatsapp:dm:c"),
    ({**DM, "platform": "whatsapp", "chat_id": None}, "whatsapp:dm"),
    ({**DM, "dm_scope": "per_peer"}, "telegram:dm:u"),
    ({**DM, "dm_scope": "per_peer", "peer": 7}, "telegram:dm:7"),
    ({**DM, "dm_scope": "per_peer", "thread_id": "t"}, "telegram:dm:u:t"),
    ({**DM, "dm_scope": "per_peer", "user_id": None}, "telegram:dm"),
    ({**DM, "dm_scope": "per_peer", "user_id": "", "platform": "whatsapp"}, "whatsapp:dm:c"),
    ({**DM, "dm_scope": "per_chat"}, "telegram:dm:c"),
    ({**DM, "dm_scope": "per_chat", "thread_id": "t"}, "telegram:dm:c:t"),
    ({**DM, "dm_scope": "per_chat", "chat_id": None}, "telegram:dm:u"),
    ({"dm_scope": "per_chat", "thread_id": "t"}, "telegram:dm:t"),
    ({"dm_scope": "per_chat"}, "telegram:dm"),
    ({**DM, "dm_scope": "shared"}, "dm"),
    ({**DM, "dm_scope": "shared", "platform": "signal", "thread_id": "t"}, "dm:t"),
    ({**DM, "chat_type": "private", "dm_scope": "per_chat"}, "telegram:dm:c"),
    # a scope of direct chats concerns no group
    (GROUP, "telegram:group:c:u"),
    ({**GROUP, "dm_scope": "shared"}, "telegram:group:c:u"),
    ({**GROUP, "dm_scope": "per_peer", "chat_type": "supergroup"}, "telegram:group:c:u"),
    ({**GROUP, "user_id": None}, "telegram:group:c"),
    ({**GROUP, "chat_id": -100, "user_id": 7}, "telegram:group:-100:7"),
    ({**GROUP, "chat_type": "channel", "platform": "discord", "guild_id": "g"}, "discord:channel:c:u"),
    # in a thread all talk together
    ({**GROUP, "thread_id": "t"}, "telegram:group:c:t"),
    ({**GROUP, "chat_type": "thread", "platform": "discord"}, "discord:thread:c"),
    # an id cannot pass for two
    ({**GROUP, "platform": "matrix", "chat_id": "!r:s", "user_id": "@u:s"}, "matrix:group:!r%3As:@u%3As"),
    ({**GROUP, "chat_id": "a%3Ab", "user_id": None}, "telegram:group:a%253Ab"),
]  # fmt: skip


@table(KEYS)
def test_a_message_has_the_key_of_its_conversation(message: dict[str, Any], key: str) -> None:
    whole: dict[str, Any] = {"agent_id": "main", "platform": "telegram", **message}
    made = build_session_key(**whole)
    assert made == f"agent:main:{key}"


def test_a_scope_that_there_is_not_is_an_error_with_the_nearest() -> None:
    with pytest.raises(errors.ConfigError, match="Did you mean per_peer") as wrong:
        build_session_key(agent_id="a", platform="irc", dm_scope="per_pear")  # type: ignore[arg-type]
    assert wrong.value.next == "Write one of main, per_peer, per_chat, shared."


IDS = st.text(alphabet="ab:%3A25", min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(st.tuples(IDS, IDS, IDS, IDS), st.tuples(IDS, IDS, IDS, IDS), st.booleans())
@example(("a", "b", ":", "x"), ("a", "b", "%3A", "x"), True)
def test_two_conversations_never_have_one_key(
    one: tuple[str, ...], other: tuple[str, ...], threads: bool
) -> None:
    def key(ids: tuple[str, ...]) -> str:
        agent, platform, chat, last = ids
        more: dict[str, Any] = {"thread_id": last} if threads else {"user_id": last}
        return build_session_key(
            agent_id=agent, platform=platform, chat_type="group", chat_id=chat, **more
        )

    assert (key(one) == key(other)) == (one == other)
    # nor does a chat whose id is written like a chat and a thread
    joined = build_session_key(
        agent_id="a", platform="irc", chat_type="group", chat_id=":".join(one[2:])
    )
    assert joined != build_session_key(
        agent_id="a", platform="irc", chat_type="group", chat_id=one[2], thread_id=one[3]
    )
