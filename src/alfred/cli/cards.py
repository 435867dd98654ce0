"""Cards on a terminal: what would happen, whole, and the question whether it may.

The cards that a run waits for are those of one turn: they are shown together, and one answer may decide them.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from alfred import clock
from alfred.actions import approvals
from alfred.actions.ledger import proposals
from alfred.actions.ledger.approvals import Approval
from alfred.actions.ledger.proposals import Proposal
from alfred.cli import terminal
from alfred.desk import Desk
from alfred.errors import AlfredError, StoreUnavailable

SHOWN = 5
"""Calls that a proposal tells of."""

_COLOUR = {"high": "red", "medium": "yellow", "low": "blue", "none": "grey"}


def render(card: Approval) -> list[str]:
    """The card as lines: risk and title, who asks, the preview, where it comes from, the model's claim last."""
    head = f"[{card.risk}] {card.title}" if card.kind == "action" else card.title
    lines = [
        terminal.colour("┌ ", "grey", sys.stderr)
        + terminal.colour(head, _COLOUR.get(card.risk, "bold"), sys.stderr),
        f"│ {card.kind} {terminal.short(card.id)} of run {terminal.short(card.run_id)}, agent {card.agent},"
        f" until {clock.rfc3339(card.expires_at)}, hash {card.args_hash[:12]}",
    ]
    if card.supersedes:
        lines.append(
            f"│ Instead of {terminal.short(card.supersedes)}: it was edited, or approved and what it would touch has"
            " changed since, or a day has passed"
        )
    for line in card.preview.splitlines():
        tone = "green" if line.startswith("+") else "red" if line.startswith("-") else None
        lines.append("│   " + (terminal.colour(line, tone, sys.stderr) if tone else line))
    if card.auto_approve_at:
        lines.append(
            f"│ approves itself at {clock.rfc3339(card.auto_approve_at)} unless somebody objects"
        )
    lines += [f"│ {line}" for line in comes_from(card.provenance)]
    if card.claim:
        lines.append(f"│ the model says: “{card.claim}”")
    lines.append("└")
    return lines


def comes_from(provenance: str | None) -> list[str]:
    """Where the fields of a call come from, a line each."""
    return [
        f"{one['field']} {one['value']}: {one['from']}" for one in json.loads(provenance or "[]")
    ]


def groups(cards: Sequence[Approval]) -> list[list[Approval]]:
    """Cards that wait, oldest first, as they are asked: those of one run together."""
    first: dict[str, int] = {}
    for n, card in enumerate(cards):
        first.setdefault(card.run_id, n)
    together = sorted(cards, key=lambda card: first[card.run_id])
    return [list(group) for _, group in itertools.groupby(together, key=lambda card: card.run_id)]


def heading(group: Sequence[Approval]) -> list[str]:
    """What stands above several cards of a run; nothing above a single one."""
    if len(group) < 2:
        return []
    head = f"run {terminal.short(group[0].run_id)}, agent {group[0].agent}, asks {len(group)} things at once:"
    return [terminal.colour(head, "bold", sys.stderr)]


def how_together(group: Sequence[Approval]) -> list[str]:
    """How several cards of a run are decided at once; nothing for a single one."""
    many = len(approvals.together(group))
    if len(group) < 2 or not many:
        return []
    ref = terminal.short(group[0].run_id)
    which = "" if many == len(group) else f" ({many} of {len(group)}, the others one by one)"
    return [
        f"together: alfred approve --run {ref}{which}   or   alfred reject --run {ref}",
    ]


Always = Callable[[Approval], None]
"""Offers a rule for what a card shows, once it was allowed."""


def ask(desk: Desk, group: Sequence[Approval], always: Always | None = None) -> bool:
    """Shows the cards of a run on the terminal and takes the decision, here or from elsewhere. False: the person leaves some
    of them open."""
    desk.shown(group)
    if len(approvals.together(group)) < 2:
        return all(_one(desk, card, always) for card in group)
    group = [desk.card(card.id) for card in group]  # as they are now: their clocks have started
    for line in itertools.chain(heading(group), *(render(card) for card in group)):
        terminal.say(line)
    return _together(desk, group, always)


def _together(desk: Desk, group: Sequence[Approval], always: Always | None) -> bool:
    chosen = approvals.together(group)
    rest = [card for card in group if card not in chosen]
    which = f"all {len(chosen)}" if not rest else f"{len(chosen)} of {len(group)}"
    with _while_open(desk, chosen):
        said = terminal.line(
            f"  approve {which}? [y]es / [o]ne by one / [n]o / no, and [e]nd the run / [l]ater:"
        ).lower()
    if said in ("o", "one"):
        return all(_one(desk, card, always) for card in group)
    if said in ("y", "yes"):
        for card in chosen:
            _tried(desk.decide, card.id, "approve", args_hash=card.args_hash)
        return all(_one(desk, card, always) for card in rest)
    if said in ("n", "no"):
        why = terminal.line("  why (for the model, may be empty):") or None
        for card in chosen:
            _tried(desk.decide, card.id, "reject", reason=why)
        return all(_one(desk, card, always) for card in rest)
    if said in ("e", "end"):
        why = terminal.line("  why:") or None
        # Whichever of them waits still: somebody else may have been first at one, and that ends no run.
        any(_tried(desk.decide, card.id, "reject_and_end", reason=why) for card in chosen)
        return True
    return _settled(desk, chosen) and all(_one(desk, card, always) for card in rest)


