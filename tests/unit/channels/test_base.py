"""An address is one text, and two identities have none in common; a channel is there once, and can be addressed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alfred import errors
from alfred.channels.base import LONGEST, Address, Envelope, Line, Lines
from alfred.testing import FakeChannel
from tests.table import table

_PART = st.text(min_size=1, max_size=12).filter(lambda part: "\0" not in part)
_ID = st.text("abAB09._-", min_size=1, max_size=6)
ADDRESSES = st.builds(
    Address, st.sampled_from(["local", "telegram"]), _ID, _PART, st.none() | _PART
)


@example(Address("local", "bot", "%3A"), Address("local", "bot", ":"))
@example(Address("local", "bot", "a", "b"), Address("local", "bot", "a:b"))
@given(ADDRESSES, ADDRESSES)
def test_an_address_is_read_as_it_was_written_and_is_nobody_elses(
    one: Address, other: Address
) -> None:
    assert Address.parse(str(one)) == one
    assert (str(one) == str(other)) is (one == other)
    assert str(one).startswith(f"{one.channel}:")


@table(["", "local:bot", "local::1", ":bot:1", "local:bot:1:2:3", "local:b t:1", "local:bot:%3a"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(errors.UsageError, match="is no chat"):
        Address.parse(text)


@table(
    [
        *(("", None), ("1", ""), ("a\0b", None), ("1", "\ud800"), (5, None)),
        *(("x" * (LONGEST + 1), None), ("1", "é" * (LONGEST // 2 + 1))),
    ]
)
def test_a_chat_that_no_database_keeps_as_it_is_has_no_address(chat: Any, thread: Any) -> None:
    with pytest.raises(errors.UsageError, match="is the id of no chat"):
        Address("local", "bot", chat, thread)


def test_a_message_without_an_id_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="A message in local:bot:1 has no id"):
        Envelope(to=Address("local", "bot", "1"), key="", user="1", text="hi")


@table([("local", ""), ("local", "a:b"), ("local", "a b"), ("telgram", "a")])
def test_a_channel_that_nobody_can_address_is_refused(platform: str, identity: str) -> None:
    bot = FakeChannel(identity, platform=platform)
    with pytest.raises(errors.ConfigError, match="cannot be a channel"):
        Lines([Line(channel=bot, people=frozenset())])


def test_a_channel_is_there_once() -> None:
    lines = [Line(channel=FakeChannel("a"), people=frozenset()) for _ in range(2)]
    with pytest.raises(errors.ConfigError, match="there twice"):
        Lines(lines)
    assert Lines(lines[:1]).names() == ["local:a"]
