"""An owner who has read what strangers' words were written into says so: for exactly that, and it is audited."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alfred import app
from alfred.actions.ledger import labels as rows
from alfred.cli import terminal
from alfred.runs import audit
from alfred.trust import labels
from tests.flows.conftest import Alfred


@pytest.fixture
def marked(alfred: Alfred, folder: Path) -> Path:
    """A file that strangers' words were written into."""
    path = folder / "notes.txt"
    assert alfred("status").code == 0
    mark(path)
    return path


def mark(path: Path) -> None:
    with app.base() as base:
        place = rows.place(path)
        about = {"tenant": "main", "label": labels.EXTERNAL, "run_id": "01M8H8K10K9BWJ4ZRDVZ5AWTNP"}
        base.store.transact(rows.mark, path=place, **about)


def test_a_run_that_reads_it_afterwards_is_not_held_back(
    alfred: Alfred, script: Callable[..., str], folder: Path, marked: Path
) -> None:
    look = {"calls": [{"tool": "files.read", "args": {"path": "notes.txt"}}]}

    def label() -> str:
        model = script(look, {"say": "Done."})
        ran = alfred("run", "x", "--in", folder, "--model", model, "--json").json
        return alfred("runs", "show", ran["id"], "--json").json["run"]["label"]

    assert label() == "external/private"
    shown = alfred("endorse", folder, "--json").json["error"]
    assert shown["code"] == "hash_required"
    assert [mark["path"] for mark in shown["marks"]] == [str(marked)]
    done = alfred("endorse", folder, "--hash", shown["hash"][:12], "--json")
    assert (done.code, done.json["marks"]) == (0, shown["marks"])
    assert label() == "derived/private"
    with app.base() as base, base.store.read() as look_:
        said = [json.loads(row.row or "{}") for row in audit.chain(look_, "main")]
    (sealed,) = [row for row in said if row["what"] == "endorse"]
    assert (sealed["path"], sealed["by"][:6]) == (str(folder), "local:")
    again = alfred("endorse", folder)
    assert again.code == 0 and "nothing there is marked" in again.out


def test_it_is_said_of_what_was_shown_and_by_a_person(
    alfred: Alfred, marked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "line", lambda question: "y")
    assert alfred("endorse", marked).code == 2, "there is no terminal"
    hash = alfred("endorse", marked, "--json").json["error"]["hash"]
    mark(marked)  # written again
    assert alfred("endorse", marked, "--hash", hash, "--json").json["error"]["code"] == "stale_hash"
    monkeypatch.setattr(terminal, "interactive", lambda: True)
    monkeypatch.setattr(terminal, "line", lambda question: "")
    assert alfred("endorse", marked).code == 2
    monkeypatch.setattr(terminal, "line", lambda question: "y")
    told = alfred("endorse", marked)
    assert told.code == 0 and "external/public" in told.err and "by run 5awtnp" in told.err
    assert alfred("endorse", marked, "--json").json["marks"] == []


def test_while_a_run_with_strangers_words_may_be_writing_nothing_is_endorsed(
    alfred: Alfred, marked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash = alfred("endorse", marked, "--json").json["error"]["hash"]
    monkeypatch.setattr(rows, "writing", lambda tx, tenant: "01M8H8K10K9BWJ4ZRDVZ5AWTNP")
    said = alfred("endorse", marked, "--hash", hash)
    assert said.code == 2 and "5awtnp" in said.err
    assert alfred("endorse", marked, "--json").json["error"]["marks"]
