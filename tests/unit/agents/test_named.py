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
        ({"model": "claude-sonnet-5-5"}, "model: names no model, did you mean anthropic:claude-sonnet-5-5?"),
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
        # told elsewhere, by who knows what kind of value belongs there
        {"model": {"a": "b"}, "models": ["x"], "agents": ["a"], "limits": 5},
        {"model": " x", "models": {"boss": "", "fallback": "x"}, "agents": {"a": {"model": "\0"}}},
    ]
)
def test_names_that_there_are_and_values_that_are_none_are_no_finding(tree: dict[str, Any]) -> None:
    assert named.problems(tree) == []
