"""An address is one text, and two identities have none in common; a channel is there once, and can be addressed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alfred import errors
from alfred.channels.base import Address, Line, Lines
from alfred.testing import FakeChannel
from tests.table import table

_PART = st.text(min_size=1, max_size=12)
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
