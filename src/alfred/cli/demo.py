"""The demo: one run on the repository that the person stands in, killed with -9 in the middle and gone on with; and one that
hands two investigations of it on.

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

from alfred import app, config, config_keys, errors
from alfred import home as homes
from alfred.actions.ledger import calls
from alfred.actions.ledger.approvals import Approval
from alfred.agents.folders import work_tree
from alfred.cli import cards, demo_script, live, terminal
from alfred.cli.leaving import Signals
from alfred.desk import Desk
from alfred.orders import Order
from alfred.runs import audit, rows, shapes, views
from alfred.runs.rows import Run
from alfred.runs.states import Status
from alfred.store import backup
from alfred.trust import display, secrets

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
    with Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT) as signals:
        scratch = Path(tempfile.mkdtemp(prefix="alfred-demo-"))
        try:
            with _only(scratch / "home"):
                if model is not None:
                    model = _allowed(model, scratch / "home")
                return _Demo(scratch, model, signals.wait, as_json=common.json).play()
        finally:
            if keep:
                kept = display.display(str(scratch / "home"))
                terminal.say(f"The scratch home is kept: ALFRED_HOME={kept}")
            else:
                shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _only(home: Path) -> Generator[None]:
    """For the length of a block this process, and what it starts, knows this home and no setting from elsewhere."""
    before = dict(os.environ)
    for name in config_keys.variables():
        os.environ.pop(name, None)
    os.environ |= {"ALFRED_HOME": str(home), "ALFRED_NO_WORKER": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def _allowed(wanted: str, home: Path) -> str | None:
    """The model, when it can be used and the person at the terminal wants to; None: the script.

    Raises:
        ConfigError, NoModel: it cannot be used.
    """
    from alfred.agents import choice

    # The demo has a home of its own: a key is read from the environment.
    found = choice.choose(
        config.load(home),
        secrets=lambda name: secrets.get(name, home=home),
        env=os.environ,
        env_file=homes.env_file(homes.path()),
        model=wanted,
    )
    if found.why:
        terminal.say(f"model auto: {found.model}. {found.why}")
    model = found.model
    ask = f"Use {terminal.shown(model, 200)}? It may cost up to $0.50."
    return None if terminal.interactive() and not terminal.yes(ask) else model


class _Demo:
    def __init__(
        self, scratch: Path, model: str | None, wait: Callable[[float], None], *, as_json: bool
    ):
        self.scratch = scratch
        self.wait = wait
        self.paid = model
        self.as_json = as_json
        self.scenario = scratch / "scenario.yaml"
        self.second: dict[str, Any] | None = None
        """How the second scene ended."""
        self.repository = self._repository()
        self.report = self.repository / demo_script.report_in(self.repository)

    def play(self) -> int:
        began = time.monotonic()
        said = (
            terminal.shown(self.paid, 200)
            or "a scripted model (no key, no cost: everything else is real)"
        )
        self._title(f"alfred demo, with {said}")
        own = self.repository.parent == self.scratch
        made = " (you do not stand in one, so the demo has made it)" if own else ""
        terminal.say(f"  repository: {display.display(str(self.repository))}{made}")
        if self.report.name != demo_script.REPORT:
            terminal.say(
                f"  report: {self.report.name}, because {demo_script.REPORT} is there and no demo wrote it"
            )
        with app.base() as base:
            run_id = self._start(base)
            killed = self._kill_in_the_middle(base, run_id)
            resumed = self._resume(base, run_id) if killed.live else None
            return self._account(base, run_id, killed, resumed, began)

    # ---- 1: the run begins ----

    def _repository(self) -> Path:
        if (here := work_tree()) is not None:
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
                worker,
                lambda run: run.seq >= 2 or not run.live or run.status == Status.PARKED,
            )
            if not seen.live:
                self._title(f"2. The run ended before anything could be killed: {seen.status}")
                return seen
            # While it asks its model for the next turn: in the middle of a step, nothing of which is committed.
            self.wait(0.2)
            _signal(worker, signal.SIGKILL)
            worker.wait()
        run = self._run(base, run_id)
        parked = seen.status == Status.PARKED
        at = "while the run waits" if parked else f"in the middle of step {run.seq + 1}"
        self._title(f"2. kill -9 {worker.pid}, {at}")
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
            took = self._taken_over(base, run_id, began)
            if not self.paid and self._run(base, run_id).status == Status.COMPLETED:
                self._hand_on(base)
            return took

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
        run = self._run(base, run_id)
        waits = f", and goes on with {live.wakes(run.wait, run.id)}" if run.wait else ""
        raise errors.AlfredError(
            f"The demo's run did not end in {PATIENCE:.0f} s: it is {run.status}{waits}."
            + (f" Its last error{_why(shapes.value(run.error))}" if run.error else ""),
            next="`alfred demo --keep`, then look at it.",
        )

    # ---- 5: a boss and two others ----

    def _hand_on(self, base: app.Base) -> None:
        """The second scene, by the same worker: a run hands two investigations on, shares one finding and answers."""
        demo_script.hand_on(self.scenario)
        actions, _ = app.actions_of(base.home)
        order = Order(brief=demo_script.BOSS, folder=self.repository, max_cost_usd=0.5)
        new = base.desk.order(
            order, model=lambda: f"scripted:{self.scenario}", actions=actions.names()
        )
        base.desk.start(new)
        self._title(
            f"5. Run {terminal.short(new.id)} hands two investigations on, and waits for both"
        )
        known, until = False, time.monotonic() + PATIENCE
        while (run := self._run(base, new.id)).live and time.monotonic() < until:
            with base.store.read() as look:
                below = [child["id"] for child in views.show(look, new.id)["children"]]
                looked = [views.show(look, child)["calls"] for child in below]
            if not known and below and all(c and c[0]["status"] == "done" for c in looked):
                notes = [rows.notes_of(child) for child in below]
                demo_script.answer(self.scenario, list(zip(notes, looked, strict=True)))
                known = True
            self.wait(0.03)
        with base.store.read() as look:
            whole = views.show(look, new.id)
        for child in whole["children"]:
            said = terminal.shown(child["result"] or "", 200)
            terminal.say(f"  child {terminal.short(child['id'])} {child['status']}: {said}")
        for note in whole["scratch"]:
            if note["origin"]:
                why = f"{note['path']}, from {note['origin']}: {note['reason']}"
                terminal.say(f"  shared: {terminal.shown(why, 300)}")
        self.second = {"run": run.id, "status": run.status, "children": len(whole["children"])}
        terminal.say(f"  {run.status}: {terminal.shown(run.result or '', 200)}")

    def _decide(self, desk: Desk, card: Approval) -> None:
        no = "skip" if card.kind == "outcome" else "reject"
        if terminal.interactive():
            if not cards.ask(desk, [card]):
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

    # ---- what happened ----

    def _account(
        self, base: app.Base, run_id: str, killed: Run, resumed: float | None, began: float
    ) -> int:
        run = self._run(base, run_id)
        with backup.snapshot(base.store) as look:
            whole = views.show(look, run.id)
            checked, broken = audit.verify(look)
        number = 6 if self.second else 5
        self._title(f"{number}. The timeline of the first run")
        for step in whole["steps"]:
            gone = "   (after the kill)" if step["seq"] > killed.seq else ""
            terminal.say(
                f"  {step['ended_at'][11:23]}  step {step['seq']}  {step['name']:<15} {step['outcome']:<10} attempt {step['attempt']}{gone}"
            )
        for call in whole["calls"]:
            why = "" if call["status"] == "done" else _why(call["error"] or call["result"])
            action, risk = terminal.shown(call["action"]), call["risk"] or "unknown"
            terminal.say(f"  {call['status']:>9}  {action} (risk {risk}){why}")
        chain = "holds" if broken is None else f"is broken at row {broken.n}: {broken.why}"
        doubled = len(whole["steps"]) - len({step["seq"] for step in whole["steps"]})
        self._title(f"{number + 1}. The numbers")
        terminal.say(
            f"  status {run.status}, {len(whole['steps'])} steps committed, {doubled} twice, {run.attempt} attempts"
        )
        if run.status != Status.COMPLETED:
            terminal.say(f"  it did not complete{_why(whole['run']['error'])}")
        if resumed is not None:
            terminal.say(f"  resumed {resumed:.2f} s after the new worker was started")
        terminal.say(f"  audit chain of {terminal.count(checked, 'row')} {chain}")
        report = [call for call in self._of_the_report(whole) if call["status"] != "rejected"]
        written = any(call["status"] == "done" for call in report)
        if written:
            own = self.repository.parent == self.scratch
            gone = " (it goes with the scratch folder)" if own else ""
            terminal.say(f"  written, once, as approved: {display.display(str(self.report))}{gone}")
        elif report:
            terminal.say(
                f"  not written: {display.display(str(self.report))}{_why(report[-1]['error'] or report[-1]['result'])}"
            )
        took = time.monotonic() - began
        terminal.say(f"  all of it took {took:.1f} s")
        if self.as_json:
            terminal.document(
                {
                    "run": whole["run"],
                    "steps": len(whole["steps"]),
                    "attempts": run.attempt,
                    "resumed_s": None if resumed is None else round(resumed, 3),
                    "second": self.second,
                    "audit": {"ok": broken is None, "rows": checked},
                    "seconds": round(took, 1),
                }
            )
        unhurt = broken is None and doubled == 0 and (written or not report)
        return 0 if unhurt and run.status == Status.COMPLETED else 1

    # ---- parts ----

    def _of_the_report(self, whole: dict[str, Any]) -> list[dict[str, Any]]:
        """The calls that write the report."""
        return [
            call
            for call in whole["calls"]
            if call["action"] == "files.write"
            and isinstance(call["args"], dict)
            and demo_script.is_report(call["args"], self.report)
        ]

    @contextmanager
    def _worker(self) -> Generator[subprocess.Popen[bytes]]:
        """A worker in a process of its own, which is gone at the end of the block, however that comes; and when this
        process is killed: then the pipe that is its input closes."""
        with (self.scratch / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "alfred", "worker", "--until-eof"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield worker
        finally:
            if worker.poll() is None:
                _signal(worker, signal.SIGTERM)
                try:
                    worker.wait(20)
                except subprocess.TimeoutExpired:
                    _signal(worker, signal.SIGKILL)
                    worker.wait()
            if worker.stdin:
                worker.stdin.close()

    def _run(self, base: app.Base, run_id: str) -> Run:
        with base.store.read() as look:
            found = rows.get(look, run_id)
        assert found is not None
        return found

    def _until(
        self,
        base: app.Base,
        run_id: str,
        worker: subprocess.Popen[bytes],
        ready: Callable[[Run], bool],
    ) -> Run:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and worker.poll() is None:
            run = self._run(base, run_id)
            if ready(run):
                return run
            self.wait(0.02)
        # Ctrl-C reaches a worker too that has no session of its own yet: then it is the signal that ends the demo.
        self.wait(0.2)
        log = (self.scratch / "worker.log").read_text(errors="replace")[-800:]
        raise errors.AlfredError(
            f"The worker of the demo did not get on: {log}", next="`alfred doctor`"
        )

    def _title(self, text: str) -> None:
        terminal.say("")
        terminal.say(terminal.colour(text, "bold", sys.stderr))


def _why(told: Any) -> str:
    """What an error's or a refusal's JSON says, in words behind a colon; nothing where it says nothing."""
    detail = told.get("detail") if isinstance(told, dict) else told
    return f": {terminal.shown(str(detail), 300)}" if detail else ""


def _signal(worker: subprocess.Popen[bytes], number: int) -> None:
    """Signals a worker and all that it has started."""
    try:
        os.killpg(worker.pid, number)
    except ProcessLookupError:
        # It ends before it had a group of its own, by a Ctrl-C that it got as one of ours.
        worker.send_signal(number)
