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
from alfred.memory import scratch
from alfred.runs import ledger as runs
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
    return scratch.write(path, value, key=ids.new(), ctx=ctx)


def names(ctx: ActionContext, prefix: str = "") -> list[str]:
    return [one["path"] for one in scratch.listed(prefix, ctx=ctx)]


def label(ctx: ActionContext, function: Any, **args: str) -> labels.Label:
    found = built(function).label
    assert callable(found)
    return found(args, ctx)


def test_scratch_is_free_repeatable_and_stays_within_the_run() -> None:
    write, read, listed = map(built, scratch.ACTIONS)
    assert (write.id, read.id, listed.id) == ("scratch.write", "scratch.read", "scratch.list")
    assert {a.risk for a in (write, read, listed)} == {Risk.NONE}
    assert (write.effect, read.effect, listed.effect) == (Effect.KEYED, Effect.PURE, Effect.PURE)
    assert taint.sink(write) is taint.Sink.CONTAINED
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


def test_a_run_writes_beneath_its_prefix_only_and_reads_all(ctx: ActionContext) -> None:
    put(ctx, "shared/plan")
    child = replace(ctx, scratch="c1/")
    put(child, "c1/found")
    for path in ("shared/plan", "c1", "c2/found", "found"):
        with pytest.raises(errors.CallRefused, match="beneath c1/ only"):
            put(child, path, "other")
    with pytest.raises(errors.CallRefused, match="may not write"):
        put(replace(ctx, scratch=None), "a")
    assert scratch.read("shared/plan", ctx=child)["value"] == "v"
    assert names(ctx) == ["c1/found", "shared/plan"]


def test_a_value_carries_the_label_of_the_context_that_wrote_it(ctx: ActionContext) -> None:
    put(ctx, "own")
    put(replace(ctx, external=True, private=True), "mail/x")
    theirs = labels.of_context(external=True, private=True)
    own = labels.of_context(external=False, private=False)
    rows = [
        (scratch.read, {"path": "own"}, own),
        (scratch.read, {"path": "mail/x"}, theirs),
        (scratch.read, {"path": "nothing"}, labels.DERIVED),
        (scratch.listed, {"prefix": ""}, theirs),  # their names are words as well
        (scratch.listed, {"prefix": "mail"}, theirs),
        (scratch.listed, {"prefix": "o"}, own),
    ]
    for function, args, expected in rows:
        assert label(ctx, function, **args) == expected, args
    assert scratch.read("mail/x", ctx=ctx)["from"] == "outside"
    put(ctx, "mail/x", "my own words")
    assert label(ctx, scratch.read, path="mail/x") == own
