"""Commands that decide: list cards, approve, reject, answer.

With `--json` a decision about one card prints the card as it is then, as the REST API does, or `{"error": problem}`. Of
several ids, and of `--run`, it prints `{"approvals": [...]}`: for each in the order given the card or its problem.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from alfred import app, errors
from alfred.actions import approvals
from alfred.actions.ledger.approvals import Approval
from alfred.cli import cards, terminal
from alfred.cli.terminal import DEFAULT, Common
from alfred.runs import views

_As = Literal["happened", "retry", "skip"]
_KINDS = {
    "action": "about a call that has not happened yet",
    "question": "a question",
    "outcome": "about a call whose outcome nobody knows",
}


def approvals_list(
    *,
    status: Literal["pending", "all"] = "pending",
    run: str | None = None,
    limit: int = 50,
    cursor: str = "",
    common: Common = DEFAULT,
) -> int:
    """Cards that wait, with what each would do.

    Args:
        status: `all` shows decided ones too.
        run: Only those of one run.
        limit: How many, at most 200: the newest ones.
        cursor: Go on behind this card: `next` of the answer before.
    """
    terminal.check_limit(limit)
    with common.open() as base:
        desk = base.desk
        cursor = cursor and desk.card(cursor).id
        found = desk.cards(status=status, run=run, limit=limit, cursor=cursor)
        # Whoever may decide sees them now: the clock of low ones starts, and is part of what they see.
        desk.shown(found)
        found = [desk.card(card.id) for card in found]
        with base.store.read() as look:
            run_id = views.resolve(look, "runs", desk.tenant, run) if run else ""
            about = {"status": status, "run_id": run_id}
            page = views.approvals(look, desk.tenant, limit=limit, cursor=cursor, **about)
            more = 0
            if page["next"]:
                more = views.approvals_before(look, desk.tenant, page["next"], **about)
        if common.json:
            terminal.document(page)
            return 0
        if not found:
            terminal.out("Nothing waits for you." if status == "pending" else "There are no cards.")
        for group in cards.groups(found[::-1]) if status == "pending" else [found[::-1]]:
            _listed(group)
        if status == "pending" and run is None and not cursor:
            for proposal in desk.proposals():
                for line in cards.proposed(desk, proposal):
                    terminal.out(line)
        if more:
            which = f" --status {status}" * (status != "pending") + (f" --run {run}" if run else "")
            terminal.out(
                f"{terminal.count(more, 'older card')} not shown here:"
                f" `alfred approvals list{which} --cursor {terminal.short(page['next'])}`"
            )
        return 0


def _listed(group: Sequence[Approval]) -> None:
    """The cards of a run that wait, with how they are decided; or cards of any kind, one by one."""
    waits = all(card.status == "pending" for card in group)
    for line in cards.heading(group) if waits else ():
        terminal.out(line)
    for card in group:
        for line in cards.render(card):
            terminal.out(line)
        terminal.out(f"  {cards.how(card) if card.status == 'pending' else cards.decided(card)}")
    for line in cards.how_together(group) if waits else ():
        terminal.out(line)


def approve(
    *ids: str,
    run: str | None = None,
    hash: str | None = None,
    as_: Annotated[_As | None, Parameter(name="--as")] = None,
    common: Common = DEFAULT,
) -> int:
    """Allow what a card shows. High risks want a yes on the terminal, or --hash.

    With --json: the card; of several or --run {"approvals": [each card or problem]}.

    Args:
        ids: The cards.
        run: Every card of this run, except high ones.
        hash: The hash that the card showed.
        as_: For a call whose outcome is unknown: it happened, retry it, skip it.
    """
    with common.open() as base:
        desk = base.desk
        if run is not None:
            chosen = [c.id for c in reversed(approvals.together(desk.cards(run=run)))]
            if not chosen:
                raise errors.NotFound(
                    f"Run {run} has no open card that a group decision may approve.",
                    next="High risks are approved one by one, and what is decided is decided: `alfred approvals list --status all`.",
                )
            ids = (*ids, *chosen)
        if len(ids) > 1 and hash is not None:
            raise errors.UsageError("--hash is for one card.", next="Approve them one by one.")

        def one(ref: str) -> Approval:
            card = desk.card(ref)
            if (card.kind == "outcome") != (as_ is not None) or card.kind == "question":
                raise errors.UsageError(
                    f"{terminal.short(card.id)} is {_KINDS[card.kind]}.", next=cards.how(card)
                )
            if as_ is not None:
                return desk.decide(card.id, as_, args_hash=hash)
            if card.status == "pending" and not common.json:
                for line in cards.render(card):
                    terminal.say(line)
            if card.status != "pending" or hash is not None:
                return desk.decide(card.id, "approve", args_hash=hash)
            if card.risk != "high":
                return desk.decide(card.id, "approve", args_hash=card.args_hash)
            if len(ids) > 1:
                raise errors.HashRequired(
                    f"{card.title}: a high risk is never approved together with others.",
                    next=f"Approve it alone: {cards.how(card)}",
                )
            # With --json nobody has seen the card: a yes would be to something unseen.
            seen = not common.json and terminal.interactive()
            if seen and terminal.yes("  This is a high risk. Approve exactly this?"):
                return desk.decide(card.id, "approve", args_hash=card.args_hash)
            return desk.decide(card.id, "approve")

        code = _each(base, ids, one, common, group=run is not None)
        if run is not None and not common.json:
            for card in reversed(desk.cards(run=run)):
                terminal.say(f"waits still: {card.title}: {cards.how(card)}")
        return code


def reject(
    *ids: str,
    run: str | None = None,
    why: str | None = None,
    end: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Say no to a card.

    With --json: the card; of several {"approvals": [each card or problem]}.

    Args:
        ids: The cards.
        run: Every call that this run waits for; with --end the run itself.
        why: The reason; the model reads it.
        end: End the run too, and everything below it.
    """
    with common.open() as base:
        desk = base.desk
        decision = "reject_and_end" if end else "reject"
        others: list[str] = []
        if run is not None:
            open_ = [card for card in reversed(desk.cards(run=run)) if end or card.kind == "action"]
            if not open_:
                raise errors.NotFound(
                    f"Run {run} waits for no call that could be rejected.",
                    next="`alfred approvals list` shows what waits; `alfred runs cancel` ends a run.",
                )
            chosen = [card.id for card in open_]
            if (
                end
            ):  # a run is ended once, by a card that waits still: the others are cancelled with it
                *others, last = chosen
                chosen = [last]
            ids = (*ids, *chosen)

        def no(ref: str) -> Approval:
            for other in others if ref == ids[-1] else ():
                with contextlib.suppress(errors.AlreadyDecided):
                    return desk.decide(other, decision, reason=why)
            return desk.decide(desk.card(ref).id, decision, reason=why)

        return _each(base, ids, no, common, group=run is not None)


