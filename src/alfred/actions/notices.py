"""Telling people of the cards that wait for them: not one by one, not at night, and not twice.

Invariants: what one message tells is claimed before it is sent and settled behind it (`ledger.notices`); whatever is due
at once goes in one message, and but for high risks there is one message in ten minutes at most; in quiet hours only runs that
wait with a high risk are told of. A message says what a card is about in one line, never what is in a file: it goes
through services of others. The clock of a low card starts with a message only when that shows all of what would happen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from alfred import clock
from alfred.actions import approvals
from alfred.actions.ledger import notices
from alfred.actions.ledger.approvals import Approval
from alfred.actions.ledger.notices import Claimed
from alfred.store.connect import Store
from alfred.trust import display, redact

log = structlog.get_logger()

EVERY = 10 * clock.MINUTE
"""Between two messages to the same people, when nothing in them is a high risk."""

HOLDS = 5 * clock.MINUTE
"""A process that would end waits for a message that is due so soon: there may be no other one to send it."""

LONGEST = 3_000
"""Characters of a message: what is more is counted, and shown by `alfred approvals list`."""

WHOLE = 300
"""Characters of what a low risk would do that fit into a message; a longer one is not shown by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of a message: who took it, and who did not and why. With nobody who took it, nobody was told."""

    sent: Sequence[str]
    failed: Sequence[str] = ()


Tell = Callable[[str], Told]
"""Sends a text to the people of a tenant."""


@dataclass(frozen=True, slots=True)
class People:
    """Who is told of the cards of each tenant, and when."""

    settings: Callable[[str], Any]
    quiet: Callable[[str], bool]
    """Whether it is a tenant's quiet hours."""
    way: Callable[[str], Tell | None]
    """What sends a text to the people of a tenant; None: there is nobody to tell."""

    def beat(self, store: Store, tenant: str, holder: str) -> None:
        """Tells the people of a tenant what is due, in one message. `holder` is made for this message alone."""
        tell = self.way(tenant)
        if tell is not None:
            wants, quiet = self.settings(tenant).approvals, self.quiet(tenant)
            _beat(store, tenant, wants=wants, quiet=quiet, tell=tell, holder=holder)

    def due_soon(self, store: Store, tenant: str) -> bool:
        """Whether a message is due so soon that a process which would end should send it first."""
        if self.way(tenant) is None or self.quiet(tenant):
            return False
        after = self.settings(tenant).approvals.notify_after
        with store.read() as look:
            return notices.coming(look, tenant, after_us=after, within_us=HOLDS)


def _beat(store: Store, tenant: str, *, wants: Any, quiet: bool, tell: Tell, holder: str) -> None:
    after = wants.notify_after
    with store.read() as look:
        gone = notices.lapsed(look, tenant)
    for run_id in gone:
        store.transact(notices.lapse, run_id)
    with store.read() as look:
        first = notices.due(look, tenant, "first", after_us=after)
        reminded = notices.due(look, tenant, "reminder", after_us=after)
        since = notices.since(look, tenant)
    if quiet:
        first, reminded = ([one for one in them if one.high] for them in (first, reminded))
    due = [*first, *reminded]
    if not due or (not any(one.high for one in due) and since is not None and since < EVERY):
        return
    claimed = store.transact(
        notices.claim,
        [one.run_id for one in first],
        [one.run_id for one in reminded],
        holder=holder,
    )
    if claimed:
        _send(store, claimed, tell=tell, holder=holder, low_after=wants.low_after)


def _send(store: Store, claimed: list[Claimed], *, tell: Tell, holder: str, low_after: int) -> None:
    text, whole = message(claimed)
    try:
        told = tell(text)
    except Exception as problem:
        log.warning("notice.failed", exc_info=True)
        told = Told(sent=(), failed=(f"{type(problem).__name__}",))
    if not told.sent:
        why = display.display("; ".join(told.failed) or "nobody took it", limit=200)
        store.transact(notices.not_sent, claimed, holder=holder, why=why)
        return
    store.transact(notices.sent, claimed, holder=holder, to=told.sent)
    for card in whole:
        store.transact(approvals.delivered, card.id, low_after_us=low_after)


def message(claimed: Sequence[Claimed]) -> tuple[str, list[Approval]]:
    """The text that tells of these cards, run by run; and the low ones of which it shows all that would happen."""
    known = len({one.card.id for one in claimed})
    lines = [f"{known} {'thing waits' if known == 1 else 'things wait'} for you."]
    whole: list[Approval] = []
    left = 0
    for run, group in itertools.groupby(
        sorted(claimed, key=lambda one: (one.card.run_id, one.card.id)),
        key=lambda one: one.card.run_id,
    ):
        them = list(group)
        head = f"{them[0].card.agent}, run {run[-6:].lower()}: {them[0].run_title}"
        told = ["", *_run(them, display.display(head, limit=160))]
        shown = [one for one in them if _whole(one.card)]
        if len("\n".join([*lines, *told])) > LONGEST:
            left += len(them)
            continue
        lines += told
        whole += [one.card for one in shown]
    if left:
        lines += ["", f"and {left} more"]
    lines += ["", "`alfred approvals list` shows all of it."]
    return redact.redact("\n".join(lines)), whole


def _run(them: Sequence[Claimed], head: str) -> list[str]:
    lines = [head]
    for card, entries in itertools.groupby(them, key=lambda one: one.card):
        what = card.risk if card.kind == "action" else card.kind
        lines.append(f"  [{what}] {card.title}")
        if _whole(card):
            lines += [f"    {line}" for line in card.preview.splitlines()]
        if any(one.channel == "reminder" for one in entries):
            lines.append(f"    without a yes by {clock.rfc3339(card.expires_at)} it is a no")
    ref = them[0].card.run_id[-6:].lower()
    if len(approvals.together({one.card.id: one.card for one in them}.values())) > 1:
        lines.append(f"  alfred approve --run {ref}   or   alfred reject --run {ref}")
    return lines


def _whole(card: Approval) -> bool:
    """Whether a message shows all that a card which may approve itself would do."""
    return bool(card.auto_ok) and len(card.preview) <= WHOLE
