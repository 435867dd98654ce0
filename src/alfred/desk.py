"""The operator's verbs, once: what the command line and every later surface do with runs and cards.

A Desk is a tenant's ledger seen by one person. It writes rows and never executes anything; nothing heavy is
imported here, so that deciding a card costs no model SDK.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alfred import clock, errors, ids
from alfred.actions import approvals
from alfred.actions.approvals import Approval, Decision
from alfred.actions.grant import Grant
from alfred.agents.registry import AgentConfig, AgentRegistry
from alfred.runs import audit, budget, endings, ledger, rows, stop, views
from alfred.runs.rows import NewRun, Run
from alfred.runs.states import Status, Wait
from alfred.store.connect import Store
from alfred.store.tx import Tx

BRIEF_LIMIT = 64_000
"""Bytes of a brief."""

COST_LIMIT = 1_000_000
"""USD that a run may at most be allowed to cost."""

MESSAGE_LIMIT = 16_000
"""Bytes of a message to a run."""


WORKER_STARTS = 15 * clock.SECOND
"""How long a worker that another command started may take to register."""


def person() -> str:
    """Who sits at this terminal: `local:<uid>`, the owner."""
    return f"local:{os.getuid()}" if hasattr(os, "getuid") else f"local:{getpass.getuser()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody wants done, as they said it."""

    brief: str
    agent: str | None = None
    workflow: str | None = None
    model: str | None = None
    folder: Path | None = None
    inputs: Sequence[Path] = ()
    max_cost_usd: float | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a message: read at the next turn, taken as an answer, waiting, or a run of its own."""

    id: str
    run_id: str
    consumed: bool
    waits_for: str | None
    follow_up: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The verbs, bound to one tenant's ledger and one person."""

    store: Store
    settings: Any
    home: Path
    tenant: str = "main"
    by: str = "local:0"
    via: str = "cli"

    # ---- starting ----

    def order(self, order: Order, *, model: Callable[[], str], actions: Sequence[str]) -> NewRun:
        """The run that an order asks for; nothing is written yet.

        Args:
            model: Resolves the model, `provider:model`; asked when everything else is right.
            actions: Ids of the actions that the run may propose.

        Raises:
            UsageError: an empty or too long brief, a folder or an input that cannot be used, a workflow nobody knows.
            UnknownAgent: nobody is called so.
        """
        brief = order.brief.strip()
        if not brief:
            raise errors.UsageError("The brief is empty.", next='Say what to do: alfred run "…".')
        size = len(brief.encode("utf-8", "surrogatepass"))
        if size > BRIEF_LIMIT:
            raise errors.UsageError(
                f"The brief has {size} bytes, more than {BRIEF_LIMIT}.",
                next="Give long material with --input FILE.",
            )
        if order.workflow not in (None, "agent"):
            raise errors.UsageError(
                f"No workflow is called {order.workflow!r}.", next="Known: agent."
            )
        agent = self.agent(order.agent)
        run_id = ids.new()
        inputs, max_cost = _inputs(order.inputs), _micro(order.max_cost_usd)
        workspace = self.workspace(run_id, order.folder)
        return NewRun(
            id=run_id,
            tenant=self.tenant,
            agent=agent.id,
            workflow="agent",
            step="boss-turn",
            brief=brief,
            title=brief.splitlines()[0][:80],
            model=model(),
            grants=Grant(actions=frozenset(actions)).encode(),
            workspace=json.dumps(workspace),
            inputs=json.dumps(inputs),
            session_id=run_id,
            dry_run=int(order.dry_run),
            max_cost=max_cost,
        )

    def agent(self, name: str | None) -> AgentConfig:
        """The agent of this name; the default one for None."""
        return AgentRegistry.from_settings(self.settings).get(name)

    def workspace(self, run_id: str, folder: Path | None) -> dict[str, Any]:
        """Where a run works: the folder named, else the current one inside a git work tree, else one of its own.

        Raises:
            UsageError: it is no folder, or it holds alfred's own home.
        """
        chosen = folder if folder is not None else _work_tree(Path.cwd())
        if chosen is None:
            made = self.home / "workspaces" / run_id
            return {"root": str(made), "made": True, "trusted": False}
        try:
            root = chosen.expanduser().resolve(strict=True)
        except (OSError, RuntimeError) as problem:
            raise errors.UsageError(
                f"The folder {str(chosen)!r} cannot be used: {problem.__class__.__name__}.",
                next="Name a folder that exists.",
            ) from None
        if not root.is_dir():
            raise errors.UsageError(
                f"{str(chosen)!r} is no folder.", next="Name a folder with --in."
            )
        home = self.home.resolve()
        own = (home / "workspaces", home / "worktrees")
        if home.is_relative_to(root) or (
            root.is_relative_to(home) and not any(root.is_relative_to(o) and root != o for o in own)
        ):
            raise errors.UsageError(
                f"The folder {str(chosen)!r} holds alfred's own home, where its rows and secrets lie.",
                next="Name a folder that does not contain it, or move the home with ALFRED_HOME.",
            )
        trusted = any(
            root.is_relative_to(Path(p).expanduser()) for p in self.settings.trust.workspaces
        )
        return {
            "root": str(root),
            "made": any(root.is_relative_to(o) for o in own),
            "trusted": trusted,
        }

    def start(self, new: NewRun) -> None:
        """Queues a run; a worker takes it."""
        make_folder(new)
        self.store.transact(ledger.start, new)

    # ---- deciding ----

    def decide(
        self,
        approval: str,
        decision: str,
        *,
        args_hash: str | None = None,
        text: str | None = None,
        reason: str | None = None,
        confirmed: bool = False,
    ) -> Approval:
        """One decision about one card. High is approved only with the hash that the card showed.

        Raises:
            HashRequired, AlreadyDecided, StaleHash, NotFound, Ambiguous, UsageError.
        """
        card = self.card(approval)
        if (
            decision in ("approve", "retry")
            and card.risk == "high"
            and args_hash is None
            and not confirmed
            and card.status == "pending"
        ):
            raise errors.HashRequired(
                f"This is a high risk: {card.title}.",
                next=f"Look at it with `alfred approvals list`, then `alfred approve {card.id[-6:].lower()} --hash {card.args_hash[:12]}`.",
            )
        if args_hash is not None:
            if len(args_hash) < 8 or not card.args_hash.startswith(args_hash.lower()):
                raise errors.StaleHash(
                    "The hash is not that of this approval as it is now.",
                    next="Look at the card again: `alfred approvals list`.",
                )
            args_hash = card.args_hash
        return self.store.transact(
            approvals.decide,
            Decision(
                approval_id=card.id,
                decision=decision,
                by=self.by,
                via=self.via,
                token=ids.new(),
                args_hash=args_hash or (card.args_hash if confirmed else None),
                text=text,
                reason=reason,
            ),
        )

    def card(self, ref: str) -> Approval:
        """The card that an id, or an unambiguous beginning or end of one, names."""
        with self.store.read() as look:
            found = approvals.get(look, views.resolve(look, "approvals", self.tenant, ref))
        if found is None:
            raise errors.NotFound(
                f"No approval has the id {ref!r}.",
                next="`alfred approvals list` shows what is open.",
            )
        return found

    def cards(self, *, status: str = "pending", run: str | None = None) -> list[Approval]:
        """Cards, newest first."""
        with self.store.read() as look:
            run_id = views.resolve(look, "runs", self.tenant, run) if run else ""
            return approvals.listed(look, self.tenant, status=status, run_id=run_id, limit=200)

    def shown(self, cards: Sequence[Approval]) -> None:
        """A person saw these cards: the clock of the low ones starts."""
        for card in cards:
            if card.status == "pending" and card.delivered_at is None:
                self.store.transact(
                    approvals.delivered, card.id, low_after_us=self.settings.approvals.low_after
                )

    # ---- steering ----

    def tell(self, ref: str, text: str) -> Told:
        """Gives a run a message. To its one open question it is the answer; an ended run gets a follow-up."""
        body = text.strip()
        if not body:
            raise errors.UsageError(
                "The message is empty.", next='Say something: alfred tell RUN "…".'
            )
        if len(body.encode("utf-8", "surrogatepass")) > MESSAGE_LIMIT:
            raise errors.UsageError(
                f"The message has more than {MESSAGE_LIMIT} bytes.", next="Shorten it."
            )
        run = self.run(ref)
        questions = [c for c in self.cards(run=run.id) if c.kind == "question"]
        if run.live and run.wait == Wait.QUESTION and len(questions) == 1:
            self.decide(questions[0].id, "answer", text=body)
            return Told(questions[0].id, run.id, True, None, None)
        message_id = ids.new()
        taken = self.store.transact(
            ledger.message, run.id, message_id=message_id, body=body, author=self.by
        )
        if taken is not None:
            waits = taken.wait if taken.status == Status.PARKED else None
            return Told(message_id, run.id, False, waits, None)
        follow_up = self.follow_up(run, body)
        return Told(message_id, run.id, False, None, follow_up.id)

    def follow_up(self, run: Run, brief: str) -> NewRun:
        """A run of the same session, for a message that came after the end."""
        said = f"Earlier in this session you were asked:\n{run.brief}\n\nYou answered:\n{run.result or '(no answer)'}\n\nNow: {brief}"
        new = NewRun(
            id=ids.new(),
            tenant=run.tenant,
            agent=run.agent,
            workflow=run.workflow,
            step="boss-turn",
            brief=said,
            title=brief.splitlines()[0][:80],
            model=run.model,
            grants=run.grants,
            workspace=run.workspace,
            inputs=run.inputs,
            external=run.external,
            dry_run=run.dry_run,
            max_cost=run.max_cost,
            session_id=run.session_id,
            trigger_kind="message",
        )
        self.start(new)
        return new

    def cancel(self, ref: str, *, why: str | None = None) -> Run:
        """Ends a run and everything below it.

        Raises:
            AlreadyEnded: it was over.
        """
        run = self.run(ref)
        if not self.store.transact(endings.cancel, run.id, by=self.by, token=ids.new(), why=why):
            raise errors.AlreadyEnded(
                f"Run {run.id[-6:].lower()} was over: {run.status}.",
                next="`alfred runs show` tells how it ended.",
            )
        return self.run(run.id)

    def wake(self, ref: str) -> Run:
        """Lets a paused or waiting run go on now, where that is for the operator to say.

        Raises:
            AlreadyEnded: it is over; a fork starts again from where it was.
        """
        run = self.run(ref)
        if not run.live:
            raise errors.AlreadyEnded(
                f"Run {run.id[-6:].lower()} is over: {run.status}.",
                next="Start again with `alfred run`, or tell it something: `alfred tell RUN …` begins a follow-up.",
            )
        with self.store.read() as look:
            halted = stop.stopped(look, self.tenant)
        if halted is not None:
            raise errors.UsageError(
                f"Everything was stopped at {clock.rfc3339(halted)}.",
                next="`alfred runs resume --all` lets it go on.",
            )

        def verb(tx: Tx) -> None:
            rows.lock(tx, run.id)
            if run.wait == Wait.LIMIT:
                budget.clear(tx, run.tenant)  # the operator says: ask again now
            if ledger.wake(tx, run.id, (Wait.PAUSE, Wait.BUDGET, Wait.LIMIT, Wait.TIMER)):
                audit.append(tx, run.tenant, "run.resume", run=run.id, by=self.by)

        self.store.transact(verb)
        return self.run(run.id)

    def stop_all(self) -> list[str]:
        """No new effect from now on: every running run is paused, nothing is claimed."""
        self.store.transact(stop.switch, self.tenant, by=self.by)
        return self.store.transact(stop.stop, self.tenant, by=self.by, token=ids.new())

    def resume_all(self) -> list[str]:
        """Takes the stop away."""
        woken: list[str] = []
        while some := self.store.transact(stop.resume, self.tenant, by=self.by, token=ids.new()):
            woken += some
        return woken

    def after_restore(self, tx: Tx) -> None:
        """Part of a restore: what was live when the backup was made is paused, because the world has gone on since."""
        stop.restored(tx, by=self.by)

    def run(self, ref: str) -> Run:
        """The run that an id, or an unambiguous beginning or end of one, names."""
        with self.store.read() as look:
            found = rows.get(look, views.resolve(look, "runs", self.tenant, ref))
        if found is None:
            raise errors.NotFound(
                f"No run has the id {ref!r}.", next="`alfred runs list` shows them."
            )
        return found

    # ---- nobody waits for a process that is not there ----

    def worker_is_there(self) -> bool:
        """Whether a live worker would take what is queued."""
        with self.store.read() as look:
            return bool(views.workers(look))

    def ensure_worker(self, *, spawn: bool = True) -> str | None:
        """Starts `alfred worker --until-idle` in the background when nobody would take what is queued.

        The child holds a lock from before it registers until it is gone, so that of many commands at once one
        starts it. Returns what to tell the person, None when a worker is there.
        """
        if self.worker_is_there():
            return None
        if not spawn or os.environ.get("ALFRED_NO_WORKER") == "1":
            return "No worker is running: start one with `alfred worker`."
        log = self.home / "logs" / "worker.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        env = {**os.environ, "ALFRED_HOME": str(self.home)}
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        lock = os.open(log.with_name("worker.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            until = clock.monotonic() + WORKER_STARTS
            while not _alone(lock):
                # Somebody has just started one, or one is about to end: it registers, or it is gone, in a moment.
                if self.worker_is_there():
                    return None
                if clock.monotonic() > until:
                    return (
                        "A worker was started a moment ago and is not there yet: `alfred status`."
                    )
                clock.sleep(0.05)
            if self.worker_is_there():
                return None
            subprocess.Popen(
                [sys.executable, "-m", "alfred", "worker", "--until-idle"],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                env=env,
                cwd=self.home,
                pass_fds=(lock,),
            )
        finally:
            os.close(descriptor)
            os.close(lock)
        return "No worker was running: one was started in the background, until everything is done."


def for_tenant(desk: Desk, tenant: str, home: Path, settings: Any) -> Desk:
    """The same person at another tenant's desk."""
    return replace(desk, tenant=tenant, home=home, settings=settings)


def _inputs(paths: Sequence[Path]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        try:
            real = path.expanduser().resolve(strict=True)
            if real.is_file():  # opening a pipe would wait for somebody to write into it
                with real.open("rb"):
                    pass
        except (OSError, RuntimeError) as problem:
            reason = (
                problem.strerror
                if isinstance(problem, OSError) and problem.strerror
                else "it cannot be resolved"
            )
            raise errors.UsageError(
                f"The input {str(path)!r} cannot be read: {reason}.",
                next="Name a file that exists and can be read.",
            ) from None
        if not real.is_file():
            raise errors.UsageError(
                f"The input {str(path)!r} is no file.",
                next="Give files with --input, a folder with --in.",
            )
        name = path.name
        if name in found:
            raise errors.UsageError(f"Two inputs are called {name!r}.", next="Rename one of them.")
        found[name] = str(real)
    return found


def _work_tree(folder: Path) -> Path | None:
    """The folder when it lies inside a git work tree. Only names are looked at: git itself is not started."""
    return (
        folder if any((parent / ".git").exists() for parent in (folder, *folder.parents)) else None
    )


def make_folder(new: NewRun) -> None:
    """Makes the folder of a run that has one of its own."""
    place = json.loads(new.workspace or "{}")
    if place.get("made"):
        Path(place["root"]).mkdir(mode=0o700, parents=True, exist_ok=True)


def _alone(lock: int) -> bool:
    """Takes the lock of the background worker, which its child inherits; False while another one holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _micro(usd: float | None) -> int | None:
    if usd is None:
        return None
    if not 0 < usd <= COST_LIMIT:
        raise errors.UsageError(
            f"--max-cost must be more than 0 and at most {COST_LIMIT}, not {usd}.",
            next="Give USD, for example 0.50.",
        )
    return int(usd * 1_000_000)
