"""What a configuration says about agents: everything wrong with it is found, at once, and nothing is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alfred import app, config, errors
from alfred.agents import registry
from alfred.agents.registry import AgentRegistry, UnknownAgent
from tests.table import table

WRONG = [
    ("agents: {Coder: }", ["1: agents.Coder: is no name for an agent"]),
    ("agents: {'../x': }", ["1: agents.'../x': is no name for an agent"]),
    ("agents: {_a: }", ["1: agents._a: is no name for an agent"]),
    (f"agents: {{{'a' * 65}: }}", ["is no name for an agent"]),
    ("agents: {é: }", ["1: agents.é: is no name for an agent"]),
    ("agents:\n  a: 5", ["2: agents.a: must be keys with values", "given: '5'"]),
    ("agents:\n  a: {modle: x}", ["2: agents.a.modle: is no setting of an agent", "model?"]),
    ("agents: {a: {denny: [x]}}", ["agents.a.denny: is no setting of an agent"]),
    ("agents: {a: {tools: coding}}", ["agents.a.tools: has no effect in this version"]),
    ("agents: {a: {subagents: 0}}", ["agents.a.subagents: has no effect in this version"]),
    ("agents: {a: {max_turns: 0}}", ["agents.a.max_turns: must be a whole number of at least 1"]),
    ("agents: {a: {max_turns: 1.5}}", ["agents.a.max_turns: must be a whole number"]),
    ("agents: {a: {max_turns: '٣'}}", ["agents.a.max_turns: must be a whole number"]),
    ("agents: {a: {memory_enabled: yes}}", ["agents.a.memory_enabled: must be true or false"]),
    ("agents: {a: {model: [x]}}", ["agents.a.model: must be one value"]),
    ("agents: {a: {model: ' '}}", ["agents.a.model: must be `provider:model`"]),
    (
        "agents:\n  a: {default: true}\n  b: {}\n  c: {default: true}",
        ["4: agents.c.default: only one agent can be the default, and a is"],
    ),
    ("provider: openai", ["1: provider: has no effect in this version"]),
    ("reasoning: high", ["1: reasoning: has no effect in this version"]),
    ("fallback_model: x", ["1: fallback_model: has no effect in this version"]),
    ("tools: coding", ["1: tools: has no effect in this version"]),
    (
        "agents: {coder: }\nbudget:\n  per_agent: {codr: {turns_per_day: 1}}",
        ["3: budget.per_agent.codr: names no agent, did you mean coder?"],
    ),
    (
        "policy: {rules: [{agent: ops, mode: off}]}",
        ["1: policy.rules[0].agent: names no agent; known: main"],
    ),
]


def _load(home: Path, text: str, **env: str) -> config.Settings:
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(f"{text}\n")
    return config.load(home, env, check=app.check)


@table(WRONG)
def test_what_is_wrong_with_agents_is_told_with_file_line_and_key(
    home: Path, text: str, told: list[str]
) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        _load(home, text)
    for part in told:
        assert part in wrong.value.detail
    assert "config.yaml" in wrong.value.detail
    assert not isinstance(wrong.value, errors.ConfigErrors), wrong.value.detail


def test_everything_wrong_in_a_file_is_told_together_in_the_order_of_its_lines(home: Path) -> None:
    text = (
        "alfred: 1\nmodle: x\nagents:\n  Main: {modle: x}\n  a: {default: true, max_turns: no}\n"
        "  b: {default: true}\nlimits: {turns: many}\nbudget: {per_agent: {c: {per_rnu: 1}}}\n"
        "policy: {rules: [{agent: c, mode: offf}]}"
    )
    with pytest.raises(errors.ConfigErrors) as wrong:
        _load(home, text)
    assert [e.field for e in wrong.value.errors] == [
        "modle",
        "agents.Main",
        "agents.Main.modle",
        "agents.a.max_turns",
        "agents.b.default",
        "limits.turns",
        "budget.per_agent.c.per_rnu",
        "budget.per_agent.c",
        "policy.rules[0].mode",
        "policy.rules[0].agent",
    ]


def test_an_unknown_key_of_an_agent_shows_no_value(home: Path) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        _load(home, "agents: {a: {api_key: s3cretw0rd}}")
    assert "s3cretw0rd" not in repr(wrong.value.problem()) + wrong.value.detail


def test_agents_that_a_variable_gives_are_told_by_its_name(home: Path) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        _load(home, "alfred: 1", ALFRED_AGENTS="{a: {modle: x}}")
    assert wrong.value.detail.startswith("ALFRED_AGENTS: agents.a.modle: is no setting")


RIGHT = [
    "agents: {}",
    "agents:",
    "agents: {a: , b: {model: openai:x, max_turns: 3, memory_enabled: false, default: true}}",
    "agents: {a: {model: }}",
    "agents: {a: }\nbudget: {per_agent: {a: {turns_per_day: 1}}}",
    "budget: {per_agent: {main: {turns_per_day: 1}}}",
    "policy: {rules: [{agent: 'm*', mode: off}, {agent: '*', action: x, mode: off}]}",
    "fleet: {agents: {lucius: {every: 20m}}}\nbudget: {per_agent: {lucius: {turns_per_day: 1}}}",
    "fleet: {agents: {lucius: {agent: coder}}}\npolicy: {rules: [{agent: coder, mode: off}]}",
    "bindings: [{agent: nobody, telegram: '1'}]",
    "teams: {t: [nobody]}\nmcp_servers: {f: {command: npx}}\nchannels: {telegram: {x: 1}}",
]


@table(RIGHT)
def test_what_is_right_or_belongs_to_others_is_taken(home: Path, text: str) -> None:
    AgentRegistry.from_settings(_load(home, text))


def test_where_agents_are_no_mapping_nobody_is_called_unknown(home: Path) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        _load(home, "agents: [a]\nbudget: {per_agent: {a: {turns_per_day: 1}}}")
    assert [e.field for e in wrong.value.errors] == ["agents"]


@pytest.mark.parametrize(
    ("agents", "default"),
    [
        ({}, "main"),
        ({"b": None, "a": None}, "b"),
        ({"b": None, "main": None}, "main"),
        ({"b": None, "main": None, "a": {"default": True}}, "a"),
    ],
)
def test_who_is_meant_when_nobody_is_named(agents: dict[str, Any], default: str) -> None:
    assert AgentRegistry.from_config(agents).get(None).id == default


def test_agents_inherit_from_the_top(home: Path) -> None:
    found = AgentRegistry.from_settings(
        _load(home, "max_turns: 7\nmemory_enabled: false\nagents: {a: , b: {max_turns: 3}}")
    )
    assert (found.get("a").max_turns, found.get("a").memory_enabled) == (7, False)
    assert found.get("b").max_turns == 3


def test_an_agent_that_nobody_has_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownAgent) as wrong:
        AgentRegistry.from_config({"coder": None}).get("codr")
    assert "coder" in wrong.value.detail


def test_a_registry_is_not_made_of_what_is_wrong() -> None:
    with pytest.raises(errors.ConfigErrors) as wrong:
        AgentRegistry.from_config({"A": None, "b": {"x": 1}})
    assert "agents.A" in wrong.value.detail and "agents.b.x" in wrong.value.detail
    assert registry.problems({"agents": {"b": None}}) == []
