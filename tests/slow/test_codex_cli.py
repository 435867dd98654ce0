"""`codex-cli:` with the real program `codex`, whose provider is a server on the loopback."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alfred.llm import client
from tests.peers.llm_server import LlmServer, Reply
from tests.slow import programs
from tests.slow.programs import READ, RUN, user

pytestmark = pytest.mark.needs_program("codex")

KEY = "sk-the-key-of-the-login-0123456789"
RESET = int(time.time()) // 86_400 * 86_400 + 20 * 86_400
"""When a limit is over, in seconds since the epoch: within the month that anybody waits for, on one day for every worker."""


def _token(**claims: Any) -> str:
    parts = ({"alg": "none"}, {"exp": 4_102_444_800, **claims})
    made = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return ".".join([*made, "c2ln"])


def _subscription() -> dict[str, Any]:
    account = {"chatgpt_plan_type": "plus", "chatgpt_account_id": "acc-1", "chatgpt_user_id": "u"}
    claims: dict[str, Any] = {"https://api.openai.com/auth": account}
    tokens = {
        "id_token": _token(email="p@localhost", **claims),
        "access_token": _token(**claims),
        "refresh_token": "rt",
        "account_id": "acc-1",
    }
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": tokens,
        "last_refresh": now,
    }


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a person who is logged in with a subscription."""
    home = tmp_path / "person"
    (home / ".codex").mkdir(parents=True)
    (home / ".codex" / "auth.json").write_text(json.dumps(_subscription()))
    (home / ".codex" / "auth.json").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    # Whatever it would ask of anybody else ends here.
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    return home


