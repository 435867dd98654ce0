"""What `model: auto` means on a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.llm import auto, catalog
from tests.peers.llm_server import LlmServer


def test_auto_goes_by_the_providers_in_their_order() -> None:
    assert catalog.AUTO == ("anthropic", "openai", "google", "openrouter")
    assert all(
        catalog.PROVIDERS[provider].boss and catalog.PROVIDERS[provider].keys
        for provider in catalog.AUTO
    )


QWEN = {"name": "qwen3:8b", "size": 5_000, "capabilities": ["completion", "tools"]}


def resolved(
    secrets: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
    answers: dict[str, Any] | None = None,
    **more: Any,
) -> tuple[auto.Resolution, list[tuple[str, Any]]]:
    asked: list[tuple[str, Any]] = []

    def probe(url: str, body: Any) -> Any:
        asked.append((url, body))
        return (answers or {}).get(url if body is None else body["model"])

    env = {"HOME": "/nowhere", "PATH": ""} | (env or {})
    return auto.resolve(env, (secrets or {}).get, probe, **more), asked


TAGS = "http://127.0.0.1:11434/api/tags"
KEYS = [
    ("ANTHROPIC_API_KEY", "anthropic"),
    ("OPENAI_API_KEY", "openai"),
    ("GEMINI_API_KEY", "google"),
    ("GOOGLE_API_KEY", "google"),
    ("OPENROUTER_API_KEY", "openrouter"),
]


@pytest.mark.parametrize(("name", "provider"), KEYS)
def test_the_first_key_decides_and_nothing_is_asked(name: str, provider: str) -> None:
    later = {other: "k" for other, _ in KEYS[[key for key, _ in KEYS].index(name) :]}
    found, asked = resolved(later, answers={TAGS: {"models": [QWEN]}})
    assert found.model == f"{provider}:{catalog.PROVIDERS[provider].boss}"
    assert name in found.why
    assert asked == []


def _program(folder: Path, name: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / name
    program.write_text(f"#!/bin/sh\ntouch {folder}/started\n")
    program.chmod(0o755)


CLAUDE = '{"claudeAiOauth": {"accessToken": "x"}}'


@pytest.mark.parametrize(
    ("model", "program", "login", "content", "variable"),
    [
        ("claude-cli", "claude", ".claude/.credentials.json", CLAUDE, None),
        ("claude-cli", "claude", "elsewhere/.credentials.json", CLAUDE, "CLAUDE_CONFIG_DIR"),
        ("codex-cli", "codex", ".codex/auth.json", '{"tokens": {"access_token": "x"}}', None),
        ("codex-cli", "codex", "elsewhere/auth.json", '{"OPENAI_API_KEY": "x"}', "CODEX_HOME"),
    ],
)
def test_a_logged_in_program_is_taken_behind_every_key_and_never_started(
    tmp_path: Path, model: str, program: str, login: str, content: str, variable: str | None
) -> None:
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    if variable:
        env[variable] = str(tmp_path / "elsewhere")
    answers = {TAGS: {"models": [QWEN]}}
    (tmp_path / login).parent.mkdir()
    (tmp_path / login).write_text(content)
    assert resolved(env=env, answers=answers)[0].model == "ollama:qwen3:8b"  # not installed
    _program(tmp_path, program)
    found, asked = resolved(env=env, answers=answers)
    assert (found.model, asked) == (model, [])
    assert f"`{program}` is logged in" in found.why
    found, _ = resolved({"OPENROUTER_API_KEY": "k"}, env=env, answers=answers)
    assert found.model.startswith("openrouter:")
    for lost in ("{}", "", "[" * 100_000, "[]", '{"mcpOAuth": {}}'):
        (tmp_path / login).write_text(lost)
        found, _ = resolved(env=env, answers=answers)
        assert found.model == "ollama:qwen3:8b"
        assert found.passed_over == (f"`{program}` is installed and not logged in.",)
    with pytest.raises(errors.NoModel, match=f"`{program}` is installed and not logged in"):
        resolved(env=env)
    with pytest.raises(errors.NoModel) as raised:  # logged in once, since removed
        resolved(env=env | {"PATH": ""})
    assert "installed" not in raised.value.detail
    assert not (tmp_path / "started").exists()


def test_claude_is_taken_before_codex(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    for program, login, content in (
        ("codex", ".codex/auth.json", '{"tokens": {"access_token": "x"}}'),
        ("claude", ".claude/.credentials.json", CLAUDE),
    ):
        _program(tmp_path, program)
        (tmp_path / login).parent.mkdir()
        (tmp_path / login).write_text(content)
        assert resolved(env=env)[0].model == f"{program}-cli"


def test_of_one_provider_auto_looks_for_nothing_else(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    every = {name: "k" for name, _ in KEYS} | {"CLAUDE_CODE_OAUTH_TOKEN": "x"}
    answers = {TAGS: {"models": [QWEN]}}
    _program(tmp_path, "claude")

    def of(provider: str, secrets: dict[str, str], answers: dict[str, Any]) -> str:
        try:
            found, asked = resolved(secrets, env, answers, provider=provider)
        except errors.NoModel as problem:
            return f"{problem.detail} {problem.next}"
        assert bool(asked) is (provider == "ollama")
        return found.model

    for provider in catalog.FOUND:
        about = catalog.PROVIDERS[provider]
        own = {"claude-cli": "claude-cli", "ollama": "ollama:qwen3:8b"}
        if provider != "codex-cli":
            model = own.get(provider, f"{provider}:{about.boss}")
            assert of(provider, every, answers) == model
        others = {name: "k" for name in every if name not in about.keys}
        told = of(provider, others, {} if provider == "ollama" else answers)
        assert f"No model of {provider} can be used" in told
        assert "`provider`" in told
    for provider in catalog.PROVIDERS.keys() - set(catalog.FOUND):
        with pytest.raises(errors.ConfigError, match="finds no model") as raised:
            resolved(every, env, answers, provider=provider)
        assert f"Write `model`, as in {provider}:" in (raised.value.next or "")


def test_a_token_for_the_program_is_a_login(tmp_path: Path) -> None:
    _program(tmp_path, "claude")
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    found, _ = resolved({"CLAUDE_CODE_OAUTH_TOKEN": "x"}, env=env)
    assert found.model == "claude-cli"


def model(name: str, size: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "size": size} | more


@pytest.mark.parametrize(
    ("models", "shown", "chosen"),
    [
        ([model("a", 1, capabilities=["tools"]), model("b", 9, capabilities=["tools"])], {}, "b"),
        ([model("big", 99, capabilities=["completion"]), model("b", 9, capabilities=["tools"])], {}, "b"),
        ([model("a", 9), model("b", 8)], {"a": {"capabilities": ["completion"]}, "b": {"capabilities": ["tools"]}}, "b"),
        ([model("old", 9)], {"old": {"template": "{{ if .Tools }}x{{ end }}"}}, "old"),
        ([model("old", 9)], {"old": {"template": "{{ .Prompt }}"}}, None),
        ([model("cloud", 99, capabilities=["tools"], remote_host="https://x"), model("b", 1, capabilities=["tools"])], {}, "b"),
        ([model("z", 5, capabilities=["tools"]), model("a", 5, capabilities=["tools"])], {}, "a"),
        ([model("a", "big", capabilities=["tools"]), model("b", 1, capabilities=["tools"])], {}, "b"),  # type: ignore[arg-type]
        ([7, None, {"size": 9}, {"name": 7}, model("a", 1, capabilities=["tools"])], {}, "a"),
        ([model("a", 1)], {"a": ["no"]}, None),
        ([], {}, None),
        (None, {}, None),
        ("text", {}, None),
    ],
)  # fmt: skip
def test_the_largest_local_model_that_can_call_tools_is_taken(
    models: Any, shown: dict[str, Any], chosen: str | None
) -> None:
    answers = {TAGS: {"models": models}} | shown
    if chosen is None:
        with pytest.raises(errors.NoModel):
            resolved(answers=answers)
    else:
        assert resolved(answers=answers)[0].model == f"ollama:{chosen}"


@pytest.mark.parametrize("tags", [None, 7, [], "x", {}, {"models": {}}])
def test_an_ollama_that_answers_nonsense_is_none(tags: Any) -> None:
    with pytest.raises(errors.NoModel):
        resolved(answers={TAGS: tags})


@pytest.mark.parametrize(
    ("env", "asked"),
    [
        ({}, "http://127.0.0.1:11434/api/tags"),
        ({"OLLAMA_HOST": "127.0.0.1:9"}, "http://127.0.0.1:9/api/tags"),
        ({"OLLAMA_HOST": "http://localhost:9/"}, "http://localhost:9/api/tags"),
        ({"OLLAMA_BASE_URL": "http://[::1]:9/v1"}, "http://[::1]:9/api/tags"),
        (
            {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1/", "OLLAMA_HOST": "127.0.0.1:8"},
            "http://127.0.0.1:9/api/tags",
        ),
        ({"OLLAMA_BASE_URL": "https://ollama.com/v1"}, None),
        ({"OLLAMA_HOST": "192.168.1.7:11434"}, None),
        ({"OLLAMA_HOST": "0.0.0.0"}, None),
    ],
)
def test_auto_asks_the_loopback_and_no_other_machine(
    env: dict[str, str], asked: str | None
) -> None:
    urls: list[str] = []
    with pytest.raises(errors.NoModel):
        auto.resolve({"PATH": ""} | env, lambda _: None, lambda url, body: urls.append(url))
    assert urls == ([asked] if asked else [])


def test_no_model_names_the_three_shortest_ways() -> None:
    with pytest.raises(errors.NoModel) as raised:
        resolved()
    assert raised.value.exit_code == 2
    for way in ("ANTHROPIC_API_KEY", "`claude`", "ollama pull", "--model"):
        assert way in (raised.value.next or "")


def test_a_real_ollama_is_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with LlmServer() as server:
        server.models = [model("a:1b", 1), model("b:9b", 9)]
        server.shown = {
            "a:1b": {"capabilities": ["tools"]},
            "b:9b": {"capabilities": ["completion"]},
        }
        found = auto.resolve({"PATH": "", "OLLAMA_BASE_URL": server.url + "/v1"}, lambda _: None)
        assert found.model == "ollama:a:1b"
        assert [(seen.method, seen.path) for seen in server.seen] == [
            ("GET", "/api/tags"),
            ("POST", "/api/show"),
            ("POST", "/api/show"),
        ]
    # and now nobody is there
    with pytest.raises(errors.NoModel):
        auto.resolve({"PATH": "", "OLLAMA_BASE_URL": server.url + "/v1"}, lambda _: None)


def test_an_ollama_that_redirects_is_not_followed_and_that_is_said() -> None:
    with LlmServer() as server, LlmServer() as elsewhere:
        elsewhere.models = [QWEN]
        server.moved_to = elsewhere.url
        with pytest.raises(errors.NoModel, match="sends on to another address \\(302\\)"):
            auto.resolve({"PATH": "", "OLLAMA_BASE_URL": server.url + "/v1"}, lambda _: None)
        assert len(server.seen) == 1
        assert elsewhere.seen == []
