"""A run whose model is a logged-in program, as a person without any key has it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Alfred
from tests.peers.llm_server import LlmServer, Reply

pytestmark = pytest.mark.needs_program("claude")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    """The program's provider; the person is logged in and has nothing else."""
    person = tmp_path / "person"
    (person / ".claude").mkdir(parents=True)
    held = {"accessToken": "sk-ant-oat01-the-login", "expiresAt": 4_102_444_800_000}
    held |= {"scopes": ["user:inference"], "subscriptionType": "max"}
    (person / ".claude" / ".credentials.json").write_text(json.dumps({"claudeAiOauth": held}))
    monkeypatch.setenv("HOME", str(person))
    for name in ("ANTHROPIC", "OPENAI", "GEMINI", "GOOGLE", "OPENROUTER"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:1/v1")
    with LlmServer() as started:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", started.url)
        yield started


def said(text: str, *calls: tuple[str, dict[str, Any]]) -> Reply:
    value = {"text": text, "calls": [{"tool": tool, "args": args} for tool, args in calls]}
    return Reply(calls=[("toolu_1", "StructuredOutput", json.dumps(value))])


def test_a_subscription_is_enough_from_brief_to_approval(
    alfred: Alfred, server: LlmServer, folder: Path
) -> None:
    server.reply(
        said("Looking.", ("files__read", {"path": "notes.txt"})),
        said("", ("files__write", {"path": "report.md", "content": "Two lines.\n"})),
        said("The report is written."),
    )
    parked = alfred("run", "write a report", "--in", folder, "--max-cost", "0.01", "--json")
    assert parked.code == 3, parked.err
    assert "claude-cli" in parked.err and "`claude` is logged in" in parked.err
    assert "--max-cost cannot be counted" in parked.err
    [card] = parked.json["waiting"]
    assert not (folder / "report.md").exists()
    assert alfred("approve", card["id"]).code == 0
    done = alfred("runs", "resume", parked.json["id"], "--json")
    assert done.code == 0, done.err
    assert (folder / "report.md").read_text() == "Two lines.\n"
    shown = alfred("runs", "show", parked.json["id"], "--json").json
    run = shown["run"]
    assert (run["status"], run["result"], run["model"]) == (
        "completed",
        "The report is written.",
        "claude-cli",
    )
    asked = server.seen[-1].json["messages"][0]["content"]
    told = [json.loads(line) for block in asked[1:] for line in block["text"].splitlines()]
    assert [line["kind"] for line in told] == [
        *("user", "assistant", "result", "assistant", "result"),
    ]
    assert json.loads(told[2]["text"])["content"] == "one\ntwo\n"


def test_a_used_up_subscription_parks_the_run_until_its_reset(
    alfred: Alfred, server: LlmServer, folder: Path
) -> None:
    reset = int(time.time()) + 7_200
    unified = {"status": "rejected", "reset": str(reset), "representative-claim": "five_hour"}
    unified |= {"5h-reset": str(reset), "overage-status": "rejected"}
    headers = {f"anthropic-ratelimit-unified-{name}": value for name, value in unified.items()}
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "used up"}}
    server.reply(Reply(status=429, body=body, headers=headers))
    told = alfred("run", "x", "--in", folder, "--json")
    assert (told.code, told.json["status"], told.json["wait"]) == (3, "parked", "limit"), told.err
    assert len(server.seen) == 1
    shown = alfred("runs", "show", told.json["id"], "--json").json
    assert abs(_seconds(shown["run"]["wakes_at"]) - reset) < 60, shown
    assert alfred("run", "y", "--in", folder, "--json").code == 3
    assert len(server.seen) == 1  # nobody asks in vain


def _seconds(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


@pytest.mark.needs_program("codex")
def test_a_login_of_codex_is_enough_too(
    alfred: Alfred, server: LlmServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path.home() / ".claude" / ".credentials.json").unlink()
    (Path.home() / ".codex").mkdir()
    (Path.home() / ".codex" / "auth.json").write_text('{"OPENAI_API_KEY": "sk-of-the-login"}')
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
    found = {f["name"]: f for f in alfred("doctor", "--json").json["findings"]}
    assert found["model"]["text"].startswith("auto: codex-cli. No key is set, and `codex` is")
    assert "logged in: the model `codex-cli:`" in found["codex"]["text"]
    read = {"tool": "files__read", "args": '{"path": "notes.txt"}'}
    server.reply(
        Reply(text=json.dumps({"text": "Looking.", "calls": [read]})),
        Reply(text=json.dumps({"text": "Two lines.", "calls": []})),
    )
    told = alfred("run", "how many lines", "--in", folder, "--json")
    assert (told.code, told.json["result"]) == (0, "Two lines."), told.err
    [conversation] = [
        i["content"] for i in server.seen[-1].json["input"] if i.get("role") == "user"
    ]
    told = [json.loads(line) for line in conversation[0]["text"].splitlines()]
    assert [line["kind"] for line in told] == ["user", "assistant", "result"]
    assert json.loads(told[2]["text"])["content"] == "one\ntwo\n"


def test_setup_and_doctor_say_what_is_found(alfred: Alfred, server: LlmServer) -> None:
    assert alfred("setup", "--json").json["model"] == "claude-cli"
    found = {f["name"]: f for f in alfred("doctor", "--json").json["findings"]}
    assert found["model"]["text"].startswith("auto: claude-cli. No key is set, and `claude` is")
    assert found["claude"]["level"] == "ok"
    assert "logged in: the model `claude-cli:`" in found["claude"]["text"]
    (Path.home() / ".claude" / ".credentials.json").unlink()
    found = {f["name"]: f for f in alfred("doctor", "--json").json["findings"]}
    assert "not logged in" in found["claude"]["text"]
    assert "claude setup-token" in found["claude"]["next"]
    assert found["model"]["level"] == "warning"
    assert server.seen == []
