"""`alfred chat`: a conversation with an agent. Each message is a durable run, driven here, that anybody else may go on with."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import IO, Any

from alfred.cli import chat_words, live, outcome, terminal
from alfred.cli.chat_client import Chat
from alfred.cli.leaving import Left, Signals
from alfred.cli.terminal import DEFAULT, Common


def chat(*, agent: str | None = None, common: Common = DEFAULT) -> int:
    """Talk with an agent. Without a terminal each line of the input is a message, and the answers are printed.

    Args:
        agent: Who; else the default agent.
    """
    with common.open() as base:
        base.desk.refuse_if_stopped()
        if not common.json and terminal.interactive() and sys.stdout.isatty():
            from alfred.cli import chat_terminal

            return chat_terminal.talk(base, agent, live.offering(base))
        view = live.View(base.desk, quiet=common.json, ask=False)
        return _piped(Chat(base, view, agent), sys.stdin, common)


def _piped(chat: Chat, source: IO[str], common: Common) -> int:
    """Says each message when the one before is answered; the first turn that is not ends it, with its code."""
    answers: list[dict[str, Any]] = []
    code, note = 0, None
    with Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        chat.worker.start()
        try:
            for message in messages(source):
                agent, spoke = chat.talk.agent.id, chat.talk.speaks().id
                if chat_words.is_one(message):
                    with contextlib.redirect_stdout(sys.stderr if common.json else sys.stdout):
                        then = chat_words.do(chat, message)
                    if then is chat_words.Then.QUIT:
                        break
                    run = chat.talk.live()  # it may have been decided, and goes on
                    if run is None or run.wait in live.LEAVE_ON:
                        continue
                else:
                    run = chat.say(message)
                run = chat.view.follow(run.root_id, wait=signals.wait, worker=chat.worker)
                if common.json:
                    answers.append(outcome.of(chat.base, run))
                    code = live.exit_code(run)
                else:
                    code = outcome.ended(chat.base, chat.view, run, as_json=False)
                speaks = chat.talk.speaks().id
                if agent == chat.talk.agent.id and speaks != spoke:
                    terminal.say(f"{speaks} has the conversation from here on.")
                if code:
                    break
        except Left as left:
            code = left.code
        finally:
            note = chat.leave()
    if common.json:
        session = chat.talk.session()
        terminal.document({"session": session.id, "agent": session.agent, "turns": answers})
    elif note:
        terminal.say(note)
    return code


def messages(source: IO[str]) -> Iterator[str]:
    """The messages of a text: its lines, where one that ends with a backslash goes on in the next; empty ones are none."""
    held = ""
    for line in source:
        line = line.rstrip("\r\n")
        if line.endswith("\\"):
            held += line[:-1] + "\n"
            continue
        if (whole := held + line).strip():
            yield whole
        held = ""
    if held.strip():
        yield held.rstrip("\n")
