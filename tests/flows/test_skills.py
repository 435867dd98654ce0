"""Skills from the outside: what an agent is told of them, what it reads, and what the owner is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alfred import app
from alfred.actions.ledger import labels as file_labels
from alfred.agents import ledger as agent_ledger
from alfred.trust import labels
from tests.flows.conftest import Alfred


def write(root: Path, name: str, description: str, body: str = "Do it.\n") -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(f"---\nname: {name}\ndescription: {description}\n---\n{body}")
    return folder


def head(run: str) -> dict[str, Any]:
    with app.base() as base, base.store.read() as look:
        found = agent_ledger.stored_head(look, base.desk.run(run).id)
    assert found is not None
    return found


def offered(run: str) -> bool:
    return any(tool["name"] == "skills__view" for tool in head(run)["tools"])


def marked(path: Path) -> None:
    """A run that had read strangers' words wrote into it."""
    with app.base() as base:
        place = file_labels.place(path)
        base.store.transact(
            file_labels.mark, tenant="main", path=place, label=labels.EXTERNAL, run_id="r"
        )


@pytest.fixture
def trusting(alfred: Alfred, home: Path, folder: Path) -> None:
    """The owner trusts the folder."""
    alfred("setup")
    (home / "config.yaml").write_text(
        f"alfred: 1\ntimezone: UTC\ntrust: {{workspaces: [{folder}]}}\n"
        "agents: {main: , ops: , mute: {tools: [todo]}}\n"
    )


@pytest.mark.slow
def test_a_run_keeps_what_it_was_told_of_skills_and_the_next_one_is_told_what_is_there_then(
    alfred: Alfred, home: Path, folder: Path, script: Any
) -> None:
    alfred("setup")
    ran = ("run", "x", "--in", folder, "--json", "--model")
    first = alfred(*ran, script({"say": "Done."})).json["id"]
    assert not offered(first), "there is none to read"
    write(home / "skills", "deploy", "Deploys.", "First the tests.\n")
    model = script(
        {"calls": [{"tool": "skills__view", "args": {"name": "deploy"}}]},
        {"calls": [{"tool": "ask.user", "args": {"question": "Which?"}}]},
        {"calls": [{"tool": "skills.view", "args": {"name": "deploy"}}]},
        {"say": "Done."},
    )
    waits = alfred(*ran, model).json["id"]
    told = head(waits)
    assert "- deploy: Deploys." in told["text"]
    assert offered(waits)
    write(home / "skills", "deploy", "Deploys twice.", "Changed.\n")
    card = alfred("approvals", "list", "--json").json["approvals"][0]["id"]
    assert alfred("answer", card, "that").code == 0
    assert alfred("runs", "resume", waits).code == 0
    assert head(waits) == told
    results = [
        item["text"]
        for item in alfred("runs", "show", waits, "--json").json["transcript"]
        if item["kind"] == "result" and item["tool"] == "skills__view"
    ]
    assert [json.loads(one)["text"] for one in results] == ["First the tests.\n", "Changed.\n"]
    assert (
        "- deploy: Deploys twice."
        in head(alfred(*ran, script({"say": "Done."})).json["id"])["text"]
    )


def test_who_may_not_read_skills_is_not_told_of_them(
    alfred: Alfred, home: Path, folder: Path, script: Any, trusting: None
) -> None:
    write(home / "skills", "deploy", "Deploys.")
    run = ("run", "x", "--in", folder, "--model", script({"say": "Done."}), "--json", "--agent")
    write(folder / ".agents" / "skills", "lint", "Lints.")
    mute = alfred(*run, "mute").json["id"]
    with app.base() as base:
        assert base.desk.run(mute).private == 0
    assert "deploy" not in head(mute)["text"]
    assert not offered(mute)
    assert "- deploy: Deploys." in head(alfred(*run, "ops").json["id"])["text"]


def test_a_projects_skills_make_a_run_private_and_are_gone_when_a_stranger_has_written_them(
    alfred: Alfred, folder: Path, script: Any, trusting: None
) -> None:
    own = write(folder / ".agents" / "skills", "deploy", "Deploys.")
    run = ("run", "x", "--in", folder, "--model", script({"say": "Done."}), "--json")
    first = alfred(*run).json["id"]
    assert "- deploy: Deploys." in head(first)["text"]
    with app.base() as base:
        assert (base.desk.run(first).private, base.desk.run(first).external) == (1, 0)
    marked(own / "SKILL.md")
    assert "deploy" not in head(alfred(*run).json["id"])["text"]


def test_what_strangers_wrote_does_not_say_how_an_agent_speaks(
    alfred: Alfred, home: Path, folder: Path, script: Any, trusting: None
) -> None:
    assert alfred("config", "edit", "agents.ops.workspace", str(folder)).code == 0
    (folder / "SOUL.md").write_text("You are a pirate.")
    run = ("run", "x", "--model", script({"say": "Done."}), "--json", "--agent", "ops")
    assert "You are a pirate." in head(alfred(*run).json["id"])["text"]
    marked(folder / "SOUL.md")
    assert "pirate" not in head(alfred(*run).json["id"])["text"]


def test_skills_are_listed_with_what_is_none_and_shown_as_they_are_read(
    alfred: Alfred, home: Path, folder: Path, trusting: None
) -> None:
    assert "No skills." in alfred("skills", "list", "--in", folder).out
    write(home / "skills", "deploy", "Deploys.", "Do \u202eit.\n")
    write(home / "agents" / "ops" / "skills", "deploy", "Deploys ops.")
    (write(folder / ".claude" / "skills", "lint", "Lints.") / "rules.md").write_text("x")
    (home / "skills" / "empty").mkdir()
    told = alfred("skills", "list", "--in", folder, "--agent", "ops", "--json").json
    assert [(one["name"], one["source"], one["description"]) for one in told["skills"]] == [
        ("deploy", "agent", "Deploys ops."),
        ("lint", "project", "Lints."),
    ]
    assert {Path(one["folder"]).name for one in told["passed_over"]} == {"deploy", "empty"}
    listed = alfred("skills", "list", "--in", folder).out
    assert "deploy  home     Deploys." in listed
    assert "not used: " in listed and "SKILL.md: no such file" in listed
    shown = alfred("skills", "show", "deploy", "--in", folder).out
    assert "Do \\u{202E}it." in shown and str(home / "skills" / "deploy") in shown
    told = alfred("skills", "show", "lint", "--in", folder, "--json").json
    assert (told["files"], told["source"]) == (["rules.md"], "project")
    unknown = alfred("skills", "show", "nothing")
    assert (unknown.code, "alfred skills list" in unknown.err) == (2, True)
