"""What a configuration says about agents: everything wrong with it is found, at once, and nothing is passed over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from alfred import errors
from alfred.agents import entries
from alfred.agents.entries import (
    AgentConfig,
    DuplicateAgentId,
    InvalidAgentId,
    MultipleDefaults,
    UnknownAgent,
)
from alfred.agents.registry import AgentRegistry
from alfred.agents.tools import InvalidToolConfig, UnknownProfile
from tests import configured
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
    (
        "agents:\n  a:\n    toolsets: [web,\n      terminal]",
        ["4: agents.a.toolsets[1]: is one tool: its group is shell"],
    ),
    ("agents: {a: {toolsets: 5}}", ["1: agents.a.toolsets: must be groups of tools"]),
    ("toolsets: [web]", ["1: toolsets: "]),
    ("agents: {a: {tools: codnig}}", ["1: agents.a.tools: 'codnig' is no tool", "mean coding?"]),
    ("agents: {a: {tools: 42}}", ["agents.a.tools: must be a profile, a list of tools"]),
    ("agents: {a: {tools: true}}", ["agents.a.tools: must be a profile, a list of tools"]),
    ("agents:\n  a:\n    tools:\n    - web\n    - 5", ["5: agents.a.tools[1]: is no name of a"]),
    ("agents: {a: {tools: {denny: [x]}}}", ["agents.a.tools.denny: is no key", "mean deny?"]),
    ("agents: {a: {tools: {allow: }}}", ["agents.a.tools.allow: is empty: write [] for no"]),
    ("agents: {a: {tools: [], tool_policy: full}}", ["a.tool_policy: tools says it too"]),
    ("agents: {a: {subagents: true}}", ["agents.a.subagents: must be 0, false, or keys of max"]),
    ("agents: {a: {subagents: 3}}", ["agents.a.subagents: must be 0, false, or keys of max"]),
    ("agents: {a: {subagents: {max_dept: 1}}}", ["a.subagents.max_dept: is no key", "max_depth?"]),
    ("agents: {a: {subagents: {max_depth: -1}}}", ["a.subagents.max_depth: must be a whole"]),
    ("agents: {a: {subagents: {max_children: true}}}", ["a.subagents.max_children: must be a"]),
    ("agents: {a: {subagents: {max_children: 1.0}}}", ["a.subagents.max_children: must be a"]),
    ("agents: {a: {subagents: {model: [x]}}}", ["agents.a.subagents.model: must be `provider"]),
    ("agents: {a: {subagents: {model: cheep}}}", ["agents.a.subagents.model: names no model"]),
    ("teams: {t: [nobody]}", ["1: teams.t: must be keys of lead, members, brief"]),
    (
        "agents: {a: }\nteams: {t: {lead: a, members: [b]}}",
        ["2: teams.t.members[0]: names no agent"],
    ),
    (
        "agents: {coder: }\nteams: {t: {lead: codr, members: []}}",
        ["t.lead: names no", "mean coder?"],
    ),
    ("agents: {a: }\nteams: {t: {lead: a, members: [a]}}", ["teams.t.members: has the lead"]),
    ("agents: {a: , b: }\nteams: {t: {lead: a, members: b, breif: x}}", ["t.breif: is no key of"]),
    (
        "agents: {a: , b: }\nteams: {t: {lead: a, members: b, brief: [x]}}",
        ["t.brief: must be a te"],
    ),
    ("subagent: {modle: x}", ["1: subagent.modle: is no key of subagent; known: model"]),
    ("subagent: {model: auto}", ["1: subagent.model: names no model"]),
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
    ("agents: {a: {sandbox: docker}}", ["agents.a.sandbox: must be one of auto, off"]),
    ("provider: opnai", ["1: provider: names no provider, did you mean openai?"]),
    ("agents: {a: {provider: [openai]}}", ["agents.a.provider: must be one value"]),
    ("reasoning: hihg", ["1: reasoning: must be one of off, on,", "did you mean high?"]),
    ("agents: {a: {reasoning: {effort: high}}}", ["agents.a.reasoning: must be one value"]),
    ("fallback_model: x", ["1: fallback_model: names no model"]),
    ("fallback_model: {modle: x}", ["1: fallback_model: must be a model, a list of them"]),
    ("agents: {a: {fallback_model: {model: [x]}}}", ["agents.a.fallback_model.model[0]: names no"]),
    ("agents: {a: {fallback_model: ['']}}", ["agents.a.fallback_model[0]: must be `provider"]),
    (
        "fallback_model: openai:x\nmodels: {fallback: [openai:y]}",
        ["1: fallback_model: models.fallback says it too"],
    ),
    ("agents: {a: {workspace: src/x}}", ["agents.a.workspace: must be a whole path"]),
    ("agents: {a: {id: B}}", ["1: agents.a.id: is no name for an agent"]),
    ("agents:\n  a: {id: b}\n  b:", ["3: agents.b: another agent has the id b already"]),
    ("agents:\n  b:\n  a: {id: b}", ["3: agents.a.id: another agent has the id b already"]),
    (
        "agents: {a: {id: b}}\nbudget: {per_agent: {a: {turns_per_day: 1}}}",
        ["2: budget.per_agent.a: names no agent"],
    ),
    ("tools: {profile: x}", ["1: tools.profile: 'x' is no tool profile; known: minimal"]),
    (
        "agents: {coder: }\nbudget:\n  per_agent: {codr: {turns_per_day: 1}}",
        ["3: budget.per_agent.codr: names no agent, did you mean coder?"],
    ),
    (
        "policy: {rules: [{agent: ops, mode: off}]}",
        ["1: policy.rules[0].agent: names no agent; known: main"],
    ),
]


@table(WRONG)
def test_what_is_wrong_with_agents_is_told_with_file_line_and_key(
    home: Path, text: str, told: list[str]
) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        configured.settings(home, text)
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
        configured.settings(home, text)
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
        configured.settings(home, "agents: {a: {api_key: s3cretw0rd}}")
    assert "s3cretw0rd" not in repr(wrong.value.problem()) + wrong.value.detail


def test_agents_that_a_variable_gives_are_told_by_its_name(home: Path) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        configured.settings(home, "alfred: 1", ALFRED_AGENTS="{a: {modle: x}}")
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
    "teams: {t: {lead: main, members: []}}\nmcp_servers: {f: {command: npx}}\nchannels: {notify: ['ntfy://x']}",
]


@table(RIGHT)
def test_what_is_right_or_belongs_to_others_is_taken(home: Path, text: str) -> None:
    AgentRegistry.from_settings(configured.settings(home, text))


def test_where_agents_are_no_mapping_nobody_is_called_unknown(home: Path) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        configured.settings(home, "agents: [a]\nbudget: {per_agent: {a: {turns_per_day: 1}}}")
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
    assert AgentRegistry.from_config({"agents": agents}).get(None).id == default


KINDS = [
    ({"agents": {"A b": None}}, InvalidAgentId),
    ({"agents": {"a": {"id": "../x"}}}, InvalidAgentId),
    ({"agents": {"a": {"id": "b"}, "b": None}}, DuplicateAgentId),
    ({"agents": {"a": {"default": True}, "b": {"default": True}}}, MultipleDefaults),
    ({"budget": {"per_agent": {"coder": {}}}}, UnknownAgent),
    ({"agents": [{"id": "a"}]}, errors.ConfigError),
    ({"agents": {"a": {"modle": "x"}}}, errors.ConfigError),
    ({"max_turns": 0}, errors.ConfigError),
    ({"agents": {"a": {"tools": "codnig"}}}, UnknownProfile),
    ({"agents": {"a": {"tool_policy": 42}}}, InvalidToolConfig),
    ({"tools": ["a", 1]}, InvalidToolConfig),
    ({"agents": {"A b": None, "a": {"id": "b"}, "b": None}}, errors.ConfigErrors),
]


@table(KINDS)
def test_one_problem_raises_its_own_class_and_several_name_theirs(
    config: dict[str, Any], kind: type[errors.ConfigError]
) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        AgentRegistry.from_config(config)
    assert type(wrong.value) is kind
    if kind is errors.ConfigErrors:
        assert "InvalidAgentId" in wrong.value.detail
        assert "DuplicateAgentId" in wrong.value.detail


def test_an_agent_whose_id_leads_elsewhere_cannot_be_made() -> None:
    for id in ("../x", "A", "", "a" * 65, "-a", "a\n"):
        with pytest.raises(InvalidAgentId, match="is no name for an agent"):
            AgentConfig(id=id)


def test_the_file_raises_the_class_of_its_one_problem_too(home: Path) -> None:
    with pytest.raises(InvalidAgentId, match=r"config\.yaml:1: agents\.Coder"):
        configured.settings(home, "agents: {Coder: }")


def test_agents_inherit_from_the_top_and_each_value_says_from_where(home: Path) -> None:
    text = (
        "model: openai:x\nmax_turns: 7\nmemory_enabled: false\nreasoning: low\n"
        "models: {fallback: [openai:y]}\npersonality: Dry.\n"
        "agents:\n  a:\n  b: {max_turns: 3, model: openai:own, reasoning: off, fallback_model: []}\n"
        "  c: {memory_enabled: true, fallback_model: {model: openai:z}, description: helps}"
    )
    found = AgentRegistry.from_settings(configured.settings(home, text))
    a, b, c = (found.effective(id) for id in found.ids())
    assert [one.model for one in (a, b, c)] == ["openai:x", "openai:own", "openai:x"]
    assert (a.max_turns, a.memory_enabled, a.reasoning) == (7, False, "low")
    assert (b.max_turns, b.reasoning, b.fallback_model) == (3, "off", ())
    assert (a.fallback_model, c.fallback_model) == (("openai:y",), ("openai:z",))
    assert (c.memory_enabled, c.description, found.get("c").max_turns) == (True, "helps", None)
    assert (a.sources["model"], b.sources["model"], a.sources["workspace"]) == (
        *("global", "agent", "built-in"),
    )
    plain = AgentRegistry.from_settings(configured.settings(home, "alfred: 1")).effective(None)
    assert set(plain.sources.values()) == {"agent", "built-in"}
    assert (plain.id, plain.model, plain.default) == ("main", None, True)


def test_a_mapping_and_the_file_make_the_same_registry(home: Path) -> None:
    tree = {
        "model": "openai:x",
        "models": {"boss": "openai:y"},
        "max_turns": 4,
        "agents": {"a": None, "b": {"model": "openai/z", "workspace": "~/work"}},
    }
    text = "model: openai:x\nmodels: {boss: openai:y}\nmax_turns: 4\n"
    text += "agents: {a: , b: {model: openai/z, workspace: ~/work}}"
    one, other = (
        AgentRegistry.from_config(tree),
        AgentRegistry.from_settings(configured.settings(home, text)),
    )
    for id in one.ids():
        assert one.effective(id) == other.effective(id)
    assert one.effective("a").model == "openai:y"
    assert one.effective("b").model == "openai/z"


def test_an_agent_that_nobody_has_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownAgent) as wrong:
        AgentRegistry.from_config({"agents": {"coder": None}}).get("codr")
    assert "coder" in wrong.value.detail


def test_a_registry_is_not_made_of_what_is_wrong() -> None:
    with pytest.raises(errors.ConfigErrors) as wrong:
        AgentRegistry.from_config({"agents": {"A": None, "b": {"x": 1}}})
    assert "agents.A" in wrong.value.detail and "agents.b.x" in wrong.value.detail
    assert entries.problems({"agents": {"b": None}}) == []


# ---- personality and workspace

AGENTS = {"agents": {"a": None, "b": {"workspace": "~/work"}}}


def test_the_first_that_says_how_an_agent_speaks_is_the_whole(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home.parent))
    assert AgentRegistry.from_config(AGENTS).personality("a") is None
    (home / "SOUL.md").parent.mkdir(exist_ok=True)
    (home / "SOUL.md").write_text("of the home\n")
    found = AgentRegistry.from_config(AGENTS)
    assert (found.personality("a"), found.personality("b")) == ("of the home", "of the home")
    own = {**AGENTS, "personality": "of all"}
    assert AgentRegistry.from_config(own).personality("a") == "of all"
    agents = home / "agents"
    for folder, said, b in (
        (agents / "a", "of a", None),
        (agents / "b", "b's own", "b's own"),
        (home.parent / "work", "of b", "of b"),
    ):
        folder.mkdir(parents=True)
        (folder / "SOUL.md").write_text(said)
        for tree, else_b in ((AGENTS, "of the home"), (own, "of all")):
            found = AgentRegistry.from_config(tree)
            assert (found.personality("a"), found.personality("b")) == ("of a", b or else_b)
    told = {"agents": {"a": {"personality": "mine"}, "c": {"personality": ""}}}
    found = AgentRegistry.from_config(told)
    assert (found.personality("a"), found.personality("c")) == ("mine", "of the home")


def test_a_personality_may_be_a_file_and_none_of_any_length_is_an_accident(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "dry.md").write_text("Be dry.")
    (home / "SOUL.md").mkdir()

    def said(text: str) -> str | None:
        return AgentRegistry.from_config({"agents": {"a": {"personality": text}}}).personality("a")

    assert said("dry.md") == said(str(home / "dry.md")) == "Be dry."
    for text in ("wet.md", "a/b", "x/" * 5_000, "x" * 300 + ".md", "~nobody/x.md", "two\nlines.md"):
        assert said(text) == text
    assert said("") is None


def test_a_file_that_cannot_be_read_is_logged_and_the_next_one_speaks(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = home / "agents" / "a" / "SOUL.md"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    (home / "SOUL.md").write_text("ours")
    read = Path.read_text

    def broken(path: Path, *args: Any, **more: Any) -> str:
        if path == own:
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **more)

    monkeypatch.setattr(Path, "read_text", broken)
    assert AgentRegistry.from_config(AGENTS).personality("a") == "ours"
    assert "cannot be read" in caplog.text


def test_the_home_is_asked_for_at_every_call(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = AgentRegistry.from_config(AGENTS)
    assert found.workspace("a") == home / "agents" / "a"
    monkeypatch.setenv("ALFRED_HOME", str(tmp_path / "other"))
    assert found.workspace("a") == tmp_path / "other" / "agents" / "a"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert found.workspace("b") == tmp_path / "work"


@table(
    [
        ({"toolsets": ["shell", "memory"]}, ["shell.run", "memory.add"]),
        ({"toolsets": "shell", "tools": "coding"}, ["shell.run"]),
        ({"toolsets": [], "tools": {"also_allow": ["shell"]}}, []),
        ({"toolsets": ["files", "memory"], "memory_enabled": False}, []),
        ({"toolsets": None}, ["shell.run", "memory.add", "web.fetch"]),
        ({"toolsets": ["shell", "memory"], "tools": None}, ["shell.run", "memory.add"]),
    ]
)
def test_the_policy_of_an_agent_is_over_the_groups_that_are_loaded_for_it(
    entry: dict[str, Any], left: list[str]
) -> None:
    agent = AgentRegistry.from_config({"tools": "full", "agents": {"a": entry}}).effective("a")
    assert agent.policy.apply(["shell.run", "memory.add", "web.fetch"]) == left


def test_nothing_but_the_registry_makes_a_policy_of_what_an_entry_says_about_tools() -> None:
    """Whoever asks which tools an agent has asks `policy`; the others show what is written."""
    shows = {"registry.py", "doubts.py", "show.py", "agents.py"}
    source = Path(entries.__file__).parents[1]
    reads = re.compile(r"\.(tool_policy|toolsets)\b")
    found = {file.name for file in source.rglob("*.py") if reads.search(file.read_text("utf-8"))}
    assert found - {"tools.py"} == shows
