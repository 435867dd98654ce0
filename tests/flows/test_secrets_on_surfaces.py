"""A key that was put into the wrong place is on no surface of any command: not in the answer, not in the error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alfred import config_schema
from alfred.cli import main, terminal
from tests.flows.conftest import Alfred

KEY = "sk-ant-api03-" + "a1B2c3D4e5" * 9 + "AA"
OTHER = "ghp_" + "a1B2" * 9
SECRETS = (KEY, OTHER, "hunter2pw", "plain-word")

COMMANDS = [
    *((command[0],) for panel in main._COMMANDS.values() for command in panel),
    *(
        (group, command[0])
        for panel in main._GROUPS.values()
        for group, _, commands in panel
        for command in commands
    ),
]


def _clean(told: str) -> None:
    for secret in SECRETS:
        assert secret not in told
        assert secret[:24] not in told or len(secret) < 24


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_repeats_a_key_that_it_is_given(
    alfred: Alfred, command: tuple[str, ...]
) -> None:
    for more in ([KEY], [KEY, KEY, "--json"], ["--slots", KEY], [f"--limit={KEY}", "--json"]):
        said = alfred(*command, *more)
        _clean(said.out + said.err)
        if "--json" in more:
            json.loads(said.out)


CONFIG = f"""\
alfred: 1
personality: you are {KEY}
mcp_servers:
  x: {{command: no-such-program, env: {{GH: {OTHER}, PW: plain-word}}}}
"""


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_settings_are_shown_without_the_keys_in_them(
    alfred: Alfred, home: Path, form: tuple[str, ...]
) -> None:
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    for command in (["config", "show"], ["setup"], ["doctor"], ["status"], ["tools"]):
        said = alfred(*command, *form)
        _clean(said.out + said.err)
    assert "mcp_servers.x.env.GH" in alfred("config", "show").out


@pytest.mark.parametrize(
    "line",
    [f"timezone: {KEY}", f"model: [{KEY}]", f"server: {{port: {KEY}}}", f"{KEY}: 1", f"models: {{{KEY}: x}}"],
)  # fmt: skip
def test_an_error_of_the_configuration_does_not_repeat_a_key(
    alfred: Alfred, home: Path, line: str
) -> None:
    home.mkdir()
    (home / "config.yaml").write_text(f"alfred: 1\n{line}\n")
    for command in (["status"], ["status", "--json"], ["doctor"], ["doctor", "--json"]):
        said = alfred(*command)
        assert said.code != 0
        _clean(said.out + said.err)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("database", "postgresql://u:hunter2pw@127.0.0.1:1/x"),
        ("personality", KEY),
        ("mcp_servers.x", "{command: npx, env: {PW: plain-word}}"),
        ("timezone", KEY),
    ],
)
def test_an_edit_does_not_repeat_the_secret_that_it_wrote(
    alfred: Alfred, home: Path, key: str, value: str
) -> None:
    for form in ([], ["--json"]):
        said = alfred("config", "edit", key, value, *form)
        _clean(said.out + said.err)


@pytest.mark.parametrize("speak", [terminal.out, terminal.say, terminal.document])
def test_whatever_a_command_prints_is_redacted(
    capfd: pytest.CaptureFixture[str], speak: Callable[[str], None]
) -> None:
    speak(f"the key {KEY} of somebody")
    told = "".join(capfd.readouterr())
    assert "[redacted:anthropic-key:" in told
    _clean(told)


def test_a_key_is_hidden_before_the_text_is_cut() -> None:
    for before in range(0, 90, 3):
        _clean(terminal.shown("x" * before + " " + KEY + " y" * 80, 200))


def test_redaction_leaves_ids_hashes_and_the_schema_as_they_are(
    alfred: Alfred, capfd: pytest.CaptureFixture[str]
) -> None:
    assert alfred("config", "schema").json == config_schema.json_schema()
    ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    told = {"id": ulid, "hash": "0af9" * 16, "next": ulid}
    terminal.document(told)
    assert json.loads(capfd.readouterr().out) == told
