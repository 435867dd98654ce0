"""Files keep the label of what was written into them, whoever reads them next, whatever they are called by then."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alfred.actions import declare
from alfred.integrations import edits, files, git, marks, moves, programs, shell
from alfred.trust import labels, paths
from alfred.trust.labels import Confidentiality, Integrity, Label
from tests.unit.integrations.conftest import Bench

PRIVATE = Label(Integrity.DERIVED, Confidentiality.PRIVATE)


def outside(bench: Bench) -> Bench:
    """The same workspace, in a context that holds foreign text."""
    return replace(bench, ctx=replace(bench.ctx, external=True, run_id="outside"))


def secretive(bench: Bench) -> Bench:
    return replace(bench, ctx=replace(bench.ctx, private=True, run_id="private"))


def label(bench: Bench, function: Callable[..., Any], **given: Any) -> Label:
    """What the result of a call would be labelled as."""
    found = declare.build(function).label
    assert callable(found)
    return found(bench.args(function, given), bench.ctx)


def external(bench: Bench, path: str) -> bool:
    return label(bench, files.read, path=path).external


def test_a_place_has_the_label_of_who_made_it(
    bench: Bench, brought: Bench, new_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    assert label(bench, files.read, path="x") == labels.DERIVED
    assert label(brought, files.read, path="x") == PRIVATE
    assert label(brought, git.log) == PRIVATE, "also where there is no repository"
    given = tmp_path / "given.txt"
    given.write_text("x")
    both = new_bench(inputs={"given.txt": given})
    assert label(both, files.read, path="inputs/given.txt") == PRIVATE
    assert label(both, files.read, path="x") == labels.DERIVED
    assert label(both, shell.run, command="ls") == PRIVATE, "a command can read the inputs"
    assert label(bench, shell.run, command="ls") == labels.DERIVED
    place = replace(brought.ctx.workspace, trusted=True)
    trusted = replace(brought, ctx=replace(brought.ctx, workspace=place))
    assert label(trusted, files.read, path="x").integrity is Integrity.TRUSTED
    assert label(bench, files.read, path="../x") == labels.DERIVED, "it is refused, so not read"


def test_what_is_written_in_an_external_context_is_external_until_it_is_overwritten(
    bench: Bench,
) -> None:
    outside(bench).call(edits.write, path="a/x", content="do as I say\n")
    assert external(bench, "a/x")
    assert label(bench, files.list_).external
    assert label(bench, files.search, pattern="x").external
    assert label(bench, shell.run, command="cat a/x").external
    assert not external(bench, "a/y")
    diff = "@@ -1 +1 @@\n-do as I say\n+do as we say\n"
    bench.call(edits.patch_, path="a/x", diff=diff)
    assert external(bench, "a/x"), "some of it may still be theirs"
    bench.call(edits.write, path="a/x", content="mine\n")
    assert not external(bench, "a/x")
    assert not label(bench, files.list_).external
    outside(bench).call(edits.patch_, path="a/x", diff="@@ -1 +1 @@\n-mine\n+theirs\n")
    assert external(bench, "a/x")


def test_what_is_written_in_a_private_context_is_private(bench: Bench) -> None:
    secretive(bench).call(edits.write, path="x", content="a memory")
    assert label(bench, files.read, path="x") == PRIVATE


def test_the_mark_is_there_before_the_file_is_touched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.call(edits.write, path="x", content="old")
    seen: list[bool] = []

    def killed(*args: Any) -> None:
        seen.append(external(bench, "x"))
        raise OSError("killed")

    monkeypatch.setattr(paths, "write", killed)
    with pytest.raises(Exception, match="cannot be used"):
        outside(bench).call(edits.write, path="x", content="theirs")
    with pytest.raises(Exception, match="cannot be used"):
        bench.call(edits.write, path="x", content="ours")
    assert seen == [True, True]
    assert external(bench, "x"), "a crash in between leaves the mark"


def test_a_mark_goes_where_its_file_goes_and_with_it(bench: Bench) -> None:
    outside(bench).call(edits.write, path="d/x", content="theirs")
    bench.call(moves.move, path="d/x", to="e/y")
    assert external(bench, "e/y")
    assert not external(bench, "d/x")
    bench.call(moves.move, path="e", to="f")
    assert external(bench, "f/y")
    bench.call(moves.delete, path="f/y")
    bench.call(edits.write, path="f/y", content="ours")
    assert not external(bench, "f/y")
    outside(bench).call(moves.move, path="f/y", to="f/called-by-them")
    assert external(bench, "f/called-by-them"), "its name is theirs"


def test_a_link_to_a_marked_file_is_marked_and_moving_it_moves_no_mark(bench: Bench) -> None:
    root = bench.ctx.workspace.root
    outside(bench).call(edits.write, path="x", content="theirs")
    (root / "link").symlink_to("x")
    assert external(bench, "link")
    bench.call(moves.move, path="link", to="other")
    assert external(bench, "x")
    assert external(bench, "other")
    bench.call(moves.delete, path="other")
    assert external(bench, "x")


def test_a_command_marks_the_folder_when_it_may_write_in_an_external_context(
    bench: Bench, brought: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Bench] = []
    monkeypatch.setattr(programs, "sandboxed", lambda ctx: "test")
    monkeypatch.setattr(programs, "_in_sandbox", lambda words, *rest: words)
    for one in (bench, brought):
        one.call(shell.run, command="true", write=True)
        assert not external(one, "x")
        ran.append(one)
    outside(brought).call(shell.run, command="true", write=False)
    assert not external(brought, "x"), "it could only read"
    for one in ran:
        outside(one).call(shell.run, command="echo theirs > x", write=True)
        assert external(one, "x")
        assert external(one, "any/other")


def test_a_command_takes_no_label_off_by_copying(
    brought: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "sandboxed", lambda ctx: "test")
    monkeypatch.setattr(programs, "_in_sandbox", lambda words, *rest: words)
    outside(brought).call(edits.write, path="x", content="theirs")
    brought.call(shell.run, command="cp x clean", write=True)
    assert external(brought, "clean")


def test_a_commit_keeps_the_label_of_its_context_and_of_its_files(brought: Bench) -> None:
    root = brought.ctx.workspace.root
    subprocess.run(["git", "init", "-q", "-b", "main", root], check=True)
    subprocess.run(["git", "-C", root, "config", "user.name", "t"], check=True)
    subprocess.run(["git", "-C", root, "config", "user.email", "t@example.org"], check=True)
    (root / "a").write_text("a")
    brought.judged(git.commit, message="ours", paths=["a"])
    brought.call(git.commit, message="ours", paths=["a"])
    outside(brought).call(edits.write, path="x", content="theirs")
    (root / "b").write_text("b")
    brought.call(git.commit, message="ours too", paths=["b"])
    assert not external(brought, ".git/HEAD")
    brought.call(git.commit, message="theirs", paths=["x"])
    assert external(brought, ".git/HEAD")
    brought.call(moves.delete, path="x")
    assert not label(brought, files.list_, path="a").external
    for reading in (git.log, git.diff, git.status):
        assert label(brought, reading).external
    assert label(brought, git.show, ref="HEAD").external


def test_a_branch_that_strangers_words_named_marks_the_repository(brought: Bench) -> None:
    root = brought.ctx.workspace.root
    subprocess.run(["git", "init", "-q", "-b", "main", root], check=True)
    brought.call(git.branch, name="ours")
    assert not label(brought, git.status).external
    outside(brought).call(git.branch, name="theirs")
    assert label(brought, git.status).external


def test_what_a_repository_around_the_workspace_keeps_counts(
    new_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    top = tmp_path / "top"
    subprocess.run(["git", "init", "-q", "-b", "main", top], check=True)
    below = new_bench(made=False, root=top / "below")
    assert not label(below, git.log).external
    outside(below).call(git.branch, name="theirs")
    assert label(below, git.log).external
    assert not label(below, files.list_).external


def test_what_a_repository_elsewhere_keeps_counts_in_its_work_tree(
    new_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    top, tree = tmp_path / "top", tmp_path / "tree"
    git_ = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(top)]
    subprocess.run(["git", "init", "-q", "-b", "main", top], check=True)
    subprocess.run([*git_, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    for one in (tree, tmp_path / "other"):
        subprocess.run([*git_, "worktree", "add", "-q", "--detach", str(one)], check=True)
    here, there = (new_bench(made=False, root=one) for one in (tmp_path / "other", tree))
    assert not label(there, git.log).external
    outside(here).call(git.branch, name="theirs")
    assert label(there, git.log).external


def test_a_folder_whose_name_is_no_text_has_labels_too(
    new_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    one = new_bench(made=False, root=root)
    one.call(edits.write, path="x", content="ours")
    assert not external(one, "x")
    outside(one).call(edits.write, path="x", content="theirs")
    assert external(one, "x")


def test_nothing_is_stored_about_what_is_as_usual(bench: Bench, brought: Bench) -> None:
    for one in (bench, secretive(brought)):
        one.call(edits.write, path="x", content="ours")
        with one.ctx.store.read() as look:
            path = marks._named(marks.places.writing(one.ctx, "x"))
            assert marks.rows.version(look, "main", path) is None


def test_what_a_stranger_writes_into_a_file_while_it_is_moved_goes_along(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("x", "folder/x"):
        bench.call(edits.write, path=path, content="mine\n")
    real = paths.rename

    def late(root: Path, path: str, to: str) -> None:
        inside = path if path == "x" else f"{path}/x"
        outside(bench).call(edits.write, path=inside, content="do as I say\n")
        real(root, path, to)

    monkeypatch.setattr(paths, "rename", late)
    bench.call(moves.move, path="x", to="y")
    bench.call(moves.move, path="folder", to="other")
    assert external(bench, "y") and external(bench, "other/x")
