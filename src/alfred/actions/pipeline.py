"""The checks that every proposed call passes, in one order, before anything is executed or asked.

name -> registered -> granted -> available -> schema -> secrets -> rejected before -> contract -> forbidden -> risk -> mode. (The
fence, the intent and the outcome are the dispatcher's.) A refusal is a structured result for the model, never an
exception. The result of the checks is bound to content: `content_hash` covers the action and its schema, the arguments,
what they touch right now, whose run it is and the risk, so whatever changes before the execution is asked again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from alfred import errors
from alfred.actions import (
    arguments,
    availability,
    bounds,
    canonical,
    card,
    conditions,
    outgoing,
    policy,
    provenance,
    risk,
    taint,
)
from alfred.actions.context import ActionContext
from alfred.actions.declare import Action
from alfred.actions.grant import Grant
from alfred.actions.kinds import Risk
from alfred.actions.ledger import history
from alfred.actions.ledger.calls import Judgement
from alfred.actions.provenance import Source
from alfred.actions.registry import Registry
from alfred.runs.rows import Run
from alfred.trust import redact

log = structlog.get_logger()

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A call to be judged: whose it is, where it stands, what it says."""

    call_id: str
    run: Run
    turn: int
    ordinal: int
    action: str
    args: dict[str, Any]
    asked: bool = False
    """A person was asked about it before, and may be again: the text of its card is made whatever is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the checks ask the ledger, as functions, so that judging needs no database of its own."""

    rejected_before: Callable[[str, str], bool]
    used_before: Callable[[str, str], bool]
    """Whether an action was carried out with this schema, by its hash."""
    lows: Callable[[str], int]
    """How many low calls of an action there were lately, those before this one in its turn included."""
    words: Callable[[], Sequence[str]] = tuple
    """What the owner said to the run, each message."""
    links: Callable[[], Collection[str]] = frozenset
    """Addresses that pages which the run has read point to."""
    heard: Callable[[], Sequence[Source]] = tuple
    """What the run has read."""
    above: Callable[[], Collection[str]] = tuple
    """The agents that it works for: of the runs above it in its tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of the checks: rows to write, and for a staged call what its card says."""

    judgement: Judgement
    kind: Literal["action", "question"] = "action"
    title: str = ""
    preview: str = ""
    auto_ok: bool = False
    provenance: str | None = None
    """JSON: where each field that says what it does to whom comes from."""


def judge(
    proposal: Proposal,
    *,
    actions: Registry,
    context: Callable[[], ActionContext],
    facts: Facts,
) -> Judged:
    """Passes one call through every check. Never raises for what the model wrote."""
    refuse = _Refusal(proposal)
    if not _NAME.fullmatch(proposal.action):
        return refuse("malformed_name", "The name of the tool is not well formed.")
    actions = actions.of(proposal.run.tenant, proposal.run.agent)
    action = actions.get(proposal.action)
    if action is None:
        nearest = actions.nearest(proposal.action)
        hint = f" The nearest name is {nearest!r}." if nearest else ""
        return refuse("unknown_tool", f"There is no tool {proposal.action!r}.{hint}")
    grant = Grant.decode(proposal.run.grants)
    if not grant.allows(action.id):
        return refuse("not_allowed", f"{action.id} is not allowed for agent {proposal.run.agent}.")
    ctx = context()
    if problem := availability.missing(action, ctx.settings):
        return refuse("unavailable", problem.detail, next=problem.next)
    checked = arguments.validate(action, proposal.args)
    if isinstance(checked, arguments.Invalid):
        problems = [{"field": p.field, "message": p.message} for p in checked.problems]
        return refuse(
            "invalid_arguments", f"The arguments of {action.id} are not right.", errors=problems
        )
    args = checked.args
    missing = [
        s.name for s in action.secrets.values() if s.required and ctx.secrets(s.name) is None
    ]
    if missing:
        return refuse(
            "unavailable", f"{action.id} needs the secret {', '.join(missing)}, which is not there."
        )
    if problem := outgoing.refused(action, args, ctx):
        return refuse("secret_refused", problem.detail, next=problem.next)
    said = checked.text
    if facts.rejected_before(action.id, said):
        return refuse(
            "rejected_before", "A person said no to this very call in this run. Do something else."
        )
    assessed = risk.by_volume(risk.assess(action, args, ctx), lambda: facts.lows(action.id))
    tainted = taint.assess(
        action, args, ctx, context=proposal.run.label, words=facts.words, links=facts.links
    )
    leak = outgoing.leak(action, args, ctx)
    outside = bounds.outside(grant.contract, action, args, ctx) if grant.contract else None
    if outside and grant.contract and proposal.run.external:
        return refuse("outside_contract", outside, next=bounds.NEXT)
    decision = policy.decide(
        action=action,
        risk=max(assessed.risk, tainted.risk, leak.risk),
        agent=proposal.run.agent,
        policy=ctx.settings.policy,
        floor=policy.floor_of(action, {*facts.above()} - {proposal.run.agent}, ctx.settings.policy),
        integrity="external" if proposal.run.external else "derived",
        contained=taint.sink(action) is taint.Sink.CONTAINED,
        first_use=not action.built_in and not facts.used_before(action.id, action.schema_hash),
        dry_run=bool(proposal.run.dry_run),
        forbidden=assessed.forbidden,
        asked=lambda: conditions.asked(action, args, ctx),
        contract=bounds.lifts(grant.contract, outside),
        undeclared=bounds.asks(grant.contract, action, outside),
    )
    if decision.verdict == "refuse":
        why = assessed.forbidden or f"{action.id} is switched off by the policy"
        return refuse(decision.reason, f"{why[:1].upper()}{why[1:]}.", decision=decision)
    target = resolve_target(action, args, ctx)
    if decision.verdict == "stage" and isinstance(target, Unreadable):
        # What cannot be looked at cannot be bound: a person would approve something that nobody has seen.
        return refuse(
            "unavailable",
            f"What {action.id} would touch cannot be looked at: {target['unreadable']}",
            decision=decision,
        )
    if decision.verdict == "stage" and (name := card.too_long(args)):
        # Half of it would be approved unseen.
        what = "command" if card.is_command(name) else "argument"
        return refuse(
            f"{what}_too_long",
            f"A person could not read all of {name!r} on a card, which shows {card.AIMED} characters."
            + (
                " Write it into a file first and run that." if what == "command" else " Shorten it."
            ),
            decision=decision,
        )
    visible = leak.hidden(presentable(action, args))
    shown = None
    if decision.skip or decision.verdict == "stage" or proposal.asked:
        shown = leak.shown(card.preview(visible, leak.hidden(rendered(action, args, ctx))))
    comes_from = None
    if (decision.verdict == "stage" and not decision.skip) or proposal.asked:
        comes_from = provenance.of_call(
            action, args, visible, ctx, words=facts.words(), sources=facts.heard()
        )
    bound = content_hash(action, said, target, proposal.run, decision.risk)
    status = "skipped" if decision.skip else "staged" if decision.verdict == "stage" else "proposed"
    explanation = {
        # first: it tells the calls of a foreign action that were made before it became another one
        **({} if action.built_in else {history.SCHEMA: action.schema_hash}),
        "verdict": decision.verdict,
        "reason": decision.reason,
        "steps": _told(
            *assessed.explanation, tainted.explanation, leak.explanation, *decision.explanation
        ),
    }
    return Judged(
        judgement=Judgement(
            call_id=proposal.call_id,
            status=status,
            action=action.id,
            integration=action.integration,
            effect=str(action.effect),
            risk=str(decision.risk),
            args=said,
            args_hash=bound,
            target=json.dumps(target, ensure_ascii=False) if target is not None else None,
            preview=shown,
            decision=json.dumps(explanation, ensure_ascii=False),
            result=canonical.canonical_json({"dry_run": True, "would": shown})
            if decision.skip
            else None,
            question=decision.kind == "question",
        ),
        kind=decision.kind,
        title="" if shown is None else card.title(action.id, visible),
        preview=shown or "",
        auto_ok=decision.auto_approvable,
        provenance=comes_from,
    )


