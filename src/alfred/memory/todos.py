"""Todos: what is to be done, by the person, one row each."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from alfred import errors, ids
from alfred.actions.declare import action
from alfred.actions.kinds import Effect, Risk
from alfred.memory import ledger

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext

LONGEST = 500
"""Characters of a todo."""


@action("todo.add", integration="todo", risk=Risk.NONE, effect=Effect.KEYED)
def add(
    text: str, due: str | None = None, *, key: str, ctx: ActionContext
) -> dict[str, str | None]:
    """Put something on the person's list of things to do.

    Args:
        text: What is to be done, in one short sentence.
        due: The day (2026-11-30) or the moment (RFC 3339) until when, if there is one.
    """
    said = " ".join(text.split())
    if not said or len(said) > LONGEST:
        raise errors.CallFailed(f"A todo has 1 to {LONGEST} characters, this one {len(said)}.")
    when = _due(due)
    made = ctx.store.transact(
        ledger.add_todo,
        id=ids.new(),
        tenant=ctx.tenant,
        agent=ctx.agent,
        text=said,
        due=when,
        source_run=ctx.run_id,
        key=key,
    )
    return {"id": made, "text": said, "due": when}


def _due(text: str | None) -> str | None:
    if text is None or not text.strip():
        return None
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text.strip()).isoformat()
        except ValueError:
            continue
    raise errors.CallFailed(
        f"{text!r} is no day or moment.", next="Write 2026-11-30 or 2026-11-30T17:00:00+01:00."
    )


ACTIONS = (add,)
