"""The demo: one run on the repository that the person stands in, killed with -9 in the middle and gone on with.

Everything is real but the model, which is scripted unless a paid one is allowed: the ledger, the gate, the card,
the kill and the audit chain. What the script writes is put together from what the run itself has read, out of its
own transcript. Nothing is touched but a scratch home and the file that is approved: by the person at the terminal,
or by the demo itself where nobody is at one, which approves the report and nothing else.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from alfred import app, errors
from alfred.actions.ledger import calls
from alfred.actions.ledger.approvals import Approval
from alfred.cli import cards, demo_script, terminal
from alfred.cli.leaving import Signals
from alfred.desk import Desk
from alfred.orders import Order
from alfred.runs import audit, rows, views
from alfred.runs.rows import Run
from alfred.runs.states import Status
from alfred.store import backup

PATIENCE = 50.0
"""Seconds that each part of the demo may take."""


def demo(
    *,
    model: str | None = None,
    keep: Annotated[bool, Parameter(negative="")] = False,
    common: terminal.Common = terminal.DEFAULT,
) -> int:
    """See it work: a run on this repository, a card, a kill -9, and the same run again.

    Args:
        model: Use this model instead of the script. It may cost money, so a terminal asks first.
        keep: Keep the scratch home, to look around in it.
    """
    with Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        ask = model is not None and terminal.interactive()
        if ask and not terminal.yes(f"Use {model}? It may cost up to $0.50."):
            model = None
        scratch = Path(tempfile.mkdtemp(prefix="alfred-demo-"))
        try:
            return _Demo(scratch, model, signals.wait, as_json=common.json).play()
        finally:
            if keep:
                terminal.say(f"The scratch home is kept: ALFRED_HOME={scratch / 'home'}")
            else:
                shutil.rmtree(scratch, ignore_errors=True)


class _Demo:
    def __init__(
        self, scratch: Path, model: str | None, wait: Callable[[float], None], *, as_json: bool
    ):
        self.scratch = scratch
        self.wait = wait
        self.paid = model
        self.as_json = as_json
        self.scenario = scratch / "scenario.yaml"
        os.environ["ALFRED_HOME"] = str(scratch / "home")
        os.environ["ALFRED_NO_WORKER"] = "1"
        self.repository = self._repository()
        self.report = self.repository / demo_script.report_in(self.repository)

    def play(self) -> int:
        began = time.monotonic()
        said = self.paid or "a scripted model (no key, no cost: everything else is real)"
        self._title(f"alfred demo, with {said}")
        own = self.repository.parent == self.scratch
        made = " (you do not stand in one, so the demo has made it)" if own else ""
        terminal.say(f"  repository: {self.repository}{made}")
        if self.report.name != demo_script.REPORT:
            terminal.say(
                f"  report: {self.report.name}, because {demo_script.REPORT} is there and no demo wrote it"
            )
        with app.base() as base:
            run_id = self._start(base)
            first = self._kill_in_the_middle(base, run_id)
            resumed = self._resume(base, run_id)
            return self._account(base, run_id, first, resumed, began)

    # ---- 1: the run begins ----

    def _repository(self) -> Path:
        here = Path.cwd()
        if any((folder / ".git").exists() for folder in (here, *here.parents)):
            return here
        made = self.scratch / "repository"
        made.mkdir()
        (made / "README.md").write_text("# A repository for the demo\n")
        identity = ["-c", "user.name=demo", "-c", "user.email=demo@localhost"]
        for arguments in (
            ["init", "-q"],
            ["add", "."],
            [*identity, "commit", "-q", "-m", "First commit"],
        ):
            subprocess.run(["git", *arguments], cwd=made, check=True, capture_output=True)
        return made

    def _start(self, base: app.Base) -> str:
        demo_script.look_first(self.scenario)
        actions, _ = app.actions_of(base.home)
        model = self.paid or f"scripted:{self.scenario}"
        brief = demo_script.brief(self.report.name)
        order = Order(brief=brief, folder=self.repository, max_cost_usd=0.5)
        new = base.desk.order(order, model=lambda: model, actions=actions.names())
        base.desk.start(new)
        self._title(f"1. Run {terminal.short(new.id)} is a row in the ledger; a worker takes it")
        return new.id

    # ---- 2: kill -9 ----

    def _kill_in_the_middle(self, base: app.Base, run_id: str) -> Run:
        with self._worker() as worker:
            seen = self._until(
                base,
                run_id,
                lambda run: run.seq >= 2 or not run.live or run.status == Status.PARKED,
            )
            # While it asks its model for the next turn: in the middle of a step, nothing of which is committed.
            self.wait(0.2)
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        run = self._run(base, run_id)
        self._title(f"2. kill -9 {worker.pid}, in the middle of step {run.seq + 1}")
        terminal.say(
            f"  committed: {seen.seq} steps; the run's row still says: {run.status}, attempt {run.attempt}"
        )
        return run

    # ---- 3: another process goes on ----

    def _resume(self, base: app.Base, run_id: str) -> float:
        if not self.paid:
            with base.store.read() as look:
                done = views.show(look, run_id)["calls"]
            demo_script.write_the_report(self.scenario, run_id, done, self.report.name)
        began = time.monotonic()
        with self._worker() as worker:
            self._title(f"3. A new worker, {worker.pid}, goes on where it was")
            return self._taken_over(base, run_id, began)

    def _taken_over(self, base: app.Base, run_id: str, began: float) -> float:
        """Follows the run to its end; the seconds until the new worker had it."""
        took: float | None = None
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            run = self._run(base, run_id)
            if took is None and ((run.attempt > 1 and run.status == Status.RUNNING) or run.seq > 2):
                took = time.monotonic() - began
                terminal.say(
                    f"  taken over after {took:.2f} s, as attempt {run.attempt}; no step is repeated"
                )
            if not run.live:
                return took or 0.0
            pending = base.desk.cards(run=run_id)
            if run.status == Status.PARKED and pending:
                self._title("4. A change to your folder waits for you")
                self._decide(base.desk, pending[0])
                continue
            self.wait(0.03)
        raise errors.AlfredError(
            "The demo's run did not end in time.", next="`alfred demo --keep`, then look at it."
        )

    def _decide(self, desk: Desk, card: Approval) -> None:
        no = "skip" if card.kind == "outcome" else "reject"
        if terminal.interactive():
            if not cards.ask(desk, card):
                desk.decide(card.id, no, reason="The demo ends without it.")
            return
        for line in cards.render(card):
            terminal.say(line)
        desk.shown([card])
        # Nobody is at a terminal: the decision is the demo's own, and the audit says so.
        own = replace(desk, by="demo", via="demo")
        with desk.store.read() as look:
            call = calls.get(look, card.call_id)
        why = demo_script.objection(card, call.arguments if call else {}, self.report)
        if why is None:
            terminal.say("  no terminal: approved by `demo`, and audited as that")
            own.decide(card.id, "approve", args_hash=card.args_hash)
        else:
            terminal.say(f"  no terminal: rejected by `demo`, and audited as that. {why}")
            own.decide(card.id, no, reason=why)

    # ---- 4: what happened ----

    def _account(
        self, base: app.Base, run_id: str, killed: Run, resumed: float, began: float
    ) -> int:
        run = self._run(base, run_id)
        with backup.snapshot(base.store) as look:
            whole = views.show(look, run.id)
            checked, broken = audit.verify(look)
        self._title("5. The timeline")
        for step in whole["steps"]:
            gone = "   (after the kill)" if step["seq"] > killed.seq else ""
            terminal.say(
                f"  {step['ended_at'][11:23]}  step {step['seq']}  {step['name']:<15} {step['outcome']:<10} attempt {step['attempt']}{gone}"
            )
        for call in whole["calls"]:
            terminal.say(f"  {call['status']:>9}  {call['action']} (risk {call['risk']})")
        chain = "holds" if broken is None else f"is broken at row {broken.n}: {broken.why}"
        doubled = len(whole["steps"]) - len({step["seq"] for step in whole["steps"]})
        self._title("6. The numbers")
        terminal.say(
            f"  status {run.status}, {len(whole['steps'])} steps committed, {doubled} twice, {run.attempt} attempts"
        )
        terminal.say(f"  resumed {resumed:.2f} s after the new worker was started")
        terminal.say(f"  audit chain of {checked} rows {chain}")
        if any(call["status"] == "done" for call in self._of_the_report(whole)):
            own = self.repository.parent == self.scratch
            gone = " (it goes with the scratch folder)" if own else ""
            terminal.say(f"  written, once, as approved: {self.report}{gone}")
        took = time.monotonic() - began
        terminal.say(f"  all of it took {took:.1f} s")
        if self.as_json:
            terminal.document(
                {
                    "run": whole["run"],
                    "steps": len(whole["steps"]),
                    "attempts": run.attempt,
                    "resumed_s": round(resumed, 3),
                    "audit": {"ok": broken is None, "rows": checked},
                    "seconds": round(took, 1),
                }
            )
        good = run.status == Status.COMPLETED and broken is None and doubled == 0
        return 0 if good else 1

    # ---- parts ----

    def _of_the_report(self, whole: dict[str, Any]) -> list[dict[str, Any]]:
        """The calls that write the report."""
        return [
            call
            for call in whole["calls"]
            if call["action"] == "files.write" and demo_script.is_report(call["args"], self.report)
        ]

    @contextmanager
    def _worker(self) -> Generator[subprocess.Popen[bytes]]:
        """A worker in a process of its own, which is gone at the end of the block, however that comes."""
        with (self.scratch / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "alfred", "worker"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield worker
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGTERM)
                try:
                    worker.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(worker.pid, signal.SIGKILL)
                    worker.wait()

    def _run(self, base: app.Base, run_id: str) -> Run:
        with base.store.read() as look:
            found = rows.get(look, run_id)
        assert found is not None
        return found

    def _until(self, base: app.Base, run_id: str, ready: Any) -> Run:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            run = self._run(base, run_id)
            if ready(run):
                return run
            self.wait(0.02)
        log = (self.scratch / "worker.log").read_text(errors="replace")[-800:]
        raise errors.AlfredError(
            f"The worker of the demo did not get on: {log}", next="`alfred doctor`"
        )

    def _title(self, text: str) -> None:
        terminal.say("")
        terminal.say(terminal.colour(text, "bold", sys.stderr))
