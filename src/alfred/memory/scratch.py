"""Scratch: what a run notes for itself while it works, by name. It survives compaction, and a branch takes it along.

Invariants: a run writes only beneath the prefix that its grant names, so runs that share a scratch cannot overwrite each
other. A value, and its name too, carries the label of the context that wrote it, and joins that to whoever reads it:
words of strangers do not become the run's own by being noted. All of it is bounded, and nothing is cut: what is too
long is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from alfred import clock, errors
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.memory import ledger
from alfred.memory.ledger import Note
from alfred.trust import labels
from alfred.trust.redact import redact_data

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext
    from alfred.trust.labels import Label

LONGEST = 20_000
"""Characters of one value, as JSON writes it: what is noted can be read again in one result."""

MOST = 100
"""Values of one run."""

LONGEST_NAME = 200

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")


@action(
    "scratch.write", integration="scratch", risk=Risk.NONE, effect=Effect.KEYED, redact=redact_data
)
def write(path: str, value: str, *, key: str, ctx: ActionContext) -> dict[str, Any]:
    """Note something for the rest of this run: an interim result, a plan, a list. What was noted there before is replaced.

    Args:
        path: Its name, such as plan or findings/prices.
        value: The text.
    """
    name = _name(path)
    if ctx.scratch is None:
        raise errors.CallRefused("This run may not write scratch.")
    if not name.startswith(ctx.scratch):
        raise errors.CallRefused(
            f"This run writes scratch beneath {ctx.scratch} only, not {name}.",
            next=f"Name it {ctx.scratch}{name}.",
        )
    size = len(json.dumps(value, ensure_ascii=False)) - 2
    if size > LONGEST:
        raise errors.CallRefused(
            f"A value has at most {LONGEST} characters as JSON, this one {size}.",
            next="Note it in parts, or write a file.",
        )
    kept = ctx.store.transact(
        ledger.note,
        run_id=ctx.run_id,
        path=name,
        value=value,
        author=ctx.agent,
        most=MOST,
        **labels.halves(ctx.label),
    )
    if not kept:
        raise errors.CallRefused(
            f"A run has at most {MOST} values in scratch, and this one has as many.",
            next="Write over one of them: scratch.list shows them.",
        )
    return {"path": name, "length": len(value)}


def _of_one(args: dict[str, Any], ctx: ActionContext) -> Label:
    with ctx.store.read() as look:
        found = ledger.noted(look, ctx.run_id, args["path"])
    return found.label if found else labels.DERIVED


@action("scratch.read", integration="scratch", risk=Risk.NONE, effect=Effect.PURE, label=_of_one)
def read(path: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Read what this run noted.

    Args:
        path: Its name.
    """
    with ctx.store.read() as look:
        found = ledger.noted(look, ctx.run_id, path)
    if found is None:
        raise errors.CallFailed(
            "Nothing is noted under this name.", next="scratch.list shows what is."
        )
    return _told(found) | {"value": found.value}


def _of_all(args: dict[str, Any], ctx: ActionContext) -> Label:
    return labels.join_all(
        [labels.DERIVED, *(note.label for note in _beneath(args["prefix"], ctx))]
    )


@action("scratch.list", integration="scratch", risk=Risk.NONE, effect=Effect.PURE, label=_of_all)
def listed(prefix: str = "", *, ctx: ActionContext) -> list[dict[str, Any]]:
    """List what this run noted: names, lengths and times.

    Args:
        prefix: Only names that begin so.
    """
    return [_told(note) for note in _beneath(prefix, ctx)]


def _beneath(prefix: str, ctx: ActionContext) -> list[Note]:
    with ctx.store.read() as look:
        return [note for note in ledger.notes(look, ctx.run_id) if note.path.startswith(prefix)]


def _told(note: Note) -> dict[str, Any]:
    told: dict[str, Any] = {
        "path": note.path,
        "length": len(note.value),
        "at": clock.rfc3339(note.at),
    }
    return told | ({"from": "outside"} if note.label.external else {})


def _name(path: str) -> str:
    if len(path) > LONGEST_NAME or not _NAME.fullmatch(path):
        raise errors.CallRefused(
            f"{path[:80]!r} is no name for scratch: 1 to {LONGEST_NAME} of letters, digits, `.`, `_`, `-`, and `/` between"
            " parts that begin with a letter or digit."
        )
    return path


ACTIONS = (write, read, listed)