def answer(id: str, text: str, /, *, common: Common = DEFAULT) -> int:
    """Answer a question.

    With --json: the card.

    Args:
        id: The card of the question.
        text: Your answer.
    """
    with common.open() as base:
        terminal.without_secrets(text)
        return _each(
            base,
            (id,),
            lambda ref: base.desk.decide(base.desk.card(ref).id, "answer", text=text),
            common,
        )


def _each(
    base: app.Base,
    ids: Sequence[str],
    decide: Callable[[str], Approval],
    common: Common,
    *,
    group: bool = False,
) -> int:
    """Tries each card; 1 when any failed, and a lone one that is no `group` fails with its own code."""
    if not ids:
        raise errors.UsageError(
            "Which card?", next="`alfred approvals list` shows what waits for you."
        )
    alone = len(ids) == 1 and not group
    desk = base.desk
    expired = desk.expire()
    answers: list[dict[str, Any]] = []
    failed: list[errors.AlfredError] = []
    for ref in ids:
        try:
            card = decide(ref)
        except errors.AlfredError as problem:
            if alone:
                if expired and (note := desk.ensure_worker()):
                    terminal.say(note)
                raise
            failed.append(problem)
            answers.append(problem.problem())
            if not common.json:
                terminal.fail(problem, as_json=False)
        else:
            answers.append(_shape(base, card))
            if not common.json:
                terminal.out(
                    f"{terminal.short(card.id)} {card.status.replace('_', ' ')}: {card.title}"
                )
    note = desk.ensure_worker() if expired or len(failed) < len(ids) else None
    if common.json:
        terminal.document(answers[0] if alone else {"approvals": answers})
    if note:
        terminal.say(note)
    return 1 if failed else 0


def _shape(base: app.Base, card: Approval) -> dict[str, Any]:
    with base.store.read() as look:
        return views.approval(look, card.id)
