"""Names of models, and their tiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("deepseek/r1:free", "openrouter:deepseek/r1:free"),
        ("x-ai/grok-5", "openrouter:x-ai/grok-5"),
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


WHOLE: list[tuple[str, str | None, str, str]] = [
    # what is written, the provider, and the name: with the provider beside it, and where it is inherited
    ("openai:gpt-x", "anthropic", "openai:gpt-x", "openai:gpt-x"),
    (" OpenAI :gpt-x", "anthropic", "OpenAI :gpt-x", "OpenAI :gpt-x"),
    ("openai:gpt-x", "ollama", "openai:gpt-x", "openai:gpt-x"),
    ("claude-x", "anthropic", "anthropic:claude-x", "anthropic:claude-x"),
    ("claude-x", None, "claude-x", "claude-x"),
    ("openai/gpt-x", None, "openai/gpt-x", "openai/gpt-x"),
    ("anthropic/claude-x", "anthropic", "anthropic:claude-x", "anthropic:claude-x"),
    (
        "anthropic/claude-x",
        "openrouter",
        "openrouter:anthropic/claude-x",
        "openrouter:anthropic/claude-x",
    ),
    ("openrouter/x/y", "openrouter", "openrouter:x/y", "openrouter:x/y"),
    (
        "deepseek/r1:free",
        "openrouter",
        "openrouter:deepseek/r1:free",
        "openrouter:deepseek/r1:free",
    ),
    ("openai/gpt-x", "anthropic", "anthropic:openai/gpt-x", "openai/gpt-x"),
    # no word of what is asked on a server of one's own goes to somebody else
    ("hf.co/a/b", "ollama", "ollama:hf.co/a/b", "ollama:hf.co/a/b"),
    ("me/x:8b", "ollama", "ollama:me/x:8b", "ollama:me/x:8b"),
    ("me/x", "openai-chat", "openai-chat:me/x", "openai-chat:me/x"),
    ("a/x.yaml", "scripted", "scripted:a/x.yaml", "scripted:a/x.yaml"),
    ("opnai/x", "ollama", "ollama:opnai/x", "opnai/x"),
    ("me/x", "codex-cli", "codex-cli:me/x", "me/x"),
    ("me/x", "anthropic", "anthropic:me/x", "me/x"),
    ("/srv/x.yaml", "scripted", "scripted:/srv/x.yaml", "scripted:/srv/x.yaml"),
    ("qwen3:8b", "ollama", "ollama:qwen3:8b", "ollama:qwen3:8b"),
    ("llama:8b", "ollama", "ollama:llama:8b", "ollama:llama:8b"),
    ("ft:gpt-x:us::1", "openai", "openai:ft:gpt-x:us::1", "openai:ft:gpt-x:us::1"),
    ("opnai:gpt-x", "anthropic", "opnai:gpt-x", "opnai:gpt-x"),
    ("opus", "claude-cli", "claude-cli:opus", "claude-cli:opus"),
    ("claude-cli", "anthropic", "claude-cli", "claude-cli"),
    ("auto", "anthropic", "auto", "auto"),
]


@table(WHOLE)
def test_a_provider_is_put_before_a_name_that_does_not_say_it_and_fits(
    text: str, provider: str | None, beside: str, inherited: str
) -> None:
    assert catalog.whole(text, provider, beside=True) == beside
    assert catalog.whole(text, provider, beside=False) == inherited


@given(
    text=st.text(st.sampled_from("ax:/.- "), max_size=8),
    prefix=st.sampled_from(["", "openai:", "anthropic/", "openrouter/", "opnai:"]),
    provider=st.sampled_from(sorted(catalog.PROVIDERS)),
    beside=st.booleans(),
)
def test_a_name_that_is_whole_stays_what_it_is_and_has_that_provider_or_its_own(
    text: str, prefix: str, provider: str, beside: bool
) -> None:
    name = catalog.whole(prefix + text, provider, beside=beside)
    assert catalog.whole(name, provider, beside=beside) == name
    assert name in (text_ := (prefix + text).strip(), f"{provider}:{text_}") or (
        text_.partition("/")[0].strip() == provider
        and name == f"{provider}:{text_.partition('/')[2]}"
    )
    if prefix == "openai:":
        assert name == text_


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
        ("hf.co/a/b", "provider:model with one of anthropic"),
        ("hf.co/a", "provider:model with one of anthropic"),
        ("xyzzy/", "provider:model with one of anthropic"),
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
    none: Any = {}.get
    assert catalog.tier(tier, boss=boss, configured=configured, secrets=none, env=env) == model


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
    none: Any = {}.get
    assert catalog.lower(boss, configured=configured, secrets=none, env={}) == models


def test_a_tier_that_is_written_with_a_slash_goes_to_openrouter_where_its_own_provider_has_no_key() -> (
    None
):
    keys = {"OPENROUTER_API_KEY": "k"}
    asked: dict[str, Any] = {"boss": OPUS, "secrets": keys.get, "env": {}}
    for written, model in [("openai/x", "openrouter:openai/x"), ("openai:x", "openai:x")]:
        assert catalog.tier("cheap", configured={"cheap": written}, **asked) == model
