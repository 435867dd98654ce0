"""The labels of files, on both databases: the nearest row counts, and only what was written whole gets better."""

from __future__ import annotations

import pytest

from alfred.actions.ledger import labels as rows
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.trust import labels
from alfred.trust.labels import DERIVED, EXTERNAL, Confidentiality, Integrity, Label
from tests.ledger.core import Core

PRIVATE = Label(Integrity.DERIVED, Confidentiality.PRIVATE)


class Files:
    """The verbs with what is the same in every test."""

    def __init__(self, store: Store):
        self.store = store

    def mark(self, path: str, label: Label = EXTERNAL, run: str = "r", tenant: str = "main"):
        return self.store.transact(rows.mark, tenant=tenant, path=path, label=label, run_id=run)

    def replace(
        self, path: str, label: Label, seen: rows.Version, *, plain: bool = True, run: str = "r"
    ):
        self.store.transact(
            rows.replace,
            tenant="main",
            path=path,
            label=label,
            plain=plain,
            run_id=run,
            seen=seen,
        )

    def move(self, path: str, to: str):
        self.store.transact(rows.moved, tenant="main", path=path, to=to, run_id="r")

    def at(self, path: str, tenant: str = "main") -> Label | None:
        with self.store.read() as look:
            return rows.nearest(look, tenant, path)

    def covered(self, path: str) -> Label | None:
        with self.store.read() as look:
            return rows.covered(look, "main", path)

    def seen(self, path: str) -> rows.Version:
        with self.store.read() as look:
            return rows.version(look, "main", path)


@pytest.fixture
def files(core: Core) -> Files:
    return Files(core.store)


def test_a_row_of_a_folder_covers_what_is_beneath_it_and_nothing_beside_it(files: Files) -> None:
    files.mark("/w/a_b")
    assert files.at("/w/a_b/c/d") == EXTERNAL
    assert (files.at("/w/a_bc"), files.at("/w/axb/c"), files.at("/w")) == (None, None, None)
    assert (files.covered("/w"), files.covered("/")) == (EXTERNAL, EXTERNAL)
    assert files.covered("/w/a") is None
    assert files.at("/w/a_b", tenant="other") is None


def test_marking_only_makes_worse_also_what_lies_beneath(files: Files) -> None:
    files.mark("/w/x", PRIVATE)
    files.mark("/w/x", EXTERNAL)
    assert files.at("/w/x") == labels.join(PRIVATE, EXTERNAL)
    files.mark("/w/x", DERIVED)
    assert files.at("/w/x") == labels.join(PRIVATE, EXTERNAL)
    files.mark("/w/y/z", PRIVATE)
    files.mark("/w/y", EXTERNAL)
    assert files.at("/w/y/z") == labels.join(PRIVATE, EXTERNAL)
    assert files.at("/w/y/other") == EXTERNAL


def test_a_file_written_whole_has_the_label_of_what_was_written(files: Files) -> None:
    files.mark("/w/x")
    files.replace("/w/x", DERIVED, files.seen("/w/x"))
    assert files.at("/w/x") is None
    files.mark("/w/d")
    files.replace("/w/d/x", DERIVED, files.seen("/w/d/x"))
    assert (files.at("/w/d/x"), files.at("/w/d/y")) == (DERIVED, EXTERNAL)
    assert files.covered("/w/d") == labels.join(DERIVED, EXTERNAL)
    files.mark("/w/d")
    assert files.at("/w/d/x") == labels.join(DERIVED, EXTERNAL), "the folder was changed since"


def test_of_two_writers_at_once_the_worse_label_stays(files: Files) -> None:
    seen = files.seen("/w/x")
    files.mark("/w/x", run="stranger")
    files.replace("/w/x", DERIVED, seen)
    assert files.at("/w/x") == EXTERNAL
    seen = files.mark("/w/x", run="stranger")
    files.replace("/w/x", PRIVATE, files.mark("/w/x", PRIVATE), plain=False)
    files.replace("/w/x", EXTERNAL, seen, plain=False, run="stranger")
    assert files.at("/w/x") == labels.join(PRIVATE, EXTERNAL)


def test_a_label_moves_with_its_file_and_its_folder(files: Files) -> None:
    files.mark("/w/a/x", EXTERNAL)
    files.mark("/w/ab", PRIVATE)
    files.move("/w/a", "/w/b")
    assert (files.at("/w/a/x"), files.at("/w/b/x"), files.at("/w/b")) == (None, EXTERNAL, None)
    assert files.at("/w/ab") == PRIVATE


