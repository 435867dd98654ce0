"""What a client of a conversation does, whoever shows it: says things, drives what answers, ends a turn, leaves.

Invariant: what was typed is in the ledger before anything is shown of it, and this process may end at any moment: a turn that
it drove is handed back, and its session is where it was, for the next client and for every other surface. A turn begins with what
config.yaml says by then, however long the window has been open.
"""

from __future__ import annotations

from dataclasses import replace

from alfred import app, errors, home
from alfred.agents.folders import work_tree
from alfred.cli import live, terminal, work
from alfred.config_live import LiveSettings
from alfred.config_schema import Settings
from alfred.conversations import Conversation
from alfred.orders import make_folder
from alfred.runs import sessions
from alfred.runs.rows import NewRun, Run
from alfred.runs.states import Status
from alfred.store.tx import Tx


class Chat:
    """What a client of a conversation does, whoever shows it."""

    def __init__(self, base: app.Base, view: live.View, agent: str | None):
        self.base = base
        self.view = view
        self.whole = work.executing(base, view)
        self.worker = self.whole.worker(kind="run", root="nothing yet")
        self._root: str | None = None
        self._live = LiveSettings(base.home, app.settings_of)
        self._resolved: tuple[Settings, str, str] | None = None
        self.talk = self.of(agent)

    @property
    def settings(self) -> Settings:
        """What config.yaml says."""
        return self._live.of(home.MAIN)

    def of(self, agent: str | None) -> Conversation:
        """What is said to an agent at this terminal.

        Raises:
            UnknownAgent: nobody is called so.
        """
        return replace(self.base.desk, settings=self.settings).conversation(
            agent, platform="cli", chat_id="local", user_id=self.base.desk.by.partition(":")[2]
        )

    def model(self) -> str:
        """Who answers the next turn.

        Raises:
            NoModel, ConfigError: nobody can.
        """
        own = self.talk.session().model
        return own or self._own_model()

    def _own_model(self) -> str:
        settings, agent = self.talk.settings, self.talk.speaks().id
        if (
            self._resolved is None
            or self._resolved[0] is not settings
            or self._resolved[1] != agent
        ):
            model = work.resolved(self.whole, agent, None, settings=settings)
            self._resolved = settings, agent, model
        return self._resolved[2]

    def say(self, text: str) -> Run:
        """Says something; the run that has it, which is driven here from now on unless somebody else drives it.

        Raises:
            UsageError: it is empty or too long, or everything was stopped.
            UnknownAgent: who was talked to is in config.yaml no more.
        """
        self.base.desk.refuse_if_stopped()
        self.talk = self.of(self.talk.agent.id)
        terminal.without_secrets(text)
        run = self.talk.answered(text) or self._told(text)
        self.drive(run.id)
        return self.base.desk.run(run.id)

    def _told(self, text: str) -> Run:
        while True:
            new = self.talk.turn(
                text,
                actions=self.whole.tools(self.talk.speaks().id),
                model=self._own_model,
                folder=work_tree(),
            )
            make_folder(new)
            has: list[str] = []

            def start(tx: Tx, new: NewRun = new, has: list[str] = has) -> str:
                has[:] = [self.talk.deliver(tx, new).id]
                return has[0]

            try:
                self.worker.begin(start)
            except sessions.HandedOver:
                continue  # this very moment: it is another agent's turn
            return self.base.desk.run(has[0])

    def drive(self, run_id: str) -> None:
        """Takes the tree of this run as soon as it may be taken, and when the one that is driven here has ended: see `turn`."""
        root = self.base.desk.run(run_id).root_id
        if self._root is None or not self.base.desk.run(self._root).live:
            self._root = self.worker.root = root
        self.base.dispatcher.notify([run_id])

    def stop(self, run_id: str) -> bool:
        """Ends a turn, not the conversation. False: it was over."""
        try:
            self.base.desk.cancel(run_id, why="stopped in chat")
        except errors.AlreadyEnded:
            return False
        self.worker.watch()
        return True

    def leave(self) -> str | None:
        """Hands back what is driven here; what to say about who goes on with it."""
        run = self.talk.live()
        self.worker.stop(grace=0 if run else 5)
        self.whole.propose()
        if run is None:
            return None
        note = self.base.desk.ensure_worker()
        ref = terminal.short(run.id)
        goes = f"It waits for {run.wait}." if run.status == Status.PARKED else note or "It goes on."
        return f"The turn {ref} is not over. {goes} `alfred chat` shows what became of it."