def content_hash(action: Action, args: str, target: Any, run: Run, level: Risk) -> str:
    """SHA-256 over everything that an approval is about. Anything of it changed is another approval. `args`: as their text."""
    return canonical.args_hash(
        action=action.id,
        schema_hash=action.schema_hash,
        args=args,
        target=target,
        tenant=run.tenant,
        run_id=run.id,
        risk=level,
    )


class Unreadable(dict[str, str]):
    """Why a target could not be looked at. Not a target: nothing is bound by it."""


def resolve_target(action: Action, args: dict[str, Any], ctx: ActionContext) -> Any:
    """What the call would touch, as it is now (the hash of a file, a commit, an address), as JSON.

    `Unreadable` when it cannot be looked at.
    """
    if action.target is None:
        return None
    try:
        found = action.target(args, ctx)
        canonical.canonical_json(found)
    except errors.AlfredError as problem:
        return Unreadable(unreadable=problem.detail)
    except Exception as problem:
        log.warning("target.failed", action=action.id, exc_info=True)
        return Unreadable(unreadable=f"{type(problem).__name__}.")
    return found


def presentable(action: Action, args: dict[str, Any]) -> dict[str, Any]:
    """The arguments as cards and lists may show them; their names alone when the action fails to say."""
    if action.redact is None:
        return args
    try:
        return dict(action.redact(dict(args)))
    except Exception:
        log.warning("redact.failed", action=action.id, exc_info=True)
        return dict.fromkeys(args, "…")


def rendered(action: Action, args: dict[str, Any], ctx: ActionContext) -> str | None:
    """The action's own preview; None (a plain card) when it has none or fails at it."""
    if action.preview is None:
        return None
    try:
        return str(action.preview(args, ctx))
    except Exception:
        log.warning("preview.failed", action=action.id, exc_info=True)
        return None


def refusal(code: str, detail: str, **more: Any) -> str:
    """A refusal as the model reads it."""
    told = {name: value for name, value in more.items() if value is not None}
    said = redact.redact_data({"error": {"code": code, "detail": detail, **told}})
    return json.dumps(said, ensure_ascii=False)


def _told(*steps: str) -> list[str]:
    """How a decision came about, in words that may quote the arguments."""
    return [redact.redact(step) for step in steps]


def _safe(args: Any) -> str:
    try:
        return canonical.canonical_json(args)
    except ValueError:
        return "{}"  # what cannot be written down was said in the refusal


class _Refusal:
    def __init__(self, proposal: Proposal):
        self.proposal = proposal

    def __call__(
        self, code: str, detail: str, *, decision: policy.Decision | None = None, **more: Any
    ) -> Judged:
        explanation = {"verdict": "refuse", "reason": code}
        if decision:
            explanation["steps"] = _told(*decision.explanation)  # type: ignore[assignment]
        return Judged(
            judgement=Judgement(
                call_id=self.proposal.call_id,
                status="refused",
                action=self.proposal.action[:128],
                args=_safe(self.proposal.args),
                decision=json.dumps(explanation, ensure_ascii=False),
                result=refusal(code, detail, **more),
            )
        )
