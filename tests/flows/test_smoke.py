"""`doctor --smoke`: what should work is tried for real, and nothing of it stays but one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alfred import app
from alfred.actions import taint
from alfred.actions.kinds import Effect
from alfred.store.statement import Sql
from alfred.workflows import smoke
from tests.flows.conftest import Alfred

MINE = '''\
from pathlib import Path
from alfred.actions import Effect, Risk, action

@action("look.now", integration="look", risk=Risk.NONE, effect=Effect.PURE)
def now() -> str:
    """Looks."""
    raise RuntimeError("it is broken")

@action("look.at", integration="look", risk=Risk.NONE, effect=Effect.PURE)
def at(what: str) -> str:
    """Looks at something.

    Args:
        what: What.
    """
    raise AssertionError(what)

@action("act.go", integration="act", risk=Risk.NONE, effect=Effect.BLIND)
def go() -> str:
    """Acts."""
    Path(__file__).with_name("acted").touch()
    return "done"
'''


@pytest.fixture
def tried(alfred: Alfred, home: Path) -> Any:
    """What was tried, by integration: level and text."""
    alfred("setup")

    def run(config: str = "") -> dict[str, tuple[str, str]]:
        off = "policy: {rules: [{action: web.fetch, mode: off}]}\n"  # nothing leaves a test
        (home / "config.yaml").write_text(f"alfred: 1\ntimezone: UTC\n{off}{config}")
        said = alfred("doctor", "--smoke", "--json")
        found = [one for one in said.json["findings"] if one["name"].startswith("smoke")]
        wrong = any(one["level"] == "error" for one in said.json["findings"])
        assert (said.code, said.json["ok"]) == (int(wrong), not wrong)
        return {one["name"].partition(":")[2]: (one["level"], one["text"]) for one in found}

    return run


def _files(home: Path) -> set[Path]:
    return {path for path in home.rglob("*") if not path.name.startswith(("alfred.", ".alfred"))}


@pytest.mark.needs_program("bwrap")
@pytest.mark.slow
def test_each_integration_is_tried_and_one_run_is_all_that_stays(
    tried: Any, alfred: Alfred, home: Path
) -> None:
    tried("limits: {concurrent_runs: 8}\n")
    before = _files(home)
    found = tried("limits: {concurrent_runs: 8}\n")
    assert {name: text for name, (level, text) in found.items() if level == "ok"} == {
        "files": "files.write, files.read",
        "shell": "shell.run",
        "code": "code.run",
        "git": "git.status",
        "memory": "memory.search",
        "sessions": "sessions.search",
        "scratch": "scratch.list",
    }
    assert {name for name, (level, _) in found.items() if level == "note"} == {
        *("agents", "ask", "notify", "skills", "text", "todo", "web")
    }
    assert "switched off" in found["web"][1]
    runs = alfred("runs", "list", "--json").json
    assert [one["status"] for one in runs] == ["completed", "completed"]
    assert _files(home) == before
    with app.base() as base:
        shown = alfred("runs", "show", runs[0]["id"], "--json").json
        assert {call["status"] for call in shown["calls"]} == {"done"}
        for table in ("approvals", "memories", "todos", "scratch", "file_labels", "interjections"):
            with base.store.read() as look:
                assert not look(Sql(f"select 1 from {table}")).all(), table


@pytest.mark.slow
def test_what_would_wait_or_is_not_allowed_is_not_begun(
    tried: Any, alfred: Alfred, home: Path
) -> None:
    found = tried("sandbox: off\nagents: {main: {tools: {deny: [git]}}}\n")
    assert "shell.run would wait for you (high)" in found["shell"][1]
    assert "code.run would wait for you (high)" in found["code"][1]
    assert "git.status is not allowed for agent main" in found["git"][1]
    assert found["files"][0] == "ok"
    assert alfred("approvals", "list", "--status", "all", "--json").json["approvals"] == []
    assert [one["status"] for one in alfred("runs", "list", "--json").json] == ["completed"]
    (home / ".env").touch()
    (home / ".env").chmod(0o644)
    assert "Nothing is tried: " in alfred("doctor", "--smoke").out
    (home / ".env").chmod(0o600)
    assert alfred("stop", "--all").code == 0
    said = alfred("doctor", "--smoke")
    assert "Nothing is tried: Everything was stopped" in said.out
    assert len(alfred("runs", "list", "--json").json) == 1


@pytest.mark.slow
def test_of_others_actions_only_one_that_says_it_looks_is_tried(tried: Any, home: Path) -> None:
    (home / "actions" / "mine.py").write_text(MINE)
    found = tried("sandbox: off\n")
    assert found["act"] == ("note", "not tried: none of its actions is known to be harmless")
    level, text = found["look"]
    assert (level, text.startswith("look.now: ")) == ("error", True)
    assert not (home / "actions" / "acted").exists()


def test_what_is_tried_reaches_no_further_than_its_run(home: Path) -> None:
    registry, _ = app.actions_of(home)
    tried, left = smoke.plan(registry, skill="x")
    assert set(tried) | set(left) == {action.integration for action in registry}
    assert list(tried)[-1] == "web"
    for name, args in (call for calls in tried.values() for call in calls):
        action = registry.get(name)
        assert action is not None, name
        assert action.effect is Effect.PURE or name in taint.CONTAINED, name
        assert set(json.loads(json.dumps(args))) <= set(action.schema["properties"]), name
    assert {"todo", "notify", "ask"} <= set(left)
