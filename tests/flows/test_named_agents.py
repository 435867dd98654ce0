"""Named agents from the command line: who a run is of, and what it is given and denied for that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alfred import app, ids
from alfred.runs import crons
from tests.flows.conftest import Alfred


@pytest.fixture
def configured(alfred: Alfred, home: Path) -> Any:
    """Writes a config.yaml."""

    def write(text: str) -> None:
        alfred("setup")
        (home / "config.yaml").write_text(f"alfred: 1\n{text}")

    return write


def test_a_run_works_in_its_agents_folder_unless_another_is_named(
    alfred: Alfred,
    folder: Path,
    tmp_path: Path,
    script: Any,
    configured: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tmp_path / "own"
    model = script({"calls": [{"tool": "files.list", "args": {}}]}, {"say": "Done."})
    configured(f"agents: {{main: , coder: {{workspace: {own}, model: '{model}'}}}}\n")
    monkeypatch.chdir(folder)
    refused = alfred("run", "look", "--agent", "coder")
    assert (refused.code, str(own) in refused.err) == (2, True)
    own.mkdir()
    (own / "mine.txt").write_text("x")
    for more, seen in (((), "mine.txt"), (("--in", folder), "notes.txt")):
        done = alfred("run", "look", "--agent", "coder", "--json", *more)
        assert done.code == 0, done.err
        shown = alfred("runs", "show", done.json["id"], "--json").json
        assert seen in json.dumps(shown["calls"][0]["result"])
        assert shown["run"]["agent"] == "coder"


def _of_a_cron(agent: str) -> Any:
    """The row of the run that a cron of this agent started when it came due."""
    with app.base() as base:
        new = crons.NewTrigger(
            id=ids.new(), tenant="main", name=ids.new(), spec="every 1m", task="x", agent=agent
        )
        base.store.transact(crons.create, new, zone="UTC")
        due = "update triggers set next_fire_at=alfred_now()-60000000 where id=:id"
        base.store.transact(lambda tx: tx(sa.text(due), id=new.id))
        for beat in app.whole(base).worker().beats:
            beat(base.store)
        started = (
            "select r.* from trigger_fires f join runs r on r.id=f.run_id where trigger_id=:id"
        )
        with base.store.read() as look:
            return look(sa.text(started), id=new.id).one()


def test_the_run_of_a_cron_is_of_its_agent_as_any_other(
    alfred: Alfred, tmp_path: Path, configured: Any
) -> None:
    (own := tmp_path / "own").mkdir()
    configured(f"model: ollama:x\nagents: {{main: , ops: {{workspace: {own}}}}}\n")
    assert json.loads(_of_a_cron("ops").workspace)["root"] == str(own)
    assert _of_a_cron("main").workspace is None
