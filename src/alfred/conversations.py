"""Conversations: what is said to an agent from one place, and the session that it is said to just now.

Every surface on which people talk to an agent makes a `Conversation` of where a message comes from, and delivers. A message
is in the ledger when `deliver` has committed, whatever becomes of who brought it, and once, however often it is brought.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alfred import errors, ids, orders
from alfred.actions import approvals
from alfred.actions.approvals import Decision
from alfred.actions.grant import Grant
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.calls import Call
from alfred.agents import folders
from alfred.agents.entries import UnknownAgent
from alfred.agents.registry import AgentRegistry, EffectiveAgent
from alfred.runs import rows, sessions, views
from alfred.runs.rows import NewRun, Run
from alfred.runs.sessions import Session
from alfred.runs.states import Wait
from alfred.store.connect import Store
from alfred.store.tx import Tx

_WITHIN = ("agents.delegate", "agents.ask", "agents.handoff", "scratch.write", "scratch.promote")
"""Effects within the conversation: what was asked of others, who have effects of their own, and what a run noted. By their
ids, which nobody else's action has; to which integration one belongs its author says."""

LISTED = 20
"""Sessions that are shown to choose from."""


@dataclass(frozen=True, slots=True)
class Undone:
    """A turn that was taken back, and what it has changed in the world, which stands."""

    run: Run
    standing: tuple[Call, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What one person says to one agent from one place."""

    store: Store
    settings: Any
    home: Path
    tenant: str
    by: str
    via: str
    agent: EffectiveAgent
    """Who is talked to from there, unless the conversation was handed over: see `speaks`."""
    key: str
    """See `agents.build_session_key`."""

    def session(self) -> Session:
        """The session that is meant just now, where it was handed over the one in which it goes on; a new one where nothing
        was said yet, or where whoever it was handed to is no more."""
        with self.store.read() as look:
            found = sessions.of_key(look, self.tenant, self.key)
            if found is not None:
                found = sessions.get(look, sessions.handed(look, found.id)[-1])
        if found is None:
            return self.store.transact(
                sessions.opened,
                tenant=self.tenant,
                agent=self.agent.id,
                key=self.key,
                new_id=ids.new(),
            )
        try:
            self._who(found)
        except UnknownAgent:
            return self.renew()
        return found

    def speaks(self) -> EffectiveAgent:
        """Who is meant by what is said now: the agent that is talked to, or who has taken the conversation over."""
        return self._who(self.session())

    def _who(self, session: Session) -> EffectiveAgent:
        if session.agent == self.agent.id:
            return self.agent
        return AgentRegistry.from_settings(self.settings).effective(session.agent)

    def turns(self) -> list[Run]:
        """What was asked from there, oldest first, through every agent that has had the conversation: runs that nobody called."""
        with self.store.read() as look:
            found = sessions.of_key(look, self.tenant, self.key)
            through = sessions.handed(look, found.id) if found else []
            runs = [rows.get(look, turn) for id in through for turn in sessions.turns(look, id)]
            while runs and runs[0] is not None and runs[0].parent_id is not None:
                caller = rows.get(look, runs[0].root_id)
                assert caller is not None
                earlier = [*sessions.before(look, caller.id), caller.id]
                runs = [*(rows.get(look, turn) for turn in earlier), *runs[1:]]
        return [run for run in runs if run is not None and run.parent_id is None]

    def live(self) -> Run | None:
        """The turn that is answered just now, or waits. It may have handed the conversation over: then what is said goes to a run
        below it."""
        return next((run for run in self.turns()[::-1] if run.live and not run.cancel), None)

    def turn(
        self,
        text: str,
        *,
        actions: Sequence[str],
        model: Callable[[], str],
        folder: Path | None = None,
    ) -> NewRun:
        """The turn that a message asks for; nothing is written yet, and it may become a message to the run that lives.

        Args:
            actions: Ids of the actions that there are; the turn may propose those that its agent has.
            model: Resolves the agent's model; asked when nobody has chosen one for the session.
            folder: Where it works; else in the agent's folder, or where the turn before it did, or in one of its own.

        Raises:
            UsageError: it is empty or too long, or the folder cannot be used.
        """
        said = orders.said(text, "message")
        session, message_id = self.session(), ids.new()
        agent, last = self._who(session), self._last(session)
        place = self._place(folder or agent.workspace, last, message_id)
        return NewRun(
            id=message_id,
            tenant=self.tenant,
            agent=agent.id,
            workflow="agent",
            step="boss-turn",
            brief=said,
            title=said.splitlines()[0][:80],
            trigger_kind="message",
            model=session.model or model(),
            grants=Grant(actions=frozenset(agent.policy.apply(actions)), scratch="").encode(),
            workspace=place,
            inputs=last.inputs if last else "{}",
            session_id=session.id,
        )

    def deliver(self, tx: Tx, new: NewRun) -> Run:
        """The run that has the message now: `new` itself, or the one that lives. A verb.

        Raises:
            HandedOver: somebody else has the conversation since the turn was made: make it again.
        """
        assert new.session_id is not None
        return sessions.deliver(tx, new.session_id, new, author=self.by)

    def answered(self, text: str) -> Run | None:
        """The run that takes this as the answer to its one open question; None: nobody has asked."""
        session = self.session()
        with self.store.read() as look:
            run = sessions.live(look, session.id)
        return run if run and answered(self.store, run, text, by=self.by, via=self.via) else None

    # ---- which session ----

    def listed(self) -> list[Session]:
        """The agent's sessions in which something was said, the last used first."""
        with self.store.read() as look:
            return sessions.listed(look, self.tenant, self.agent.id, limit=LISTED)

    def renew(self) -> Session:
        """From now on a new session is meant. The one before stays, and whatever runs in it goes on."""
        session_id = ids.new()

        def verb(tx: Tx) -> Session:
            sessions.begin(tx, id=session_id, tenant=self.tenant, agent=self.agent.id)
            return self._points(tx, session_id)

        return self.store.transact(verb)

    def resume(self, ref: str) -> Session:
        """From now on this session is meant.

        Raises:
            NotFound: this agent has none that is called so.
            Ambiguous: several are.
        """
        with self.store.read() as look:
            found = sessions.get(look, views.resolve(look, "sessions", self.tenant, ref))
        if found is None or found.agent != self.agent.id:
            raise errors.NotFound(
                f"{self.agent.id} has no session {ref[:40]!r}.", next="`/resume` lists them."
            )
        return self.store.transact(lambda tx: self._points(tx, found.id))

    def undo(self) -> Undone:
        """From now on a session is meant that has all turns but the last. The one with it stays; nothing that was done is
        taken back.

        Raises:
            UsageError: nothing was said yet, or the last turn is not over.
        """
        new_id = ids.new()

        def verb(tx: Tx) -> Run:
            session = sessions.opened(
                tx, tenant=self.tenant, agent=self.agent.id, key=self.key, new_id=new_id
            )
            through = sessions.handed(tx, session.id)
            for id in through:
                sessions.hold(tx, id)
            if any(sessions.live(tx, id) is not None for id in through):
                raise errors.UsageError(
                    "The last turn is not over, so there is nothing to take back yet.",
                    next="End it first.",
                )
            turns = sessions.turns(tx, through[-1])
            if not turns:
                raise errors.UsageError("Nothing was said yet.", next="Say something.")
            undone = rows.get(tx, turns[-1])
            while undone is not None and undone.parent_id is not None:
                # whoever took the conversation over has said one thing in it, and that was the turn of its caller
                undone = rows.get(tx, undone.parent_id)
            assert undone is not None
            last = sessions.get(tx, undone.session_id if undone.id not in turns else through[-1])
            assert last is not None
            sessions.branched(
                tx, last, upto=sessions.turns(tx, last.id).index(undone.id), new_id=new_id
            )
            self._points(tx, new_id)
            return undone

        undone = self.store.transact(verb)
        with self.store.read() as look:
            done = [
                call
                for run_id in views.tree(look, undone.id)
                for call in calls_ledger.effects(look, run_id, 0)
                if call.action not in _WITHIN
            ]
            return Undone(undone, tuple(done))

    def answer_with(self, model: str | None) -> None:
        """Turns of this session that begin from now on are answered by this model; None: by the agent's."""
        session = self.session()
        self.store.transact(sessions.answered_by, session.id, model)

    def _points(self, tx: Tx, session_id: str) -> Session:
        sessions.point(tx, tenant=self.tenant, key=self.key, session_id=session_id)
        found = sessions.get(tx, session_id)
        assert found is not None
        return found

    def _last(self, session: Session) -> Run | None:
        with self.store.read() as look:
            turns = sessions.turns(look, session.id)
            return rows.get(look, turns[-1]) if turns else None

    def _place(self, folder: Path | None, last: Run | None, run_id: str) -> str:
        """Where the turn works, as JSON."""
        chosen = folder
        trusted = self.settings.trust.workspaces
        if chosen is None and last and last.workspace:
            place = json.loads(last.workspace)
            if place.get("made") or Path(place["root"]).is_dir():
                return folders.again(last.workspace, trusted=trusted)
        if chosen is None:
            return json.dumps(folders.own_workspace(run_id, home=self.home))
        return json.dumps(folders.workspace(run_id, chosen, home=self.home, trusted=trusted))


def follow_up(run: Run, brief: str, *, settings: Any) -> NewRun:
    """A run of the same session, for a message that came after the end; nothing is written yet.

    Its brief is that message; what was said before it it reads as the next turn of that session. Where a turn of a
    `Conversation` is what its agent is by now, this is what that run was: its model, its workspace, its caps, and of its tools
    those that its agent has still.

    Raises:
        UnknownAgent: the agent is gone.
    """
    agent = AgentRegistry.from_settings(settings).effective(run.agent)
    grant = Grant.decode(run.grants)
    grant = grant.narrowed(agent.policy.apply(grant.actions))
    if run.parent_id is not None and grant.scratch is not None:
        grant = replace(grant, scratch="")  # it is nobody's child
    trusted = settings.trust.workspaces
    return NewRun(
        id=ids.new(),
        tenant=run.tenant,
        agent=run.agent,
        workflow=run.workflow,
        revision=run.revision,
        step="boss-turn",
        brief=brief,
        title=brief.splitlines()[0][:80],
        model=run.model,
        grants=grant.encode(),
        workspace=run.workspace and folders.again(run.workspace, trusted=trusted),
        inputs=run.inputs,
        dry_run=run.dry_run,
        max_cost=run.max_cost,
        session_id=run.session_id,
        trigger_kind="message",
    )


def answered(store: Store, run: Run, text: str, *, by: str, via: str) -> str | None:
    """Takes a text as the answer to a run's one open question: its card; None: it waits for no answer, or for several."""
    if not run.live or run.wait != Wait.QUESTION:
        return None
    with store.read() as look:
        open_ = approvals_ledger.listed(look, run.tenant, run_id=run.id)
    questions = [card for card in open_ if card.kind == "question"]
    if len(questions) != 1:
        return None
    said = Decision(
        approval_id=questions[0].id, decision="answer", by=by, via=via, token=ids.new(), text=text
    )
    try:
        return store.transact(approvals.decide, said).id
    except errors.AlreadyDecided:
        return None  # somebody else was first: then it is a message
