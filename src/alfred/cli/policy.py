"""Why a call executes, waits or is refused; and rules that let one kind of call through from now on.

Invariant: nobody makes a rule whose text they have not seen: a yes on a terminal, or the hash of exactly that text.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from alfred import app, errors, orders
from alfred.actions import conditions, rulemaking
from alfred.actions.explaining import Explained, Hypothesis, stored
from alfred.actions.ledger.approvals import Approval
from alfred.actions.rulemaking import NewRule
from alfred.agents.tools import TOOL_ALIASES
from alfred.cli import cards, terminal
from alfred.cli.terminal import DEFAULT, Common, Folder
from alfred.runs import views
from alfred.trust import display

EXAMPLE = '--args \'{"command": "ls"}\''

_WOULD = {"execute": "executes", "stage": "waits for a person", "refuse": "is refused"}


def explain(
    what: str,
    /,
    *,
    args: str = "{}",
    agent: str | None = None,
    folder: Folder = None,
    external: Annotated[bool, Parameter(negative="")] = False,
    private: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Say step by step how a call is decided. Nothing is carried out, and nothing is written.

    Args:
        what: An action, such as `shell.run`, for a call that nobody has made; or a card's id, for what was stored.
        args: The arguments of the call, as a JSON object.
        agent: Whose call it would be.
        folder: The folder that it would work in; else the current one inside a git work tree, else a fresh one.
        external: As if its run had read what strangers wrote.
        private: As if it had read something private.
    """
    with common.open() as base, tempfile.TemporaryDirectory(prefix="alfred-explain-") as scratch:
        what = TOOL_ALIASES.get(what, what)
        found = None if "." in what else _of_card(base, what)
        if found is None:
            trusted = base.settings.trust.workspaces
            place = orders.workspace("explain", folder, home=base.home, trusted=trusted)
            wanted = Hypothesis(
                action=what,
                args=terminal.json_object(args, EXAMPLE),
                tenant=base.desk.tenant,
                agent=base.desk.agent(agent).id,
                folder=Path(scratch if place["made"] and folder is None else place["root"]),
                made=place["made"],
                trusted=place["trusted"],
                external=external,
                private=private,
            )
            found = app.explained(base, wanted)
        if common.json:
            terminal.document(dataclasses.asdict(found))
        else:
            _say(found)
        return 0


def _of_card(base: app.Base, ref: str) -> Explained | None:
    """How the call of a card was decided; None: it is the name of an action, which needs no dot.

    Raises:
        NotFound: it is neither.
    """
    try:
        with base.store.read() as look:
            return stored(look, views.resolve(look, "approvals", base.desk.tenant, ref))
    except errors.NotFound:
        if app.actions_of(base.home)[0].get(ref) is None:
            raise
        return None


def allow(
    card: str,
    /,
    *,
    below: str | None = None,
    begins: str | None = None,
    hash: str | None = None,
    common: Common = DEFAULT,
) -> int:
    """Make a rule of a card: calls of exactly its kind do not ask any more.

    The rule is shown first, in words and as it will stand in config.yaml, and wants a yes of its own. It lasts 30 days.
    High risks, runs that have read what strangers wrote and the first use of a foreign action ask all the same. The card
    itself is not decided by it.

    Args:
        card: The card.
        below: A folder (or the beginning of a branch): everything beneath it, instead of the card's one path.
        begins: The first words of its command: every one program with words that begin so, instead of the one command.
        hash: The hash of the rule, where nobody can be asked.
    """
    with common.open() as base:
        found = base.desk.card(card)
        rule = app.rulemaking(base).of_card(found, below=below, begins=begins)
        place = _agreed(base, rule, common, hash=hash, approval=found.id)
        if common.json:
            terminal.document(_made(rule, place))
        elif found.status == "pending":
            terminal.say(f"The card waits still: {cards.how(found)}")
        return 0


def accept(proposal: str, /, *, hash: str | None = None, common: Common = DEFAULT) -> int:
    """Make the rule that alfred proposes, after a look at what it is proposed for.

    Args:
        proposal: The proposal's id.
        hash: The hash of the rule, where nobody can be asked.
    """
    with common.open() as base:
        found = base.desk.proposal(proposal)
        until = conditions.day(base.settings.timezone, later=rulemaking.DAYS)
        rule = rulemaking.checked(rulemaking.until_day(found.rule, until), [])
        if not common.json:
            for line in cards.evidence(base.desk, found):
                terminal.say(line)
        place = _agreed(base, rule, common, hash=hash, proposal=found.id, cards=list(found.cards))
        base.desk.answer_proposal(found, "accepted")
        if common.json:
            terminal.document(_made(rule, place))
        return 0


def decline(proposal: str, /, *, common: Common = DEFAULT) -> int:
    """Say no to a rule that alfred proposes; it stays quiet about it for 30 days.

    Args:
        proposal: The proposal's id.
    """
    with common.open() as base:
        found = base.desk.proposal(proposal)
        base.desk.answer_proposal(found, "declined")
        if common.json:
            terminal.document({"id": found.id, "status": "declined"})
        else:
            terminal.out(
                "Declined: calls of this kind go on asking, and nothing is proposed for 30 days."
            )
        return 0


def _made(rule: NewRule, place: str) -> dict[str, Any]:
    return {"rule": dict(rule.tree), "words": rule.words, "hash": rule.hash, "place": place}


def offer(base: app.Base, card: Approval) -> None:
    """Offers a rule for what somebody has just allowed on this terminal."""
    try:
        rule = app.rulemaking(base).of_card(base.desk.card(card.id))
        _agreed(base, rule, DEFAULT, hash=None, approval=card.id)
    except errors.AlfredError as problem:
        terminal.say(f"  {terminal.shown(problem.detail, 600)}")


def _agreed(
    base: app.Base, rule: NewRule, common: Common, *, hash: str | None, **about: str | list[str]
) -> str:
    """Shows a rule, takes the yes, and writes it. Where it stands.

    Raises:
        HashRequired: nobody said yes.
        StaleHash: the hash is that of another rule.
    """
    if hash is not None and (len(hash) < 8 or not rule.hash.startswith(hash.lower())):
        raise errors.StaleHash(
            "The hash is not that of the rule as it would be now.", next="Look at it again."
        )
    if not common.json:
        terminal.say(rule.words)
        terminal.say("High risks and runs that have read what strangers wrote ask all the same.")
        if "command" in rule.tree.get("args", {}):
            terminal.say("What the command runs may change: its text is what is allowed.")
        terminal.say(f"In config.yaml, under policy.rules:\n  - {display.display(rule.text)}")
    seen = not common.json and terminal.interactive()
    if hash is None and not (seen and terminal.yes("Make this rule?")):
        raise errors.HashRequired(
            "No rule was made: nobody has said yes to it.",
            next=f"Say yes to exactly this rule: --hash {rule.hash[:12]}",
            rule=dict(rule.tree),
            hash=rule.hash,
        )
    place = app.allow(base, rule, **about)
    if not common.json:
        terminal.out(f"{place}: {rule.words}")
    return place


def _say(found: Explained) -> None:
    what = json.dumps(found.args, ensure_ascii=False)
    terminal.out(f"{terminal.shown(found.action)} {terminal.shown(what, 300)}")
    risk = f" [{found.risk}]" if found.risk else ""
    terminal.out(
        f"{_WOULD.get(found.verdict, found.verdict)}{risk}: {terminal.shown(found.reason, 600)}"
    )
    for step in found.steps:
        terminal.out(f"  {terminal.shown(step, 1_000)}")
