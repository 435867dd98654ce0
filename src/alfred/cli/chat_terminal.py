"""The chat on a terminal: the answer grows above the line that is being typed.

Invariant: one thread owns the terminal. A turn is followed in another one, which hands over what is to be written; cards are
asked about by the owner, with the line put aside and what the turn writes held back meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import ANSI, FormattedText, merge_formatted_text
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input import create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.utils import get_cwidth

from alfred import app, errors, home
from alfred.actions.ledger.approvals import Approval
from alfred.cli import cards, chat_words, live, terminal
from alfred.cli.chat_client import Chat
from alfred.cli.leaving import Left, Signals
from alfred.runs.rows import Run
from alfred.runs.states import Status
from alfred.trust import display, redact

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text.base import AnyFormattedText

LOOKS = 0.05
"""Seconds between two looks whether something else than a key has happened: it is written above the line, in the terminal's
raw mode, so that no key is lost to it."""


class History(FileHistory):
    """What was typed, in a file that nobody else reads, without secrets."""

    def __init__(self, path: Path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        super().__init__(str(path))

    def store_string(self, string: str) -> None:
        """Keeps one entry."""
        super().store_string(redact.redact(string))


class Screen(live.View):
    """A view whose last, unfinished line stands right above what is being typed."""

    def __init__(self, desk: Any, **options: Any):
        super().__init__(desk, ask=False, **options)
        self.unfinished = ""
        self.asked: queue.SimpleQueue[list[Approval]] = queue.SimpleQueue()
        self._held: list[str] | None = None
        self.changed: Any = lambda: None
        self.print: Callable[[str], None] = _print

    def hold(self) -> None:
        """Writes nothing from now on: somebody is being asked."""
        with self._lock:
            self._line()
            self._held = []

    def go_on(self) -> None:
        """Writes again, and first what was held back."""
        with self._lock:
            held, self._held = self._held or [], None
            for line in held:
                self._emit(line)

    def _emit(self, line: str) -> None:
        if self._held is not None:
            self._held.append(line)
            return
        self.print(redact.redact(line) + "\n")

    def _write(self, text: str) -> None:
        with self._lock:
            if not self._column:
                self._said, text = "", text.lstrip("\n")
            self._said += text
            self._column = True
            self.unfinished += display.display(text, multiline=True)
            *whole, self.unfinished = self.unfinished.split("\n")
            for line in whole:
                self._emit(line)
            room = shutil.get_terminal_size().columns - 1
            while get_cwidth(self.unfinished) > room:
                line, self.unfinished = _cut(self.unfinished, room)
                self._emit(line)
            self.changed()

    def _line(self) -> None:
        with self._lock:
            if self._column and self.unfinished:
                line, self.unfinished = self.unfinished, ""
                self._emit(line)
            self._column = False
            self.changed()

    def _say(self, text: str) -> None:
        with self._lock:
            self._line()
            self._emit(f"  {text}")

    def _show(self, group: Sequence[Approval]) -> None:
        if group:
            self.asked.put(list(group))


def _print(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _cut(text: str, room: int) -> tuple[str, str]:
    """The first line of a text that is too wide, and the rest: cut at a space where there is one."""
    widths = itertools.accumulate(get_cwidth(letter) for letter in text)
    at = next((n for n, width in enumerate(widths) if width > room), len(text))
    space = text.rfind(" ", 0, at + 1)
    return (text[:space], text[space + 1 :]) if space > 0 else (text[:at], text[at:])


class Client:
    """One person at one terminal."""

    def __init__(self, base: app.Base, agent: str | None, always: cards.Always):
        self.screen = Screen(base.desk)
        self.chat = Chat(base, self.screen, agent)
        self.always = always
        self.signals = Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._follower: threading.Thread | None = None
        self._run: Run | None = None
        self._gone = threading.Event()
        self._input = create_input()
        self._above: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._draft = ""
        self._stopped = ""
        """The turn that was ended here."""
        self._status = ""
        self._session: PromptSession[str | None] | None = None
        self._whose = ""
        self._agent = self.chat.talk.agent.id
        self._speaks = self.chat.talk.speaks().id
        self._turns = threading.Lock()
        """Held by who looks whether there is another turn to follow, and by who begins one."""

    def talk(self) -> int:
        """Until the person leaves; the exit code."""
        chat_words.say_where(self.chat)
        self._note()
        terminal.say("Enter sends, Alt-Enter is a new line, /help lists the rest, Ctrl-D leaves.")
        code = 0
        with self.signals:
            self.chat.worker.start()
            try:
                if (run := self.chat.talk.live()) is not None:
                    self.chat.drive(run.id)
                    self._follow(run)
                # keys that come between two lines are of the next one, and neither echoed nor a signal
                with self._input.raw_mode():
                    while self._once():
                        pass
            except Left as left:
                code = left.code
            finally:
                self._gone.set()
                note = self.chat.leave()
                if self._follower is not None:
                    self._follower.join(5)
        with contextlib.suppress(OSError):
            if note:
                terminal.say(note)
        return code

    # ---- one thing after another ----

    def _once(self) -> bool:
        """Reads one thing, and does it. False: the person leaves."""
        try:
            self.signals.wait(0)
            if not self.screen.asked.empty():
                self._ask()
                return True
            said = self._read()
        except EOFError:
            return False
        except KeyboardInterrupt:
            self._interrupted()
            return True
        except Left as left:
            if left.number != signal.SIGINT:
                raise
            self._interrupted()
            return True
        if said is None or not said.strip():
            return True
        try:
            return self._done(said)
        except errors.AlfredError as problem:
            terminal.fail(problem, as_json=False)
            return True
        finally:
            self._note()

    def _done(self, said: str) -> bool:
        if chat_words.is_one(said):
            asks = said.startswith("/approve")
            with self._input.cooked_mode() if asks else contextlib.nullcontext():
                then = chat_words.do(self.chat, said)
            run = self.chat.talk.live()
            if run is not None and not self._following():
                self._follow(run)
            return then is not chat_words.Then.QUIT
        with self._turns:
            run = self.chat.say(said.strip())
            followed = self._run if self._following() else None
        if followed is not None and followed.id == run.root_id:
            behind = (
                f" behind its {run.wait}" if run.status == Status.PARKED else " at its next step"
            )
            terminal.say(f"  (read{behind})")
        elif followed is None:  # else the one before it is not told to its end yet
            self._follow(run)
        return True

    def _interrupted(self) -> None:
        """Ctrl-C: ends the turn, and never the conversation."""
        run = self._run
        if run is not None and self._following():
            self._stopped = run.id
            if self.chat.stop(run.id):
                terminal.say("  Stopped.")
        elif not self._draft:
            terminal.say("  Ctrl-D or /quit leaves.")
        self._draft = ""

    def _ask(self) -> None:
        """Cards, in place."""
        group = self.screen.asked.get()
        self.screen.hold()
        try:
            with self._input.cooked_mode():
                cards.ask(self.chat.base.desk, group, self.always)
        except Left as left:
            if left.number != signal.SIGINT:
                raise
            terminal.say("")
        finally:
            self.screen.go_on()
        self.chat.drive(group[0].run_id)
        if any(self.chat.base.desk.card(card.id).status == "pending" for card in group):
            terminal.say(
                "  It waits: /approve, /reject and /answer decide later, Ctrl-C ends the turn."
            )

    # ---- a turn ----

    def _following(self) -> bool:
        return self._follower is not None and self._follower.is_alive()

    def _follow(self, run: Run) -> None:
        self._run = self.chat.base.desk.run(run.root_id)
        self._follower = threading.Thread(target=self._watch, daemon=True)
        self._follower.start()

    def _watch(self) -> None:
        """Follows the turn, and the next one where that has begun meanwhile, with whoever took the conversation over."""
        try:
            while self._run is not None:
                self._watched(self._run.id)
                with self._turns:
                    self._run = self.chat.talk.live()
                if self._run is not None:
                    self.chat.drive(self._run.id)
        except _Gone:
            return
        except errors.AlfredError as problem:
            told = " ".join(filter(None, (problem.detail, problem.next)))
            self.screen._say(f"alfred: {terminal.shown(told, 900)}")

    def _watched(self, run_id: str) -> None:
        ended = self.screen.follow(run_id, wait=self._wait, worker=self.chat.worker, stay=True)
        if ended.status == Status.COMPLETED:
            if ended.result and not self.screen.repeats(ended.result):
                self.screen._write(ended.result)
                self.screen._line()
        elif ended.status == Status.FAILED:
            self.screen._say(terminal.colour(_failed(ended), "red", sys.stderr))
        elif ended.id != self._stopped:
            self.screen._say("Stopped elsewhere.")
        self._note()
        self.screen.changed()

    def _wait(self, seconds: float) -> None:
        if self._gone.wait(seconds):
            raise _Gone

    # ---- the line ----

    def _read(self) -> str | None:
        """What the person typed; None: something else is to be done first."""
        session = self._line_of(self._speaks)
        draft, self._draft = self._draft, ""
        try:
            return session.prompt(self._message, default=draft, pre_run=self._began)
        except KeyboardInterrupt:
            self._draft = session.default_buffer.text
            raise
        finally:
            session.app.erase_when_done = False
            self.screen.changed = lambda: None
            self.screen.print = _print
            while not self._above.empty():
                _print(self._above.get())

    def _began(self) -> None:
        assert self._session is not None
        running = self._session.app
        self.screen.print = self._above.put
        self.screen.changed = running.invalidate
        running.create_background_task(self._look())

    async def _look(self) -> None:
        """Leaves the line for a signal and for cards; what was typed so far is put back."""
        assert self._session is not None
        app = self._session.app
        while True:
            if not self._above.empty():
                app.renderer.erase()
                while not self._above.empty():
                    app.output.write_raw(self._above.get())
                app.output.flush()
                app.renderer.request_absolute_cursor_position()
                app.invalidate()
            try:
                self.signals.wait(0)
            except Left as left:
                self._session.app.exit(exception=left)
                return
            if not self.screen.asked.empty():
                self._draft = self._session.default_buffer.text
                app.erase_when_done = True  # the line comes back below the cards
                app.exit(result=None)
                return
            await asyncio.sleep(LOOKS)

    def _message(self) -> AnyFormattedText:
        assert self._session is not None
        # what is sent stays on the screen as it is then, and the answer goes on growing below it
        growing = "" if self._session.app.is_done else self.screen.unfinished
        line = FormattedText([("bold", f"{self._speaks}> ")])
        return merge_formatted_text([ANSI(growing + "\n"), line]) if growing else line

    def _line_of(self, agent: str) -> PromptSession[str | None]:
        """The line, with the history of an agent."""
        if self._session is None or self._whose != agent:
            place = home.ensure_agent(self.chat.base.home, agent) / "chat-history"
            self._whose = agent
            self._session = PromptSession(
                history=History(place),
                input=self._input,
                multiline=True,
                key_bindings=_keys(),
                completer=WordCompleter(
                    [f"/{name}" for name in (*chat_words.WORDS, "quit")], sentence=True
                ),
                complete_while_typing=False,
                bottom_toolbar=lambda: self._toolbar(),
                enable_open_in_editor=True,
            )
        return self._session

    def _toolbar(self) -> str:
        return self._status + (" · working, Ctrl-C stops it" if self._following() else "")

    def _note(self) -> None:
        """What stands below the line, and who is talked to."""
        talk = self.chat.talk
        same, self._agent = self._agent == talk.agent.id, talk.agent.id
        before, self._speaks = self._speaks, talk.speaks().id
        if same and self._speaks != before:
            self.screen._say(f"{self._speaks} has the conversation from here on.")
        try:
            model, cost = self.chat.model(), terminal.money(chat_words.used(self.chat)["cost_usd"])
        except errors.AlfredError as problem:
            model, cost = problem.detail, "-"
        self._status = f" {self._speaks} · {terminal.shown(model, 60)} · {cost}"


class _Gone(Exception):
    """The person leaves; the turn goes on without a watcher."""


def _failed(run: Run) -> str:
    error = json.loads(run.error or "{}")
    return f"failed, {error.get('code', 'unknown')}: {terminal.shown(error.get('detail'), 500)}"


def _keys() -> KeyBindings:
    """Enter sends, Alt-Enter is a new line, and so is Enter behind a backslash."""
    keys = KeyBindings()

    @keys.add("enter")
    @keys.add("c-j")  # an Enter that came while something was written above the line
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("escape", "c-j")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def talk(base: app.Base, agent: str | None, always: cards.Always) -> int:
    """The chat, until its person leaves."""
    return Client(base, agent, always).talk()
