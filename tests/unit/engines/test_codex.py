"""What is read of `codex`, and how a login is lent to it; the real one is asked in tests/slow."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from alfred.engines import base, codex

NOW = "2026-11-21T10:00:00"  # where the clock of the tests stands


@pytest.mark.parametrize(
    ("words", "until"),
    [
        ("You’ve hit your usage limit. Try it, or try again at 9:06 PM.", "2026-11-21T21:07:00"),
        ("try again at 12:00 PM.", "2026-11-21T12:01:00"),
        ("try again at 12:30 AM.", "2026-11-22T00:31:00"),
        ("try again at 9:59 AM.", "2026-11-21T10:00:00"),
        ("try again at 9:58 AM.", "2026-11-22T09:59:00"),
        ("or try again at Dec 1st, 2026 9:06 AM.", "2026-12-01T09:07:00"),
        ("or try again at Jan 22nd, 2027 12:00 AM.", "2027-01-22T00:01:00"),
        ("or try again at Nov 1st, 2026 9:06 AM.", None),
        ("or try again at Xxx 1st, 2026 9:06 AM.", "unknown"),
        ("try again later", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_reset_is_read_where_it_is_told(clock: Any, words: str, until: str | None) -> None:
    seconds = codex._until(words)
    if until == "unknown":
        assert seconds is None
    elif until is None:
        assert seconds == 1.0  # it is over
    else:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(clock.now() / 1_000_000 + seconds))  # type: ignore[operator]
        assert at == until or (until == NOW and seconds == 1.0)


@pytest.fixture
def account(tmp_path: Path) -> Path:
    home = tmp_path / "person"
    (home / ".codex").mkdir(parents=True)
    (home / ".codex" / "auth.json").write_text(json.dumps({"tokens": {"refresh_token": "old"}}))
    (tmp_path / "bin").mkdir()
    return home


def does(folder: Path, script: str, catalog: str = '{"models": [{"slug": "x", "tool_mode": "y"}]}') -> None:  # fmt: skip
    """A `codex` of ours: says its models, and then what a test wants."""
    program = folder / "bin" / "codex"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        f"with open({str(folder / 'started')!r}, 'a') as file: file.write(' '.join(sys.argv[1:3]) + chr(10))\n"
        "def events(*all):\n"
        "    for one in all: print(json.dumps(one), flush=True)\n"
        f"if sys.argv[1] == 'debug': print({catalog!r}); sys.exit()\n"
        "login = os.path.join(os.environ['CODEX_HOME'], 'auth.json')\n" + script
    )
    program.chmod(0o755)


DONE = "events({'type': 'item.completed', 'item': {'type': 'agent_message', 'text': '{\"text\": \"Hi.\", \"calls\": []}'}}, {'type': 'turn.completed', 'usage': {'input_tokens': 3, 'output_tokens': 1}})\n"  # fmt: skip


def ask(account: Path, engine: codex.Codex | None = None) -> base.Said:
    question = base.Question(
        system="S",
        blocks=("a", "b"),
        schema={"type": "object"},
        model="",
        max_output=1,
        env={
            "HOME": str(account),
            "PATH": f"{account.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        },
    )
    return (engine or codex.Codex()).answer(question, cancelled=None)


@pytest.mark.parametrize(
    "script",
    [
        "open(login, 'w').write(json.dumps({'tokens': {'refresh_token': 'new'}}))\n",
        "open(login + '.x', 'w').write(json.dumps({'tokens': {'refresh_token': 'new'}})); os.replace(login + '.x', login)\n",
    ],
    ids=["through the link", "in place of the link"],
)
@pytest.mark.parametrize("ends", [DONE, "sys.exit(3)\n"], ids=["done", "failed"])
def test_a_login_that_is_refreshed_is_refreshed_for_the_person(
    account: Path, script: str, ends: str
) -> None:
    does(account.parent, script + ends)
    if ends is DONE:
        assert ask(account).value == {"text": "Hi.", "calls": []}
    else:
        with pytest.raises(base.EngineError):
            ask(account)
    held = account / ".codex" / "auth.json"
    assert json.loads(held.read_text()) == {"tokens": {"refresh_token": "new"}}
    assert not held.is_symlink()
    assert [path.name for path in held.parent.iterdir()] == ["auth.json"]


def test_its_models_are_asked_once_and_come_back_without_tools(account: Path) -> None:
    read = "[line for line in sys.argv if line.startswith('model_catalog_json=')][0].split('=', 1)[1]"  # fmt: skip
    check = f"[model] = json.load(open(json.loads({read})))['models']\nassert (model['slug'], model['tool_mode'], model['shell_type']) == ('x', None, 'disabled')\n"  # fmt: skip
    does(account.parent, check + DONE)
    engine = codex.Codex()
    for _ in range(2):
        assert ask(account, engine).value == {"text": "Hi.", "calls": []}
    started = (account.parent / "started").read_text().splitlines()
    assert started == ["debug models", "exec --json", "exec --json"]


@pytest.mark.parametrize("catalog", ["", "nothing", "{}", '{"models": []}', '{"models": 7}'])
def test_a_program_that_does_not_say_its_models_is_too_old_and_gets_no_prompt(
    account: Path, catalog: str
) -> None:
    does(account.parent, DONE, catalog)
    with pytest.raises(base.EngineError, match="too old") as raised:
        ask(account)
    assert raised.value.kind == "refused"
    assert "exec" not in (account.parent / "started").read_text()


@pytest.mark.parametrize(
    "kind", ["command_execution", "file_change", "mcp_tool_call", "web_search", "collab_tool_call"]
)
def test_an_answer_for_which_it_used_something_of_its_own_is_none(account: Path, kind: str) -> None:
    does(account.parent, f"events({{'type': 'item.started', 'item': {{'type': {kind!r}}}}})\n" + DONE)  # fmt: skip
    with pytest.raises(base.EngineError, match=kind) as raised:
        ask(account)
    assert raised.value.kind == "malformed"
    assert raised.value.spent is not None


def test_it_gets_the_whole_conversation_and_no_key(account: Path) -> None:
    check = (
        "assert sys.stdin.read() == 'ab'\n"
        "assert not any('KEY' in name or 'TOKEN' in name for name in os.environ)\n"
        f"assert {str(account)!r} not in (os.environ['HOME'], os.environ['CODEX_HOME'])\n"
        "assert os.listdir('.') == []\n"
    )
    does(account.parent, check + DONE)
    assert ask(account).value == {"text": "Hi.", "calls": []}
