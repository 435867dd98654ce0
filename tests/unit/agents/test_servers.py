"""Which MCP servers an agent has, and which names of its policy none of them can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alfred.actions.ledger.pins import Place
from alfred.agents import doubts, servers
from alfred.agents.registry import AgentRegistry
from alfred.config import Settings
from tests.table import table

ONE, TWO = {"command": "one"}, {"command": "two"}


def test_an_agents_own_servers_lie_over_those_of_all() -> None:
    settings = Settings(
        mcp_servers={"files": ONE, "docs": {"url": "https://d.example/"}},
        agents={
            "main": None,
            "ops": {"mcp_servers": {"files": TWO, "docs": None, "own": ONE}},
        },
    )
    assert list(servers.of(settings, "main", "main")) == [
        Place("main", "", "files"),
        Place("main", "", "docs"),
    ]
    found = servers.of(settings, "main", "ops")
    assert list(found) == [Place("main", "ops", "files"), Place("main", "ops", "own")]
    assert found[Place("main", "ops", "files")].command == "two"
    assert servers.of(settings, "main", "gone") == {}
    granted = servers.granted(found, ["mcp.own.x", "files.read"])
    assert granted == [Place("main", "ops", "own")]


KNOWN = {"git_hub": ["mcp.git_hub.create_issue"], "docs": None}


@table(
    [
        ("mcp.git_hub.create_issue", None),
        ("mcp_git_hub_*", None),
        ("mcp.*", None),
        ("mcp_g*", None),
        ("mcp", None),
        ("mcp.docs.anything", None),
        ("mcp.git_hub.create_isue", "no tool 'mcp.git_hub.create_isue', did you mean mcp.git_hub.create_issue?"),
        ("mcp.doc.*", "no MCP server of it has tools called 'mcp.doc.*', did you mean mcp.docs.*?"),
        ("mcp_nothing_like_it", "no MCP server of it has tools called"),
    ]
)  # fmt: skip
def test_names_that_no_server_of_the_agent_can_have_are_told(name: str, told: str | None) -> None:
    agents = AgentRegistry.from_config({"agents": {"main": {"tools": [name]}}})
    known: Any = lambda agent: KNOWN  # noqa: E731
    found = doubts.doubts(agents, tools=["files.read"], home=Path("/nowhere"), servers=known)
    assert [one.message for one in found] == [] if told is None else told in found[0].message


@table(
    [
        (["files", "web", "mcp", "mcp.docs"], None, None),
        ([], None, None),
        (["flies"], None, "toolsets: no tool is of the group 'flies', did you mean files?"),
        (["mcp.doc"], None, "toolsets: no tool is of the group 'mcp.doc', did you mean mcp.docs?"),
        (["nothing"], None, "toolsets: no tool is of the group 'nothing'"),
        (["web"], ["web", "read_file"], "tools: 'read_file' is of no group of toolsets"),
        (["mcp"], {"also_allow": ["files"]}, "tools: 'files' is of no group of toolsets"),
        (["web"], {"deny": ["read_file"]}, None),
    ]
)
def test_groups_that_nobody_has_and_names_that_are_in_none_are_told(
    groups: list[str], policy: Any, told: str | None
) -> None:
    entry = {"toolsets": groups, "tools": policy}
    agents = AgentRegistry.from_config({"agents": {"main": entry}})
    known: Any = lambda agent: KNOWN  # noqa: E731
    tools = ["files.read", "web.fetch", *KNOWN["git_hub"]]
    found = doubts.doubts(agents, tools=tools, home=Path("/nowhere"), servers=known)
    said = [f"{one.key}: {one.message}" for one in found]
    assert (said[:1], len(said)) == (said[:1], 0 if told is None else 1)
    assert told is None or said[0].startswith(told)
