"""`alfred doctor --smoke`: something harmless of each integration, done for real and told.

Invariant: it leaves one run that is over, with its calls, in the ledger, and nothing in the home; whatever would wait for a
person is not begun.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alfred import app, checks, errors, home, ids, logs
from alfred.actions import availability
from alfred.actions.context import Workspace
from alfred.actions.explaining import Hypothesis
from alfred.actions.grant import Grant
from alfred.checks import Finding
from alfred.cli import live, terminal
from alfred.cli.leaving import Signals
from alfred.memory import skills
from alfred.runs import ledger
from alfred.runs.rows import NewRun
from alfred.runs.states import Status
from alfred.workflows import smoke

if TYPE_CHECKING:
    from alfred.store.tx import Tx
    from alfred.workflows.smoke import Calls


def findings(base: app.Base) -> list[Finding]:
    """What was tried and came of it, and what was not and why."""
    try:
        base.desk.refuse_if_stopped()
    except errors.AlfredError as problem:
        return [Finding("smoke", "note", f"Nothing is tried: {problem.detail}", problem.next)]
    run_id = ids.new()
    folder = home.workspaces(base.home) / run_id
    try:
        _prepared(folder)
        return list(_tried(base, run_id, folder))
    finally:
        for made in (folder, home.logs(base.home) / run_id):
            shutil.rmtree(made, ignore_errors=True)


def _prepared(folder: Path) -> None:
    """A workspace with an empty repository in it, as git would make it."""
    for place in ("objects", "refs/heads"):
        (folder / ".git" / place).mkdir(mode=0o700, parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")


def _tried(base: app.Base, run_id: str, folder: Path) -> Iterator[Finding]:
    logs.configure(base.home)
    whole = app.whole(base)
    agent = base.desk.agent(None)
    workspace = Workspace(folder, made=True, trusted=False)
    with base.store.read() as look:
        own = skills.of_run(look, base.desk.tenant, base.home, agent.id, workspace).skills
    tried, left = smoke.plan(whole.actions, skill=own[0].name if own else None)
    for integration, why in left.items():
        yield Finding(f"smoke:{integration}", "note", f"not tried: {why}")
    begun: dict[str, Calls] = {}
    for integration, calls in tried.items():
        why = next(
            filter(None, (_waits(base, whole, agent.id, folder, *one) for one in calls)), None
        )
        if why is not None:
            yield Finding(f"smoke:{integration}", "note", f"not tried: {why}")
        else:
            begun[integration] = calls
    said = _ran(base, whole, run_id, folder, agent.id, begun) if begun else []
    for integration, calls in begun.items():
        wrong, said = next(filter(None, said[: len(calls)]), None), said[len(calls) :]
        names = ", ".join(action for action, _ in calls)
        if wrong is None:
            yield Finding(f"smoke:{integration}", "ok", names)
        else:
            level: checks.Level = "warning" if integration == "web" else "error"
            yield Finding(f"smoke:{integration}", level, f"{names}: {terminal.shown(wrong, 300)}")


def _waits(
    base: app.Base, whole: app.Whole, agent: str, folder: Path, name: str, args: dict[str, Any]
) -> str | None:
    """Why a call would not simply be carried out; None: it would."""
    action = whole.actions.get(name)
    if action is None:
        return f"there is no {name}"
    if lacks := availability.missing(action, base.settings):
        return lacks.detail
    said = app.explained(
        base,
        Hypothesis(
            action=name,
            args=args,
            tenant=base.desk.tenant,
            agent=agent,
            folder=folder,
            made=True,
        ),
    )
    if said.verdict == "execute":
        return None
    last = said.steps[-1] if said.steps else said.reason
    return f"{name} would wait for you ({said.risk})" if said.verdict == "stage" else last


def _ran(
    base: app.Base,
    whole: app.Whole,
    run_id: str,
    folder: Path,
    agent: str,
    begun: dict[str, Calls],
) -> list[str | None]:
    """What went wrong with each call, in one run that ends."""
    calls = [one for several in begun.values() for one in several]
    new = NewRun(
        id=run_id,
        tenant=base.desk.tenant,
        agent=agent,
        workflow=smoke.NAME,
        step=smoke.STEP,
        brief="doctor --smoke: one harmless action of each integration.",
        title="doctor --smoke",
        grants=Grant(actions=frozenset(action for action, _ in calls), scratch="").encode(),
        workspace=json.dumps({"root": str(folder), "made": True, "trusted": False}),
        state=json.dumps({"calls": [{"action": a, "args": args} for a, args in calls]}),
        session_id=run_id,
    )
    worker = whole.worker(kind="smoke", root=run_id)

    def start(tx: Tx) -> str:
        ledger.start(tx, new)
        return new.id

    with Signals(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            worker.start()
            if worker.begin(start):
                view = live.View(base.desk, quiet=True)
                view.follow(run_id, wait=signals.wait, worker=worker)
        finally:
            worker.stop(grace=0)
            if base.desk.run(run_id).live:
                base.desk.cancel(run_id, why="doctor --smoke")
    ended = base.desk.run(run_id)
    if ended.status == Status.COMPLETED:
        return json.loads(ended.result or "[]")
    why = ended.error or "every slot is taken, or it had to wait for you"
    return [f"the run ended as {ended.status}: {why}"] * len(calls)
