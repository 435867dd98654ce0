"""The checks that every proposed call passes, in one order, before anything is executed or asked.

name -> registered -> granted -> schema -> rejected before -> forbidden -> risk -> mode. (The fence, the intent
and the outcome are the dispatcher's.) A refusal is a structured result for the model, never an exception. The
result of the checks is bound to content: `content_hash` covers the action and its schema, the arguments, what
they touch right now, whose run it is and the risk, so whatever changes before the execution is asked again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from alfred.actions import card, policy, registry, risk
from alfred.actions.grant import Grant
from alfred.actions.ledger import Judgement
from alfred.actions.registry import Action, ActionContext, Registry
from alfred.runs.rows import Run

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the checks ask the ledger, as functions, so that judging needs no database of its own."""

    rejected_before: Callable[[str, str], bool]
    used_before: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of the checks: rows to write, and for a staged call what its card says."""

    judgement: Judgement
    kind: str = "action"
    title: str = ""
    preview: str = ""
    auto_ok: bool = False


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
    action = actions.get(proposal.action)
    if action is None:
        nearest = actions.nearest(proposal.action)
        hint = f" The nearest name is {nearest!r}." if nearest else ""
        return refuse("unknown_tool", f"There is no tool {proposal.action!r}.{hint}")
    grant = Grant.decode(proposal.run.grants)
    if not grant.allows(action.id):
        return refuse("not_allowed", f"{action.id} is not allowed for agent {proposal.run.agent}.")
    checked = registry.validate(action, proposal.args)
    if isinstance(checked, registry.Invalid):
        problems = [{"field": p.field, "message": p.message} for p in checked.problems]
        return refuse(
            "invalid_arguments",
            f"The arguments of {action.id} are not right.",
            errors=problems,
            expected=sorted(action.schema.get("properties", {})),
        )
    args = checked.args
    canonical = registry.canonical_json(args)
    if facts.rejected_before(action.id, canonical):
        return refuse(
            "rejected_before", "A person said no to this very call in this run. Do something else."
        )
    ctx = context()
    assessed = risk.assess(action, args, ctx)
    if assessed.forbidden:
        return refuse(
            "forbidden", f"This is never done, whoever approves it: {assessed.forbidden}."
        )
    if proposal.run.dry_run and action.effect is not registry.Effect.PURE:
        would = card.preview(args, rendered(action, args, ctx))
        result = registry.canonical_json({"dry_run": True, "would": would})
        return _judged(
            proposal,
            action,
            args,
            canonical,
            "skipped",
            assessed.risk,
            None,
            preview=would,
            result=result,
        )
    decision = policy.decide(
        action=action.id,
        integration=action.integration,
        agent=proposal.run.agent,
        risk=assessed.risk,
        policy=ctx.settings.policy,
        foreign=action.source != registry.BUILTIN,
        first_use=not facts.used_before(action.id),
        external=bool(proposal.run.external),
    )
    if decision.verdict == "refuse":
        return refuse(
            decision.reason, f"{action.id} is switched off by the policy.", decision=decision
        )
    target = resolve_target(action, args, ctx)
    if decision.verdict == "execute":
        return _judged(
            proposal, action, args, canonical, "proposed", decision.risk, target, decision=decision
        )
    shown = card.preview(args, rendered(action, args, ctx))
    return _judged(
        proposal,
        action,
        args,
        canonical,
        "staged",
        decision.risk,
        target,
        decision=decision,
        preview=shown,
    )


def content_hash(
    action: Action,
    canonical: str,
    target: str | None,
    run: Run,
    turn: int,
    ordinal: int,
    level: registry.Risk,
) -> str:
    """SHA-256 over everything that an approval is about. Anything of it changed is another approval."""
    bound = registry.canonical_json(
        [
            action.id,
            action.schema_hash,
            canonical,
            target,
            run.tenant,
            run.id,
            turn,
            ordinal,
            level.text,
        ]
    )
    return hashlib.sha256(bound.encode()).hexdigest()


def resolve_target(action: Action, args: dict[str, Any], ctx: ActionContext) -> str | None:
    """What the call would touch, as it is now (the hash of a file, a commit, an address), as JSON text.

    A target that cannot be looked at is the text of the trouble: it differs from whatever was there.
    """
    if action.target is None:
        return None
    try:
        return registry.canonical_json(action.target(args, ctx))
    except Exception as problem:
        return registry.canonical_json({"unreadable": type(problem).__name__})


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
    return json.dumps({"error": {"code": code, "detail": detail, **more}}, ensure_ascii=False)


class _Refusal:
    def __init__(self, proposal: Proposal):
        self.proposal = proposal

    def __call__(
        self, code: str, detail: str, *, decision: policy.Decision | None = None, **more: Any
    ) -> Judged:
        explanation = {"verdict": "refuse", "reason": code}
        if decision:
            explanation["steps"] = list(decision.explanation)  # type: ignore[assignment]
        return Judged(
            judgement=Judgement(
                call_id=self.proposal.call_id,
                status="refused",
                action=self.proposal.action[:128],
                args=registry.canonical_json(self.proposal.args),
                decision=json.dumps(explanation, ensure_ascii=False),
                result=refusal(code, detail, **more),
            )
        )


def _judged(
    proposal: Proposal,
    action: Action,
    args: dict[str, Any],
    canonical: str,
    status: str,
    level: registry.Risk,
    target: str | None,
    *,
    decision: policy.Decision | None = None,
    preview: str | None = None,
    result: str | None = None,
) -> Judged:
    digest = content_hash(
        action, canonical, target, proposal.run, proposal.turn, proposal.ordinal, level
    )
    explanation = {
        "verdict": decision.verdict if decision else status,
        "reason": decision.reason if decision else "dry_run",
        "steps": list(decision.explanation) if decision else [],
    }
    return Judged(
        judgement=Judgement(
            call_id=proposal.call_id,
            status=status,
            action=action.id,
            integration=action.integration,
            effect=str(action.effect),
            risk=level.text,
            args=canonical,
            args_hash=digest,
            target=target,
            preview=preview,
            decision=json.dumps(explanation, ensure_ascii=False),
            result=result,
        ),
        kind="question" if action.id == "ask.user" else "action",
        title=card.title(action.id, args),
        preview=preview or "",
        auto_ok=bool(decision and decision.auto_approvable),
    )
