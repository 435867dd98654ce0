"""Secrets that a call would take along: by reference, where it may, or in the clear, where a person has to see it.

Invariant: a reference goes to the hosts that the owner bound it to, or the call is refused before anybody is asked;
whatever leaves with a secret in it that alfred can recognise is high, and the card says which one and where.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred.actions import taint
from alfred.actions.declare import Action
from alfred.actions.taint import Sink
from alfred.trust import references

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext

OUT = (Sink.OUTWARD, Sink.ASKING)
"""Where somebody else reads what the arguments say."""


def refused(
    action: Action, args: Mapping[str, Any], ctx: ActionContext
) -> errors.CallRefused | None:
    """Why the secrets that a call names may not go where it leads; None when they may, and when it names none."""
    bound = ctx.settings.secrets
    place = action.references
    named = references.named(args.get(place)) if place is not None else []
    if named:
        where = taint.destinations(action, args, ctx)
        if not where:
            return errors.CallRefused(f"Where {action.id} leads cannot be told, so no secret goes.")
        for name in named:
            for one in where:
                if problem := references.refused(name, one.text, bound):
                    return problem
            try:
                there = ctx.secrets(name)
            except errors.ConfigError as why:
                return errors.CallRefused(why.detail, next=why.next)
            if not there:
                return references.missing(name)
    if taint.sink(action) not in OUT:
        return None
    for field, value in args.items():
        stray = [name for name in references.named(value) if name in bound and field != place]
        if stray:
            return errors.CallRefused(
                f"{field} of {action.id} is no place for a secret: {references.SCHEME}{stray[0]} would be sent as these"
                " very letters.",
                next=f"Name it in {place} instead." if place else None,
            )
    return None
