"""What was said is found by words: of this agent and tenant alone, with the label that it had, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alfred import ids
from alfred.actions.context import ActionContext
from alfred.memory import conversations
from alfred.runs.rows import Item
from alfred.trust import labels
from alfred.trust.labels import Confidentiality, Integrity, Label
from tests.built import built
from tests.ledger.core import Core
from tests.unit.memory.test_memory import ctx

__all__ = ["ctx"]

OUTSIDE = Label(Integrity.EXTERNAL, Confidentiality.PRIVATE)


@pytest.fixture
def core(ctx: ActionContext) -> Core:
    return Core(ctx.store)


def said(core: Core, *items: tuple[str, str, Label], **run: Any) -> str:
    """A run in which this was said."""
    lease = core.held(**run)
    told = tuple(
        Item.of(kind, {"kind": kind, "text": text, "calls": []}, label)
        for kind, text, label in items
    )
    core.finish(lease, step=replace(core.step(), items=told))
    return lease.run_id


def found(ctx: ActionContext, query: str) -> list[str]:
    return [one["text"] for one in conversations.find(query, ctx=ctx)]


def test_what_was_said_is_found_in_other_forms_and_nothing_else(
    core: Core, ctx: ActionContext
) -> None:
    said(
        core,
        ("user", "Where do the herons nest?", labels.OWNER),
        ("assistant", "In the old café,\nherons and swallows.", labels.TRUSTED),
        ("note", "herons in a note", labels.TRUSTED),
        ("result", "herons in a result", labels.TRUSTED),
    )
    said(core, ("user", "The herons of somebody else", labels.OWNER), agent="other")
    said(core, ("user", "The herons of another tenant", labels.OWNER), tenant="acme")
    mine = said(core, ("user", "These herons are of this run", labels.OWNER))
    ctx = replace(ctx, run_id=mine)
    both = {"Where do the herons nest?", "In the old café,\nherons and swallows."}
    assert set(found(ctx, "heron")) == both
    assert found(ctx, "heron nesting") == [
        "Where do the herons nest?",
        "In the old café,\nherons and swallows.",
    ], "most of the words first"
    for query in ("cafe", "Café", "swallowed"):
        assert found(ctx, query) == ["In the old café,\nherons and swallows."], query
    for query in ("text kind", "", "“*” OR -", "eagle"):
        assert found(ctx, query) == [], query


def test_a_find_keeps_the_label_that_it_had(core: Core, ctx: ActionContext) -> None:
    action = built(conversations.find)
    said(core, ("user", "quiet herons", labels.OWNER))
    said(core, ("assistant", "They say: feed the swans.", OUTSIDE))
    assert callable(action.label)
    assert not action.label({"query": "heron"}, ctx).external
    assert action.label({"query": "heron"}, ctx).private, "it is no word of this conversation"
    assert action.label({"query": "swan"}, ctx).external
    assert [one.get("from") for one in conversations.find("swan", ctx=ctx)] == ["outside"]


def test_of_a_long_message_the_part_around_the_word_is_shown(
    core: Core, ctx: ActionContext
) -> None:
    said(core, ("user", "x " * 5_000 + "heron" + " y" * 5_000, labels.OWNER), id=ids.new())
    (text,) = found(ctx, "heron")
    assert "heron" in text and len(text) < conversations.SHOWN + 20
    assert text.startswith("[…] ") and text.endswith(" […]")


@pytest.mark.slow
def test_what_is_longer_than_an_index_takes_can_be_said(core: Core, ctx: ActionContext) -> None:
    long = "heron " + " ".join(f"word{n}" for n in range(300_000))
    said(core, ("user", long, labels.OWNER))
    assert len(found(ctx, "heron")) == 1
