"""Names, sizes, prices, tiers, and what `model: auto` means on a machine."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.llm import catalog
from tests.peers.llm_server import LlmServer


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("anthropic:claude-sonnet-5-5", "anthropic:claude-sonnet-5-5"),
        ("anthropic/claude-sonnet-5-5", "anthropic:claude-sonnet-5-5"),
        (" OpenAI : gpt-6.1-sol ", "openai:gpt-6.1-sol"),
        ("openrouter/anthropic/claude-sonnet-5.5", "openrouter:anthropic/claude-sonnet-5.5"),
        ("openrouter:anthropic/claude-sonnet-5.5", "openrouter:anthropic/claude-sonnet-5.5"),
        ("ollama/qwen3:8b", "ollama:qwen3:8b"),
        ("ollama:hf.co/some/model:Q4", "ollama:hf.co/some/model:Q4"),
        ("openai-chat:local", "openai-chat:local"),
        ("scripted:/a/b.yaml", "scripted:/a/b.yaml"),
        ("scripted:C:/a", f"scripted:{Path.cwd()}/C:/a"),
    ],
)
def test_a_name_is_provider_and_model(text: str, name: str) -> None:
    assert str(catalog.parse(text)) == name


def test_the_path_of_a_scenario_is_absolute_so_that_every_worker_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/somewhere")
    assert catalog.parse("scripted:s.yaml").model == str(tmp_path / "s.yaml")
    assert catalog.parse("scripted:~/s.yaml").model == "/somewhere/s.yaml"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("antropic:x", "Did you mean 'anthropic'?"),
        ("opena1:x", "Did you mean 'openai'?"),
        ("gogle/x", "Did you mean 'google'?"),
        ("ollamma", "Did you mean 'ollama'?"),
        ("claude-sonnet-5-5", "anthropic:claude-sonnet-5-5"),
        ("gpt-6.1-sol", "openai:gpt-6.1-sol"),
        ("gemini-3.8-flash", "google:gemini-3.8-flash"),
        ("anthropic:", "names a provider but no model"),
        ("claude-cli:opus", "cannot use 'claude-cli' yet"),
        ("codex-cli:gpt", "cannot use 'codex-cli' yet"),
        ("", "provider:model"),
        (":", "provider:model"),
        ("/", "provider:model"),
        ("xyzzy:model", "provider:model with one of anthropic"),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_was_probably_meant(text: str, told: str) -> None:
    with pytest.raises(errors.ConfigError) as raised:
        catalog.parse(text)
    assert told in f"{raised.value.detail} {raised.value.next}"


# ---- sizes and prices -------------------------------------------------------------------------------------

DEFAULTS = [
    f"{name}:{model}"
    for name, p in catalog.PROVIDERS.items()
    for model in (p.boss, p.cheap)
    if model is not None
]


@pytest.mark.parametrize("model", DEFAULTS)
def test_the_models_that_are_chosen_for_a_person_are_known_with_price_and_size(model: str) -> None:
    limits = catalog.limits(model)
    assert limits.source == "genai-prices"
    assert limits.context >= 200_000
    assert limits.max_output >= 8_000
    price = catalog.price(model, input_tokens=1_000_000, output_tokens=1_000_000)
    assert price is not None and price > 0
    provider, info = catalog._info(catalog.parse(model)) or (None, None)
    assert provider is not None and info is not None and not info.deprecated


def test_auto_goes_by_the_providers_in_their_order() -> None:
    assert catalog.AUTO == ("anthropic", "openai", "google", "openrouter")
    assert all(
        catalog.PROVIDERS[provider].boss and catalog.PROVIDERS[provider].keys
        for provider in catalog.AUTO
    )


@pytest.mark.parametrize(
    ("model", "context", "output"),
    [
        ("anthropic:claude-opus-5-5", 1_000_000, 16_000),
        ("anthropic:claude-3-haiku", 200_000, 4_096),
        ("openai:gpt-4o", 128_000, 8_000),
        ("openai:gpt-4", 8_192, 4_096),
        ("openai-chat:nobody-knows-this", 32_000, 8_000),
        ("ollama:qwen3:8b", 32_000, 8_000),
        ("scripted:x.yaml", 200_000, 8_000),
    ],
)
def test_sizes_are_what_is_known_else_cautious(model: str, context: int, output: int) -> None:
    limits = catalog.limits(model)
    assert (limits.context, limits.max_output) == (context, output)


@pytest.mark.parametrize(
    ("told", "context", "output"),
    [("4096", 4_096, 2_048), ("0", 32_000, 8_000), ("x", 32_000, 8_000)],
)
def test_a_local_models_context_is_what_its_server_was_told(
    monkeypatch: pytest.MonkeyPatch, told: str, context: int, output: int
) -> None:
    monkeypatch.setenv("OLLAMA_CONTEXT_LENGTH", told)
    limits = catalog.limits("ollama:qwen3:8b")
    assert (limits.context, limits.max_output) == (context, output)


def test_a_price_counts_the_cache() -> None:
    price = catalog.price(
        "anthropic:claude-sonnet-5-5",
        input_tokens=8_000,
        output_tokens=100,
        cache_read_tokens=5_000,
        cache_write_tokens=2_000,
    )
    assert price == Decimal("0.0085")


@pytest.mark.parametrize(
    "model",
    ["ollama:qwen3:8b", "openai-chat:nobody-knows-this", "scripted:x.yaml", "google:gemma-3"],
)
def test_a_price_that_nobody_knows_is_none_and_never_zero(model: str) -> None:
    assert catalog.price(model, input_tokens=1_000_000, output_tokens=1_000_000) is None
    assert catalog.upper_bound(model, 3_000_000) is None
    assert catalog.tokens_bound(model, 30_000) == 10_000 + catalog.limits(model).max_output


def test_the_bound_is_a_third_of_the_bytes_written_to_the_cache_plus_all_of_the_output() -> None:
    # 10,000 tokens at 2.5 USD a million written to the cache (2 plain), 1,000 tokens at 10.
    assert catalog.upper_bound("anthropic:claude-sonnet-5-5", 30_000, 1_000) == 35_000
    assert (
        catalog.upper_bound("anthropic:claude-sonnet-5-5", 1, 0) == 3
    )  # 2.5 micro-USD, rounded up
    unlimited = catalog.upper_bound("anthropic:claude-sonnet-5-5", 30_000)
    assert unlimited == 25_000 + 10 * catalog.limits("anthropic:claude-sonnet-5-5").max_output


@pytest.mark.parametrize("model", DEFAULTS)
@pytest.mark.parametrize("size", [0, 1_000, 1_000_000, 3_000_000])
def test_no_way_of_being_charged_exceeds_the_bound(model: str, size: int) -> None:
    bound = catalog.upper_bound(model, size, 5_000)
    prompt = catalog.tokens(size)
    assert bound is not None
    for read, written in ((0, 0), (prompt, 0), (0, prompt), (prompt // 2, prompt - prompt // 2)):
        cost = catalog.price(
            model,
            input_tokens=prompt,
            output_tokens=5_000,
            cache_read_tokens=read,
            cache_write_tokens=written,
        )
        assert cost is not None and cost * 1_000_000 <= bound


# ---- tiers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "boss", "configured", "env", "model"),
    [
        (
            "boss",
            "anthropic:claude-opus-5-5",
            {"boss": "openai:x"},
            {},
            "anthropic:claude-opus-5-5",
        ),
        ("helper", "anthropic/claude-opus-5-5", {}, {}, "anthropic:claude-opus-5-5"),
        ("helper", "anthropic:claude-opus-5-5", {"helper": "openai/x"}, {}, "openai:x"),
        ("cheap", "anthropic:claude-opus-5-5", {}, {}, "anthropic:claude-haiku-5-5"),
        ("cheap", "anthropic:claude-opus-5-5", {"cheap": None}, {}, "anthropic:claude-haiku-5-5"),
        ("cheap", "anthropic:claude-opus-5-5", {"cheap": "ollama:q"}, {}, "ollama:q"),
        ("cheap", "ollama:qwen3:8b", {}, {}, "ollama:qwen3:8b"),
        ("cheap", "scripted:/x.yaml", {}, {}, "scripted:/x.yaml"),
        (
            "cheap",
            "openai-chat:local",
            {},
            {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"},
            "openai-chat:local",
        ),
    ],
)
def test_a_tier_is_what_is_configured_else_the_providers_small_model_else_the_boss(
    tier: Any, boss: str, configured: dict[str, str | None], env: dict[str, str], model: str
) -> None:
    assert catalog.tier(tier, boss=boss, configured=configured, env=env) == model


# ---- auto -------------------------------------------------------------------------------------------------

QWEN = {"name": "qwen3:8b", "size": 5_000, "capabilities": ["completion", "tools"]}


def auto(
    secrets: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
    answers: dict[str, Any] | None = None,
) -> tuple[catalog.Resolution, list[tuple[str, Any]]]:
    asked: list[tuple[str, Any]] = []

    def probe(url: str, body: Any) -> Any:
        asked.append((url, body))
        return (answers or {}).get(url if body is None else body["model"])

    env = {"HOME": "/nowhere", "PATH": ""} | (env or {})
    return catalog.resolve_auto(env, (secrets or {}).get, probe), asked


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
    found, asked = auto(later, answers={TAGS: {"models": [QWEN]}})
    assert found.model == f"{provider}:{catalog.PROVIDERS[provider].boss}"
    assert name in found.why
    assert asked == []


def _program(folder: Path, name: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / name
    program.write_text(f"#!/bin/sh\ntouch {folder}/started\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("program", "login", "variable"),
    [
        ("claude", ".claude/.credentials.json", None),
        ("codex", ".codex/auth.json", None),
        ("claude", "elsewhere/.credentials.json", "CLAUDE_CONFIG_DIR"),
        ("codex", "elsewhere/auth.json", "CODEX_HOME"),
    ],
)
def test_a_logged_in_program_is_named_never_started_and_passed_over(
    tmp_path: Path, program: str, login: str, variable: str | None
) -> None:
    _program(tmp_path, program)
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    if variable:
        env[variable] = str(tmp_path / "elsewhere")
    found, _ = auto(env=env, answers={TAGS: {"models": [QWEN]}})
    assert found.passed_over == ()  # installed, not logged in
    (tmp_path / login).parent.mkdir()
    (tmp_path / login).write_text("{}")
    found, _ = auto(env=env, answers={TAGS: {"models": [QWEN]}})
    assert found.passed_over == (f"{program} is logged in, but alfred cannot use it yet.",)
    assert found.model == "ollama:qwen3:8b"
    with pytest.raises(
        errors.NoModel, match=f"{program} is logged in, but alfred cannot use it yet"
    ):
        auto(env=env)
    with pytest.raises(errors.NoModel) as raised:  # logged in once, since removed
        auto(env=env | {"PATH": ""})
    assert program not in raised.value.detail
    assert not (tmp_path / "started").exists()


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
            auto(answers=answers)
    else:
        assert auto(answers=answers)[0].model == f"ollama:{chosen}"


@pytest.mark.parametrize("tags", [None, 7, [], "x", {}, {"models": {}}])
def test_an_ollama_that_answers_nonsense_is_none(tags: Any) -> None:
    with pytest.raises(errors.NoModel):
        auto(answers={TAGS: tags})


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
        catalog.resolve_auto({"PATH": ""} | env, lambda _: None, lambda url, body: urls.append(url))
    assert urls == ([asked] if asked else [])


def test_no_model_names_the_three_shortest_ways() -> None:
    with pytest.raises(errors.NoModel) as raised:
        auto()
    assert raised.value.exit_code == 2
    for way in ("ANTHROPIC_API_KEY", "ollama pull", "--model"):
        assert way in (raised.value.next or "")


def test_a_real_ollama_is_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with LlmServer() as server:
        server.models = [model("a:1b", 1), model("b:9b", 9)]
        server.shown = {
            "a:1b": {"capabilities": ["tools"]},
            "b:9b": {"capabilities": ["completion"]},
        }
        found = catalog.resolve_auto(
            {"PATH": "", "OLLAMA_BASE_URL": server.url + "/v1"}, lambda _: None
        )
        assert found.model == "ollama:a:1b"
        assert [(seen.method, seen.path) for seen in server.seen] == [
            ("GET", "/api/tags"),
            ("POST", "/api/show"),
            ("POST", "/api/show"),
        ]
    # and now nobody is there
    with pytest.raises(errors.NoModel):
        catalog.resolve_auto({"PATH": "", "OLLAMA_BASE_URL": server.url + "/v1"}, lambda _: None)


def test_an_ollama_that_redirects_is_not_followed_and_that_is_said() -> None:
    with LlmServer() as server, LlmServer() as elsewhere:
        elsewhere.models = [QWEN]
        server.moved_to = elsewhere.url
        with pytest.raises(errors.NoModel, match="sends on to another address \\(302\\)"):
            catalog.resolve_auto(
                {"PATH": "", "OLLAMA_BASE_URL": server.url + "/v1"}, lambda _: None
            )
        assert len(server.seen) == 1
        assert elsewhere.seen == []
