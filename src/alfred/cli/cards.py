"""A card on a terminal: what would happen, whole, and the question whether it may."""

from __future__ import annotations

import json
import sys

from alfred import clock
from alfred.actions.ledger.approvals import Approval
from alfred.cli import terminal
from alfred.desk import Desk
from alfred.errors import AlfredError

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


def ask(desk: Desk, card: Approval) -> bool:
    """Shows a card on the terminal and takes the decision. False: the person wants to leave it open."""
    desk.shown([card])
    card = desk.card(card.id)  # as it is now: its clock has started
    for line in render(card):
        terminal.say(line)
    try:
        match card.kind:
            case "question":
                return _question(desk, card)
            case "outcome":
                return _outcome(desk, card)
        return _action(desk, card)
    except AlfredError as problem:
        # Somebody else was first, or the card changed: the ledger's word counts, the loop looks again.
        terminal.say(f"  {problem.detail}")
        return True


def _action(desk: Desk, card: Approval) -> bool:
    said = terminal.line("  approve? [y]es / [n]o / no, and [e]nd the run / [l]ater:").lower()
    if said in ("y", "yes"):
        desk.decide(card.id, "approve", args_hash=card.args_hash)
    elif said in ("n", "no"):
        why = terminal.line("  why (for the model, may be empty):")
        desk.decide(card.id, "reject", reason=why or None)
    elif said in ("e", "end"):
        why = terminal.line("  why:")
        desk.decide(card.id, "reject_and_end", reason=why or None)
    else:
        return False
    return True


def _question(desk: Desk, card: Approval) -> bool:
    said = terminal.line("  your answer (empty: later):")
    if not said:
        return False
    desk.decide(card.id, "answer", text=said)
    return True


def _outcome(desk: Desk, card: Approval) -> bool:
    said = terminal.line("  did it happen? [h]appened / [r]etry / [s]kip / [l]ater:").lower()
    decision = {"h": "happened", "r": "retry", "s": "skip"}.get(said[:1])
    if decision is None:
        return False
    desk.decide(card.id, decision, args_hash=card.args_hash)
    return True


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
