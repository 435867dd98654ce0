"""The live view of a run: what it does, as it does it, and its cards answered in place.

It follows the feed, so it shows the same for a run of this process and for one that a worker elsewhere drives.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from alfred import clock, errors
from alfred.actions.ledger import approvals
from alfred.actions.ledger.approvals import Approval
from alfred.cli import cards, terminal
from alfred.desk import Desk
from alfred.runs import events, leases, rows, views
from alfred.runs.rows import Run
from alfred.runs.states import Status, Wait

AWAY = 60 * clock.SECOND
"""How long a database may be away before a command that follows a run gives up."""

LEAVE_ON = (Wait.APPROVAL, Wait.QUESTION, Wait.OPERATOR, Wait.PAUSE, Wait.BUDGET, Wait.LIMIT)
"""Waits on which a command that drives a run leaves: a person, or a day, is needed first."""

_WAKES: dict[str, str] = {
    Wait.APPROVAL: "a decision: `alfred approvals list`",
    Wait.QUESTION: "your answer: `alfred answer`",
    Wait.OPERATOR: "your word on what happened: `alfred approvals list`",
    Wait.PAUSE: "`alfred runs resume`",
    Wait.BUDGET: "tomorrow's budget, your yes to its card, a raised cap, or `alfred runs resume`",
    Wait.LIMIT: "the provider, or `alfred runs resume`",
    Wait.TIMER: "its timer",
    Wait.CHILDREN: "its children",
    Wait.EVENT: "its event",
}


if TYPE_CHECKING:
    from alfred.runs.worker import Worker

_STAGED = {"staged": "asks first", "skipped": "would ask or act: skipped"}


_OF_CHILDREN = ("run.queued", "run.parked", "run.terminal")
"""What is told of runs below."""


def stuck(out: Sequence[dict[str, Any]]) -> bool:
    """Whether all below a run wait for a person, or a day, too."""
    ends = [one for one in out if one["wait"] != Wait.CHILDREN]
    return bool(ends) and all(
        one["status"] == Status.PARKED and one["wait"] in LEAVE_ON for one in ends
    )


def exit_code(run: Run) -> int:
    """What a command ends with for a run in this state."""
    if run.status == Status.COMPLETED:
        return 0
    if run.status in (Status.FAILED, Status.CANCELLED):
        code = json.loads(run.error).get("code", "") if run.error else ""
        return 4 if code == "refused" or code.startswith("cap:") else 1
    return 3


def wakes(wait: str | None) -> str:
    """What a run that waits for this goes on with, in words; what only another version waits for as it is called."""
    return _WAKES.get(wait, wait) if wait else "a free slot"


class View:
    """Prints what happens; `follow` returns when the run ended or waits for somebody who is not here."""

    def __init__(
        self,
        desk: Desk,
        *,
        quiet: bool = False,
        ask: bool | None = None,
        always: cards.Always | None = None,
    ):
        self.desk = desk
        self.always = always
        self.quiet = quiet
        self.ask = terminal.interactive() if ask is None else ask
        self._live = not quiet and sys.stderr.isatty()
        self._lock = threading.RLock()
        self._column = False
        self._turn: int | None = None
        self._said = ""
        self._streamed = False
        self._away: int | None = None
        self._looks_at = 0
        with desk.store.read() as look:
            self._cursor = events.newest(look, desk.tenant)

    def stream(self, run_id: str, kind: str, body: dict[str, Any]) -> None:
        """Text of a run of this process, as it comes; without a terminal the feed's pieces are enough."""
        if kind != "stream" or not self._live:
            return
        with self._lock:
            self._streamed = True
            try:
                if not self._column or body["turn"] != self._turn:
                    # What happened before this text stands before it.
                    self._line()
                    self._turn = body["turn"]
                    self._news(run_id, streamed=True)
                self._write(body["text"])
            except OSError:
                self._live = False  # the terminal is gone; the run that talks here must not notice

    def repeats(self, result: str) -> bool:
        """Whether this text is what the person has just read on the same terminal."""
        shown = self._live and sys.stdout.isatty()
        return shown and self._said.strip() == result.strip()

    def follow(
        self,
        run_id: str,
        *,
        wait: Callable[[float], None],
        worker: Worker | None = None,
        stay: bool = False,
    ) -> Run:
        """Follows one run to its end, or to a wait for somebody who is not here.

        Args:
            wait: Waits so many seconds between two looks. What it raises, as `Left`, ends the following.
            worker: The worker of this process, if it has one: what that one drives is streamed already.
            stay: Whether to stay through those waits too: somebody elsewhere may end them.

        Raises:
            StoreUnavailable: the database was away, or could not be written, for longer than AWAY.
        """
        asked: set[str] = set()
        holder = None
        mine = worker.holder.worker if worker else None
        while True:
            try:
                with self.desk.store.read() as look:
                    # The run before the feed: of the end that it tells, the feed has told.
                    run = rows.get(look, run_id)
                    assert run is not None
                    out = views.below(look, run_id) if run.wait == Wait.CHILDREN else []
                    pending = [
                        approvals.get(look, one["id"]) for one in views.waiting(look, run_id)
                    ]
                holder = run.worker or holder
                self._news(run_id, streamed=self._streamed if holder is None else holder == mine)
            except errors.StoreUnavailable as problem:
                self._patience(problem, run_id)
                wait(0.2)
                continue
            if worker is not None and worker.trouble is not None:
                self._patience(worker.trouble, run_id)
            else:
                self._away = None
            if not run.live:
                self._line()
                return run
            fresh = [card for card in pending if card is not None and card.id not in asked]
            waits = run.status == Status.PARKED and (run.wait in LEAVE_ON or stuck(out))
            if waits or (out and self.ask and fresh):
                self._line()
                if not stay and not (self.ask and fresh):
                    return run
                if self.ask and fresh:
                    if not cards.ask(self.desk, fresh, self.always):
                        if not stay:
                            return run
                        asked |= {card.id for card in fresh}
                else:
                    self._show(fresh)
                    asked |= {card.id for card in fresh}
            if worker is None and run.status == Status.RUNNING and self._holder_gone(run):
                # Whoever drove it died: nobody watches a run that nobody will ever take.
                note = self.desk.ensure_worker()
                self._say(note or "Whoever drove it is gone; a worker takes it.")
            wait(0.05)

    def _show(self, group: Sequence[Approval]) -> None:
        """Says what waits, to who cannot be asked here."""
        if self.quiet:
            return
        for card in group:
            self._say(f"{card.title}: {cards.how(card)}")
        for line in cards.how_together(group):
            self._say(line)

    def _holder_gone(self, run: Run) -> bool:
        """Looked at every few seconds."""
        if clock.monotonic() < self._looks_at:
            return False
        self._looks_at = clock.monotonic() + 3 * clock.SECOND
        with self.desk.store.read() as look:
            return any(w.id == run.worker and leases.gone(w) for w in leases.workers(look))

    def _patience(self, trouble: errors.StoreUnavailable, run_id: str) -> None:
        """Says once that the database is away, and gives up when it stays so."""
        if self._away is None:
            self._away = clock.monotonic()
            self._say(f"{terminal.shown(trouble.detail, 300)} Waiting for it.")
        if self.desk.store.broken or clock.monotonic() - self._away > AWAY:
            ref = terminal.short(run_id)
            raise errors.StoreUnavailable(
                trouble.detail,
                next=f"What was committed is there. When it can be written again, `alfred runs resume {ref}` goes on.",
            )

    def _news(self, run_id: str, *, streamed: bool) -> None:
        with self._lock, self.desk.store.read() as look:
            for event in events.after(look, self.desk.tenant, self._cursor):
                self._cursor = event.cursor
                if event.run_id == run_id:
                    self._tell(event, streamed=self._live and streamed)
                elif event.run_id and not self.quiet and event.kind in _OF_CHILDREN:
                    top, other = rows.get(look, run_id), rows.get(look, event.run_id)
                    if top and other and other.root_id == top.root_id and other.depth > top.depth:
                        self._tell_child(other, event)

    def _write(self, text: str) -> None:
        shown = terminal.display.display(text, multiline=True)
        with self._lock:
            if not self._column:
                self._said = ""
                shown = "  " + shown.lstrip()
            self._said += text
            self._column = True
            sys.stderr.write(shown.replace("\n", "\n  "))
            sys.stderr.flush()

    def _line(self) -> None:
        with self._lock:
            if self._column:
                sys.stderr.write("\n")
                self._column = False

    def _say(self, text: str) -> None:
        self._line()
        terminal.say(f"  {text}")

    def _tell_child(self, child: Run, event: events.Event) -> None:
        """What becomes of a run below, in a line."""
        body, who = event.body, f"child {terminal.short(child.id)}"
        match event.kind:
            case "run.queued" if "why" not in body:
                self._say(f"{who}, {child.agent}: {terminal.shown(child.title, 80)}")
            case "run.parked" if body.get("wait") in LEAVE_ON:
                self._say(terminal.colour(f"{who} waits for {body['wait']}", "yellow", sys.stderr))
            case "run.terminal":
                why = (body.get("error") or {}).get("detail")
                said = terminal.shown(why or body.get("result") or "", 160)
                self._say(f"{who} {body['status']}{f': {said}' if said else ''}")

    def _tell(self, event: events.Event, *, streamed: bool) -> None:
        if self.quiet:
            return
        body = event.body
        match event.kind:
            case "call" if body.get("status") != "executing":
                status = body["status"]
                tone = {"done": "green", "failed": "red", "unknown": "yellow"}.get(status, "grey")
                dot = terminal.colour("·", tone, sys.stderr)
                self._say(f"{dot} {terminal.shown(body['action'])} {_STAGED.get(status, status)}")
            case "text" if "note" in body:
                self._say(terminal.shown(body["note"], 500))
            case "text" if "turn" in body and not streamed:
                if body["turn"] != self._turn:
                    self._line()
                self._turn = body["turn"]
                self._write(body["text"])
            case "step":
                self._line()
                if body["outcome"] not in ("ok", "parked", "completed"):
                    self._say(f"{terminal.shown(body['name'])}: {body['outcome']}")
            case "notice" if "until" in body:
                self._say(terminal.shown(f"{body['detail']} Until {body['until']}.", 900))
            case "run.parked":
                self._say(terminal.colour(f"waits for {body['wait']}", "yellow", sys.stderr))
            case "approval" if body["status"] != "pending":
                status = body["status"].replace("_", " ")
                self._say(f"{body['title']}: {status} by {body.get('by') or 'alfred'}")
            case "run.queued" if body.get("why") == "reclaimed":
                self._say("its worker is gone; another one takes it")
