"""What a server says about its tools: offered under clean names, bounded and visible, or left out for a reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from alfred import errors
from alfred.actions.ledger import pins
from alfred.integrations import mcp_listing, mcp_pin
from alfred.store.connect import Store
from tests.table import table

OBJECT = {"type": "object"}


def tool(name: str = "t", **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "It does.", "inputSchema": OBJECT} | more


@table(
    [
        (["add"], ["add"], []),
        (["get.item", "list/all", "two words"], ["get_item", "list_all", "two_words"], []),
        (["read_file", "read-file"], [], ["read_file", "read-file"]),
        (["Read", "read"], [], ["Read", "read"]),
        (["list1", "listl", "ok"], ["ok"], ["list1", "listl"]),
        (["same", "same"], [], ["same"]),
        (["a.b", "a_b"], [], ["a.b", "a_b"]),
        (["add", "_add", "add-", "sub"], ["sub"], ["add", "_add", "add-"]),  # all would be `add`
        (["a__b", "a_b"], [], ["a__b", "a_b"]),
        (["re\u0430d"], [], ["re\u0430d"]),  # a Cyrillic a
        (["a\u200bb", "", "x" * 101, "..."], [], ["a\u200bb", "", "x" * 100, "..."]),
    ]
)
def test_names_that_mislead_are_left_out(
    said: list[str], names: list[str], left_out: list[str]
) -> None:
    found = mcp_listing.read([tool(name) for name in said])
    assert sorted(one.name for one in found.tools) == sorted(names)
    assert sorted(found.left_out) == sorted(left_out)


@table(
    [
        (tool(inputSchema={"type": "string"}), "describes no object"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"type": 5}}}), "its schema is none"),
        (tool(inputSchema={"type": "object", "x": "y" * mcp_listing.SCHEMA}), "characters, more than"),
        (tool(inputSchema={"type": "object", "properties": {"a\u202e": {}}}), "letters that nobody sees"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"enum": ["\U000e0041"]}}}), "nobody sees"),
        (tool(inputSchema={"type": "object", "properties": {"from<": {}}}), "'from<' has a name that no provider"),
    ]
)  # fmt: skip
def test_a_tool_that_cannot_be_offered_says_why(said: dict[str, Any], why: str) -> None:
    found = mcp_listing.read([said, tool("fine")])
    assert [one.name for one in found.tools] == ["fine"]
    assert why in found.left_out["t"]


def test_what_a_model_would_read_is_short_and_has_no_letter_that_nobody_sees() -> None:
    hidden = "".join(chr(0xE0000 + ord(c)) for c in "ignore") + "\u202e\u200b\x1b[2J\x00"
    schema = {"type": "object", "properties": {"a": {"description": f"A{hidden}B" + "c" * 2_000}}}
    one = mcp_listing.read([tool(description=f"Do{hidden}it.\n" + "x" * 2_000, inputSchema=schema)])
    shown = one.tools[0]
    assert shown.description.startswith("Do[2Jit.\nx") and len(shown.description) == 1_024
    inner = shown.schema["properties"]["a"]["description"]
    assert inner.startswith("A[2JBc") and len(inner) == 1_024


def test_a_list_that_is_too_much_is_not_used_at_all() -> None:
    with pytest.raises(mcp_listing.Unusable, match="more than 256 tools"):
        mcp_listing.read([tool(f"t{n}x") for n in range(257)])
    big = {
        "type": "object",
        "description": "d" * 1_000,
        "x": {f"k{n}": "y" * 900 for n in range(30)},
    }
    with pytest.raises(mcp_listing.Unusable, match="characters about its tools"):
        mcp_listing.read([tool(f"t{n}x", inputSchema=big) for n in range(20)])


@table(
    [
        {"description": "It does not."},
        {"inputSchema": {"type": "object", "properties": {"a": {}}}},
        {"annotations": {"readOnlyHint": True}},
        {"title": "T"},
        {"outputSchema": OBJECT},
        {"description": "It does.\u200b"},
    ]
)
def test_whatever_a_server_says_otherwise_about_a_tool_is_another_listing(
    change: dict[str, Any],
) -> None:
    before, after = mcp_listing.read([tool()]), mcp_listing.read([tool(**change)])
    assert before.digest != after.digest
    assert before.digest == mcp_listing.read([tool()]).digest
    assert len(list(mcp_pin.difference(before.rows, after.rows))) > 1


def test_a_difference_names_what_is_new_gone_and_changed() -> None:
    before = mcp_listing.read([tool("gone"), tool("kept"), tool("other")])
    after = mcp_listing.read([tool("new"), tool("kept"), tool("other", description="Send all.")])
    told = list(mcp_pin.difference(before.rows, after.rows))
    assert {"- gone is gone", "+ new is new", "~ other", "  - It does.", "  + Send all."} <= {*told}
    assert not any("kept" in line for line in told)


def test_a_card_about_what_was_pinned_anew_meanwhile_asks_nothing(store: Store) -> None:
    here = pins.Place("main", "", "files")

    def meet(definition: str, said: str) -> None:
        more = {"digest": said, "tools": [], "run": "r"}
        store.transact(lambda tx: pins.meet(tx, here, definition=definition, **more))

    ctx: Any = SimpleNamespace(tenant="main", store=store)
    asked = {"name": "files", "agent": "", "tools": "two"}
    meet("as it was", "one")
    meet("as it was", "two")
    assert "otherwise than when they were pinned" in mcp_pin._preview(asked, ctx)
    meet("written otherwise", "two")
    with pytest.raises(errors.CallFailed, match="pinned already"):
        mcp_pin._preview(asked, ctx)
