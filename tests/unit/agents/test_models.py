"""Whose a model is that is written without saying it: one answer, wherever a model can be named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.agents import choice, named
from alfred.agents.registry import AgentRegistry, tiers
from tests import configured
from tests.table import table

TOP = {"provider": "anthropic", "model": "claude-x"}
MODELS: list[Any] = [
    # the top, the entry of `a`, and who answers for it
    (TOP, None, "anthropic:claude-x"),
    (TOP, {"provider": "openrouter"}, "openrouter:claude-x"),
    (TOP, {"model": "y"}, "anthropic:y"),
    (TOP, {"model": "openai/y"}, "openai/y"),
    (TOP, {"model": "openai:y"}, "openai:y"),
    (TOP, {"model": "openai/y", "provider": "openrouter"}, "openrouter:openai/y"),
    (TOP, {"model": "auto"}, "auto"),
    (TOP | {"models": {"boss": "b"}}, {}, "anthropic:b"),
    (TOP | {"model": "z/y"}, {}, "anthropic:z/y"),
    ({"model": "openai/y"}, {"provider": "openrouter"}, "openrouter:openai/y"),
    ({"model": "openai:y"}, {"provider": "openrouter"}, "openai:y"),
    ({"provider": "openrouter"}, {"model": "openai/y"}, "openrouter:openai/y"),
    ({"provider": "openrouter"}, {}, "auto"),
    ({"model": "openai/y"}, {}, "openai/y"),
]


@table(MODELS)
def test_a_model_without_a_provider_is_its_agents_or_that_of_the_top_if_it_fits(
    top: dict[str, Any], entry: Any, model: str
) -> None:
    agents = AgentRegistry.from_config(top | {"agents": {"a": entry}})
    assert agents.effective("a").asked == model
    fallback = {("fallback_model" if k == "model" else k): v for k, v in (entry or {}).items()}
    boss = top.get("models", {}).get("boss") or top.get("model")
    top = {"provider": top.get("provider"), "fallback_model": boss}
    of = AgentRegistry.from_config(top | {"agents": {"a": fallback}}).effective("a")
    assert of.fallbacks == ((model,) if of.fallback_model else ())


@table(
    [
        # the provider of the top, the model of `a`, whose its other models are and who says so, and those of the top
        ("anthropic", "openai:x", ("openai", "agent"), "openai:y", "anthropic:z"),
        ("anthropic", "openai/x", ("openai", "agent"), "openai:y", "anthropic:z"),
        ("anthropic", "deepseek/x", ("openrouter", "agent"), "openrouter:y", "anthropic:z"),
        ("anthropic", "x", ("anthropic", "global"), "anthropic:y", "anthropic:z"),
        ("anthropic", "auto", ("anthropic", "global"), "anthropic:y", "anthropic:z"),
        ("openrouter", "openai/x", ("openrouter", "global"), "openrouter:y", "openrouter:z"),
        (None, "openai:x", ("openai", "agent"), "openai:y", "z"),
    ]
)
def test_an_agent_whose_model_says_its_provider_does_not_inherit_one(
    top: str | None, model: str, whose: tuple[str, str], own: str, above: str
) -> None:
    tree: dict[str, Any] = {"provider": top, "fallback_model": "z", "subagent": {"model": "z"}}
    more = {"model": model, "fallback_model": "y", "subagents": {"model": "y"}}
    agents = AgentRegistry.from_config(tree | {"agents": {"a": {"model": model}, "b": more}})
    for id, other in (("a", above), ("b", own)):
        found = agents.effective(id)
        assert (found.provider, found.sources["provider"]) == whose
        assert (found.fallbacks, agents.subagent_model(id)) == ((other,), other)
    wrong = named.problems({"provider": top, "agents": {"b": more}})
    assert [one.path for one in wrong] == []


TEAM = {
    "provider": "anthropic",
    "model": "claude-x",
    "subagent": {"model": "small"},
    "agents": {
        "plain": None,
        "local": {"provider": "ollama"},
        "own": {"provider": "ollama", "subagents": {"model": "a/b"}},
        "said": {"subagents": {"model": "openai/y"}},
        "gpt": {"model": "openai/y"},
        "tier": {"subagents": {"model": "cheap"}},
    },
}


@table(
    [
        # the caller, what it asked for, the named agent, and who answers
        ("plain", None, None, "anthropic:small"),
        ("local", None, None, "ollama:small"),
        ("own", None, None, "ollama:a/b"),
        ("said", None, None, "openai/y"),
        ("tier", None, None, "cheap"),
        ("plain", "x", None, "anthropic:x"),
        ("local", "x", None, "ollama:x"),
        ("plain", "openai/x", None, "openai/x"),
        ("plain", "helper", "local", "helper"),
        ("plain", "x", "local", "ollama:x"),
        ("local", "x", "plain", "anthropic:x"),
        ("local", None, "gpt", "openai/y"),
        ("local", None, "plain", "ollama:small"),
        # whoever has a provider of its own has a model of its own: it is not asked of its caller's
        ("plain", None, "local", "ollama:claude-x"),
        ("gone", "x", None, "anthropic:x"),
    ]
)
def test_the_model_of_a_child_has_the_provider_of_whoever_says_it(
    caller: str, argument: str | None, target: str | None, model: str
) -> None:
    agents = AgentRegistry.from_config(TEAM)
    assert agents.subagent_model(caller, argument, "parent:x", target=target) == model


def test_what_a_run_is_given_goes_by_the_same_rule_from_wherever_it_comes(home: Path) -> None:
    text = (
        "provider: openai\nmodel: x\nmodels: {helper: h, cheap: anthropic/c}\n"
        "agents: {main: , local: {provider: ollama, model: 'q:8b'}, a: {provider: anthropic, model: auto}}"
    )
    here = configured.settings(home, text)
    keys = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "OPENROUTER_API_KEY": "k"}

    def chosen(settings: Any = here, **asked: Any) -> str:
        more: dict[str, Any] = {"env": {}, "env_file": home / ".env", "secrets": keys.get}
        return choice.choose(settings, **more | asked).model

    assert chosen() == "openai:x"
    # a name with a slash goes to OpenRouter where its own provider has no key
    assert chosen(model="google/y") == "openrouter:google/y"
    assert chosen(model="deepseek/y:free") == "openrouter:deepseek/y:free"
    with pytest.raises(errors.NoModel, match="google:y needs"):
        chosen(model="google:y")
    with pytest.raises(errors.NoModel, match="google:y needs"):
        chosen(model="google/y", secrets={}.get)
    assert chosen(model="y") == "openai:y"
    assert chosen(model="anthropic/y") == "anthropic:y"
    assert chosen(agent="local") == "ollama:q:8b"
    assert chosen(agent="local", model="y") == "ollama:y"
    assert chosen(agent="a") == chosen(agent="a", model="auto") != chosen(model="auto")
    assert chosen(agent="a").startswith("anthropic:")
    # a run of somebody who is not there any more can be replayed with another model
    assert chosen(agent="gone", model="y") == "openai:y"
    assert tiers(here) == {"helper": "openai:h", "cheap": "openai:anthropic/c"}
    assert chosen(configured.settings(home, text, ALFRED_PROVIDER="openrouter")) == "openrouter:x"
    assert chosen(configured.settings(home, text, ALFRED_MODEL="openai/y")) == "openai:y"
    plain = configured.settings(home, "models: {cheap: openai/c}")
    assert tiers(plain) == {"helper": None, "cheap": "openai/c"}
