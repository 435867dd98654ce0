"""Scratch: what a run and its children note for themselves while they work, by name. It survives compaction, and a branch
takes it along.

Invariants: a tree of runs has one scratch, the one of the run at its top, the boss. A child writes beneath `scratch.<itself>.`
alone, and nobody else does; the boss writes any other name, and `shared.` only by promoting what a child has written, which
says who wrote it, where it was and why it was promoted. A child reads what is shared, and its own. A value, and its name too,
carries the label of the context that wrote it, and joins that to whoever reads it: words of strangers do not become the run's
own by being noted, nor by being promoted. What is written is there exactly when its call is done. All of it is bounded, and
nothing is cut: what is too long is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from alfred import clock, errors
from alfred.actions import schemas
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.memory import ledger
from alfred.memory.ledger import Note
from alfred.trust import labels
from alfred.trust.redact import redact, redact_data

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext
    from alfred.trust.labels import Label

LONGEST = 20_000
"""Characters of one value, as JSON writes it: what is noted can be read again in one result."""

MOST = 100
"""Values of one run, and values that are shared in one tree."""

LONGEST_NAME = 200

CHILDREN = "scratch."
"""What the names of children begin with."""

SHARED = "shared."
"""What the names of what was promoted begin with."""

RESULT = "result"
"""The name of what a child has answered, beneath its own."""

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
    if not ctx.scratch and name.startswith((CHILDREN, SHARED)):
        raise errors.CallRefused(
            f"Nobody writes {name} but its child."
            if name.startswith(CHILDREN)
            else f"{name} is not written but promoted.",
            next="Choose a name of your own, or use scratch.promote.",
        )
    size = len(json.dumps(value, ensure_ascii=False)) - 2
    if size > LONGEST:
        raise errors.CallRefused(
            f"A value has at most {LONGEST} characters as JSON, this one {size}.",
            next="Note it in parts, or write a file.",
        )
    if len({one.path for one in _all(ctx) if _written_by(one.path, ctx)} - {name}) >= MOST:
        raise errors.CallRefused(
            f"A run has at most {MOST} values in scratch, and this one has as many.",
            next="Write over one of them: scratch.list shows them.",
        )
    _keep(ctx, name, value, ctx.label)
    return {"path": name, "length": len(value)}


def _of_one(args: dict[str, Any], ctx: ActionContext) -> Label:
    found = _read(args["path"], ctx)
    return found.label if found else labels.DERIVED


@action("scratch.read", integration="scratch", risk=Risk.NONE, effect=Effect.PURE, label=_of_one)
def read(path: str, *, ctx: ActionContext) -> dict[str, Any]:
    """Read what this run noted, or what is shared.

    Args:
        path: Its name.
    """
    found = _read(path, ctx)
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
    """List what this run noted and what is shared: names, lengths and times.

    Args:
        prefix: Only names that begin so.
    """
    return [_told(note) for note in _beneath(prefix, ctx)]


@action(
    "scratch.promote",
    integration="scratch",
    risk=Risk.NONE,
    effect=Effect.KEYED,
    redact=redact_data,
    label=_of_one,  # what does not fit is quoted
)
def promote(
    path: str,
    to: str,
    reason: str,
    schema: dict[str, Any] | None = None,
    *,
    key: str,
    ctx: ActionContext,
) -> dict[str, Any]:
    """Share what a child has noted or answered with every run below this one. It stays where it is too.

    Args:
        path: Its name, such as scratch.3k9x7q2mzp.result for the answer of that child.
        to: The name that it gets, as in prices: it is read as shared.prices.
        reason: Why it can be relied on.
        schema: A JSON schema that it must fit, where it is JSON. What a child was asked for with a schema must fit that anyway.
    """
    if ctx.pad not in (None, ctx.run_id):
        raise errors.CallRefused(
            "Only the run at the top shares.", next="Give it in your answer: your caller decides."
        )
    name = SHARED + _name(to.removeprefix(SHARED))
    if not reason.strip():
        raise errors.CallRefused("The reason is empty.", next="Say why it can be relied on.")
    found = _read(path, ctx) if path.startswith(CHILDREN) else None
    if found is None:
        raise errors.CallFailed(
            f"No child has noted {path[:80]!r}.",
            next=f"scratch.list with the prefix {CHILDREN} shows what children have.",
        )
    for form in (schema, json.loads(found.form) if found.form else None):
        if form is not None:
            _fits(found, form)
    shared = {one.path for one in _beneath(SHARED, ctx)} - {name}
    if len(shared) >= MOST:
        raise errors.CallRefused(
            f"At most {MOST} values are shared, and there are as many.",
            next="Promote it over one of them.",
        )
    _keep(
        ctx,
        name,
        found.value,
        labels.join(found.label, ctx.label),
        author=found.author,
        origin=found.path,
        reason=redact(reason.strip())[:1000],
    )
    return {"path": name, "length": len(found.value), "origin": found.path}


def _fits(found: Note, form: dict[str, Any]) -> None:
    """Holds a value against a schema.

    Raises:
        CallFailed: it does not fit.
        CallRefused: the schema cannot be used.
    """
    schemas.check(form)
    try:
        value = schemas.parse(found.value)
    except ValueError as problem:
        wrong = [str(problem)]
    else:
        wrong = schemas.problems(form, value)
    if wrong:
        raise errors.CallFailed(
            f"{found.path} does not fit the schema: {'; '.join(wrong)}.",
            next="Ask the child again, or promote what fits.",
        )


def _keep(
    ctx: ActionContext, path: str, value: str, label: Label, *, author: str = "", **more: str
) -> None:
    """Writes it with the outcome of the call: a call whose run was taken over writes nothing late."""
    values = {"author": author or ctx.agent, **more, **labels.halves(label)}
    pad = ctx.pad or ctx.run_id
    ctx.along.append(lambda tx: ledger.note(tx, run_id=pad, path=path, value=value, **values))


def _read(path: str, ctx: ActionContext) -> Note | None:
    if not _readable(path, ctx):
        return None
    with ctx.store.read() as look:
        return ledger.noted(look, ctx.pad or ctx.run_id, path)


def _beneath(prefix: str, ctx: ActionContext) -> list[Note]:
    return [one for one in _all(ctx) if one.path.startswith(prefix) and _readable(one.path, ctx)]


def _all(ctx: ActionContext) -> list[Note]:
    with ctx.store.read() as look:
        return ledger.notes(look, ctx.pad or ctx.run_id)


def _readable(path: str, ctx: ActionContext) -> bool:
    """The boss reads all, a child what is shared and its own."""
    if ctx.pad in (None, ctx.run_id):
        return True
    return path.startswith(SHARED) or bool(ctx.scratch and path.startswith(ctx.scratch))


def _written_by(path: str, ctx: ActionContext) -> bool:
    """Whether this run has written that name, and no other one can have."""
    if ctx.scratch:
        return path.startswith(ctx.scratch)
    return not path.startswith((CHILDREN, SHARED))


def _told(note: Note) -> dict[str, Any]:
    told: dict[str, Any] = {
        "path": note.path,
        "length": len(note.value),
        "at": clock.rfc3339(note.at),
    }
    if note.origin is not None:
        told |= {"author": note.author, "origin": note.origin, "reason": note.reason}
    return told | ({"from": "outside"} if note.label.external else {})


def _name(path: str) -> str:
    if len(path) > LONGEST_NAME or not _NAME.fullmatch(path):
        raise errors.CallRefused(
            f"{path[:80]!r} is no name for scratch: 1 to {LONGEST_NAME} of letters, digits, `.`, `_`, `-`, and `/` between"
            " parts that begin with a letter or digit."
        )
    return path


ACTIONS = (write, read, listed, promote)
