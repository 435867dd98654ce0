"""The operator's verbs, once: what the command line and every later surface do with runs and cards.

A Desk is a tenant's ledger seen by one person. It writes rows and never executes anything; nothing heavy is
imported here, so that deciding a card costs no model SDK.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alfred import background, clock, conversations, errors, ids, orders
from alfred import home as places
from alfred.actions import approvals, card_clock
from alfred.actions.approvals import Decision
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import labels as file_labels
from alfred.actions.ledger import proposals as proposals_ledger
from alfred.actions.ledger.approvals import Approval
from alfred.actions.ledger.labels import Mark
from alfred.actions.ledger.proposals import Proposal
from alfred.agents import branch
from alfred.agents.branch import Branch
from alfred.agents.comparison import REPLAY
from alfred.agents.registry import AgentRegistry, EffectiveAgent
from alfred.agents.sessions import build_session_key
from alfred.conversations import Conversation
from alfred.orders import Order
from alfred.runs import (
    audit,
    blocks,
    endings,
    ledger,
    revisions,
    rows,
    sessions,
    stop,
    sweep,
    views,
)
from alfred.runs.rows import NewRun, Run
from alfred.runs.states import Status, Wait
from alfred.store.connect import Store
from alfred.store.tx import Tx
from alfred.trust import redact

if TYPE_CHECKING:
    from alfred.workflows.contracts import Written

MESSAGE_LIMIT = 16_000
"""Bytes of a message to a run."""


def person() -> str:
    """Who sits at this terminal: `local:<uid>`, the owner."""
    return f"local:{os.getuid()}" if hasattr(os, "getuid") else f"local:{getpass.getuser()}"


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a message: read at the next turn, taken as an answer, waiting, or a run of its own.

    `follow_up` is the run that has it now, when the one that was told is over, or has handed its conversation over.
    """

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
        """The run that an order asks for; nothing is written yet. See `orders.read`."""
        return orders.read(
            order,
            tenant=self.tenant,
            home=self.home,
            settings=self.settings,
            model=model,
            actions=actions,
        )

    def agent(self, name: str | None) -> EffectiveAgent:
        """The agent of this name, with all that it inherits; the default one for None."""
        return AgentRegistry.from_settings(self.settings).effective(name)

    def start(self, new: NewRun) -> None:
        """Queues a run; a worker takes it."""
        orders.make_folder(new)
        self.store.transact(self.begin, new)

    def begin(self, tx: Tx, new: NewRun) -> None:
        """Puts a run into the ledger.

        Raises:
            NotActivated: nobody allows its workflow any more since it was looked at, which may take as long as servers do.
        """
        if new.revision is not None and not new.dry_run:
            from alfred.workflows import contracts

            contracts.still_held(tx, new)
        ledger.start(tx, new)

    def written(self, name: str, otherwise: Callable[[], Written] | None) -> Written | None:
        """The user-written workflow of this name, as a run of it begins; None: it is the one that every brief runs.

        Args:
            otherwise: What it would be allowed: for a dry run, which nobody need have allowed.

        Raises:
            NotFound, ConfigError: there is no such file, or it is wrong.
            NotActivated: nobody has allowed it as it is.
        """
        from alfred.workflows import agent, contracts

        if name == agent.NAME:
            return None
        try:
            with self.store.read() as look:
                return contracts.holding(look, self.tenant, self.home, name)
        except contracts.NotActivated:
            if otherwise is None:
                raise
        return otherwise()

    def keep(self, written: Written) -> None:
        """Keeps the text of a user-written workflow, for the runs that begin with it."""
        contract = written.contract
        self.store.transact(
            revisions.keep, self.tenant, contract.workflow, contract.revision, written.text
        )

    def activate(self, written: Written) -> str:
        """Asks whether a user-written workflow may run, as it is now. The run that asks, queued."""
        from alfred.workflows import activation

        return self.store.transact(
            activation.begin, self.tenant, written.contract, written.text, ids.new()
        )

    def deactivate(self, slug: str) -> None:
        """No run of a user-written workflow begins any more; those that have begun go on.

        Raises:
            NotFound: it is not active.
        """
        from alfred.workflows import activation

        if not self.store.transact(activation.deactivate, self.tenant, slug, by=self.by):
            raise errors.NotFound(
                f"No workflow {slug[:80]!r} is active.", next="`alfred workflows list` shows them."
            )

    # ---- deciding ----

    def decide(
        self,
        approval: str,
        decision: str,
        *,
        args_hash: str | None = None,
        text: str | None = None,
        reason: str | None = None,
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
            and card.status == "pending"
        ):
            raise errors.HashRequired(
                f"This is a high risk: {card.title}.",
                next=f"Look at it with `alfred approvals list`, then `alfred approve {card.id[-6:].lower()} --hash {card.args_hash[:12]}`.",
            )
        with approvals.noting(self.store, card.id, decision, by=self.by, via=self.via):
            if args_hash is not None:
                args_hash = self.bound(card, args_hash)
            return self.store.transact(
                approvals.decide,
                Decision(
                    approval_id=card.id,
                    decision=decision,
                    by=self.by,
                    via=self.via,
                    token=ids.new(),
                    args_hash=args_hash,
                    text=text,
                    reason=reason,
                ),
            )

    def bound(self, card: Approval, args_hash: str) -> str:
        """The whole hash of a card, of which somebody has given at least 8 characters.

        Raises:
            StaleHash: it is another one.
        """
        if len(args_hash) < 8 or not card.args_hash.startswith(args_hash.lower()):
            raise errors.StaleHash(
                "The hash is not that of this approval as it is now.",
                next="Look at the card again: `alfred approvals list`.",
            )
        return card.args_hash

    def card(self, ref: str) -> Approval:
        """The card that an id, or an unambiguous beginning or end of one, names."""
        with self.store.read() as look:
            found = approvals_ledger.get(look, views.resolve(look, "approvals", self.tenant, ref))
        if found is None:
            raise errors.NotFound(
                f"No approval has the id {ref!r}.",
                next="`alfred approvals list` shows what is open.",
            )
        return found

    def cards(
        self,
        *,
        status: str = "pending",
        run: str | None = None,
        limit: int = views.MOST,
        cursor: str = "",
    ) -> list[Approval]:
        """Cards, newest first; behind a cursor, which is the id of the last card that was seen, the next ones."""
        with self.store.read() as look:
            run_id = views.resolve(look, "runs", self.tenant, run) if run else ""
            return approvals_ledger.listed(
                look, self.tenant, status=status, run_id=run_id, before=cursor, limit=limit
            )

    def expire(self) -> bool:
        """Settles the cards whose time is over, here and now: who looks at them need not wait for a worker's sweep.

        Whether there were any: their runs go on then, and somebody must take them.
        """
        with self.store.read() as look:
            due = bool(approvals_ledger.expired(look, 1))
        if due:
            card_clock.expire_beat(self.store, ids.new)
        return due

    def shown(self, cards: Sequence[Approval]) -> None:
        """A person saw these cards: the clock of the low ones starts."""
        for card in cards:
            if card.status == "pending" and card.delivered_at is None:
                self.store.transact(
                    approvals.delivered, card.id, low_after_us=self.settings.approvals.low_after
                )

    def proposals(self) -> list[Proposal]:
        """Rules that would have covered what was allowed again and again, and wait for an answer."""
        with self.store.read() as look:
            return proposals_ledger.open_(look, self.tenant)

    def proposal(self, ref: str) -> Proposal:
        """The rule that an id, or an unambiguous beginning or end of one, names."""
        with self.store.read() as look:
            found = proposals_ledger.get(look, views.resolve(look, "proposals", self.tenant, ref))
        if found is None:
            raise errors.NotFound(
                f"No open proposal has the id {ref!r}.", next="`alfred approvals list`"
            )
        return found

    def answer_proposal(self, proposal: Proposal, said: proposals_ledger.Answer) -> bool:
        """Whether it was open still. One that is declined is not proposed again for 30 days."""
        return self.store.transact(proposals_ledger.answer, proposal.id, said, by=self.by)

    def marks(self, path: Path) -> list[Mark]:
        """Where strangers' words were written into a file or folder, or lie around it."""
        with self.store.read() as look:
            return file_labels.external(look, self.tenant, file_labels.place(path))

    def endorse(self, path: Path, seen: Sequence[Mark]) -> None:
        """The owner has read it: it counts as strangers' words no more, for runs that read it from now on.

        Raises:
            StaleHash: something was written there since they looked.
            UsageError: a run with strangers' words is at work, and may be writing there.
        """
        at = file_labels.place(path)

        def verb(tx: Tx) -> bool:
            if (run := file_labels.writing(tx, self.tenant)) is not None:
                raise errors.UsageError(
                    f"Run {run[-6:].lower()}, which has read what strangers wrote, is doing something just now.",
                    next="Wait until it is done, or cancel it, and look again.",
                )
            done = file_labels.endorse(tx, tenant=self.tenant, path=at, seen=seen, by=self.by)
            if done:
                said = [
                    {"path": one.path, "label": str(one.label), "by": one.run_id} for one in seen
                ]
                audit.append(
                    tx, self.tenant, "endorse", path=at, by=self.by, via=self.via, marks=said
                )
            return done

        if not self.store.transact(verb):
            raise errors.StaleHash(
                "Strangers' words were written there since you looked.",
                next="Look at it again.",
            )

    # ---- steering ----

    def tell(self, ref: str, text: str) -> Told:
        """Gives a run a message. To its one open question it is the answer. What is said to an ended run is said to
        the one that follows it up, which begins with it when there is none."""
        said = text.strip()
        if not said:
            raise errors.UsageError(
                "The message is empty.", next='Say something: alfred tell RUN "…".'
            )
        if len(said.encode("utf-8", "surrogatepass")) > MESSAGE_LIMIT:
            raise errors.UsageError(
                f"The message has more than {MESSAGE_LIMIT} bytes.", next="Shorten it."
            )
        body = redact.redact(said)
        run = self.run(ref)
        if run.workflow == REPLAY:
            raise errors.UsageError(
                f"Run {run.id[-6:].lower()} replays another one: nobody listens there.",
                next="Tell the run that it is about, or fork that one with --brief.",
            )
        with self.store.read() as look:
            speaks = sessions.speaks(look, run)
        now = speaks if speaks.live and not speaks.cancel else run
        follows = now.id if now.id != run.id else None
        card = conversations.answered(self.store, now, body, by=self.by, via=self.via)
        if card is not None:
            return Told(card, run.id, True, None, follows)
        new = conversations.follow_up(speaks, body, settings=self.settings)
        orders.make_folder(new)
        whose = now if now.live else run
        taken = self.store.transact(sessions.follow, whose, new, author=self.by)
        waits = taken.wait if taken.status == Status.PARKED else None
        follows = taken.id if taken.id != run.id else None
        return Told(new.id, run.id, False, waits, follows)

    def conversation(self, agent: str | None = None, **about: Any) -> Conversation:
        """What this person says to an agent from one place, and is answered there. In direct chats the agent's `dm_scope`
        says what one conversation is; unset it is all of a platform, as for whoever is the only person there.

        Args:
            about: Where: see `agents.build_session_key`.

        Raises:
            UnknownAgent: nobody is called so.
        """
        found = self.agent(agent)
        return Conversation(
            store=self.store,
            settings=self.settings,
            home=self.home,
            tenant=self.tenant,
            by=self.by,
            via=self.via,
            agent=found,
            key=build_session_key(agent_id=found.id, dm_scope=found.dm_scope or "main", **about),
        )

    def fork(
        self,
        ref: str,
        *,
        at: int,
        brief: str | None = None,
        model: str | None = None,
        reject: str | None = None,
    ) -> Branch:
        """A new run that begins where another one was behind a step. See `agents.branch`.

        Raises:
            UsageError: the step cannot be branched off from, or a text is empty or too long.
        """
        return self.store.transact(
            branch.fork,
            self.run(ref).id,
            at=at,
            new_id=ids.new(),
            by=self.by,
            brief=None if brief is None else orders.said(brief, "brief"),
            model=model,
            reject=None if reject is None else orders.said(reject, "reason"),
        )

    def cancel(self, ref: str, *, why: str | None = None) -> Run:
        """Ends a run and everything below it.

        Raises:
            AlreadyEnded: it was over.
        """
        run = self.run(ref)
        if run.status == Status.RUNNING:
            sweep.release_gone(self.store)  # whose process is gone need not be waited for
        if not self.store.transact(endings.cancel, run.id, by=self.by, token=ids.new(), why=why):
            ended = self.run(run.id).status  # perhaps since it was looked at
            raise errors.AlreadyEnded(
                f"Run {run.id[-6:].lower()} was over: {ended}.",
                next=f"`alfred runs show {run.id[-6:].lower()}` tells how it ended.",
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
                next=f"Go on from one of its steps: `alfred runs fork {run.id[-6:].lower()} --at STEP`; or tell it something:"
                " `alfred tell RUN …` begins a follow-up.",
            )
        self.refuse_if_stopped()

        def verb(tx: Tx) -> None:
            rows.lock(tx, run.id)
            if run.wait == Wait.LIMIT:
                blocks.clear(tx, run.tenant)  # the operator says: ask again now
            if ledger.wake(tx, run.id, (Wait.PAUSE, Wait.BUDGET, Wait.LIMIT, Wait.TIMER)):
                audit.append(tx, run.tenant, "run.resume", run=run.id, by=self.by)

        self.store.transact(verb)
        return self.run(run.id)

    def refuse_if_stopped(self) -> None:
        """For whoever would wait for a run that nothing may drive.

        Raises:
            UsageError: everything was stopped.
        """
        with self.store.read() as look:
            halted = stop.stopped(look, self.tenant)
        if halted is not None:
            raise errors.UsageError(
                f"Everything was stopped at {clock.rfc3339(halted)}.",
                next="`alfred runs resume --all` lets it go on.",
            )

    def stop_all(self) -> list[str]:
        """No new effect from now on: every running run is paused, nothing is claimed."""
        self.store.transact(stop.switch, self.tenant, by=self.by)
        return self.store.transact(stop.stop, self.tenant, by=self.by, token=ids.new())

    def resume_all(self) -> list[str]:
        """Takes the stop away. Low cards whose time has come meanwhile approve themselves some minutes later."""
        card_clock.hold_due(self.store, self.tenant)
        woken: list[str] = []
        while some := self.store.transact(stop.resume, self.tenant, by=self.by, token=ids.new()):
            woken += some
        return woken

    def after_restore(self, tx: Tx) -> None:
        """Part of a restore: what was live when the backup was made is paused, because the world has gone on since, and no
        clock decides at once about a card."""
        stop.restored(tx, by=self.by)
        approvals_ledger.restored(tx, clock.DAY)

    def run(self, ref: str) -> Run:
        """The run that an id, or an unambiguous beginning or end of one, names."""
        with self.store.read() as look:
            found = rows.get(look, views.resolve(look, "runs", self.tenant, ref))
        if found is None:
            raise errors.NotFound(
                f"No run has the id {ref!r}.", next="`alfred runs list` shows them."
            )
        return found

    def ensure_worker(self) -> str | None:
        """Nobody waits for a process that is not there. See `background.ensure_worker`."""
        return background.ensure_worker(self.store, places.whole(self.home), self.tenant)
