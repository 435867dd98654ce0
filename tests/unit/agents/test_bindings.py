"""Every way to write a binding means one thing, and whatever means nothing is told with its place and the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.agents import AgentRegistry, BindingRouter, UnknownAgent, bindings
from tests import configured
from tests.table import table

FORMS: list[tuple[dict[str, Any], list[dict[str, str]]]] = [
    ({"telegram": "-100123"}, [{"platform": "telegram", "chat_id": "-100123"}]),
    ({"telegram": -100123}, [{"platform": "telegram", "chat_id": "-100123"}]),
    ({"discord": 2**63 + 1}, [{"platform": "discord", "chat_id": "9223372036854775809"}]),
    ({"whatsapp": "*"}, [{"platform": "whatsapp"}]),
    ({"telegram": {}}, [{"platform": "telegram"}]),
    ({"telegram": {"chat_id": "*"}}, [{"platform": "telegram"}]),
    (
        {"discord": {"guild": "1", "type": "channel", "team": 2, "user": 3, "thread": 4, "peer": 5}},
        [{"platform": "discord", "guild_id": "1", "chat_type": "channel", "team_id": "2",
          "user_id": "3", "thread_id": "4", "peer": "5"}],
    ),
    (
        {"discord": {"guild_id": "1", "chat_type": "channel"}},
        [{"platform": "discord", "guild_id": "1", "chat_type": "channel"}],
    ),
    (
        {"match": {"platform": "discord", "guild": "1"}},
        [{"platform": "discord", "guild_id": "1"}],
    ),
    (
        {"telegram": ["-1", -2]},
        [{"platform": "telegram", "chat_id": "-1"}, {"platform": "telegram", "chat_id": "-2"}],
    ),
    ({"webhook": {"chat": "on"}}, [{"platform": "webhook", "chat_id": "on"}]),
]  # fmt: skip


@table(FORMS)
def test_every_written_form_is_the_same_binding(
    written: dict[str, Any], matches: list[dict[str, str]]
) -> None:
    for key in ("agent", "agent_id"):
        found, wrong = bindings.read([{key: "a", **written}])
        assert wrong == []
        assert [(one.agent, one.match, one.number) for one in found] == [
            ("a", m, 1) for m in matches
        ]


WRONG: list[tuple[object, list[str]]] = [
    (5, ["[0]: must be keys with values"]),
    ({"telegram": "*"}, ["[0].agent: is missing"]),
    ({"agent": "a", "agent_id": "a", "telegram": "*"}, ["[0].agent: is given twice"]),
    ({"agent": None, "telegram": "*"}, ["[0].agent: must be one value"]),
    ({"agent": "a"}, ["[0]: names no platform"]),
    ({"agent": "b", "telegram": "*"}, ["[0].agent: names no agent; defined: a"]),
    ({"agent": "a", "telgram": "*"}, ["[0].telgram: is no platform, did you mean telegram?"]),
    ({"agent": "a", "Telegram": "*"}, ["[0].Telegram: is no platform, did you mean telegram?"]),
    ({"agent": "a", "xyzzy": "*"}, ["[0].xyzzy: is no platform; known: api_server, "]),
    # which of two won depended on the order of a set
    ({"agent": "a", "telegram": "1", "discord": "2"}, ["[0].discord: stands beside telegram"]),
    ({"agent": "a", "match": {"platform": "irc"}, "irc": "*"}, ["[0].irc: stands beside match"]),
    ({"agent": "a", "telegram": "*", "type": "dm"}, ["[0].type: belongs below its platform"]),
    # a misspelt key that is kept never fits, one that is dropped fits too much
    ({"agent": "a", "irc": {"chanel": "1"}}, ["irc.chanel: is nothing that a message has"]),
    ({"agent": "a", "irc": {"guid": "1"}}, ["irc.guid: is nothing", "did you mean guild"]),
    ({"agent": "a", "irc": {"parent_chat_id": "1"}}, ["parent_chat_id: is nothing that a"]),
    ({"agent": "a", "irc": {"chat": 1, "chat_id": 1}}, ["chat_id: is chat_id, which is written"]),
    ({"agent": "a", "irc": None}, ["[0].irc: says nothing; write '*'"]),
    ({"agent": "a", "irc": []}, ["[0].irc: lists no chat; write '*'"]),
    ({"agent": "a", "irc": ["1", None]}, ["[0].irc[1]: says nothing"]),
    ({"agent": "a", "irc": {"guild": None}}, ["[0].irc.guild: must be one value"]),
    ({"agent": "a", "irc": {"guild": ["1"]}}, ["[0].irc.guild: must be one value"]),
    ({"agent": "a", "irc": ""}, ["[0].irc: must be one line with something in it"]),
    ({"agent": "a", "irc": " 1"}, ["[0].irc: must be one line", "no space around it"]),
    # what YAML 1.1 makes of texts without quotes
    ({"agent": "a", "irc": 1e5}, ["[0].irc: must be a text: put it in quotes"]),
    ({"agent": "a", "irc": {"chat": True}}, ["[0].irc.chat: must be a text: put it in quotes"]),
    ({"agent": "a", "irc": True}, ["[0].irc: is no chat; write '*' for all"]),
    ({"agent": "a", "irc": "yes"}, ["[0].irc: is no chat; write '*' for all"]),
    # a star stands alone
    ({"agent": "a", "irc": "#dev*"}, ["[0].irc: is no pattern"]),
    ({"agent": "a", "irc": {"peer": "*"}}, ["[0].irc.peer: is no pattern"]),
    ({"agent": "a", "irc": {"type": "chanel"}}, ["no kind of chat, did you mean channel?"]),
    ({"agent": "a", "telegram": "@joe"}, ["[0].telegram: is a name, which can change hands"]),
    ({"agent": "a", "match": "irc"}, ["[0].match: must be keys with values"]),
    ({"agent": "a", "match": {"guild": "1"}}, ["[0].match: names no platform"]),
    (
        {"agent": "a", "match": {"platform": "ircc"}},
        ["platform: is no platform, did you mean irc?"],
    ),
]


@table(WRONG)
def test_a_binding_that_would_never_fit_or_fit_too_much_is_an_error(
    entry: object, told: list[str]
) -> None:
    found, wrong = bindings.read([entry], ("a",))
    assert found == () and len(wrong) == 1, wrong
    for part in told:
        assert part in str(wrong[0])


def test_all_that_is_wrong_with_bindings_is_told_with_file_line_and_key(home: Path) -> None:
    text = (
        "agents: {coder: , Bad: }\nbindings:\n"
        "  - {agent: codr, telegram: '1'}\n"
        "  - agent: coder\n    telgram: '1'\n"
        "  - {agent: Bad, discord: {gild: 1}}\n"
        "limits: {turns: many}"
    )
    with pytest.raises(errors.ConfigErrors) as wrong:
        configured.settings(home, text)
    assert [(e.field, e.message.partition(": ")[0]) for e in wrong.value.errors] == [
        ("agents.Bad", "config.yaml:1"),
        ("bindings[0].agent", "config.yaml:3"),
        ("bindings[1].telgram", "config.yaml:5"),
        ("bindings[2].discord.gild", "config.yaml:6"),
        ("limits.turns", "config.yaml:7"),
    ]
    assert "did you mean coder?" in wrong.value.detail
    with pytest.raises(
        errors.ConfigError, match=r"^ALFRED_BINDINGS: bindings\[0\].agent: is missing"
    ):
        configured.settings(home, "alfred: 1", ALFRED_BINDINGS="[{irc: '*'}]")


@pytest.mark.parametrize("text", ["agents: [a]\nbindings: [{agent: b, irc: '*'}]", "bindings: 5"])
def test_what_is_told_elsewhere_is_told_once(home: Path, text: str) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        configured.settings(home, text)
    assert len(wrong.value.errors) == 1


def test_only_main_can_be_named_where_no_agent_is_defined(home: Path) -> None:
    configured.settings(home, "bindings: [{agent: main, irc: '*'}]")
    with pytest.raises(errors.ConfigError, match="names no agent; defined: main"):
        configured.settings(home, "bindings: [{agent: nobody, irc: '*'}]")


@table(
    [
        "-100123",
        "0123",
        "1e5",
        "12:30:45",
        "1712345678.123456",
        "1.50",
        "9223372036854775809",
        "0x1F",
    ]
)
def test_an_id_of_the_file_is_the_text_that_stands_there_with_quotes_or_without(
    home: Path, written: str
) -> None:
    text = f"bindings:\n- {{agent: main, slack: {written}}}\n- {{agent: main, slack: {{thread: '{written}'}}}}"
    found = BindingRouter.from_settings(configured.settings(home, text))
    assert found.bindings[0].match["chat_id"] == found.bindings[1].match["thread_id"] == written
    assert found.resolve(platform="slack", chat_id=written).tier == 1


def test_everything_else_goes_to_the_default_agent_of_the_file(home: Path) -> None:
    text = "agents: {a: , b: {default: true}}\nbindings: [{agent: a, irc: '#x'}]"
    router = BindingRouter.from_settings(configured.settings(home, text))
    assert router.resolve(platform="irc", chat_id="#x").agent == "a"
    assert router.resolve(platform="irc", chat_id="#y").agent == "b"
    renamed = configured.settings(home, "agents: {a: {id: b}}\nbindings: [{agent: b, irc: '#x'}]")
    assert BindingRouter.from_settings(renamed).resolve(platform="irc", chat_id="#x").agent == "b"
    assert (
        BindingRouter.from_settings(configured.settings(home, "")).resolve(platform="irc").agent
        == "main"
    )


def test_agents_are_not_made_of_a_configuration_whose_bindings_are_wrong() -> None:
    whole = {"agents": {"coder": None}, "bindings": [{"agent": "codr", "irc": "*"}]}
    with pytest.raises(UnknownAgent, match="did you mean coder"):
        AgentRegistry.from_config(whole)
    with pytest.raises(errors.ConfigError, match="bindings: must be a list"):
        AgentRegistry.from_config({"bindings": {}})
