"""How an agent's run goes on in another way: which calls its branch does not make, and what the model is told of them.

Invariant: the model reads a result for each call that it proposed, and it is true: what was not executed in the branch
is said not to have been, also when the run that it comes from did it later, for a branch does not turn the world back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alfred import errors, ids
from alfred.actions.grant import Grant
from alfred.actions.ledger import calls as calls_ledger
from alfred.actions.ledger.calls import Call
from alfred.runs import forks, ledger
from alfred.runs.forks import Point
from alfred.runs.rows import Item
from alfred.store.tx import Tx
from alfred.trust import labels
from alfred.trust.labels import Confidentiality, Integrity, Label

_OF_THIS_BRANCH_ALONE = (
    "last",
    "needs",
    "cut",
    "blocked",
    "until",
    "out",
    "waited",
    "waits",
    "handed",
)
"""Keys of the state that a cap, an output limit, a provider's block or the children of the other run have left."""

_CLOSED = Label(Integrity.TRUSTED, Confidentiality.PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """What a fork came to."""

    id: str
    at: int
    closed: tuple[str, ...]
    """Tools of the calls that were proposed by then and are not made here."""
    standing: tuple[Call, ...]
    """Effects that the other run has had since: they are not undone."""


def fork(
    tx: Tx,
    run_id: str,
    *,
    at: int,
    new_id: str,
    by: str,
    brief: str | None = None,
    model: str | None = None,
    reject: str | None = None,
) -> Branch:
    """Begins a branch of a run behind its step `at`. A verb; run again with the same `new_id` it says the same.

    Args:
        brief: What a person says to it first.
        model: Who goes on; None for the run's own.
        reject: Why a person says no to the calls that are not made here; None: nobody says so.

    Raises:
        UsageError: see `forks.point`; or the run's answer was given by then, and there is nothing new to answer.
    """
    point = forks.point(tx, run_id, at)
    if point.workflow != "agent":
        raise errors.UsageError(
            f"Run {run_id[-6:].lower()} is no run of an agent but a {point.workflow}, which has no branches.",
            next="Fork the run that it is about.",
        )
    opened = _open(point)
    first_behind = point.turn - 1 if opened else point.turn
    standing = calls_ledger.effects(tx, run_id, first_behind)
    if reject is not None and not opened:
        raise errors.UsageError(
            f"No call was open behind step {at}, so there is nothing to say no to.",
            next=f"Fork behind the step that proposed it: `alfred runs show {run_id[-6:].lower()}`.",
        )
    if point.outcome == "completed" and brief is None:
        raise errors.UsageError(
            f"At step {at} the run gave its answer.",
            next="Say what is wanted now with --brief, or fork behind an earlier step.",
        )
    made = {call.tool_call_id for call in standing if call.turn == first_behind}
    items = [_closing(call, call["id"] in made, reject) for call in opened]
    if brief is not None and point.begun:
        said = {"kind": "user", "text": brief}
        items.append(Item.of("user", said, labels.OWNER))
    state = {k: v for k, v in point.state.items() if k not in _OF_THIS_BRANCH_ALONE}
    forks.fork(
        tx,
        point,
        new_id=new_id,
        step=point.next_step,  # where that is to dispatch the open calls: there is none here, so the model is asked
        state=state,
        items=items,
        title=_title(brief, run_id, at),
        model=model,
        grants=_grants(point),
        by=by,
    )
    if brief is not None and not point.begun:
        # it is read behind what the run was asked in the first place, which is not in its transcript yet
        ledger.message(tx, new_id, message_id=ids.below(new_id, 0), body=brief, author=by)
    return Branch(
        id=new_id, at=at, closed=tuple(call["tool"] for call in opened), standing=tuple(standing)
    )


def _open(point: Point) -> list[dict[str, Any]]:
    """The calls of the last answer that have no result by then."""
    calls: dict[str, dict[str, Any]] = {}
    for item in point.said:
        if item.get("kind") == "assistant":
            calls = {call["id"]: call for call in item.get("calls") or ()}
        else:
            calls.pop(item.get("call_id", ""), None)
    return list(calls.values())


def _closing(call: dict[str, Any], made: bool, reject: str | None) -> Item:
    text = "This call was not executed in this branch."
    if reject is not None:
        text = f"A person said no to this call: {reject}"
    elif made:
        text += " The run that it comes from made it later; what it changed is still there, so look before you repeat it."
    said = {
        "kind": "result",
        "call_id": call["id"],
        "tool": call["tool"],
        "text": text,
        "error": True,
    }
    return Item.of("result", said, _CLOSED if reject is None else labels.OWNER)


def _grants(point: Point) -> str | None:
    """A branch is no run of a workflow as it was allowed: what that would do by itself, this one asks."""
    grant = Grant.decode(point.grants)
    return grant.narrowed(grant.actions).encode() if grant.contract else None


def _title(brief: str | None, run_id: str, at: int) -> str:
    of = f"{run_id[-6:].lower()} from step {at}"
    return f"{of}: {brief.splitlines()[0]}"[:80] if brief else of
