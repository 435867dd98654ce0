"""Which tools an agent has: the four stages as an algebra, and as the examples that people read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alfred import errors
from alfred.agents.tools import (
    TOOL_ALIASES,
    TOOL_PROFILES,
    InvalidToolConfig,
    ToolPolicy,
    UnknownProfile,
    normalize_tool_config,
    read_toolsets,
)
from tests.table import table

SIX = ["terminal", "read_file", "memory", "clarify", "web_search", "send_message"]


def policy_of(config: Any) -> ToolPolicy:
    """`toolsets` beside the keys of `tools`, as the entry of an agent has both."""
    if not isinstance(config, dict) or "toolsets" not in config:
        return normalize_tool_config(config) or ToolPolicy()
    groups, wrong = read_toolsets(config["toolsets"])
    assert not wrong
    rest = {key: value for key, value in config.items() if key != "toolsets"}
    loaded = None if groups is None else frozenset(groups)
    return replace(normalize_tool_config(rest) or ToolPolicy(), toolsets=loaded)


WORKED: list[tuple[Any, list[str]]] = [
    (None, SIX),
    ("full", SIX),
    ("minimal", ["memory", "clarify"]),
    ({"profile": "minimal", "also_allow": ["web_search"]}, ["memory", "clarify", "web_search"]),
    (
        {"profile": "minimal", "also_allow": ["web_search"], "deny": ["web_search"]},
        ["memory", "clarify"],
    ),
    ({"profile": "coding", "allow": ["read_file", "send_message"]}, ["read_file"]),
    ({"allow": ["read_file", "terminal"], "deny": ["terminal"]}, ["read_file"]),
    ({"deny": ["terminal"]}, SIX[1:]),
    ({"also_allow": ["terminal"]}, SIX),
    ({"profile": "full", "allow": []}, []),
    (
        {"profile": "coding", "also_allow": ["send_message"], "allow": ["send_message"]},
        ["send_message"],
    ),
    ({"also_allow": ["no_such_tool"]}, SIX),
    ([], []),
    (["memory", "memory", "terminal"], ["terminal", "memory"]),
    ({"deny": "terminal"}, SIX[1:]),
    ({"deny": "*"}, []),
    ({"deny": ["web_*", "*.send"]}, ["terminal", "read_file", "memory", "clarify"]),
    ({"deny": ["TERMINAL", "Web*"]}, SIX),
    ({"deny": ["shell", "files"]}, SIX[2:]),
    ({"profile": None, "deny": None}, SIX),
    ({}, SIX),
    # what is not loaded is not there, whatever the stages behind it say
    ({"toolsets": ["shell", "memory"]}, ["terminal", "memory"]),
    ({"toolsets": "files"}, ["read_file"]),
    ({"toolsets": []}, []),
    ({"toolsets": None}, SIX),
    ({"toolsets": ["files"], "profile": "minimal", "also_allow": ["terminal", "files"]}, ["read_file"]),
    ({"toolsets": ["files", "ask"], "allow": ["*"]}, ["read_file", "clarify"]),
    ({"toolsets": ["files", "ask"], "deny": ["files"]}, ["clarify"]),
    ({"toolsets": ["nobody"]}, []),
]  # fmt: skip


@table(WORKED)
def test_the_four_stages_give_what_the_examples_say(config: Any, left: list[str]) -> None:
    policy = policy_of(config)
    assert policy.apply(SIX) == left
    ids = [TOOL_ALIASES.get(tool, tool) for tool in SIX]
    assert policy.apply(ids) == [TOOL_ALIASES.get(tool, tool) for tool in left]


FAMILY = ["memory", "memory.add", "memory.search", "todo.add"]
FAMILIES: list[tuple[Any, list[str]]] = [
    ("minimal", FAMILY),
    ({"deny": ["memory.add"]}, ["memory", "memory.search", "todo.add"]),
    ({"deny": ["memory.*"]}, ["todo.add"]),
    ({"deny": ["memor?"]}, ["todo.add"]),
    (["memory.add"], ["memory", "memory.add"]),
    (["*.search"], ["memory", "memory.search"]),
    (["mem"], []),
    ({"toolsets": ["memory"]}, FAMILY[:3]),
]


@table(FAMILIES)
def test_the_name_of_a_family_stays_while_any_member_does(config: Any, left: list[str]) -> None:
    assert policy_of(config).apply(FAMILY) == left


SERVED = ["mcp.git_hub.pull", "mcp_git_hub_pull", "mcp.mail.send"]
MCP: list[tuple[Any, list[str]]] = [
    ("coding", []),
    ("full", SERVED),
    ({"profile": "coding", "also_allow": ["mcp_git_hub_*"]}, SERVED[:2]),
    (["mcp.git_hub.*"], SERVED[:2]),
    ({"deny": ["*.pull"]}, SERVED[2:]),
    (["mcp_git"], []),
    # with dots it is said where the name of a server ends
    (["mcp.git.*"], SERVED[1:2]),
    (["mcp.git.hub_pull"], SERVED[1:2]),
    ({"deny": ["mcp.git.*"]}, [SERVED[0], SERVED[2]]),
    ({"deny": ["mcp"]}, []),
    ({"toolsets": ["mcp"]}, SERVED),
    ({"toolsets": ["mcp.git_hub", "files"]}, SERVED[:2]),
    ({"toolsets": ["mcp.git"]}, SERVED[1:2]),
    ({"toolsets": ["mcp.mail"], "profile": "coding"}, []),
    ({"toolsets": ["git_hub", "mail"]}, []),
]


@table(MCP)
def test_tools_of_servers_need_full_or_their_name(config: Any, left: list[str]) -> None:
    assert policy_of(config).apply(SERVED) == left


def test_profiles_hold_one_another() -> None:
    minimal, coding, messaging = (TOOL_PROFILES[n] for n in ("minimal", "coding", "messaging"))
    assert minimal < coding
    assert minimal < messaging
    every = sorted({*coding, *messaging, *TOOL_ALIASES, "mcp_x_y"})
    assert ToolPolicy(profile="full").apply(every) == every
    narrow = {"terminal", "process", "read_file", "write_file", "patch", "execute_code"}
    assert not narrow & (minimal | messaging)
    assert not {"web_search", "web_extract"} & minimal
    assert "send_message" not in coding


RULES = [
    ("minimal", "memory.add", True, "profile minimal"),
    ("minimal", "shell.run", False, "not in profile minimal"),
    ({"profile": "minimal", "also_allow": ["shell"]}, "shell.run", True, "also_allow shell"),
    (["files.*"], "files.read", True, "allow files.*"),
    (["files.*"], "shell.run", False, "not in allow"),
    ({"allow": ["terminal"], "deny": ["shell"]}, "shell.run", False, "deny shell"),
    ({"deny": ["shell"]}, "files.read", True, "no restriction"),
    ({"toolsets": ["files"]}, "files.read", True, "toolset files"),
    ({"toolsets": ["files"], "deny": ["shell"]}, "shell.run", False, "not in toolsets"),
    ({"toolsets": ["files"], "profile": "coding"}, "read_file", True, "profile coding"),
]


@table(RULES)
def test_each_tool_says_which_rule_it_goes_by(
    config: Any, tool: str, allowed: bool, rule: str
) -> None:
    assert policy_of(config).judge(tool) == (allowed, rule)


def test_a_child_never_has_what_its_parent_has_not() -> None:
    wide, narrow = ToolPolicy(profile="full"), ToolPolicy(profile="minimal")
    assert wide.apply(SIX, parent=narrow) == narrow.apply(SIX)
    assert wide.apply(SIX, parent=["ask.user", "terminal"]) == ["terminal", "clarify"]
    assert wide.apply(SIX, parent=[]) == []
    one, other = ToolPolicy(allow=frozenset({"memory.a"})), ToolPolicy(allow=frozenset({"todo"}))
    assert one.apply(["memory"], parent=other) == []


WRONG: list[tuple[Any, type[errors.ConfigError], str]] = [
    ("codnig", UnknownProfile, "'codnig' is no tool profile, did you mean coding?"),
    ("x", UnknownProfile, "known: minimal, coding, messaging, full"),
    ({"profile": "codnig", "deny": ["x"]}, UnknownProfile, "profile: 'codnig'"),
    ({"profile": ["coding"]}, InvalidToolConfig, "profile: must be one name"),
    (42, InvalidToolConfig, "must be a profile"),
    (True, InvalidToolConfig, "must be a profile"),
    (["web", 1], InvalidToolConfig, "[1]: is no name of a tool"),
    ([None], InvalidToolConfig, "[0]: is no name"),
    ({"allow": [["a"]]}, InvalidToolConfig, "allow[0]: is no name"),
    ({"denny": ["x"]}, InvalidToolConfig, "denny: is no key of tools, did you mean deny?"),
    ({"deny": {"a": 1}}, InvalidToolConfig, "deny: must be a list of tools"),
    ({"deny": ""}, InvalidToolConfig, "deny: is no name"),
    ({"deny": ["[s]hell.run"]}, InvalidToolConfig, "deny[0]: is no name"),
    ({"deny": ["shell run"]}, InvalidToolConfig, "deny[0]: is no name"),
    ({"deny": ["mcp.github"]}, InvalidToolConfig, "names a server, its tools are mcp.github.*"),
    ({"allow": None}, InvalidToolConfig, "allow: is empty: write [] for no tools"),
    ({"profile": "codnig", "deny": 5}, errors.ConfigErrors, "(UnknownProfile)"),
    ({"profile": "codnig", "deny": 5}, errors.ConfigErrors, "(InvalidToolConfig)"),
]


@table(WRONG)
def test_what_is_no_policy_is_an_error_and_never_a_wider_one(
    config: Any, kind: type[errors.ConfigError], told: str
) -> None:
    with pytest.raises(errors.ConfigError) as wrong:
        normalize_tool_config(config)
    assert type(wrong.value) is kind
    assert told in wrong.value.detail


def test_a_policy_of_an_unknown_profile_cannot_be_made() -> None:
    with pytest.raises(UnknownProfile, match="did you mean minimal"):
        ToolPolicy(profile="minimall")


def test_a_policy_of_what_is_no_group_cannot_be_made() -> None:
    with pytest.raises(InvalidToolConfig, match="'terminal' is one tool: its group is shell"):
        ToolPolicy(toolsets=frozenset({"terminal"}))


ONE = "and `tools` chooses single ones"
NO_GROUPS: list[tuple[Any, str]] = [
    ("shell.run", f"is one tool: its group is shell, {ONE}"),
    (["files", "terminal"], f"[1]: is one tool: its group is shell, {ONE}"),
    ("clarify", "its group is ask"),
    ("mcp.github.pull", "is one tool: its group is mcp.github"),
    ("mcp.github.*", "is a pattern: its group is mcp.github"),
    ("mcp.*", "is a pattern: its group is mcp,"),
    ("files.*", "is a pattern: its group is files"),
    ("f*", "is no group of tools"),
    ("*", "is no group of tools, as files, web, mcp or mcp.SERVER; `tools`"),
    ("mcp_github_pull", "is no group of tools"),
    ("mcp.", "is no group of tools"),
    (".x", "is no group of tools"),
    ("", "is no group of tools"),
    ("a b", "is no group of tools"),
    ([5], "[0]: is no group of tools"),
    ([["files"]], "[0]: is no group of tools"),
    (True, "must be groups of tools, as in [files, web]"),
    ({"files": None}, "must be groups of tools"),
]


@table(NO_GROUPS)
def test_toolsets_are_groups_and_nothing_else(given: Any, told: str) -> None:
    means, wrong = read_toolsets(given)
    assert means is None
    assert [one.kind for one in wrong] == [InvalidToolConfig]
    assert told in str(wrong[0])


# ---- the algebra

TOOLS = sorted(
    {*TOOL_ALIASES, *TOOL_ALIASES.values(), "memory", "memory.add", "mcp_a_b", "mcp.a.b"}
)
SOME = st.lists(st.sampled_from(TOOLS))
NAMES = st.lists(
    st.sampled_from(
        [*TOOLS, "*", "files.*", "web_*", "shell", "mcp", "mcp.a.*", "?emory", "nobody"]
    ),
    max_size=4,
)
GROUPS = st.lists(
    st.sampled_from(["files", "shell", "memory", "web", "mcp", "mcp.a", "mcp.b", "nobody"]),
    max_size=4,
)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "toolsets": GROUPS,
        "profile": st.sampled_from(sorted(TOOL_PROFILES)),
        "also_allow": NAMES,
        "allow": NAMES,
        "deny": NAMES,
    },
)


@given(config=POLICIES, there=SOME, more=SOME)
def test_a_policy_only_filters(config: dict[str, Any], there: list[str], more: list[str]) -> None:
    policy = policy_of(config)
    left = policy.apply(there)
    assert left == [tool for tool in there if tool in left]
    assert policy.apply(left) == left
    assert set(left) <= set(policy.apply(there + more))
    assert not set(left) & set(config.get("deny", ()))


@given(config=POLICIES, groups=GROUPS, there=SOME)
def test_nothing_brings_back_what_is_not_loaded(
    config: dict[str, Any], groups: list[str], there: list[str]
) -> None:
    rest = {key: value for key, value in config.items() if key != "toolsets"}
    left = policy_of({**rest, "toolsets": groups}).apply(there)
    loaded = policy_of({"toolsets": groups}).apply(there)
    assert set(left) <= set(loaded) & set(policy_of(rest).apply(there))
    assert left == policy_of(rest).apply(loaded)
    for tool in loaded:
        first, *more = TOOL_ALIASES.get(tool, tool).replace("mcp_a_b", "mcp.a.b").split(".")
        assert first in groups or (first == "mcp" and ".".join((first, *more[:1])) in groups)


@given(config=POLICIES, there=SOME, extra=NAMES)
def test_denying_more_never_gives_and_allowing_more_never_takes(
    config: dict[str, Any], there: list[str], extra: list[str]
) -> None:
    left = set(policy_of(config).apply(there))
    denied = {**config, "deny": [*config.get("deny", ()), *extra]}
    assert set(policy_of(denied).apply(there)) <= left
    for key in ("also_allow", "allow"):
        if key in config:
            assert left <= set(policy_of({**config, key: [*config[key], *extra]}).apply(there))


@given(config=POLICIES, there=SOME, data=st.data())
def test_order_and_repetition_of_names_mean_nothing(
    config: dict[str, Any], there: list[str], data: st.DataObject
) -> None:
    other = {
        key: data.draw(st.permutations(names + names)) if isinstance(names, list) else names
        for key, names in config.items()
    }
    assert policy_of(other) == policy_of(config)
    assert policy_of(other).apply(there) == policy_of(config).apply(there)


@given(child=POLICIES, parent=POLICIES, there=SOME)
def test_a_parent_only_narrows(
    child: dict[str, Any], parent: dict[str, Any], there: list[str]
) -> None:
    above = policy_of(parent)
    left = policy_of(child).apply(there, parent=above)
    assert set(left) <= set(policy_of(child).apply(there)) & set(above.apply(there))
    ids = [tool for tool in there if "." in tool]
    by_names = policy_of(child).apply(ids, parent=above.apply(ids))
    assert by_names == policy_of(child).apply(ids, parent=above)


@table(
    [
        (None, True),
        ("full", True),
        ("coding", False),
        ({"profile": "coding", "also_allow": ["mcp.files.read"]}, True),
        (["mcp_files_read"], True),
        (["mcp_*"], True),
        (["mcp.other.*", "web_search"], False),
        ({"deny": ["mcp"]}, False),
        ({"deny": ["mcp.files.*"]}, False),
        ({"deny": ["mcp.files.write"]}, True),
        ([], False),
        ({"toolsets": ["mcp"]}, True),
        ({"toolsets": ["mcp.files"]}, True),
        ({"toolsets": ["mcp.files"], "deny": ["mcp"]}, False),
        ({"toolsets": ["files", "mcp.other"], "also_allow": ["mcp.files.read"]}, False),
        ({"toolsets": ["files"], "allow": ["mcp_*"]}, False),
        ({"toolsets": []}, False),
    ]
)
def test_a_server_is_only_met_where_some_tool_of_it_may_be_allowed(config: Any, may: bool) -> None:
    assert policy_of(config).may_have("files") is may
