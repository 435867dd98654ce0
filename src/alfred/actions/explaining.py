"""What the gate would say about a call that nobody has made: every step of the resolution, and nothing is written.

Invariant: it is the gate's own judgement (`pipeline.judge`), over a run that is none, after what its agent has done
before; an explanation of a call that was made is the one that was stored with it, not made anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alfred import errors, ids
from alfred.actions import pipeline, risk
from alfred.actions.grant import Grant
from alfred.actions.ledger import approvals as cards
from alfred.actions.ledger import calls, history
from alfred.actions.ledger.calls import Call
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.runs.rows import Run
from alfred.store.connect import Store
from alfred.store.tx import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Whether a call executes, waits or is refused, and how that came about."""

    action: str
    args: dict[str, Any]
    verdict: str
    reason: str
    risk: str | None
    steps: tuple[str, ...]
    preview: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A call that nobody has made."""

    action: str
    args: dict[str, Any]
    tenant: str
    agent: str
    folder: Path
    """Where its run would work."""
    made: bool = False
    """alfred has made that folder."""
    trusted: bool = False
    external: bool = False
    """Whether its run would have read what strangers wrote."""
    private: bool = False
    """Whether it would have read something private."""
    tools: frozenset[str] = frozenset({"*"})
    """What its run would have been granted."""


def explain(
    wanted: Hypothesis, *, store: Store, actions: Registry, around: Surroundings
) -> Explained:
    """Judges a call that nobody has made."""
    run = _run(wanted)
    nothing: dict[str, Any] = dict.fromkeys(Call._fields)
    call = Call(**nothing | {"id": ids.new(), "run_id": run.id, "turn": 0, "ordinal": 0})
    whose = {"tenant": run.tenant, "agent": run.agent}

    def used_before(action: str, schema: str) -> bool:
        with store.read() as look:
            return history.used_before(look, action=action, schema=schema, **whose)

    def lows(action: str) -> int:
        with store.read() as look:
            return history.lows(look, call, run, action=action, within=risk.MANY_WITHIN)

    judged = pipeline.judge(
        pipeline.Proposal(
            call_id=call.id,
            run=run,
            turn=0,
            ordinal=0,
            action=wanted.action,
            args=wanted.args,
            asked=True,
        ),
        actions=actions,
        context=lambda: around.beside(store, run, call),
        facts=pipeline.Facts(
            rejected_before=lambda action, said: False,
            used_before=used_before,
            lows=lows,
        ),
    ).judgement
    said = json.loads(judged.decision or "{}")
    refused = (
        json.loads(judged.result or "{}").get("error", {}) if judged.status == "refused" else {}
    )
    return Explained(
        action=judged.action,
        args=wanted.args,
        verdict=said.get("verdict", ""),
        reason=said.get("reason", ""),
        risk=None if judged.status == "refused" and not said.get("steps") else judged.risk,
        steps=(*said.get("steps", ()), *_problems(refused)),
        preview=judged.preview,
    )


def stored(look: Tx, approval_id: str) -> Explained:
    """The explanation that was stored with the call of a card.

    Raises:
        NotFound: there is none.
    """
    card = cards.get(look, approval_id)
    call = calls.get(look, card.call_id) if card else None
    if call is None or call.decision is None:
        raise errors.NotFound(
            f"Nothing was decided about {approval_id}.", next="`alfred approvals list --status all`"
        )
    said = json.loads(call.decision)
    return Explained(
        action=call.action,
        args=call.arguments,
        verdict=said.get("verdict", ""),
        reason=said.get("reason", ""),
        risk=call.risk,
        steps=tuple(said.get("steps", ())),
        preview=call.preview,
    )


def _run(wanted: Hypothesis) -> Run:
    run_id = ids.new()
    place = {"root": str(wanted.folder), "made": wanted.made, "trusted": wanted.trusted}
    nothing: dict[str, Any] = dict.fromkeys(Run._fields)
    return Run(**nothing)._replace(
        id=run_id,
        tenant=wanted.tenant,
        agent=wanted.agent,
        workflow="agent",
        grants=Grant(actions=wanted.tools).encode(),
        workspace=json.dumps(place),
        external=int(wanted.external),
        private=int(wanted.private),
        dry_run=0,
        root_id=run_id,
    )


def _problems(refused: dict[str, Any]) -> list[str]:
    if not refused:
        return []
    fields = [f"{e['field']}: {e['message']}" for e in refused.get("errors", ())]
    return [str(refused.get("detail", "")), *fields]
