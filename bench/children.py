"""alfred: one run that hands 100 briefs on at once, from its start to its answer, with everything on.

A whole installation in one process, its worker with eight slots; the model is scripted and answers at once. A hundred runs
begin, ask, note, ask again and end, and one is told of all of them. Beside it the same hundred that nobody waits for.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from alfred import app, ids
from alfred.actions.grant import Grant
from alfred.runs import ledger
from alfred.runs.rows import NewRun
from alfred.store.statement import Sql
from bench.load import Load, main

CHILDREN = 100

_OVER = Sql("select count(*) from runs where status='completed'")

CONFIG = f"""\
alfred: 1
limits: {{children_live: {CHILDREN}, tree_steps: 100000, per_agent: 8}}
agents: {{main: {{subagents: {{max_children: {CHILDREN}}}}}}}
"""


def measure(url: str, load: Load) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        home, script = Path(folder) / "home", Path(folder) / "script.json"
        os.environ |= {"ALFRED_HOME": str(home), "ALFRED_NO_WORKER": "1"}
        os.environ["ALFRED_DATABASE_URL"] = url if url.startswith("postgres") else "sqlite"
        script.write_text(json.dumps(_script()))
        home.mkdir(mode=0o700)
        (home / "config.yaml").write_text(CONFIG)
        with app.base(folder=home) as base:
            worker = app.whole(base).worker()
            worker.start()

            def takes(briefs: Sequence[str], ended: int) -> float:
                began = time.perf_counter()
                for brief in briefs:
                    base.store.transact(ledger.start, _run(script, folder, brief))
                while True:
                    with base.store.read() as look:
                        if look(_OVER).scalar() >= ended:
                            return time.perf_counter() - began
                    time.sleep(0.01)

            alone = takes([f"child {n}" for n in range(CHILDREN)], CHILDREN)
            boss = takes(["boss"], 2 * CHILDREN + 1)
            worker.stop()
    return {"boss_s": round(boss, 2), "alone_s": round(alone, 2)}


def _script() -> dict[str, object]:
    note = {"tool": "scratch.list", "args": {}}
    briefs = [f"child {n} of it" for n in range(CHILDREN)]
    return {
        "runs": [
            {"match": "^child", "turns": [{"calls": [note]}, {"say": "found"}]},
            {
                "match": "^boss",
                "turns": [
                    {"calls": [{"tool": "agents.delegate", "args": {"briefs": briefs}}]},
                    {"say": "all of them"},
                ],
            },
        ]
    }


def _run(script: Path, folder: str, brief: str) -> NewRun:
    grant = Grant(actions=frozenset({"agents.delegate", "scratch.list"}), scratch="")
    return NewRun(
        id=ids.new(),
        workflow="agent",
        step="boss-turn",
        brief=brief,
        model=f"scripted:{script}",
        grants=grant.encode(),
        workspace=json.dumps({"root": folder, "made": False, "trusted": True}),
    )


if __name__ == "__main__":
    main(measure)
