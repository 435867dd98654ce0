"""The reference servers of the protocol, as npm has them, through the gate."""

# ruff: noqa: F401, F811 - fixtures of the flows

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alfred.integrations import mcp_connections
from tests.flows.conftest import Alfred, alfred, script
from tests.slow.test_mcp import configured

pytestmark = pytest.mark.needs_program(
    "mcp-server-everything", "mcp-server-filesystem", "mcp-server-memory"
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of npm take their time to start where many do."""
    monkeypatch.setattr(mcp_connections, "CONNECT_S", 120.0)


def program(name: str, *args: object) -> dict[str, Any]:
    return {"command": shutil.which(name), "args": [str(one) for one in args]}


def allowed(alfred: Alfred, asked: Any) -> bool:
    """A yes to the one card of a run; a high one is looked at first."""
    (waiting,) = asked.json["waiting"]
    there = alfred("approvals", "list", "--json").json["approvals"]
    (card,) = [one for one in there if one["id"] == waiting["id"]]
    return alfred("approve", card["id"], "--hash", card["args_hash"][:12]).code == 0


def test_whatever_a_server_of_files_would_do_asks_and_only_what_was_allowed_is_done(
    alfred: Alfred, configured: Any, script: Any, tmp_path: Path
) -> None:
    (notes := tmp_path / "notes").mkdir()
    (notes / "one.txt").write_text("The heron nests in April.")
    model = script(
        {"calls": [{"tool": "mcp.files.read_text_file", "args": {"path": str(notes / "one.txt")}}]},
        {"calls": [{"tool": "mcp.files.read_text_file", "args": {"path": "/etc/passwd"}}]},
        {"calls": [{"tool": "mcp.files.write_file", "args": {"path": str(notes / "two.txt"), "content": "x"}}]},
        {"say": "Done."},
    )  # fmt: skip
    configured(
        model=model,
        mcp_servers={"files": program("mcp-server-filesystem", notes)},
    )
    asked = alfred("run", "look", "--json")
    for told in ("The heron nests", "Access denied"):
        assert allowed(alfred, asked)
        asked = alfred("runs", "resume", asked.json["id"], "--json")
        calls = alfred("runs", "show", asked.json["id"], "--json").json["calls"]
        assert told in json.dumps([calls[-2]["result"], calls[-2]["error"]])
    assert asked.code == 3 and not (notes / "two.txt").exists()
    assert allowed(alfred, asked)
    done = alfred("runs", "resume", asked.json["id"], "--json")
    assert (done.code, (notes / "two.txt").read_text()) == (0, "x")


def test_what_the_reference_servers_offer_and_answer_is_understood(
    alfred: Alfred, configured: Any, script: Any, tmp_path: Path
) -> None:
    one = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
    wanted = [
        ("mcp.all.echo", {"message": "hi"}, "Echo: hi"),
        ("mcp.all.get-sum", {"a": 1, "b": 3}, "The sum of 1 and 3 is 4"),
        ("mcp.all.get-tiny-image", {}, "image/png"),
        ("mcp.all.get-structured-content", {"location": "Chicago"}, "structured"),
        ("mcp.notes.create_entities", {"entities": [one]}, "Ada"),
        ("mcp.notes.search_nodes", {"query": "program"}, "Ada"),
    ]
    calls = [{"tool": tool, "args": args} for tool, args, _ in wanted]
    configured(
        model=script({"calls": calls}, {"say": "Done."}),
        policy={"rules": [{"action": "mcp.*", "mode": "autonomous"}]},
        mcp_servers={
            "all": program("mcp-server-everything"),
            "notes": program("mcp-server-memory")
            | {"env": {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}},
        },
    )
    begun = alfred("run", "all", "--json")
    while begun.code == 3:  # the first answer made the context external: what reaches out is asked
        cards = [card["id"] for card in begun.json["waiting"]]
        assert alfred("approve", *cards).code == 0
        begun = alfred("runs", "resume", begun.json["id"], "--json")
    assert begun.code == 0, begun.err
    made = alfred("runs", "show", begun.json["id"], "--json").json["calls"]
    for (tool, _, told), call in zip(wanted, made, strict=True):
        assert (call["action"], call["status"]) == (tool, "done"), call
        assert told in json.dumps(call["result"])
    assert "Ada" in (tmp_path / "memory.jsonl").read_text()
