"""A configuration that names a model which cannot be one is wrong, with the place, before anybody asks it."""

from __future__ import annotations

from typing import Any

from alfred.agents import named
from tests.table import table

KNOWN = (
    "anthropic, openai, openai-chat, google, openrouter, ollama, claude-cli, codex-cli, scripted"
)


@table(
    [
        ({"model": "foo bar"}, f"model: names no model: write provider:model with {KNOWN}, or auto alone (given: 'foo bar')"),
        ({"model": "claude-sonnet-5-5"}, "did you mean anthropic:claude-sonnet-5-5, or `provider: anthropic`?"),
        ({"models": {"cheap": "qwen3"}}, f"write provider:model with {KNOWN}, or name its `provider` (given"),
        # a model is judged with the provider of whoever uses it
        ({"provider": "antropic", "model": "x"}, "provider: names no provider, did you mean anthropic? (given: 'antropic')"),
        ({"agents": {"a": {"provider": "olama", "model": "x y"}}}, "agents.a.provider: names no provider, did you mean ollama?"),
        ({"provider": "anthropic", "model": "claude x"}, "model: names no model, did you mean anthropic:claude-x?"),
        ({"provider": "anthropic", "agents": {"a": {"model": "opnai:gpt-6"}}}, "agents.a.model: names no model, did you mean openai:gpt-6?"),
        ({"provider": "anthropic", "agents": {"a": {"model": "opnai/gpt-6"}}}, "agents.a.model: names no model, did you mean openai:gpt-6?"),
        ({"model": "x", "agents": {"a": {"provider": "ollama"}, "b": None}}, "model: names no model"),
        ({"fallback_model": "x", "model": "openai:x", "agents": {"a": {"provider": "ollama"}, "b": None}}, "fallback_model: names no"),
        ({"agents": {"a": {"provider": "ollama", "model": "openai:x", "subagents": {"model": "x:"}}, "b": {"subagents": {"model": "x"}}}}, "agents.b.subagents.model: names no"),
        ({"provider": "ollama", "models": {"helper": "auto"}}, "models.helper: names no model: write"),
        # `auto` looks among its models alone
        ({"provider": "scripted"}, "provider: has no model that auto finds: write `model` (given: scripted)"),
        ({"provider": "openai-chat", "agents": {"a": {"model": "auto"}, "b": {"model": "x"}}}, "provider: has no model that auto finds"),
        ({"models": {"boss": "auto"}, "agents": {"a": {"provider": "scripted"}}}, "agents.a.provider: has no model that auto finds"),
        ({"model": "anthropic:a b"}, "did you mean anthropic:a-b?"),
        ({"model": 5}, "model: names no model"),
        ({"models": {"boss": "antropic:x"}}, "models.boss: names no model, did you mean anthropic:x?"),
        ({"models": {"helper": "auto"}}, f"models.helper: names no model: write provider:model with {KNOWN} (given: 'auto')"),
        ({"models": {"cheap": "haiku"}}, "models.cheap: names no model"),
        ({"models": {"fallback": ["openai:x", "openai"]}}, "models.fallback[1]: names no model, did you mean openai:gpt-6.1-sol?"),
        ({"agents": {"a": {"model": "cheap"}}}, "agents.a.model: names no model"),
        ({"limits": {"per_provider": {"olama": 1}}}, "limits.per_provider.olama: names no provider, did you mean ollama?"),
        ({"limits": {"per_provider": {"mine": 1}}}, f"names no provider; known: {KNOWN}"),
    ]
)  # fmt: skip
def test_a_name_that_none_has_is_told_with_its_place_and_the_nearest(
    tree: dict[str, Any], told: str
) -> None:
    [found] = named.problems(tree)
    assert told in str(found)


@table(
    [
        {},
        {
            "model": "auto",
            "models": {"boss": "auto"},
            "agents": {"a": {"model": "auto"}, "b": None},
        },
        {"model": "ollama:qwen3:8b", "models": {"helper": "claude-cli", "cheap": None}},
        {"models": {"fallback": ["openrouter/anthropic/claude", "scripted:x.yaml"]}},
        {"limits": {"per_provider": {"ollama": 1}}},
        {"provider": "anthropic", "models": {"boss": "x", "helper": "y", "fallback": ["z", "openai/x"]}},
        {"provider": "scripted", "agents": {"a": {"model": "x.yaml"}, "b": {"provider": "ollama"}}},
        {"model": "x", "fallback_model": "y", "subagent": {"model": "z"}, "agents": {"a": {"provider": "ollama"}}},
        {"provider": "codex-cli", "agents": {"a": None, "b": {"model": "auto"}}},
        # told elsewhere, by who knows what kind of value belongs there
        {"model": {"a": "b"}, "models": ["x"], "agents": ["a"], "limits": 5},
        {"provider": ["x"], "agents": {"a": {"provider": {"b": "c"}}}},
        {"model": " x", "models": {"boss": "", "fallback": "x"}, "agents": {"a": {"model": "\0"}}},
    ]
)  # fmt: skip
def test_names_that_there_are_and_values_that_are_none_are_no_finding(tree: dict[str, Any]) -> None:
    assert named.problems(tree) == []
