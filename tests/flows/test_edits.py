"""Changing a call from the command line: the arguments given whole, or in an editor; nothing typed is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alfred.cli import edit as editing
from alfred.cli import terminal
from tests.flows.conftest import Alfred

Card = dict[str, str]


@pytest.fixture
def card(alfred: Alfred, folder: Path, script: Callable[..., str]) -> Card:
    """A write that waits."""
    write = {"tool": "files.write", "args": {"path": "b.txt", "content": "x"}}
    model = script({"say": "Writing.", "calls": [write]}, {"say": "Done."})
    return alfred("run", "write", "--in", folder, "--model", model, "--json").json["waiting"][0]


def test_what_was_changed_is_written(alfred: Alfred, card: Card, folder: Path) -> None:
    told = alfred("edit", card["id"], "--args", '{"path": "c.txt", "content": "y"}', "--json")
    assert (told.code, told.json["status"]) == (0, "edited")
    assert told.json["edited_args"] == {"path": "c.txt", "content": "y"}
    assert told.json["args"] == {"path": "b.txt", "content": "x"}
    assert alfred("runs", "resume", told.json["run_id"]).code == 0
    assert not (folder / "b.txt").exists() and (folder / "c.txt").read_text() == "y"
    again = alfred("edit", card["id"], "--args", '{"path": "c.txt", "content": "z"}')
    assert again.code == 1 and "was edited by" in again.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('{"path": "c.txt"}', "content: is required"),
        ('{"path": "/etc/x", "content": ""}', "is refused"),
    ],
)
def test_what_cannot_be_carried_out_is_said_and_the_card_waits(
    alfred: Alfred, card: Card, args: str, said: str
) -> None:
    told = alfred("edit", card["id"], "--args", args)
    assert told.code == 2 and said in told.err
    assert len(alfred("approvals", "list", "--json").json["approvals"]) == 1


def test_a_high_risk_wants_its_hash(alfred: Alfred, card: Card) -> None:
    raised = {"path": ".github/workflows/x.yml", "content": "y"}
    told = alfred("edit", card["id"], "--args", json.dumps(raised), "--json")
    assert (told.code, told.json["status"], told.json["risk"]) == (0, "pending", "high")
    args = json.dumps(raised | {"content": "z"})
    refused = alfred("edit", told.json["id"], "--args", args)
    assert refused.code == 2 and "high risk" in refused.err
    assert alfred("edit", told.json["id"], "--args", args, "--hash", "0" * 12).code == 1
    given = alfred("edit", told.json["id"], "--args", args, "--hash", told.json["args_hash"][:12])
    assert given.code == 0
    found = alfred("approvals", "list", "--status", "all", "--json").json["approvals"]
    asked = [(c["args"]["content"], (c["edited_args"] or {}).get("content")) for c in found]
    assert asked == [("z", None), ("y", "z"), ("x", "y")]


@pytest.fixture
def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """What a person's editor does with the file."""

    def use(script: str) -> None:
        program = tmp_path / "editor"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("VISUAL", str(program))
        monkeypatch.setattr(terminal, "interactive", lambda: True)
        monkeypatch.setattr(editing.tempfile, "tempdir", str(tmp_path))

    return use


def test_the_arguments_open_in_an_editor(
    alfred: Alfred, card: Card, editor: Callable[[str], None], tmp_path: Path
) -> None:
    editor("sed -i s/b.txt/d.txt/ $1")
    told = alfred("edit", card["id"])
    assert told.code == 0
    found = alfred("approvals", "list", "--status", "all", "--json").json["approvals"]
    assert [c["edited_args"] for c in found if c["edited_args"]] == [
        {"content": "x", "path": "d.txt"}
    ]
    assert list(tmp_path.glob("alfred-edit-*")) == []


@pytest.mark.parametrize("typing", ["echo '{broken' > $1", "echo changed >> $1; exit 3"])
def test_what_was_typed_is_kept_when_it_cannot_be_used(
    alfred: Alfred, card: Card, editor: Callable[[str], None], tmp_path: Path, typing: str
) -> None:
    editor(typing)
    told = alfred("edit", card["id"])
    [kept] = tmp_path.glob("alfred-edit-*")
    assert told.code == 2 and str(kept) in told.err
    assert len(alfred("approvals", "list", "--json").json["approvals"]) == 1


def test_without_a_terminal_no_editor_is_started(alfred: Alfred, card: Card) -> None:
    told = alfred("edit", card["id"])
    assert told.code == 2 and "--args" in told.err
