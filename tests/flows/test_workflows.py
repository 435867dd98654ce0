"""User-written workflows from the outside: the card is the contract, and nothing runs beyond it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alfred import app, clock
from alfred.actions.grant import Grant
from alfred.desk import Desk
from alfred.runs import rows
from alfred.runs.rows import Run
from alfred.store.statement import Sql
from alfred.workflows import authored
from tests.flows.conftest import Alfred, Said

FRONT = "agent: ops\ntools: [files]\n"
CONFIG = "alfred: 1\ntimezone: UTC\nmodel: scripted:{model}\nagents: {{main: , ops: {{tools: [files, git]}}}}\n"

Write = Callable[..., None]


@pytest.fixture
def write(alfred: Alfred, home: Path, script: Any) -> Write:
    """Writes the workflow; the home's model writes a file and is done."""
    alfred("setup")
    call = {"tool": "files.write", "args": {"path": "report.md", "content": "x"}}
    model = script({"calls": [call]}, {"say": "Done."}).removeprefix("scripted:")
    (home / "config.yaml").write_text(CONFIG.format(model=model))

    def to(front: str = FRONT, body: str = "Report.\n") -> None:
        (home / "workflows" / "weekly.md").write_text(f"---\n{front}---\n{body}")

    return to


def card(alfred: Alfred) -> dict[str, Any]:
    (only,) = alfred("approvals", "list", "--json").json["approvals"]
    return only


def decide(alfred: Alfred, asked: dict[str, Any]) -> Said:
    """A person says yes to what they have read, and the run goes on."""
    assert alfred("approve", asked["id"], "--hash", asked["args_hash"]).code == 0
    return alfred("runs", "resume", asked["run_id"], "--json")


def activated(alfred: Alfred) -> None:
    assert alfred("workflows", "activate", "weekly").code == 3
    assert decide(alfred, card(alfred)).json["status"] == "completed"


def state(alfred: Alfred) -> dict[str, Any]:
    (only,) = alfred("workflows", "list", "--json").json["workflows"]
    return only


def row(run: str) -> Run:
    with app.base() as base, base.store.read() as look:
        found = rows.get(look, run)
    assert found is not None
    return found


def effects(folder: Path) -> bool:
    return (folder / "report.md").exists()


