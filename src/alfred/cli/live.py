"""The live view of a run: what it does, as it does it, and its cards answered in place.

It follows the feed, so it shows the same for a run of this process and for one that a worker elsewhere drives.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from alfred.actions import approvals
from alfred.cli import cards, terminal
from alfred.desk import Desk
from alfred.runs import events, rows
from alfred.runs.rows import Run
from alfred.runs.states import Status, Wait

LEAVE_ON = (Wait.APPROVAL, Wait.QUESTION, Wait.OPERATOR, Wait.PAUSE, Wait.BUDGET, Wait.LIMIT)
"""Waits on which a command that drives a run leaves: a person, or a day, is needed first."""

_WAKES = {
    Wait.APPROVAL: "a decision: `alfred approvals list`",
    Wait.QUESTION: "your answer: `alfred answer`",
    Wait.OPERATOR: "your word on what happened: `alfred approvals list`",
    Wait.PAUSE: "`alfred runs resume`",
    Wait.BUDGET: "tomorrow's budget, a raised cap, or `alfred runs resume`",
    Wait.LIMIT: "the provider, or `alfred runs resume`",
    Wait.TIMER: "its timer",
    Wait.CHILDREN: "its children",
    Wait.EVENT: "its event",
}


def exit_code(run: Run) -> int:
    """What a command ends with for a run in this state."""
    if run.status == Status.COMPLETED:
        return 0
    if run.status in (Status.FAILED, Status.CANCELLED):
        code = json.loads(run.error).get("code", "") if run.error else ""
        return 4 if code == "refused" or code.startswith("cap:") or code == "mode_off" else 1
    return 3


def wakes(run: Run) -> str:
    """What a parked run goes on with, in words."""
    return _WAKES.get(Wait(run.wait), run.wait) if run.wait else "a free slot"


class View:
    """Prints what happens; `follow` returns when the run ended or waits for somebody who is not here."""

    def __init__(self, desk: Desk, *, quiet: bool = False, ask: bool | None = None):
        self.desk = desk
        self.quiet = quiet
        self.ask = terminal.interactive() if ask is None else ask
        self._column = False
        self._lock = threading.Lock()
        self._streamed = False

    def stream(self, run_id: str, kind: str, body: dict[str, Any]) -> None:
        """Text of a run of this process, as it comes."""
        if kind == "stream" and not self.quiet and sys.stderr.isatty():
            with self._lock:
                sys.stderr.write(terminal.display.display(body["text"], multiline=True))
                sys.stderr.flush()
                self._column = self._streamed = True

    def follow(self, run_id: str, *, drives: Callable[[], bool] = lambda: True) -> Run:
        """Follows one run. `drives` tells whether this process still drives it."""
        with self.desk.store.read() as look:
            cursor = events.newest(look, self.desk.tenant)
        asked: set[str] = set()
        bell = threading.Event()
        while True:
            with self.desk.store.read() as look:
                for event in events.after(look, self.desk.tenant, cursor):
                    cursor = event.cursor
                    if event.run_id == run_id:
                        self._tell(event)
                run = rows.get(look, run_id)
                pending = approvals.listed(look, self.desk.tenant, run_id=run_id) if run else []
            assert run is not None
            if not run.live:
                return run
            if run.status == Status.PARKED and run.wait in LEAVE_ON:
                fresh = [card for card in reversed(pending) if card.id not in asked]
                if not (self.ask and fresh):
                    return run
                for card in fresh:
                    self._line()
                    if not cards.ask(self.desk, card):
                        asked.add(card.id)
                        return run
                continue
            bell.wait(0.05)

    def _line(self) -> None:
        with self._lock:
            if self._column:
                sys.stderr.write("\n")
                self._column = False

    def _tell(self, event: events.Event) -> None:
        if self.quiet:
            return
        body = event.body
        match event.kind:
            case "call" if body.get("status") != "executing":
                status = body["status"]
                tone = {"done": "green", "failed": "red", "unknown": "yellow"}.get(status, "grey")
                self._line()
                terminal.say(
                    f"  {terminal.colour('·', tone, sys.stderr)} {body['action']} {status}"
                )
            case "text" if "note" in body:
                self._line()
                terminal.say(f"  {terminal.shown(body['note'], 200)}")
            case "text" if not self._streamed and "turn" in body:
                self._line()
                terminal.say(f"  {terminal.shown(body['text'], 400)}")
            case "step":
                self._line()
                self._streamed = False
                if body["outcome"] not in ("ok", "parked", "completed"):
                    terminal.say(f"  {body['name']}: {body['outcome']}")
            case "run.parked":
                self._line()
                terminal.say(terminal.colour(f"  waits for {body['wait']}", "yellow", sys.stderr))
            case "approval" if body["status"] != "pending":
                self._line()
                terminal.say(
                    f"  {body['title']}: {body['status'].replace('_', ' ')} by {body.get('by', '?')}"
                )
            case "run.queued" if body.get("why") == "reclaimed":
                terminal.say("  its worker is gone; another one takes it")
