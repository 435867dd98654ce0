"""What alfred itself asks when an MCP server describes its tools otherwise than when they were pinned.

Invariants: the card shows the difference, as the model would read it, and what is not shown of it is said to be there; a
yes pins exactly the tools that were seen when it was asked. It is a high risk, so no mode lets it through.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from alfred import errors
from alfred.actions import Destination, Effect, Happened, NotHappened, Risk, Unknown, action
from alfred.actions.context import ActionContext
from alfred.actions.ledger import pins
from alfred.actions.ledger.pins import Pin, Place
from alfred.store.tx import Tx

LINES = 400
"""Lines of a difference on a card."""


def _place(args: Mapping[str, Any], ctx: ActionContext) -> Place:
    return Place(ctx.tenant, args["agent"], args["name"])


def _pin(args: Mapping[str, Any], ctx: ActionContext) -> Pin:
    with ctx.store.read() as look:
        pin = pins.get(look, _place(args, ctx))
    if pin is None or args["tools"] not in (pin.seen, pin.digest):
        raise errors.CallFailed(
            f"The MCP server {args['name']} does not say that any more.",
            next="When it says something else again, that is asked.",
        )
    return pin


def _target(args: dict[str, Any], ctx: ActionContext) -> Any:
    pin = _pin(args, ctx)
    return {"pinned": pin.digest, "seen": pin.seen, "definition": pin.definition}


def _preview(args: dict[str, Any], ctx: ActionContext) -> str:
    pin = _pin(args, ctx)
    place = pin.place
    if pin.seen != args["tools"]:  # the server was written otherwise meanwhile, and pinned anew
        raise errors.CallFailed(
            f"What the MCP server {place} says is pinned already.",
            next="Nothing is to be accepted.",
        )
    lines = list(difference(pin.offered, json.loads(pin.seen_tools or "[]")))
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"… and {len(lines) - LINES} lines more"]
    return "\n".join(
        [
            f"The MCP server {place} describes its tools otherwise than when they were pinned. "
            "None of them can be used until you accept this.",
            "What it says is written by the server, and the model would read it:",
            "",
            *lines,
        ]
    )


def _destinations(args: dict[str, Any], ctx: ActionContext) -> list[Destination]:
    """The server, which its owner wrote into the configuration."""
    return [Destination(args["name"], owners=True)]


def _check(*, key: str, ctx: ActionContext, **args: Any) -> Happened | NotHappened | Unknown:
    with ctx.store.read() as look:
        pin = pins.get(look, _place(args, ctx))
    return Happened(None) if pin and pin.digest == args["tools"] else NotHappened()


@action(
    pins.ACCEPT,
    integration="servers",
    risk=Risk.HIGH,
    effect=Effect.CHECKABLE,
    check=_check,
    target=_target,
    preview=_preview,
    destinations=_destinations,
)
def accept(name: str, agent: str, tools: str, *, ctx: ActionContext) -> str:
    """Use what an MCP server says about its tools now.

    Args:
        name: Of the server.
        agent: Whose entry it stands in; empty: the top of the configuration.
        tools: SHA-256 of the tools.
    """
    place = Place(ctx.tenant, agent, name)

    def write(tx: Tx) -> bool:
        return pins.accept(tx, place, tools, by=f"run:{ctx.run_id}")

    if not ctx.store.transact(write):
        raise errors.CallFailed(f"The MCP server {place} says something else by now.")
    return (
        f"The tools of {place} are pinned as they are now. Runs that start from now on have them."
    )


ACTIONS = (accept,)


def difference(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    """What became of the tools of a server, line by line, as a model would read them."""
    old, new = ({tool["name"]: tool for tool in tools} for tools in (before, after))
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"- {name} is gone"
        elif name not in old:
            yield f"+ {name} is new"
            yield from (f"  + {line}" for line in _told(new[name]))
        elif old[name]["digest"] != new[name]["digest"]:
            yield f"~ {name}"
            lines = list(_lines(old[name], new[name]))
            yield from lines or [
                "  what a model reads of it is the same; annotations, its title, what it answers, or letters that "
                "are not shown are different"
            ]


def _lines(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    found = difflib.unified_diff(_told(old), _told(new), lineterm="", n=1)
    for line in found:
        if not line.startswith(("---", "+++", "@@")):
            yield f"  {line[0]} {line[1:]}"


def _told(tool: dict[str, Any]) -> list[str]:
    schema = json.dumps(tool["schema"], indent=2, ensure_ascii=False, sort_keys=True)
    called = [] if tool["called"] == tool["name"] else [f"(the server calls it {tool['called']})"]
    return [*called, *tool["description"].splitlines(), *schema.splitlines()]
