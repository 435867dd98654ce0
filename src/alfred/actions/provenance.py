"""Where the important fields of a call come from: a person's words, the configuration, something that was read.

Invariant: what is said here was found by code, by comparing texts; nothing of it is the model's word. A field is the
person's only where its whole value stands in what they said to this run. What nobody said is the model's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alfred.actions import card, policy, taint
from alfred.actions.declare import Action
from alfred.actions.ledger.said import Heard
from alfred.trust import display, labels, redact
from alfred.trust.labels import Label

MOST = 20
"""Fields of one call that are told."""

if TYPE_CHECKING:
    from alfred.actions.context import ActionContext

LONGEST = 200
"""Characters of a value, and of the name of a source."""

OWN = "the model's own"

_SUBJECTS = ("url", "path", "query", "ref", "command", "pattern", "name")
"""Arguments that tell one result from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something that joined the context before the call."""

    said: str
    """What it is, such as `the result of web.fetch https://…`."""
    text: str
    label: Label


def edited(before: Mapping[str, Any], after: Mapping[str, Any]) -> Source:
    """What a person wrote into the arguments of a call themselves."""
    had = list(taint.scalars(before))
    new = [str(value) for value in taint.scalars(after) if value not in had]
    return Source(said="your edit of the card", text="\n".join(new), label=labels.SAID)


def fields(args: Mapping[str, Any], destinations: Sequence[str]) -> list[tuple[str, str]]:
    """The fields of a call that say what it does to whom; every text of it when none does. Of more than `MOST` the others
    are counted by `of`."""
    found = [(name, text) for name, text in card.aimed(args)]
    found += [("destination", text) for text in destinations]
    if not found:
        found = [
            (name, text)
            for name, value in args.items()
            for text in taint.scalars(value)
            if isinstance(text, str)
        ]
    return list(dict.fromkeys(found))


def of(
    named: Sequence[tuple[str, str]],
    *,
    words: Sequence[str],
    config: Sequence[str],
    owners: Sequence[str],
    sources: Sequence[Source],
) -> list[dict[str, Any]]:
    """Where each field comes from, as JSON: `field`, `value`, `from`, and whether that is from outside.

    Args:
        words: What the person said to this run.
        config: The texts of the configuration.
        owners: Destinations that the action says are the owner's.
        sources: What joined the context besides, oldest first.
    """
    known = [(words, "your words"), (config, "your configuration")]
    told = []
    for name, value in named[:MOST]:
        where, outside = OWN, False
        if value in owners:
            where = "your configuration"
        else:
            text = value.strip()
            mine = next((said for texts, said in known if text and taint.stands(text, texts)), None)
            if mine is not None:
                where = mine
            elif text and (first := _first(text, sources)) is not None:
                outside = first.label.external
                where = f"only in {first.said}" + (", from outside" if outside else "")
        told.append(
            {"field": name, "value": _shown(value), "from": _shown(where), "outside": outside}
        )
    if (more := len(named) - MOST) > 0:
        rest = {"field": "and", "value": f"{more} more", "from": "not looked up"}
        told.append({**rest, "outside": False})
    return told


def of_call(
    action: Action,
    args: Mapping[str, Any],
    visible: Mapping[str, Any],
    ctx: ActionContext,
    *,
    words: Sequence[str],
    sources: Sequence[Source],
) -> str:
    """Where the fields of a call come from, as the JSON of its card.

    Args:
        visible: The arguments as they may be shown.
        words: What the person said to this run, each message.
    """
    where = taint.destinations(action, args, ctx) or []
    pasted = [
        Source(said="what you quoted or pasted", text=text, label=labels.SAID) for text in words
    ]
    told = of(
        fields(visible, [one.text for one in where]),
        words=taint.own(words),
        config=taint.configured(ctx),
        owners=[one.text for one in where if one.owners],
        sources=[*pasted, *sources],
    )
    return json.dumps(told, ensure_ascii=False)


def source(heard: Heard) -> Source:
    """What a run has read, as a card names it. What a person answered is theirs, whatever the run had read when it asked."""
    if heard.action == policy.QUESTION:
        return Source(said="your answer to a question", text=heard.text, label=labels.SAID)
    if heard.kind == "decision":
        return Source(said="what you said to a card", text=heard.text, label=heard.label)
    if heard.kind == "assistant":
        said = "what the model said earlier in this conversation"
        return Source(said=said, text=heard.text, label=heard.label)
    if heard.kind == "user":
        said = "what another agent asked of it"
        return Source(said=said, text=heard.text, label=heard.label)
    if heard.action is None:
        return Source(
            said="what was remembered or noted before", text=heard.text, label=heard.label
        )
    about = next((str(heard.args[name]) for name in _SUBJECTS if heard.args.get(name)), "")
    about = display.display(redact.redact(about), limit=120)
    said = f"the result of {heard.action} {about}".strip()
    return Source(said=said, text=heard.text, label=heard.label)


def _first(text: str, sources: Sequence[Source]) -> Source | None:
    return next((source for source in sources if taint.stands(text, [source.text])), None)


def _shown(text: str) -> str:
    return display.display(redact.redact(text), limit=LONGEST)