def test_what_nobody_has_allowed_runs_dry_and_does_nothing(
    alfred: Alfred, write: Write, folder: Path
) -> None:
    write(FRONT + "autonomy: autonomous\n")
    said = alfred("run", "--workflow", "weekly", "--in", folder, "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "not_activated")
    assert alfred("runs", "list", "--json").json == []
    dry = alfred("run", "--workflow", "weekly", "--in", folder, "--dry-run", "--json")
    assert (dry.code, dry.json["status"]) == (0, "completed")
    assert [one["action"] for one in dry.json["proposed"]] == ["files.write"]
    assert not effects(folder)
    assert (row(dry.json["id"]).revision or "").startswith("weekly@")


def test_a_yes_to_the_card_lets_it_run_within_the_contract(
    alfred: Alfred, write: Write, folder: Path
) -> None:
    write(FRONT + "autonomy: autonomous\ninputs: {what: all}\n", "Report {{what}}.\n")
    assert alfred("workflows", "activate", "weekly").code == 3
    asked = card(alfred)
    assert asked["risk"] == "high"
    for part in ("agent: ops", "files.write (none)", "autonomy: autonomous", "Report {{what}}."):
        assert part in asked["preview"]
    assert state(alfred)["state"] == "inactive"
    early = alfred("run", "--workflow", "weekly", "--in", folder)
    assert early.code == 2 and "shows the card; behind a yes it takes a moment" in early.err
    assert alfred("reject", asked["id"]).code == 0
    alfred("runs", "resume", asked["run_id"])
    late = alfred("run", "--workflow", "weekly", "--in", folder)
    assert late.code == 2 and "`alfred workflows activate weekly` shows what" in late.err
    assert alfred("workflows", "activate", "weekly").code == 3
    asked = card(alfred)
    decide(alfred, asked)
    assert state(alfred)["state"] == "active"
    ran = alfred("run", "--workflow", "weekly", "--in", folder, "--input", "what=much", "--json")
    assert (ran.code, ran.json["status"]) == (0, "completed"), "a medium risk, without asking"
    assert effects(folder)
    found = row(ran.json["id"])
    assert (found.brief, found.agent, found.title) == (
        "Report much.",
        "ops",
        "weekly: Report much.",
    )
    grant = Grant.decode(found.grants)
    assert grant.allows("files.read")
    assert not grant.allows("git.log"), "its agent has it, and its contract has not"


def test_a_gated_one_asks_as_any_run_does(alfred: Alfred, write: Write, folder: Path) -> None:
    write()
    activated(alfred)
    assert alfred("run", "--workflow", "weekly", "--in", folder).code == 3
    assert not effects(folder)


def test_no_run_begins_once_nobody_allows_it_any_more(
    alfred: Alfred, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    activated(alfred)
    monkeypatch.setattr(Desk, "keep", lambda desk, written: desk.deactivate("weekly"))
    for more in ((), ("--detach",)):
        said = alfred("run", "--workflow", "weekly", "--in", folder, "--json", *more)
        assert (said.code, said.json["error"]["code"]) == (2, "not_activated")
        activated(alfred)
    assert {one["workflow"] for one in alfred("runs", "list", "--json").json} == {"ask"}


def test_a_changed_file_runs_no_more_and_what_has_begun_goes_on_as_it_began(
    alfred: Alfred, write: Write, folder: Path
) -> None:
    write()
    activated(alfred)
    began = alfred("run", "--workflow", "weekly", "--in", folder, "--json").json["id"]
    before = row(began)
    write(FRONT.replace("files", "git"), "Something else.\n")
    assert state(alfred)["state"] == "changed"
    said = alfred("run", "--workflow", "weekly", "--in", folder, "--json")
    assert said.json["error"]["code"] == "not_activated"
    assert "has changed" in said.json["error"]["detail"]
    decide(alfred, card(alfred))
    assert effects(folder)
    after = row(began)
    assert (after.status, after.brief, after.grants, after.revision) == (
        "completed",
        *(before.brief, before.grants, before.revision),
    )
    write(FRONT + "# a remark\n")
    assert state(alfred)["state"] == "active", "it means the same again"


def test_a_yes_activates_nothing_that_is_not_what_was_seen(
    alfred: Alfred, write: Write, home: Path
) -> None:
    write()
    alfred("workflows", "activate", "weekly")
    asked = card(alfred)
    write(body="Something else.\n")
    assert decide(alfred, asked).json["result"].startswith("It is not done")
    assert state(alfred)["state"] == "inactive"
    write()
    alfred("workflows", "activate", "weekly")
    asked = card(alfred)
    config = home / "config.yaml"
    config.write_text(config.read_text().replace("[files, git]", "[files.read]"))
    decide(alfred, asked)
    assert state(alfred)["state"] == "inactive", "its agent has less than the card says"


def test_a_run_has_no_tool_that_its_agent_has_lost(
    alfred: Alfred, write: Write, home: Path, folder: Path
) -> None:
    write()
    activated(alfred)
    config = home / "config.yaml"
    config.write_text(config.read_text().replace("[files, git]", "[files.read]"))
    ran = alfred("run", "--workflow", "weekly", "--in", folder, "--json").json["id"]
    assert Grant.decode(row(ran).grants).actions == {"files.read"}
    assert not effects(folder)


def fire(slot: int) -> None:
    """The time of its job has come, and a process looks."""
    with app.base() as base:
        base.store.transact(
            lambda tx: tx(Sql("update triggers set next_fire_at=:at"), at=slot) and None
        )
        worker = app.whole(base).worker(kind="worker")
        for beat in worker.beats:
            beat(base.store)


def test_its_schedule_is_a_job_while_it_is_as_it_was_allowed(
    alfred: Alfred, write: Write, home: Path
) -> None:
    write(FRONT + "schedule: every 1h\n")
    assert state(alfred)["next_fire_at"] is None
    activated(alfred)
    assert state(alfred)["next_fire_at"] is not None
    hour = 3_600 * clock.SECOND
    slot = clock.now() // hour * hour
    fire(slot)
    ran = alfred("runs", "list", "--json").json[0]
    found = row(ran["id"])
    assert (found.trigger_kind, found.brief, found.agent) == ("cron", "Report.", "ops")
    bound = Grant.decode(found.grants)
    assert bound.contract and bound.contract.workflow == "weekly"
    assert not bound.allows("git.log")
    alfred("runs", "cancel", ran["id"])

    write(FRONT + "schedule: every 1h\n", "Something else.\n")
    fire(slot)
    assert len(alfred("runs", "list", "--json").json) == 2, "it did not start"
    write(FRONT + "schedule: every 1h\n")
    assert "has changed" in state(alfred)["paused"], "until somebody has looked at it"
    with app.base() as base, base.store.read() as look:
        assert look(Sql("select enabled from triggers")).scalar_one() == 0, "and due no more"
    activated(alfred)
    assert state(alfred)["next_fire_at"] is not None
    config = home / "config.yaml"
    right = config.read_text()
    config.write_text(right.replace("ops: {", "ops: {workspace: /nowhere, "))
    fire(slot - hour)
    held = state(alfred)
    assert (held["next_fire_at"], "/nowhere" in held["paused"]) == (None, True), "it is told"
    config.write_text(right)
    write(FRONT)
    activated(alfred)
    off = state(alfred)
    assert (off["next_fire_at"], off["paused"]) == (None, None), "what is allowed has no schedule"
    needed = alfred("agents", "remove", "ops")
    assert (needed.code, "workflow weekly." in needed.err) == (2, True)
    assert alfred("workflows", "deactivate", "weekly").code == 0
    assert state(alfred)["state"] == "inactive"
    assert alfred("workflows", "deactivate", "weekly").code == 2
    assert alfred("agents", "remove", "ops").code == 0, "the job that it had needs nobody"


def test_a_branch_and_a_follow_up_of_an_autonomous_run_ask(
    alfred: Alfred, write: Write, folder: Path
) -> None:
    write(FRONT + "autonomy: autonomous\n")
    activated(alfred)
    ran = alfred("run", "--workflow", "weekly", "--in", folder, "--json").json["id"]
    branch = alfred("runs", "fork", ran, "--at", 2, "--brief", "More.", "--detach", "--json")
    follow = alfred("tell", ran, "More.", "--json")
    for id in (branch.json["id"], follow.json["follow_up"]):
        contract = Grant.decode(row(id).grants).contract
        assert contract is not None
        assert not contract.autonomous


def test_no_file_is_called_like_a_workflow_that_comes_along(alfred: Alfred, write: Write) -> None:
    write()
    with app.base() as base:
        along = app.whole(base).runtime.workflows
    assert sorted(along) == sorted(authored.BUILT_IN)
    for slug in along:
        assert authored.parse("---\n---\nDo.", slug).findings


def test_files_are_judged_before_anything_is_written(
    alfred: Alfred, write: Write, home: Path
) -> None:
    write("agnet: ops\ntools: [flies]\n")
    for command in (("workflows", "activate", "weekly"), ("run", "--workflow", "weekly")):
        said = alfred(*command, "--json")
        assert said.code == 2
        assert "agnet" in json.dumps(said.json["error"])
    checked = alfred("workflows", "check", "--json")
    assert checked.code == 2
    assert len(checked.json["workflows"][0]["problems"]) == 2
    assert (state(alfred)["state"], state(alfred)["agent"]) == ("wrong", None)
    write()
    assert alfred("workflows", "check").out.startswith("weekly: right, revision")
    assert alfred("workflows", "show", "weekly").code == 0
    assert alfred("workflows", "show", "wekly").code == 2
    assert alfred("run", "x", "--workflow", "weekly").code == 2
    assert alfred("run").code == 2
    assert alfred("runs", "list", "--json").json == []
