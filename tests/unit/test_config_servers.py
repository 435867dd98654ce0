"""MCP servers in config.yaml: whatever is written means something, or is told with its place and without its value."""

from __future__ import annotations

from typing import Any

from alfred import config_servers
from tests.table import table

KEY = "hunter2hunter2"


@table(
    [
        ({"a": {}}, "mcp_servers.a: must have either a command or a url"),
        ({"a": {"command": "x", "url": "http://h/"}}, "must have either a command or a url"),
        ({"a": {"command": "x", "comand": KEY}}, "is no setting of a server, did you mean command?"),
        ({"a": {"command": "x", "headers": {"A": KEY}}}, "mcp_servers.a.headers: belongs to a server with a url"),
        ({"a": {"url": "http://h/", "args": ["x"]}}, "mcp_servers.a.args: belongs to a server with a command"),
        ({"a": {"url": "ftp://h/"}}, "must be an http or https address"),
        ({"a": {"url": f"https://u:{KEY}@h/"}}, "without a user or password"),
        ({"a": {"url": "https://h/${KEY}"}}, "cannot hold a secret, headers can"),
        ({"a": {"command": "x", "args": ["${KEY}"]}}, "mcp_servers.a.args[0]: shows a secret to everybody here, use env"),
        ({"a": {"command": "x", "args": "y"}}, "must be a list"),
        ({"a": {"command": "x", "args": [{"y": 1}]}}, "mcp_servers.a.args[0]: must be a text"),
        ({"a": {"command": "x", "env": {"A B": "y"}}}, "is no name in an environment"),
        ({"a": {"command": "x", "env": {"A": ["y"]}}}, "must be one text"),
        ({"a": {"command": "x", "env": {"A": "${KEY"}}}, "with ${NAME} for a secret"),
        ({"a": {"url": "http://h/", "headers": {"Host": "y"}}}, "belongs to the connection"),
        ({"a": {"url": "http://h/", "headers": {"Mcp-Session-Id": "y"}}}, "belongs to the connection"),
        ({"a": {"url": "http://h/", "headers": {"A": "y\nB: z"}}}, "must be one line of ASCII"),
        ({"a": {"command": "x", "timeout": 5}}, "must be a number with a unit, as in 30s"),
        ({"a": {"command": "x", "timeout": "2h"}}, "at most 1h"),
        ({"a": {"command": "two\nlines"}}, "must be one line of text"),
        ({"A": {"command": "x"}}, "is no name for a server"),
        ({"a.b": {"command": "x"}}, "is no name for a server"),
        ({"a_": {"command": "x"}}, "is no name for a server"),
        ({"a": {"command": "x"}, "a_b": {"command": "x"}}, "mcp_a_b would mean tools of both in a policy"),
        ({"a": None}, "must be keys with values"),
        ("text", "must be servers by name"),
    ]
)  # fmt: skip
def test_what_means_no_server_is_told_and_no_value_is_repeated(given: Any, told: str) -> None:
    found = config_servers.problems({"mcp_servers": given})
    assert told in "\n".join(map(str, found)), found
    assert KEY not in "\n".join(map(str, found))


@table(
    [
        {"command": "npx", "args": ["-y", "x", 5], "env": {"A": "${B}", "N": 1}, "timeout": "5m"},
        {"url": "https://h.example/mcp?x=1", "headers": {"Authorization": "Bearer ${B}"}},
        {"url": "http://localhost:3000/mcp"},
    ]
)
def test_servers_that_are_right_are_taken_as_they_are_written(given: Any) -> None:
    servers, wrong = config_servers.read(("mcp_servers",), {"one": given})
    assert wrong == []
    server = servers["one"]
    assert server is not None
    assert (server.command, server.url) == (given.get("command"), given.get("url"))
    assert server.timeout_s == (300.0 if "timeout" in given else config_servers.CALL_S)


def test_an_agent_has_its_own_over_the_top_and_takes_away_only_what_there_is() -> None:
    given = {"files": None, "own": {"command": "x"}}
    servers, wrong = config_servers.read(("agents", "a", "mcp_servers"), given, above=["files"])
    assert (servers["files"], wrong) == (None, [])
    _, wrong = config_servers.read(("agents", "a", "mcp_servers"), given, above=[])
    assert "takes away a server that there is not at the top" in str(wrong[0])
    for own, above in (("git_hub", "git"), ("git", "git_hub")):
        _, wrong = config_servers.read(("agents", "a"), {own: {"command": "x"}}, above=[above])
        assert "mcp_git_hub would mean tools of both in a policy" in str(wrong[0])


def test_a_server_that_is_written_otherwise_is_another_one() -> None:
    def digest(**given: Any) -> str:
        found = config_servers.read((), {"a": {"command": "x"} | given})[0]["a"]
        assert found is not None
        return found.digest

    same = digest()
    assert digest(timeout="5m") == same
    assert len({same, digest(command="y"), digest(args=["z"]), digest(env={"A": "b"})}) == 4
