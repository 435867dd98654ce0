"""`alfred route` says which agent a message would reach and why, and `doctor` which binding can never win."""

from __future__ import annotations

from pathlib import Path

import pytest

from alfred import app, checks
from tests.flows.conftest import Alfred

CONFIG = """\
alfred: 1
agents: {main: {default: true}, coder: , family: }
bindings:
  - {agent: coder, telegram: -100123456}
  - {agent: family, discord: {peer: 5}}
  - {agent: family, telegram: ["-100123456", "-7"]}
"""

PEER = {
    "number": 2,
    "place": "config.yaml:5",
    "agent": "family",
    "match": {"platform": "discord", "peer": "5"},
    "tier": 2,
}


@pytest.fixture(autouse=True)
def written(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(CONFIG)


def test_route_tells_agent_tier_and_binding_and_why_every_other_one_is_not_it(
    alfred: Alfred, home: Path
) -> None:
    told = alfred("route", "--platform", "telegram", "--chat", "-100123456", "--explain")
    assert told.code == 0, told.err
    assert told.out.splitlines() == [
        "agent: coder",
        "tier 1, one chat: binding 1 (config.yaml:4), coder for telegram chat_id -100123456",
        "  does not fit: binding 2 (config.yaml:5), family for discord peer 5: it is for discord",
        "  loses: binding 3 (config.yaml:6), family for telegram chat_id -100123456: binding 1 ranks alike and stands before it",
        "    it never wins: binding 1 beats it",
        "  does not fit: binding 3 (config.yaml:6), family for telegram chat_id -7: it asks for chat_id -7, and the message has"
        " -100123456",
    ]
    assert alfred("route", "--platform", "irc").out.splitlines() == [
        "agent: main",
        "tier 7, the default agent: no binding fits",
    ]
    assert not (home / "alfred.db").exists()


def test_route_gives_programs_the_whole_of_it(alfred: Alfred) -> None:
    asked = ("route", "--platform", "discord", "--user", "5", "--type", "private", "--json")
    assert alfred(*asked).json == {"agent": "family", "tier": 2, "binding": PEER, "explain": []}
    named = ("--user-id", "5", "--chat-type", "private")  # as `resolve` and bindings have them
    assert alfred(*asked[:3], *named, "--json").json == alfred(*asked).json
    told = alfred(*asked, "--explain").json["explain"]
    why = "tier 2, one person, directly"
    assert told[1] == {**PEER, "outcome": "wins", "why": why, "shadowed_by": None}
    assert [one["shadowed_by"] for one in told] == [None, None, 1, None]
    assert alfred("route", "--platform", "irc", "--json").json == {
        "agent": "main", "tier": 7, "binding": None, "explain": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "agent"),
    [
        (("telegram", "--chat", "-7", "--thread", "3"), "family"),
        (("discord", "--peer", "5"), "family"),
        (("discord", "--user", "5", "--type", "group"), "main"),
        (("telegram", "--chat", "9", "--parent", "-7", "--guild", "1", "--team", "2"), "family"),
    ],
)
def test_each_option_is_a_field_of_the_message(
    alfred: Alfred, options: tuple[str, ...], agent: str
) -> None:
    assert alfred("route", "--platform", *options, "--json").json["agent"] == agent


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("telgram",), ("No platform is called 'telgram'.", "Did you mean telegram?")),
        (("irc", "--type", "chanel"), ("No kind of chat is called", "Did you mean channel?")),
    ],
)
def test_a_name_that_nothing_has_is_an_error_with_the_nearest(
    alfred: Alfred, options: tuple[str, ...], told: tuple[str, str]
) -> None:
    answer = alfred("route", "--platform", *options)
    assert (answer.code, answer.out) == (2, "")
    assert all(part in answer.err for part in told), answer.err


def test_doctor_and_the_check_of_agents_tell_of_a_binding_that_never_wins(
    home: Path, alfred: Alfred
) -> None:
    assert checks.bindings in checks.CHECKS
    said = "Binding 3 (config.yaml:6) never wins: whatever it fits is shadowed by binding 1."
    found = list(checks.bindings(home, app.settings_of(home), None))
    assert [(one.level, one.text) for one in found] == [("warning", said)]
    assert said in alfred("agents", "check").out.splitlines()
    [warning] = alfred("agents", "check", "--json").json["warnings"]
    assert warning == {"agent": None, "key": "bindings", "message": said}
    (home / "config.yaml").write_text(CONFIG.replace('"-100123456", ', ""))
    assert list(checks.bindings(home, app.settings_of(home), None)) == []
