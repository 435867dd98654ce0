"""Names of models, and their tiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.llm import catalog
from tests.table import table


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
        ("claude-cli", "claude-cli"),
        (" Claude-CLI ", "claude-cli"),
        ("claude-cli:", "claude-cli"),
        ("codex-cli", "codex-cli"),
        ("codex-cli/gpt-5.5", "codex-cli:gpt-5.5"),
        ("claude-cli:sonnet", "claude-cli:sonnet"),
        ("claude-cli/claude-opus-4-8[1m]", "claude-cli:claude-opus-4-8[1m]"),
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


@table(
    [
        ("anthropic:claude sonnet 5-5", "anthropic:claude-sonnet-5-5"),
        ("claude-sonnet-5-5", "anthropic:claude-sonnet-5-5"),
        ("gpt 6.1 sol", "openai:gpt-6.1-sol"),
        ("openai gpt-5", "openai:gpt-5"),
        ("antropic:x", "anthropic:x"),
        ("opena1/a b", "openai:a-b"),
        ("anthropic:", "anthropic:claude-sonnet-5-5"),
        ("claude cli", "claude-cli"),
        ("foo bar", None),
        ("auto", None),
        ("", None),
        (" : ", None),
        ("xyzzy:model", None),
        ("claude-cli:--x", None),
        ("Anthropic:a\0b", None),
    ]
)
def test_what_was_probably_meant_is_a_name(text: str, meant: str | None) -> None:
    assert catalog.nearest(text) == meant
    with pytest.raises(errors.ConfigError):
        catalog.parse(text)


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


OPUS, HAIKU = "anthropic:claude-opus-5-5", "anthropic:claude-haiku-5-5"


@table(
    [
        (OPUS, {}, (HAIKU,)),
        (HAIKU, {}, ()),
        (OPUS, {"helper": "openai/x"}, ("openai:x", HAIKU)),
        (OPUS, {"helper": "openai/x", "cheap": "openai:x"}, ("openai:x",)),
        (OPUS, {"helper": OPUS.replace(":", "/"), "cheap": "ollama:q"}, ("ollama:q",)),
        ("ollama:qwen3:8b", {}, ()),
        ("scripted:/x.yaml", {"cheap": "scripted:/y.yaml"}, ("scripted:/y.yaml",)),
    ]
)
def test_lower_tiers_are_those_that_are_another_model(
    boss: str, configured: dict[str, str | None], models: tuple[str, ...]
) -> None:
    assert catalog.lower(boss, configured=configured, env={}) == models