@pytest.fixture
def server(account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    with LlmServer() as started:
        monkeypatch.setenv("OPENAI_BASE_URL", started.url + "/v1")
        yield started


def said(text: str, *calls: tuple[str, str], **more: Any) -> Reply:
    """An answer in the form that was asked for."""
    value = {"text": text, "calls": [{"tool": tool, "args": args} for tool, args in calls]}
    return Reply(text=json.dumps(value), **more)


def ask(
    model: str = "codex-cli",
    items: list[dict[str, Any]] | None = None,
    *,
    cancelled: Any = None,
    **more: Any,
) -> client.ModelAnswer:
    told: dict[str, Any] = {"system": "You are careful.", "tools": [RUN, READ]} | more
    request = client.ModelRequest(model=model, items=items or [user("Read a.")], **told)
    return client.ask(request, secrets=lambda _: None, cancelled=cancelled)


def test_an_answer_has_words_calls_and_what_it_used(server: LlmServer) -> None:
    server.reply(
        said("Looking.", ("files__read", '{"path": "ä"}'), ("files__read", "{no"), usage=(1_000, 100, 600, 0))
    )  # fmt: skip
    answer = ask("codex-cli:gpt-5.5", turn=4)
    assert (answer.text, answer.finish) == ("Looking.", "calls")
    assert [(c.id, c.tool, c.args, bool(c.problem)) for c in answer.calls] == [
        ("c5.1", "files__read", {"path": "ä"}, False),
        ("c5.2", "files__read", None, True),
    ]
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (1_000, 100, 600)
    assert (usage.notional, usage.estimated, usage.model_served) == (True, False, "gpt-5.5")
    assert usage.cost_usd is not None and usage.cost_usd > 0
    [seen] = server.seen
    assert seen.json["model"] == "gpt-5.5"
    assert seen.headers["authorization"].startswith("Bearer ey")
    assert seen.headers["chatgpt-account-id"] == "acc-1"


def test_a_key_as_login_is_charged(server: LlmServer, account: Path) -> None:
    (account / ".codex" / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": KEY}))
    server.reply(said("ok"))
    assert not ask().usage.notional
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_without_tools_the_answer_is_plain_words(server: LlmServer) -> None:
    server.reply(Reply(text="All is well."))
    answer = ask(tools=[])
    assert (answer.text, answer.calls, answer.finish) == ("All is well.", (), "stop")
    assert "format" not in server.seen[0].json["text"]


# ---- it is a model and nothing more -----------------------------------------------------------------------


@pytest.mark.parametrize("model", ["codex-cli", "codex-cli:gpt-5.5", "codex-cli:nobody-knows-this"])
def test_it_sends_our_prompt_and_nothing_else(server: LlmServer, model: str) -> None:
    server.reply(said("ok"))
    ask(model)
    body = server.seen[0].json
    assert not body.get("tools")
    assert not body.get("instructions")
    told = [(item["role"], item["content"]) for item in body["input"] if item["type"] == "message"]
    assert [role for role, _ in told] == ["developer", "user"]
    [[system], [conversation]] = [content for _, content in told]
    assert system["text"].startswith("You are careful.")
    assert conversation["text"] == '{"kind": "user", "text": "Read a."}\n'
    assert {item["type"] for item in body["input"]} <= {"message", "configuration_update"}


def test_nothing_of_the_workspace_or_of_the_persons_settings_is_interpreted(
    server: LlmServer, account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    workspace = tmp_path / "workspace"
    (workspace / ".codex").mkdir(parents=True)
    (workspace / ".git").mkdir()
    settings = f"""
model = "evil"
notify = ["touch", "{marks}/notify"]
[model_providers.openai-evil]
name = "evil"
base_url = "http://127.0.0.1:9"
[mcp_servers.evil]
command = "touch"
args = ["{marks}/mcp"]
[[hooks.SessionStart]]
hooks = [{{type = "command", command = "touch {marks}/hook"}}]
"""
    for folder in (account, workspace):
        (folder / ".codex" / "config.toml").write_text(settings)
        (folder / ".codex" / "AGENTS.md").write_text("EVIL memory")
        (folder / ".codex" / "skills" / "x").mkdir(parents=True)
        (folder / ".codex" / "skills" / "x" / "SKILL.md").write_text(
            "---\nname: x\ndescription: EVIL skill\n---\nEVIL"
        )
        (folder / "AGENTS.md").write_text("EVIL project")
    monkeypatch.chdir(workspace)
    server.reply(said("ok"))
    assert ask().text == "ok"
    assert list(marks.iterdir()) == []
    [seen] = server.seen
    assert b"EVIL" not in seen.body
    assert str(workspace).encode() not in seen.body
    assert seen.json["model"] != "evil"


def test_a_tool_of_its_own_is_not_there_even_when_the_model_calls_it(
    server: LlmServer, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    patch = f"*** Begin Patch\n*** Add File: {made}\n+x\n*** End Patch"
    calls = [
        ("c1", "shell", json.dumps({"command": ["touch", str(made)]})),
        ("c2", "exec_command", json.dumps({"cmd": f"touch {made}"})),
        ("c3", "apply_patch", json.dumps({"input": patch})),
    ]
    server.reply(Reply(calls=calls), said("ok"))
    assert ask().text == "ok"
    assert not made.exists()


def test_it_leaves_nothing_behind(server: LlmServer, account: Path) -> None:
    held = {path: path.read_bytes() for path in account.rglob("*") if path.is_file()}
    server.reply(said("ok"))
    ask()
    assert {path: path.read_bytes() for path in account.rglob("*") if path.is_file()} == held


def test_the_prefix_is_the_same_bytes_turn_after_turn(server: LlmServer) -> None:
    server.reply(
        said("One.", ("files__read", '{"path": "a"}')),
        said("", ("files__read", '{"path": "b"}'), ("shell__run", "{}")),
        said("Last."),
    )
    items = [user("Read a, then b.")]
    for turn in range(3):
        items = json.loads(json.dumps(items))
        answer = ask(items=items, turn=turn, tools=[READ, RUN] if turn % 2 else [RUN, READ])
        items.append(answer.item())
        items += [
            {"kind": "result", "call_id": c.id, "tool": c.tool, "text": "r", "error": False}
            for c in answer.calls
        ]
        items.append({"kind": "note", "text": f"turn {turn} is over"})
    prompts = []
    for seen in server.seen:
        system, conversation = (i["content"] for i in seen.json["input"] if i["type"] == "message")
        head = json.dumps([seen.json.get("tools"), seen.json["text"], seen.json["model"], system])
        prompts.append((head, conversation[0]["text"]))
    assert len(prompts) == 3
    for (head, before), (next_head, after) in itertools.pairwise(prompts):
        assert next_head == head
        assert after.startswith(before) and len(after) > len(before)


# ---- what goes wrong --------------------------------------------------------------------------------------


def _error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (Reply(status=429, body=_error("Slow", code="rate_limit_exceeded")), "rate_limit", "429"),
        (Reply(status=429, body=_error("Used", type="usage_limit_reached", plan_type="plus", resets_at=RESET)), "budget", "usage limit"),
        (Reply(status=429, body=_error("Used", type="insufficient_quota", code="insufficient_quota")), "budget", "Quota"),
        (Reply(status=500, body=_error("Oh")), "overloaded", "high demand"),
        (Reply(status=503, body=_error("Busy", code="server_is_overloaded")), "overloaded", "capacity"),
        (Reply(status=400, body=_error("Too long", code="context_length_exceeded")), "context", "context window"),
        (Reply(status=400, body=_error("The 'x' model is not supported")), "refused", "not supported"),
        (Reply(text="{", stop="max_output_tokens"), "malformed", "max_output_tokens"),
        (Reply(text="x", stop="content_filter"), "refused", "content_filter"),
        (Reply(text="x" * 90, cut=3), "network", "disconnected"),
        (Reply(text="Only words."), "malformed", "form"),
        (Reply(text='{"text": "x"}'), "malformed", "form"),
        (Reply(refusal="No."), "empty", "empty"),
        (said("  "), "empty", "empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_failure_is_of_its_kind_and_nothing_is_asked_twice(
    server: LlmServer, reply: Reply, kind: str, says: str
) -> None:
    server.reply(reply)
    with pytest.raises(client.ModelError) as raised:
        ask()
    problem = raised.value
    assert (problem.kind, problem.provider) == (kind, "codex-cli")
    assert says in problem.detail
    assert len(server.seen) == 1
    if "usage_limit_reached" in json.dumps(reply.body):
        assert problem.retry_after_s is not None
        assert abs(problem.retry_after_s + time.time() - RESET) < 120


def test_a_login_that_is_refused_says_how_to_log_in(server: LlmServer, account: Path) -> None:
    (account / ".codex" / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": KEY}))
    server.reply(Reply(status=401, body=_error("Incorrect API key provided")))
    with pytest.raises(client.ModelError) as raised:
        ask()
    assert raised.value.kind == "auth"
    assert "codex login" in (raised.value.next or "")
    assert KEY not in raised.value.detail


def test_a_program_that_is_not_logged_in_says_how_to(
    server: LlmServer, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (account / ".codex" / "auth.json").unlink()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-other-account")
    server.reply(Reply(status=401, body=_error("Missing bearer")))
    with pytest.raises(client.ModelError) as raised:
        ask()
    assert raised.value.kind == "auth"
    assert "codex login" in (raised.value.next or "")
    for seen in server.seen:  # a key that is charged is never taken in place of the subscription
        assert "sk-of-the-other-account" not in json.dumps(seen.headers)


def test_a_provider_that_is_not_reached_is_the_network(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(client.ModelError) as raised:
        ask()
    assert raised.value.kind == "network"


def test_a_cancelled_turn_ends_the_program_and_all_of_its_processes(server: LlmServer) -> None:
    programs.cancelled_ends_with_all_it_started(
        ask, server, least=3
    )  # the guard, node, and the program
