"""What begins with a slash in `alfred chat`: which agent, which session, which model, and the cards.

Invariant: a line that begins with a slash is never said to an agent: one that nobody knows is told with the nearest one. (To
say something that begins so, begin with a space.)
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alfred import clock, config_text, errors
from alfred.actions.ledger.approvals import Approval
from alfred.agents.registry import AgentRegistry
from alfred.cli import cards, terminal, work
from alfred.runs import sessions, views
from alfred.runs.sessions import Session

if TYPE_CHECKING:
    from alfred.cli.chat_client import Chat


class Then(enum.Enum):
    """What becomes of the client."""

    GO_ON = enum.auto()
    QUIT = enum.auto()


@dataclass(frozen=True, slots=True)
class Word:
    """One of them."""

    do: Callable[[Chat, str], None]
    takes: str
    about: str
    between: bool = False
    """Whether it is for between two turns: while one runs it is refused."""


def is_one(line: str) -> bool:
    """Whether a line is no message but for the client."""
    return line.startswith("/")


def do(chat: Chat, line: str) -> Then:
    """Does what a line says.

    Raises:
        AlfredError: it cannot be done, and why.
    """
    name, _, rest = line[1:].partition(" ")
    if name in ("quit", "exit"):
        return Then.QUIT
    word = WORDS.get(name)
    if word is None:
        near = config_text.nearest(name, list(WORDS))
        meant = f" Did you mean /{near}?" if near else ""
        raise errors.UsageError(
            f"There is no /{terminal.shown(name, 40)}.{meant}",
            next="/help lists what there is. A message that begins with a slash begins with a space before it.",
        )
    if word.between and chat.talk.live() is not None:
        raise errors.UsageError(
            f"A turn is not over, and /{name} is for between two turns.",
            next="Wait for it, or end it (Ctrl-C).",
        )
    word.do(chat, rest.strip())
    return Then.GO_ON


# ---- who and where


def _agents(chat: Chat, _rest: str) -> None:
    registry, speaks = AgentRegistry.from_settings(chat.settings), chat.talk.speaks().id
    told = [("> " if one == speaks else "  ") + one for one in registry.ids()]
    about = [terminal.shown(registry.effective(one).description) for one in registry.ids()]
    terminal.table(("  agent", "description"), list(zip(told, about, strict=True)))


def _agent(chat: Chat, rest: str) -> None:
    if not rest:
        raise errors.UsageError("Which agent?", next="/agents lists them.")
    chat.talk = chat.of(rest)
    say_where(chat)


def _new(chat: Chat, _rest: str) -> None:
    chat.talk.renew()
    terminal.out("A new conversation.")


def _resume(chat: Chat, rest: str) -> None:
    if rest:
        chat.talk.resume(rest)
        say_where(chat)
        return
    listed = chat.talk.listed()
    if not listed:
        terminal.out("Nothing was said yet.")
        return
    here = chat.talk.session().id
    with chat.base.store.read() as look:
        at = {one.id: sessions.handed(look, one.id)[-1] for one in listed}
    lines = [_line(one, here=at[one.id] == here) for one in listed]
    terminal.table(("session", "last", "turns", "began with"), lines)
    terminal.out("/resume SESSION goes on with one.")


def _line(session: Session, *, here: bool) -> list[str]:
    """One in the list.

    Args:
        here: Whether it is the one that is talked in, or was handed to whoever is talked with.
    """
    return [
        terminal.short(session.id),
        str(clock.rfc3339(session.used_at))[:16].replace("T", " "),
        str(session.turns),
        terminal.beginning(session.title, 60) + ("  <- here" if here else ""),
    ]


def say_where(chat: Chat) -> None:
    """Says who is talked to, and where the conversation was."""
    session, turns = chat.talk.session(), chat.talk.turns()
    if not turns:
        terminal.out(f"{session.agent}: a new conversation.")
        return
    many = terminal.count(len(turns), "turn")
    terminal.out(f"{session.agent}: {terminal.beginning(turns[0].brief, 60)} ({many} so far)")
    terminal.out(f"  you: {terminal.beginning(turns[-1].brief, 200)}")
    if turns[-1].result:
        terminal.out(f"  {session.agent}: {terminal.beginning(turns[-1].result, 200)}")


def _undo(chat: Chat, _rest: str) -> None:
    undone = chat.talk.undo()
    terminal.out(f"Taken back: {terminal.beginning(undone.run.brief, 100)}")
    for call in undone.standing:
        how = "still there" if call.status == "done" else "perhaps there"
        terminal.out(f"  {how}: {terminal.shown(call.action)} {terminal.shown(call.args, 100)}")


# ---- model and money


def _model(chat: Chat, rest: str) -> None:
    if rest:
        chosen = (
            None
            if rest == "-"
            else work.resolved(chat.whole, chat.talk.speaks().id, rest, settings=chat.settings)
        )
        chat.talk.answer_with(chosen)
    own = (
        "" if chat.talk.session().model else " (the agent's own; /model NAME for this conversation)"
    )
    terminal.out(terminal.shown(chat.model(), 200) + own)


def _cost(chat: Chat, _rest: str) -> None:
    terminal.out(terminal.usage(used(chat)))


def used(chat: Chat) -> dict[str, float | None]:
    """What the turns of the conversation have used; a price that nobody knows makes the sum unknown."""
    with chat.base.store.read() as look:
        turns = [views.end(look, one.id)["usage"] for one in chat.talk.turns()]
    whole = {
        name: sum(turn[name] for turn in turns)
        for name in ("turns", "input_tokens", "output_tokens")
    }
    costs = [turn["cost_usd"] for turn in turns]
    return whole | {"cost_usd": None if None in costs else sum(costs)}


# ---- cards


def _waiting(chat: Chat) -> list[Approval]:
    """The cards that the turn waits for, oldest first."""
    run = chat.talk.live()
    if run is None:
        return []
    with chat.base.store.read() as look:
        open_ = views.waiting(look, run.id)
    return [chat.base.desk.card(one["id"]) for one in open_]


def _one(chat: Chat, rest: str, kind: str) -> tuple[Approval, str]:
    """The card that is meant, and what else was said: the only open one, unless the first word names another."""
    first, _, more = rest.partition(" ")
    open_ = [card for card in _waiting(chat) if card.kind == kind]
    called = first.lower()
    named = [card for card in open_ if called in (terminal.short(card.id), card.id.lower())]
    if named:
        return named[0], more.strip()
    if len(open_) != 1:
        ids = ", ".join(terminal.short(card.id) for card in open_)
        raise errors.UsageError(
            f"{len(open_)} cards of that kind wait: {ids}."
            if open_
            else "Nothing of that kind waits.",
            next="Name one." if open_ else "`alfred approvals list` shows those of other runs.",
        )
    return open_[0], rest


def _approve(chat: Chat, rest: str) -> None:
    card, more = _one(chat, rest, "action")
    if more:  # the id of a card that was there before is no yes to the one that is there
        raise errors.UsageError(
            f"{terminal.shown(more, 40)!r} is no card that this turn waits for.",
            next=f"/approve {terminal.short(card.id)} allows {terminal.shown(card.title, 100)}.",
        )
    for line in cards.render(card):
        terminal.say(line)
    chat.base.desk.shown([card])
    if card.risk == "high" and not (
        terminal.interactive() and terminal.yes("  This is a high risk. Approve exactly this?")
    ):
        raise errors.HashRequired("It was not approved.", next=cards.how(card))
    chat.base.desk.decide(card.id, "approve", args_hash=card.args_hash)
    _goes_on(chat, card)


def _reject(chat: Chat, rest: str) -> None:
    card, why = _one(chat, rest, "action")
    chat.base.desk.decide(card.id, "reject", reason=why or None)
    _goes_on(chat, card)


def _answer(chat: Chat, rest: str) -> None:
    card, said = _one(chat, rest, "question")
    if not said:
        raise errors.UsageError("The answer is empty.", next="/answer TEXT")
    chat.base.desk.decide(card.id, "answer", text=said)
    _goes_on(chat, card)


def _goes_on(chat: Chat, card: Approval) -> None:
    terminal.out(f"{cards.decided(chat.base.desk.card(card.id))}: {card.title}")
    chat.drive(card.run_id)


def _help(_chat: Chat, _rest: str) -> None:
    for name, word in WORDS.items():
        terminal.out(f"  {f'/{name} {word.takes}'.rstrip():<22}{word.about}")
    terminal.out(f"  {'/quit':<22}leave; a turn that runs goes on")
    terminal.out(
        "  What is typed while a turn runs is read at its next step. Enter sends, Alt-Enter is a new line;"
        " Ctrl-C ends the turn."
    )


WORDS: dict[str, Word] = {
    "agents": Word(_agents, "", "who there is"),
    "agent": Word(_agent, "NAME", "talk with another agent", between=True),
    "new": Word(_new, "", "begin a new conversation", between=True),
    "resume": Word(_resume, "[SESSION]", "list the conversations, or go on with one", between=True),
    "undo": Word(_undo, "", "go on as if the last turn had not been", between=True),
    "model": Word(_model, "[NAME|-]", "who answers in this conversation"),
    "cost": Word(_cost, "", "what this conversation has used"),
    "approve": Word(_approve, "[CARD]", "allow what the turn asks"),
    "reject": Word(_reject, "[CARD] [WHY]", "say no to what the turn asks"),
    "answer": Word(_answer, "[CARD] TEXT", "answer what the turn asks"),
    "help": Word(_help, "", "this"),
}
