"""Scratch: values of one run, bounded, with the label of whoever wrote them, on both databases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alfred import errors, ids
from alfred.actions import Effect, Risk, taint
from alfred.actions.context import ActionContext, Workspace
from alfred.config import Settings
from alfred.memory import ledger, scratch
from alfred.runs import ledger as runs
from alfred.runs import rows
from alfred.runs.rows import NewRun
from alfred.store.connect import Store
from alfred.trust import labels
from tests.built import built
from tests.table import table


@pytest.fixture
def ctx(store: Store, tmp_path: Path) -> ActionContext:
    run_id = ids.new()
    store.transact(runs.start, NewRun(id=run_id, workflow="w", step="s", agent="main"))
    return ActionContext(
        run_id=run_id,
        call_id=ids.new(),
        agent="main",
        tenant="main",
        home=tmp_path,
        workspace=Workspace(root=tmp_path, made=True, trusted=False),
        inputs={},
        settings=Settings(),
        store=store,
        cancelled=lambda: False,
        on_cancel=lambda _: None,
        emit=lambda _: None,
        secrets=lambda _: None,
        scratch="",
    )


def put(ctx: ActionContext, path: str, value: str = "v") -> dict[str, Any]:
    return done(ctx, scratch.write(path, value, key=ids.new(), ctx=ctx))


def done(ctx: ActionContext, told: dict[str, Any]) -> dict[str, Any]:
    """What the gate does when a call is done."""
    for write in ctx.along:
        ctx.store.transact(write)
    ctx.along.clear()
    return told


def promote(ctx: ActionContext, path: str, to: str = "x", **more: Any) -> dict[str, Any]:
    more = {"reason": "two sources", **more}
    return done(ctx, scratch.promote(path, to, key=ids.new(), ctx=ctx, **more))


@pytest.fixture
def child(ctx: ActionContext) -> ActionContext:
    """A child of the run: it shares its scratch."""
    id = ids.new()
    ctx.store.transact(
        runs.start,
        NewRun(id=id, workflow="w", step="s", parent_id=ctx.run_id, parent_call="c", depth=1),
    )
    own = replace(ctx, run_id=id, agent="researcher", pad=ctx.run_id, scratch=rows.notes_of(id))
    return replace(own, along=[])


def names(ctx: ActionContext, prefix: str = "") -> list[str]:
    return [one["path"] for one in scratch.listed(prefix, ctx=ctx)]


def label(ctx: ActionContext, function: Any, **args: str) -> labels.Label:
    found = built(function).label
    assert callable(found)
    return found(args, ctx)


def test_scratch_is_free_repeatable_and_stays_within_the_run() -> None:
    write, read, listed, promoted = map(built, scratch.ACTIONS)
    assert (write.id, read.id, listed.id) == ("scratch.write", "scratch.read", "scratch.list")
    assert {a.risk for a in (write, read, listed, promoted)} == {Risk.NONE}
    assert (write.effect, read.effect, listed.effect) == (Effect.KEYED, Effect.PURE, Effect.PURE)
    assert {taint.sink(write), taint.sink(promoted)} == {taint.Sink.CONTAINED}
    assert {taint.sink(read), taint.sink(listed)} == {taint.Sink.LOOK}


def test_what_was_noted_is_read_and_listed_and_the_last_word_counts(ctx: ActionContext) -> None:
    put(ctx, "plan", "first")
    put(ctx, "plan", "second\nüñ")
    put(ctx, "Found/b-1.md")
    put(ctx, "found/a")
    assert scratch.read("plan", ctx=ctx)["value"] == "second\nüñ"
    assert names(ctx) == ["Found/b-1.md", "found/a", "plan"]
    assert names(ctx, "found/") == ["found/a"]
    with pytest.raises(errors.CallFailed, match="Nothing is noted"):
        scratch.read("plans", ctx=ctx)


def test_one_run_reads_nothing_of_another(ctx: ActionContext) -> None:
    put(ctx, "plan")
    other = replace(ctx, run_id=ids.new())
    assert names(other) == []
    with pytest.raises(errors.CallFailed):
        scratch.read("plan", ctx=other)


@table(
    [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        ".a",
        "a b",
        "a\n",
        "ü",
        "a\0",
        "x" * 201,
        "a/-b",
    ]
)
def test_a_name_that_is_none_is_refused(ctx: ActionContext, path: str) -> None:
    with pytest.raises(errors.CallRefused, match="no name for scratch"):
        put(ctx, path)
    assert names(ctx) == []


def test_a_value_is_bounded_as_it_will_be_read(ctx: ActionContext) -> None:
    put(ctx, "a", "x" * scratch.LONGEST)
    for value in ("x" * (scratch.LONGEST + 1), '"' * (scratch.LONGEST // 2 + 1)):
        with pytest.raises(errors.CallRefused, match="at most 20000 characters"):
            put(ctx, "b", value)
    assert names(ctx) == ["a"]


def test_the_values_of_a_run_are_counted_and_one_that_is_there_can_still_be_written(
    ctx: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "MOST", 3)
    for path in "abc":
        put(ctx, path)
    with pytest.raises(errors.CallRefused, match="at most 3 values"):
        put(ctx, "d")
    put(ctx, "b", "again")
    assert (names(ctx), scratch.read("b", ctx=ctx)["value"]) == (["a", "b", "c"], "again")


def test_a_child_writes_beneath_its_prefix_alone_and_reads_that_and_what_is_shared(
    ctx: ActionContext, child: ActionContext
) -> None:
    own = f"{child.scratch}found"
    put(ctx, "plan")
    put(child, own, "mine")
    for path in ("shared.plan", "plan", "scratch.0000000000.found", child.scratch[:-1], "found"):  # type: ignore[index]
        with pytest.raises(errors.CallRefused, match=f"beneath {child.scratch} only"):
            put(child, path, "other")
    with pytest.raises(errors.CallRefused, match="may not write"):
        put(replace(ctx, scratch=None), "a")
    for path, why in ((own, "but its child"), ("shared.plan", "not written but promoted")):
        with pytest.raises(errors.CallRefused, match=why):
            put(ctx, path, "other")
    promote(ctx, own, "plan")
    sibling = replace(child, scratch="scratch.0000000000.")
    assert names(ctx) == ["plan", own, "shared.plan"]
    assert names(child) == [own, "shared.plan"]
    assert names(sibling) == ["shared.plan"]
    for path in (own, "plan"):
        with pytest.raises(errors.CallFailed, match="Nothing is noted"):
            scratch.read(path, ctx=sibling)
    assert scratch.read("shared.plan", ctx=sibling)["value"] == "mine"


def test_what_is_promoted_says_who_wrote_it_where_it_was_and_why_and_keeps_its_label(
    ctx: ActionContext, child: ActionContext
) -> None:
    own = f"{child.scratch}found"
    put(replace(child, external=True), own, "theirs")
    assert label(ctx, scratch.promote, path=own).external
    promote(ctx, own, "shared.prices", reason=" both pages say so ")
    (told,) = [one for one in scratch.listed("shared", ctx=child) if one.pop("at")]
    assert told == {
        "path": "shared.prices",
        "length": 6,
        "author": "researcher",
        "origin": own,
        "reason": "both pages say so",
        "from": "outside",
    }
    assert label(child, scratch.read, path="shared.prices").external
    assert scratch.read(own, ctx=ctx)["value"] == "theirs", "it stays where it was"
    put(child, own, "by now something else")
    promote(replace(ctx, private=True), own, "prices")
    assert label(ctx, scratch.read, path="shared.prices") == labels.of_context(
        external=False, private=True
    )


@table(
    [
        ("plan", {}, errors.CallFailed, "No child has noted"),
        ("scratch.0000000000.found", {}, errors.CallFailed, "No child has noted"),
        (None, {"to": "../x"}, errors.CallRefused, "no name for scratch"),
        (None, {"reason": " "}, errors.CallRefused, "reason is empty"),
        (None, {"schema": {"type": "object"}}, errors.CallFailed, "is not of type 'object'"),
        (None, {"schema": {"type": "objet"}}, errors.CallRefused, "schema cannot be used"),
        (None, {"schema": {"pattern": "(a+)+$"}}, errors.CallRefused, "it uses pattern"),
    ]
)
def test_nothing_is_promoted_that_is_no_childs_or_does_not_fit(
    ctx: ActionContext,
    child: ActionContext,
    path: str | None,
    more: dict[str, Any],
    kind: type[errors.AlfredError],
    told: str,
) -> None:
    put(ctx, "plan")
    put(child, f"{child.scratch}found", "5")
    with pytest.raises(kind, match=told):
        promote(ctx, path or f"{child.scratch}found", **more)
    with pytest.raises(errors.CallRefused, match="Only the run at the top"):
        promote(child, f"{child.scratch}found")
    assert names(ctx, "shared.x") == []
    promote(ctx, f"{child.scratch}found", "fits", schema={"type": "integer", "maximum": 5})


def test_what_a_child_was_asked_for_with_a_schema_is_held_against_it_when_it_is_promoted(
    ctx: ActionContext, child: ActionContext
) -> None:
    name = f"{child.scratch}{scratch.RESULT}"
    said = {"author": "researcher", "form": '{"type": "integer"}', **labels.halves(labels.DERIVED)}
    for value, fits in (("5", True), ("five", False), ('"5"', False)):
        ctx.store.transact(ledger.note, run_id=ctx.run_id, path=name, value=value, **said)
        if fits:
            promote(ctx, name)
        else:
            with pytest.raises(errors.CallFailed, match="does not fit"):
                promote(ctx, name)


def test_a_value_carries_the_label_of_the_context_that_wrote_it(ctx: ActionContext) -> None:
    put(ctx, "own")
    put(replace(ctx, external=True, private=True), "mail/x")
    theirs = labels.of_context(external=True, private=True)
    own = labels.of_context(external=False, private=False)
    cases = [
        (scratch.read, {"path": "own"}, own),
        (scratch.read, {"path": "mail/x"}, theirs),
        (scratch.read, {"path": "nothing"}, labels.DERIVED),
        (scratch.listed, {"prefix": ""}, theirs),  # their names are words as well
        (scratch.listed, {"prefix": "mail"}, theirs),
        (scratch.listed, {"prefix": "o"}, own),
    ]
    for function, args, expected in cases:
        assert label(ctx, function, **args) == expected, args
    assert scratch.read("mail/x", ctx=ctx)["from"] == "outside"
    put(ctx, "mail/x", "my own words")
    assert label(ctx, scratch.read, path="mail/x") == own
