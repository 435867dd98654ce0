"""A person changes a call before allowing it: the change is a new proposal that passes every check.

Invariants: what is carried out is what the checks have seen, never the typed text; an edit that cannot be carried out
changes nothing; one that raises the risk is asked about again, because the yes was to something milder; the first
decision wins here as everywhere, and the model is told what was changed (`results`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from alfred import clock, errors, ids
from alfred.actions import approvals, pipeline, provenance
from alfred.actions.approvals import Decision
from alfred.actions.judging import facts
from alfred.actions.kinds import Risk
from alfred.actions.ledger import allowances, calls
from alfred.actions.ledger import approvals as cards
from alfred.actions.ledger.approvals import Approval, NewCard
from alfred.actions.pipeline import Judged, Proposal
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.runs import rows
from alfred.store.connect import Store
from alfred.store.tx import Tx

FORM = clock.HOUR
"""So long a card does not approve itself while somebody has its form open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Somebody's word about what they made of a card. `args_hash` is that of the card which they saw; `token` is made by
    the caller."""

    args_hash: str
    by: str
    via: str
    token: str


class Editing:
    """Edits, bound to the actions that there are and to what an installation gives them."""

    def __init__(self, store: Store, actions: Registry, around: Surroundings):
        self.store = store
        self.actions = actions
        self.around = around

    def hold(self, approval_id: str) -> None:
        """Somebody opens the form: a low card waits for them, also one that nobody had seen by then."""

        def verb(tx: Tx) -> None:
            # whoever shows it to others meanwhile starts no shorter clock
            approvals.delivered(tx, approval_id, low_after_us=FORM)
            cards.hold(tx, approval_id, FORM)

        self.store.transact(verb)

    def arguments(self, card: Approval) -> dict[str, Any]:
        """What the call of a card would be carried out with, secrets included."""
        with self.store.read() as look:
            call = calls.get(look, card.call_id)
        assert call is not None
        return call.arguments

    def judged(self, card: Approval, args: dict[str, Any]) -> Judged:
        """What the checks say about the changed call.

        Raises:
            UsageError: nothing of this card can be changed.
            InvalidEdit: it cannot be carried out; its fields say why.
        """
        if card.kind != "action":
            raise errors.UsageError(
                f"A card of the kind {card.kind!r} has no arguments to change.",
                next="`alfred approvals list` says how it is decided.",
            )
        with self.store.read() as look:
            call, run = calls.get(look, card.call_id), rows.get(look, card.run_id)
        assert call is not None and run is not None
        if call.turn == allowances.TURN:
            raise errors.UsageError(
                "A card that asks whether a run goes on is allowed or rejected as it is.",
                next="Another amount is set in config.yaml, under `budget`: the run goes on when what it needs fits.",
            )
        known = facts(self.store, run, call)
        judged = pipeline.judge(
            Proposal(
                call_id=call.id,
                run=run,
                turn=call.turn,
                ordinal=call.ordinal,
                action=call.action,
                args=args,
                asked=True,
            ),
            actions=self.actions,
            context=lambda: self.around.beside(self.store, run, call),
            # A person may say yes to what a person has said no to.
            facts=replace(
                known,
                rejected_before=lambda action, said: False,
                heard=lambda: [provenance.edited(call.arguments, args), *known.heard()],
            ),
        )
        if judged.judgement.status == "refused":
            said = json.loads(judged.judgement.result or "{}").get("error", {})
            raise errors.InvalidEdit(
                str(said.get("detail", "It cannot be carried out.")),
                next="The card waits as it was.",
                errors=tuple(
                    errors.Problem(field=e["field"], message=e["message"], got=args.get(e["field"]))
                    for e in said.get("errors", ())
                ),
            )
        return judged

    def edit(self, card: Approval, judged: Judged, wanted: Edit) -> Approval:
        """Allows the changed call, or asks about it again when it risks more. The card that stands then: the old one
        (`edited`), or the new one that waits.

        Args:
            judged: What `judged` said of the change, which its editor has seen: that and nothing else is allowed.

        Raises:
            StaleHash: the card shows something else than its editor saw.
            AlreadyDecided: somebody was first.
        """
        new = self._card(card, judged)
        with approvals.noting(self.store, card.id, "edit", by=wanted.by, via=wanted.via):
            return self.store.transact(_edit, card, judged, new, wanted)

    def _card(self, card: Approval, judged: Judged) -> NewCard:
        wants = self.around.settings(card.tenant).approvals
        return NewCard(
            id=ids.new(),
            call_id=card.call_id,
            run_id=card.run_id,
            tenant=card.tenant,
            agent=card.agent,
            kind="action",
            action=card.action,
            args_hash=judged.judgement.args_hash,
            risk=judged.judgement.risk,
            title=judged.title,
            preview=judged.preview,
            claim=card.claim,
            provenance=judged.provenance,
            supersedes=card.id,
            expire_us=wants.expire_after,
        )


def _edit(tx: Tx, seen: Approval, judged: Judged, new: NewCard, wanted: Edit) -> Approval:
    rows.lock(tx, seen.run_id)
    card = cards.get(tx, seen.id)
    assert card is not None
    if card.status == "pending" and wanted.args_hash != card.args_hash:
        raise approvals.stale()
    worse = Risk.of(judged.judgement.risk) > Risk.of(card.risk)
    first = cards.decide(
        tx,
        card,
        "superseded" if worse else "edited",
        decision="edit",
        by=wanted.by,
        via=wanted.via,
        token=wanted.token,
        reason=None,
    )
    if not first:
        now = cards.get(tx, card.id)
        assert now is not None
        if now.decision_token != wanted.token:
            raise approvals.already(tx, now)
        return (cards.newest(tx, card.call_id) or now) if worse else now
    cards.edited(tx, card.id, judged.judgement.args, token=wanted.token)
    approvals.tell(tx, card, status="superseded" if worse else "edited", by=wanted.by)
    calls.edit(tx, judged.judgement)
    approvals.seal(
        tx,
        card,
        decision="edit",
        by=wanted.by,
        via=wanted.via,
        risk=new.risk,
        args_hash=new.args_hash,
    )
    approvals.stage(tx, new)
    if not worse:
        approvals.decide(
            tx,
            Decision(
                approval_id=new.id,
                decision="approve",
                by=wanted.by,
                via=wanted.via,
                token=f"{wanted.token}:approve",
                args_hash=new.args_hash,
            ),
        )
    found = cards.get(tx, new.id if worse else card.id)
    assert found is not None
    return found
