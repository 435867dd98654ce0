"""Secrets that a call would take along: by reference, where it may, or in the clear, where a person has to see it.

Invariant: a reference goes to the hosts that the owner bound it to, or the call is refused before anybody is asked;
whatever leaves with a secret in it that alfred can recognise is high, and the card says which one and where.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from alfred import errors
from alfred.actions import taint
from alfred.actions.declare import Action
from alfred.actions.kinds import Risk
from alfred.actions.taint import Sink
from alfred.trust import display, readings, redact, references

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext

log = structlog.get_logger()

OUT = (Sink.OUTWARD, Sink.ASKING)
"""Where somebody else reads what the arguments say."""


@dataclass(frozen=True, slots=True)
class Leak:
    """What a call would take out in the clear."""

    secrets: tuple[tuple[str, str], ...]
    """Where each stands, and its name or kind."""
    unseen: str | None = None
    """Why not all that leaves could be looked through; None when it could."""

    @property
    def risk(self) -> Risk:
        return Risk.HIGH if self.secrets or self.unseen else Risk.NONE

    @property
    def explanation(self) -> str:
        """What was found, for the call's row."""
        return f"by secrets {self.risk}: {' '.join(self._said()) or 'none that leaves'}"

    def shown(self, preview: str) -> str:
        """The text of a card, with what was found before it."""
        return (
            "\n".join([*(f"! {line}" for line in self._said()), "", preview])
            if self.risk
            else preview
        )

    def hidden(self, value: Any) -> Any:
        """What a card may show of a call, also when a secret is spelt in a way that only this look has found."""
        if not self.secrets:
            return value
        if isinstance(value, str):
            return readings.hidden(value)
        if isinstance(value, Mapping):
            return {key: self.hidden(inner) for key, inner in value.items()}
        return [self.hidden(inner) for inner in value] if isinstance(value, list) else value

    def _said(self) -> list[str]:
        told = [f"A secret would leave: {name} in {where}." for where, name in self.secrets[:_TOLD]]
        if len(self.secrets) > _TOLD:
            told.append(f"And {len(self.secrets) - _TOLD} more.")
        return [*told, *([self.unseen] if self.unseen else [])]


_TOLD = 10
"""Secrets of one call that its card names."""

NOTHING = Leak(())


def leak(action: Action, args: Mapping[str, Any], ctx: ActionContext) -> Leak:
    """Which secrets leave with a call, in its arguments or in what it sends besides. Never raises."""
    if taint.sink(action) not in OUT:
        return NOTHING
    texts = [
        one
        for field, value in args.items()
        if field != action.references
        for one in _texts(field, value)
    ]
    found = [(where, name) for where, text in texts for name in _secrets(text, where)]
    if not found:  # what none of them holds, they may hold together
        together = "".join(text for _, text in texts)
        found = [("several arguments together", name) for name in redact.squeezed(together)]
    unseen = None
    if action.sends is not None:
        try:
            for where, text in action.sends(dict(args), ctx):
                found += [(_place(where), name) for name in readings.secrets(text)]
        except Exception as why:
            log.warning("sends.failed", action=action.id, exc_info=True)
            detail = why.detail if isinstance(why, errors.AlfredError) else f"{type(why).__name__}."
            unseen = (
                f"Not all that leaves could be looked through for secrets: {redact.redact(detail)}"
            )
    return Leak(tuple(dict.fromkeys(found)), unseen)


def _texts(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in an argument, keys included, with the argument that it stands in; each list of texts as one, too."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield where, str(key)
            yield from _texts(where, inner)
    elif isinstance(value, list | tuple):
        with contextlib.suppress(TypeError):
            yield where, "".join(value)
        for inner in value:
            yield from _texts(where, inner)


def _secrets(text: str, where: str) -> list[str]:
    """The secrets of one text; of `password` and the like the value itself is one."""
    found = readings.secrets(text)
    if not found and redact.redact_data({where: text}) != {where: text}:
        return [where]
    return found


def _place(where: str) -> str:
    return display.display(redact.redact(where), limit=200)


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