def test_a_name_in_other_letters_is_the_same_file_and_what_is_damaged_is_the_worst(
    files: Files,
) -> None:
    files.mark("/w/Notes.MD")
    assert files.at("/W/notes.md") == EXTERNAL
    files.mark("/w/notes.md", PRIVATE)
    assert files.at("/w/NOTES.md") == labels.join(PRIVATE, EXTERNAL)
    files.store.transact(lambda tx: tx(Sql("update file_labels set integrity='clean'")) and None)
    assert files.at("/w/Notes.MD") == labels.WORST


# ---- the owner's word


def endorse(files: Files, path: str, seen: list[rows.Mark] | None = None) -> bool:
    with files.store.read() as look:
        now = rows.external(look, "main", path)
    wanted = {"tenant": "main", "path": path, "by": "local:1"}
    return files.store.transact(rows.endorse, seen=now if seen is None else seen, **wanted)


def external(files: Files, path: str) -> list[str]:
    with files.store.read() as look:
        return [mark.path for mark in rows.external(look, "main", path)]


def test_what_the_owner_has_read_is_no_strangers_word_and_as_private_as_before(
    files: Files,
) -> None:
    files.mark("/w/a.md")
    files.mark("/w/b.md", labels.WORST)
    files.mark("/w/c.md", PRIVATE)
    files.mark("/v/a.md")
    files.mark("/w/a.md", tenant="other")
    assert external(files, "/w") == ["/w/a.md", "/w/b.md"]
    assert endorse(files, "/w")
    assert external(files, "/w") == []
    assert files.at("/w/a.md") is None
    assert files.at("/w/b.md") == Label(Integrity.DERIVED, Confidentiality.SECRET)
    assert files.at("/w/c.md") == PRIVATE
    assert files.at("/v/a.md") == EXTERNAL and files.at("/w/a.md", "other") == EXTERNAL


def test_a_file_of_a_marked_folder_is_endorsed_alone(files: Files) -> None:
    files.mark("/w", labels.WORST)
    files.mark("/w/d/a.md")
    assert external(files, "/w/d") == ["/w", "/w/d/a.md"]
    assert endorse(files, "/w/d")
    assert (
        files.at("/w/d/a.md")
        == files.at("/w/d/new")
        == Label(Integrity.DERIVED, Confidentiality.SECRET)
    )
    assert files.at("/w/e") == labels.WORST
    files.mark("/u")
    assert endorse(files, "/u/d") and files.at("/u/d/x") != files.at("/u/x") == EXTERNAL
    # what is written there later is marked again
    files.mark("/w/d/a.md", EXTERNAL)
    assert external(files, "/w/d") == ["/w/d/a.md"]


def test_names_that_differ_in_their_case_are_endorsed_together(files: Files) -> None:
    files.mark("/w/A.md")
    files.mark("/w/a.md")
    assert external(files, "/w/a.md") == ["/w/A.md", "/w/a.md"]
    assert endorse(files, "/w/a.md") and files.at("/w/A.md") is None


def test_what_was_written_since_the_owner_looked_is_not_endorsed(files: Files) -> None:
    files.mark("/w/a.md")
    with files.store.read() as look:
        seen = rows.external(look, "main", "/w")
    files.mark("/w/a.md", EXTERNAL, run="another")
    assert not endorse(files, "/w", seen)
    assert files.at("/w/a.md") == EXTERNAL
    assert not endorse(files, "/w", []), "nobody has seen what is there"


def test_a_write_that_was_under_way_while_the_owner_spoke_marks_its_file_again(
    files: Files,
) -> None:
    seen = files.mark("/w/a.md", run="mine")
    assert endorse(files, "/w/a.md")
    files.replace("/w/a.md", EXTERNAL, seen, plain=False, run="mine")
    assert files.at("/w/a.md") == EXTERNAL


def test_a_run_with_strangers_words_that_is_at_work_is_known(core: Core) -> None:
    def writing() -> str | None:
        with core.store.read() as look:
            return rows.writing(look, "main")

    lease = core.held()
    core.staged(lease, kinds=("none",), parked=False)
    [call] = core.calls(lease.run_id)
    core.intend(lease, call.id)
    assert writing() is None
    core.write("update runs set external=1")
    assert writing() == lease.run_id
    core.outcome(lease, call.id)
    assert writing() is None