def _one(desk: Desk, card: Approval, always: Always | None) -> bool:
    """Shows one card, if it waits still, and takes its decision. False: it is left open, and what comes behind it."""
    # As it is now: its clock has started, and who decided the card before may have ended the run.
    card = desk.card(card.id)
    if card.status != "pending":
        return True
    for line in render(card):
        terminal.say(line)
    with _while_open(desk, [card]):
        match card.kind:
            case "question":
                done = _question(desk, card)
            case "outcome":
                done = _outcome(desk, card)
            case _:
                done = _action(desk, card, always)
    return done or _settled(desk, [card])


def _while_open(desk: Desk, group: Sequence[Approval]) -> AbstractContextManager[None]:
    """Who is asked about these cards is let go when the last of them is decided elsewhere."""

    def settled() -> bool:
        try:
            return _settled(desk, group)
        except StoreUnavailable:
            return False  # nobody knows, and the question stands

    return terminal.until(settled)


def _settled(desk: Desk, group: Sequence[Approval]) -> bool:
    """Whether none of these cards waits for anybody."""
    return all(desk.card(card.id).status != "pending" for card in group)


def _tried(decide: Callable[..., object], *said: str, **more: str | None) -> bool:
    """Decides. When somebody else was first, or the card changed, the ledger's word counts, and the loop looks again."""
    try:
        decide(*said, **more)
    except AlfredError as problem:
        terminal.say(f"  {terminal.shown(problem.detail, 600)}")
        return False
    return True


def _action(desk: Desk, card: Approval, always: Always | None) -> bool:
    offer = None if card.risk == "high" else always
    ever = " / yes, and [a]lways" if offer else ""
    said = terminal.line(
        f"  approve? [y]es{ever} / [n]o / no, and [e]nd the run / [l]ater:"
    ).lower()
    if said in ("y", "yes") or (offer and said in ("a", "always")):
        done = _tried(desk.decide, card.id, "approve", args_hash=card.args_hash)
        if done and offer and said in ("a", "always"):
            offer(card)
    elif said in ("n", "no"):
        why = terminal.line("  why (for the model, may be empty):")
        _tried(desk.decide, card.id, "reject", reason=why or None)
    elif said in ("e", "end"):
        why = terminal.line("  why:")
        _tried(desk.decide, card.id, "reject_and_end", reason=why or None)
    else:
        return False
    return True


def _question(desk: Desk, card: Approval) -> bool:
    said = terminal.line("  your answer (empty: later):")
    if not said:
        return False
    _tried(desk.decide, card.id, "answer", text=said)
    return True


def _outcome(desk: Desk, card: Approval) -> bool:
    said = terminal.line("  did it happen? [h]appened / [r]etry / [s]kip / [l]ater:").lower()
    decision = {"h": "happened", "r": "retry", "s": "skip"}.get(said[:1])
    if decision is None:
        return False
    _tried(desk.decide, card.id, decision, args_hash=card.args_hash)
    return True


def proposed(desk: Desk, proposal: Proposal) -> list[str]:
    """A rule that alfred proposes, with what it is proposed for, and how it is answered."""
    ref = terminal.short(proposal.id)
    return [
        *evidence(desk, proposal),
        f"  A rule would have covered it: {proposal.words}",
        f"  alfred policy accept {ref}   or   alfred policy decline {ref}",
    ]


def evidence(desk: Desk, proposal: Proposal) -> list[str]:
    """What a rule is proposed for: the calls that were allowed, unchanged, each time that they were asked about."""
    with desk.store.read() as look:
        allowed = proposals.cards(look, proposal.cards)
    lines = [f"{proposal.times} times you allowed, unchanged:"]
    for card in allowed[-SHOWN:]:
        lines.append(
            f"  {str(clock.rfc3339(card.decided_at))[:10]}  {terminal.short(card.id)}  {card.title}"
        )
    if len(allowed) > SHOWN:
        lines.append(f"  and {len(allowed) - SHOWN} more before")
    return lines


def how(card: Approval) -> str:
    """How a card is decided from a command line."""
    ref = terminal.short(card.id)
    match card.kind:
        case "question":
            return f'alfred answer {ref} "…"'
        case "outcome":
            return f"alfred approve {ref} --as happened|retry|skip"
    return (
        f"alfred approve {ref}"
        + (f" --hash {card.args_hash[:12]}" if card.risk == "high" else "")
        + f"   or   alfred reject {ref}"
    )


def decided(card: Approval) -> str:
    """What became of a card, in words."""
    if card.status == "superseded":
        return "superseded"  # by what came later; `decided_by` is who decided before that
    return f"{card.status.replace('_', ' ')} by {card.decided_by or 'alfred'}"
