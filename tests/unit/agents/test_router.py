"""A message reaches the agent of the most specific binding that fits, whatever else is written and in whatever order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alfred import errors
from alfred.agents import BindingRouter, Route, UnknownAgent
from tests.table import table

KEYS = ("chat_id", "peer", "guild_id", "team_id", "chat_type", "user_id", "thread_id")
KINDS = ("dm", "group", "channel", "thread")

LADDER: list[tuple[int, dict[str, str]]] = [
    (1, {"chat_id": "c"}),
    (2, {"peer": "u"}),
    (3, {"guild_id": "g", "chat_type": "dm"}),
    (4, {"guild_id": "g"}),
    (5, {"chat_type": "dm"}),
    (6, {}),
]
EVERYTHING: dict[str, Any] = {"chat_id": "c", "user_id": "u", "guild_id": "g", "chat_type": "dm"}


def test_the_seven_tiers_hold_in_whatever_order_they_are_written() -> None:
    rungs = [{"agent": f"t{tier}", "discord": match} for tier, match in LADDER]
    for first in range(len(LADDER) + 1):
        for order in itertools.permutations(rungs[first:]):
            route = BindingRouter(order, "t7").resolve(platform="discord", **EVERYTHING)
            assert (route.agent, route.tier) == (f"t{first + 1}", first + 1)
            assert (route.binding is None) == (first == 6)


def _route(entries: list[dict[str, Any]], message: dict[str, Any]) -> Route:
    return BindingRouter(entries, "main").resolve(**{"platform": "discord", **message})


A, B = {"agent": "a"}, {"agent": "b"}
ROUTES: list[tuple[list[dict[str, Any]], dict[str, Any], str, int]] = [
    # a peer is whoever a direct chat is with, whatever the chat is called; in a group there is none
    ([{**A, "discord": {"peer": "7"}}], {"user_id": "7", "chat_type": "dm", "chat_id": "x"}, "a", 2),
    ([{**A, "discord": {"peer": 7}}], {"user_id": 7, "chat_type": "private"}, "a", 2),
    ([{**A, "discord": {"peer": "7"}}], {"peer": "7"}, "a", 2),
    ([{**A, "discord": {"peer": "7"}}], {"peer": "8", "user_id": "7", "chat_type": "dm"}, "main", 7),
    ([{**A, "discord": {"peer": "7"}}], {"user_id": "7", "chat_type": "group"}, "main", 7),
    ([{**A, "discord": {"peer": "7"}}], {"user_id": "7"}, "main", 7),
    # numbers and texts alike; nothing is none
    ([{**A, "discord": -100}], {"chat_id": "-100"}, "a", 1),
    ([{**A, "discord": "-100"}], {"chat_id": -100}, "a", 1),
    ([{**A, "discord": "None"}], {"chat_id": None}, "main", 7),
    ([{**A, "discord": {"guild": "None"}}], {}, "main", 7),
    ([{**A, "discord": "1"}], {"chat_id": ""}, "main", 7),
    # exact: no prefix, no case, no number behind the text
    ([{**A, "discord": "100"}], {"chat_id": "1001"}, "main", 7),
    ([{**A, "discord": "0100"}], {"chat_id": "100"}, "main", 7),
    ([{**A, "slack": "C1"}], {"platform": "slack", "chat_id": "c1"}, "main", 7),
    # everything that is asked for, on that platform alone
    ([{**A, "discord": {"chat": "1", "guild": "2"}}], {"chat_id": "1"}, "main", 7),
    ([{**A, "discord": {"chat": "1", "guild": "2"}}], {"chat_id": "1", "guild_id": "2"}, "a", 1),
    ([{**A, "discord": {"guild": "1"}}], {"team_id": "1"}, "main", 7),
    ([{**A, "discord": "*"}], {"platform": "slack"}, "main", 7),
    ([{**A, "discord": "*"}], {"chat_id": "*"}, "a", 6),
    # someone anywhere is no tier of its own
    ([{**A, "discord": "*"}, {**B, "discord": {"user": "7"}}], {"user_id": "7"}, "b", 6),
    ([{**A, "discord": {"type": "group"}}, {**B, "discord": {"user": "7"}}],
     {"user_id": "7", "chat_type": "group"}, "a", 5),
    # more keys, then the order of the file
    ([{**A, "discord": "1"}, {**B, "discord": {"chat": "1", "thread": "2"}}],
     {"chat_id": "1", "thread_id": "2"}, "b", 1),
    ([{**A, "discord": "1"}, {**B, "discord": "1"}], {"chat_id": "1"}, "a", 1),
    ([{**A, "discord": {"team": "1"}}, {**B, "discord": {"guild": "1"}}],
     {"guild_id": "1", "team_id": "1"}, "a", 4),
    ([{**B, "discord": {"guild": "1"}}, {**A, "discord": {"team": "1"}}],
     {"guild_id": "1", "team_id": "1"}, "b", 4),
    ([{**A, "discord": {"guild": "1"}}, {**B, "discord": {"team": "1", "type": "dm"}}],
     {"guild_id": "1", "team_id": "1", "chat_type": "dm"}, "b", 3),
    # what platforms call a chat, on both sides
    ([{**A, "discord": {"type": "supergroup"}}], {"chat_type": "group"}, "a", 5),
    ([{**A, "discord": {"type": "group"}}], {"chat_type": "mpim"}, "a", 5),
    ([{**A, "discord": {"type": "im"}}], {"chat_type": "direct"}, "a", 5),
    ([{**A, "discord": {"guild": "1", "type": "channel"}}],
     {"guild_id": "1", "chat_type": "thread"}, "main", 7),
    # a rule for a chat takes its threads, behind one for the thread itself, whatever else that rule asks
    ([{**A, "discord": "1"}], {"chat_id": "2", "parent_chat_id": 1}, "a", 1),
    ([{**A, "discord": {"chat": "1", "guild": "3"}}, {**B, "discord": "2"}],
     {"chat_id": "2", "parent_chat_id": "1", "guild_id": "3"}, "b", 1),
    ([{**A, "discord": {"peer": "7"}}, {**B, "discord": "1"}],
     {"chat_id": "2", "parent_chat_id": "1", "peer": "7"}, "b", 1),
    # one phone, one mailbox
    ([{**A, "whatsapp": "+4915112345"}],
     {"platform": "whatsapp", "chat_id": "4915112345:3@s.whatsapp.net"}, "a", 1),
    ([{**A, "whatsapp": {"peer": "4915112345@s.whatsapp.net"}}],
     {"platform": "whatsapp", "user_id": "4915112345", "chat_type": "dm"}, "a", 2),
    ([{**A, "email": {"peer": "Jo@Example.ORG"}}], {"platform": "email", "peer": "Jo@example.org"}, "a", 2),
    ([{**A, "email": {"peer": "Jo@x.org"}}], {"platform": "email", "peer": "jo@x.org"}, "main", 7),
]  # fmt: skip


@table(ROUTES)
def test_a_message_reaches_the_agent_of_the_binding_that_fits_best(
    entries: list[dict[str, Any]], message: dict[str, Any], agent: str, tier: int
) -> None:
    found = _route(entries, message)
    assert (found.agent, found.tier) == (agent, tier)
    assert (found.binding.agent if found.binding else "main") == agent


VALUES = st.sampled_from(["1", "2"])
MATCHES = st.fixed_dictionaries(
    {"platform": st.sampled_from(["discord", "slack"])},
    optional={key: st.sampled_from(KINDS) if key == "chat_type" else VALUES for key in KEYS},
)
MESSAGES = st.fixed_dictionaries(
    {"platform": st.sampled_from(["discord", "slack", "irc"])},
    optional={
        **{key: st.sampled_from(KINDS) if key == "chat_type" else VALUES for key in KEYS},
        "parent_chat_id": VALUES,
    },
)


def _oracle(matches: list[dict[str, str]], message: dict[str, str]) -> tuple[int, int | None]:
    """Tier and number of what wins, by looking at every binding and every rule."""
    has = dict(message)
    if "peer" not in has and has.get("chat_type") == "dm" and "user_id" in has:
        has["peer"] = has["user_id"]
    fitting = []
    for number, match in enumerate(matches):
        around = False
        for key, value in match.items():
            if has.get(key) == value:
                continue
            if key == "chat_id" and has.get("parent_chat_id") == value:
                around = True
                continue
            break
        else:
            whole = bool({"guild_id", "team_id"} & set(match))
            rungs = ["chat_id" in match, "peer" in match, whole and "chat_type" in match, whole]
            tier = [*rungs, "chat_type" in match, True].index(True) + 1
            fitting.append((tier, around, -len(match), number))
    return (min(fitting)[0], min(fitting)[3]) if fitting else (7, None)


@settings(max_examples=300, deadline=None)
@given(st.lists(MATCHES, max_size=14), MESSAGES)
@pytest.mark.slow
def test_a_route_that_is_looked_up_is_the_one_that_every_rule_read_aloud_gives(
    matches: list[dict[str, str]], message: dict[str, str]
) -> None:
    entries = [{"agent": f"a{n}", "match": match} for n, match in enumerate(matches)]
    router = BindingRouter(entries, "main")
    tier, number = _oracle(matches, message)
    found = router.resolve(**message)
    assert (found.tier, found.agent) == (tier, "main" if number is None else f"a{number}")

    verdicts = router.explain(**message)
    assert [one.binding for one in verdicts] == list(router.bindings)
    for n, verdict in enumerate(verdicts):
        alone = _oracle([matches[n]], message)[1] is not None
        outcome = "wins" if n == number else "loses" if alone else "does not fit"
        assert verdict.outcome == outcome and verdict.why, verdict


@settings(max_examples=150, deadline=None)
@given(st.lists(MATCHES, max_size=14), MESSAGES)
@pytest.mark.slow
def test_a_binding_that_is_called_shadowed_wins_nothing_and_every_other_wins_something(
    matches: list[dict[str, str]], message: dict[str, str]
) -> None:
    entries = [{"agent": f"a{n}", "match": match} for n, match in enumerate(matches)]
    router = BindingRouter(entries, "main")
    shadowed = {one.number: by.number for one, by in router.shadowed()}
    for n, match in enumerate(matches, start=1):
        wins_its_own = _oracle(matches, match)[1] == n - 1
        assert wins_its_own == (n not in shadowed)
    # In a direct chat the peer is whoever writes there: a message that says otherwise is none.
    if not (message.get("chat_type") == "dm" and {"peer", "user_id"} <= set(message)):
        winner = router.resolve(**message).binding
        assert winner is None or winner.number not in shadowed


@table(
    [
        ([{**A, "discord": "1"}, {**B, "discord": "*"}, {**B, "discord": 1}], {3: 1}),
        ([{**A, "discord": {"type": "im"}}, {**B, "discord": {"type": "private"}}], {2: 1}),
        ([{**A, "discord": {"user": 1, "type": "dm"}}, {**B, "discord": {"peer": 1}}], {1: 2}),
        ([{**A, "discord": ["1", "2"]}, {**B, "discord": ["3", "2"]}], {2: 1}),
        ([{**A, "discord": "*"}, {**B, "slack": "*"}], {}),
    ]
)
def test_what_can_never_win_is_found_with_what_beats_it(
    entries: list[dict[str, Any]], told: dict[int, int]
) -> None:
    assert {one.number: by.number for one, by in BindingRouter(entries, "main").shadowed()} == told


WHY: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"slack": "*"}, {}, "it is for slack"),
    ({"discord": "2"}, {}, "it asks for chat_id 2, and the message has 1"),
    ({"discord": {"guild": "2"}}, {}, "it asks for guild_id 2, which the message lacks"),
    ({"discord": {"peer": "2"}}, {}, "it asks for a peer, whom only a direct chat has"),
    ({"discord": "*"}, {}, "tier 6, a platform, comes behind tier 1"),
    ({"discord": "9"}, {"parent_chat_id": "9"}, "it names the chat around the thread, binding 1 the"),
    ({"discord": "1"}, {}, "binding 1 ranks alike and stands before it"),
]  # fmt: skip


@table(WHY)
def test_each_binding_that_is_not_the_one_says_why(
    entry: dict[str, Any], message: dict[str, Any], why: str
) -> None:
    router = BindingRouter([{**A, "discord": "1"}, {**B, **entry}], "main")
    first, second = router.explain(platform="discord", chat_id="1", **message)
    assert first.outcome == "wins" and second.why.startswith(why)


def test_a_binding_that_asks_for_more_is_named_by_the_one_that_loses() -> None:
    router = BindingRouter(
        [{**A, "discord": "1"}, {**B, "discord": {"chat": "1", "user": "2"}}], "m"
    )
    loser, winner = router.explain(platform="discord", chat_id="1", user_id="2")
    assert winner.outcome == "wins"
    assert loser.why == "binding 2 of the same tier asks for more"


def test_a_router_is_not_made_of_what_is_wrong_and_names_the_class_of_each_mistake() -> None:
    with pytest.raises(UnknownAgent) as alone:
        BindingRouter([{"agent": "codr", "discord": "*"}], "main", agents=("main", "coder"))
    assert "did you mean coder?; defined: main, coder" in alone.value.detail
    with pytest.raises(errors.ConfigErrors) as several:
        BindingRouter([{"agent": "codr", "discrd": "*"}], "main", agents=("main", "coder"))
    assert "UnknownAgent" in several.value.detail
    assert [one.field for one in several.value.errors] == [
        "bindings[0].agent",
        "bindings[0].discrd",
    ]
    with pytest.raises(errors.ConfigError, match="must be a list"):
        BindingRouter({"agent": "a"}, "main")  # type: ignore[arg-type]
    assert BindingRouter(None, "main").resolve(platform="discord") == Route("main", 7, None)
