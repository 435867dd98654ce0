"""The live view of a run: what it does, as it does it, and its cards answered in place.

It follows the feed, so it shows the same for a run of this process and for one that a worker elsewhere drives.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from alfred import app, clock, errors
from alfred.actions.ledger import approvals
from alfred.actions.ledger.approvals import Approval
from alfred.cli import cards, terminal
from alfred.desk import Desk
from alfred.runs import events, leases, rows, views
from alfred.runs.rows import Run
from alfred.runs.states import Status, Wait

AWAY = 60 * clock.SECOND
"""How long a database may be away before a command that follows a run gives up."""

LOOKS_AGAIN = 3 * clock.SECOND
"""How often it is looked whether anybody drives what is watched."""

PATIENT = 2.0
"""Seconds that the first word of a turn waits for the one before it to be told to its end."""

KEPT = 1000
"""So many of the last events of others are kept for the run that is followed next."""

LEAVE_ON = (Wait.APPROVAL, Wait.QUESTION, Wait.OPERATOR, Wait.PAUSE, Wait.BUDGET, Wait.LIMIT)
"""Waits on which a command that drives a run leaves: a person, or a day, is needed first."""

_WAKES: dict[str, str] = {
    Wait.APPROVAL: "a decision: `alfred approvals list`",
    Wait.QUESTION: "your answer: `alfred answer`",
    Wait.OPERATOR: "your word on what happened: `alfred approvals list`",
    Wait.PAUSE: "{resume}",
    Wait.BUDGET: "tomorrow's budget, your yes to its card, a raised cap, or {resume}",
    Wait.LIMIT: "its provider, when a worker asks that again, or {resume}",
    Wait.TIMER: "its timer",
    Wait.CHILDREN: "its children",
    Wait.EVENT: "its event",
}


if TYPE_CHECKING:
    from alfred.runs.worker import Worker
    from alfred.store.tx import Tx

_SAID = {"skipped": "would ask or act: skipped"}
_TONES = {"done": "green", "failed": "red", "refused": "red", "unknown": "yellow"}


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


def wakes(wait: str | None, run_id: str) -> str:
    """What a run that waits for this goes on with, in words; what only another version waits for as it is called."""
    resume = f"`alfred runs resume {terminal.short(run_id)}`"
    return _WAKES.get(wait, wait).replace("{resume}", resume) if wait else "a free slot"


def offering(base: app.Base) -> cards.Always:
    """Offers a rule of a card that was allowed here. What that needs is loaded when somebody wants it."""

    def always(card: Approval) -> None:
        from alfred.cli import policy

        policy.offer(base, card)

    return always


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
        self._note: str | None = None
        self._run: str | None = None
        self._told_of = threading.Condition(self._lock)
        """Of another run than before is told from now on."""
        self._known: dict[str, Run | None] = {}
        """Runs of this process as they were when they first spoke."""
        self._gave_up: set[str] = set()
        self._later: deque[events.Event] = deque(maxlen=KEPT)
        """What has happened to others than the run that is followed: one of them may be followed next."""
        self._missed: list[events.Event] = []
        with desk.store.read() as look:
            self._cursor = events.newest(look, desk.tenant)

    def stream(self, run_id: str, kind: str, body: dict[str, Any]) -> None:
        """Text of a run of this process, as it comes; without a terminal the feed's pieces are enough."""
        if not self._live or (kind != "stream" and "note" not in body):
            return
        if not self._heard(run_id):
            return
        with self._lock:
            self._wait_for_its_turn(run_id)
            try:
                if kind != "stream":
                    self._line()  # said between two answers of one turn: the second begins anew
                    return
                self._streamed = True
                if not self._column or body["turn"] != self._turn:
                    # What happened before this text stands before it.
                    self._line()
                    self._turn = body["turn"]
                    self._news(self._run or run_id, streamed=True)
                self._write(body["text"])
            except OSError:
                self._live = False  # the terminal is gone; the run that talks here must not notice

    def _heard(self, run_id: str) -> bool:
        """Whether this run is the one that is followed, or has its conversation. Others below it talk at the same time
        in this process: of them is told what became of them."""
        if run_id not in self._known:
            with self.desk.store.read() as look:
                self._known[run_id] = rows.get(look, run_id)
        run = self._known[run_id]
        return run_id == self._run or (run is not None and (run.depth == 0 or run.takes_over))

    def _wait_for_its_turn(self, run_id: str) -> None:
        """The turn that is followed is told to its end before another one is heard; not for ever, because whoever follows
        may have left."""
        run = self._known[run_id]
        if run is None or run.depth or run_id in self._gave_up or self._run is None:
            return
        if not self._told_of.wait_for(lambda: self._run == run_id, PATIENT):
            self._gave_up.add(run_id)

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
            NotFound: a backup was restored that does not know the run.
        """
        with self._lock:
            self._run = run_id
            self._missed = [*self._missed, *self._later]
            self._later.clear()
            self._told_of.notify_all()
        asked: set[str] = set()
        holder = None
        mine = worker.holder.worker if worker else None
        while True:
            try:
                with self.desk.store.read() as look:
                    # The run before the feed: of the end that it tells, the feed has told.
                    run = rows.get(look, run_id)
                    if run is None:
                        raise errors.NotFound(
                            f"Run {terminal.short(run_id)} is in the ledger no more: another one was put in its place.",
                            next="`alfred runs list` shows what is there.",
                        )
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
                    self._looks_at = 0  # it may go on by now, and somebody has to take it
                    continue
                self._show(fresh)
                asked |= {card.id for card in fresh}
            if worker is None and self._unattended(run, out):
                self._attend()
            wait(0.05)

    def _show(self, group: Sequence[Approval]) -> None:
        """Says what waits, to who cannot be asked here."""
        if self.quiet:
            return
        for card in group:
            self._say(f"{card.title}: {cards.how(card)}")
        for line in cards.how_together(group):
            self._say(line)

    def _unattended(self, run: Run, below: Sequence[dict[str, Any]]) -> bool:
        """Whether a worker has to take this run, or one below it: nobody drives it, or it may go on. Looked at every
        few seconds."""
        if clock.monotonic() < self._looks_at:
            return False
        self._looks_at = clock.monotonic() + LOOKS_AGAIN
        if run.status != Status.RUNNING:
            late = run.wake_at is not None and run.wake_at <= clock.now()
            return late or Status.QUEUED in (run.status, *(one["status"] for one in below))
        with self.desk.store.read() as look:
            # Of the same moment as the workers: one that has ended has left.
            now = rows.get(look, run.id)
            held = {w.id for w in leases.workers(look) if not leases.gone(w)}
        return now is not None and now.status == Status.RUNNING and now.worker not in held

    def _attend(self) -> None:
        """Nobody watches a run that nobody will ever take."""
        note = self.desk.ensure_worker()
        if note is not None and note != self._note:
            self._say(note)
        self._note = note

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
            try:
                fresh = events.after(look, self.desk.tenant, self._cursor)
            except events.CursorGone:
                self._say("A backup was restored into the ledger.")
                self._cursor, fresh = events.newest(look, self.desk.tenant), []
                self._missed = []
            missed, self._missed = self._missed, []
            for event in missed:
                self._tell_if(look, run_id, event, streamed=streamed)
            for event in fresh:
                self._cursor = event.cursor
                self._tell_if(look, run_id, event, streamed=streamed)

    def _tell_if(self, look: Tx, run_id: str, event: events.Event, *, streamed: bool) -> None:
        """Tells an event of a run, or of one below it; keeps it otherwise."""
        if event.run_id == run_id:
            self._tell(event, streamed=self._live and streamed)
        elif (child := self._below(look, run_id, event)) is not None:
            self._tell_child(child, event)
        else:
            self._later.append(event)

    def _below(self, look: Tx, run_id: str, event: events.Event) -> Run | None:
        """The run below this one of which an event is told."""
        if self.quiet or not event.run_id or event.kind not in _OF_CHILDREN:
            return None
        top, other = rows.get(look, run_id), rows.get(look, event.run_id)
        below = top and other and other.root_id == top.root_id and other.depth > top.depth
        return other if below else None

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
                tone = _TONES.get(status, "grey")
                dot = terminal.colour("·", tone, sys.stderr)
                why = f": {terminal.shown(body['why'], 300)}" if body.get("why") else ""
                said = f"{terminal.shown(body['action'])} {_SAID.get(status, status)}{why}"
                self._say(f"{dot} {said}")
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
