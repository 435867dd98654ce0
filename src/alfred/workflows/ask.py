"""What alfred itself asks: one call, which a person decides."""

from __future__ import annotations

import json
from typing import Any

from alfred import errors
from alfred.actions.grant import Grant
from alfred.actions.ledger import pins
from alfred.actions.ledger.pins import Pin
from alfred.runs.rows import NewRun
from alfred.runs.workflow import Done, Fail, StepContext, Verdict, Workflow

NAME = "ask"
STEP = "ask"


def run(
    id: str, *, tenant: str, agent: str, title: str, action: str, args: dict[str, Any], key: str
) -> NewRun:
    """The run that asks: it may make this one call.

    Args:
        agent: Whose work it came up in.
        key: Of the question: two runs do not ask it at a time.
    """
    return NewRun(
        id=id,
        tenant=tenant,
        agent=agent,
        workflow=NAME,
        step=STEP,
        title=title,
        brief=title,
        trigger_kind=NAME,
        singleton_key=key,
        grants=Grant(actions=frozenset([action])).encode(),
        state=json.dumps({"action": action, "args": args}),
    )


def about_server(pin: Pin, agent: str) -> NewRun:
    """The run that asks whether what an MCP server says otherwise than it is pinned is to be pinned."""
    return run(
        pin.asked or "",
        tenant=pin.tenant,
        agent=agent,
        title=f"The MCP server {pin.place} describes its tools otherwise",
        action=pins.ACCEPT,
        args={"name": pin.server, "agent": pin.scope, "tools": pin.seen},
        key=pin.question,
    )


def workflow() -> Workflow:
    """The one step."""
    return Workflow(name=NAME, first=STEP, steps={STEP: ask})


def ask(ctx: StepContext) -> Verdict:
    """Makes the call; a no is an answer."""
    wanted = ctx.state
    try:
        said = ctx.call(wanted["action"], wanted["args"])
    except errors.CallRefused as no:
        return Done(f"It is not done: {_told(no)}")
    except errors.CallFailed as problem:
        return Fail("failed", _told(problem))
    return Done(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))


def _told(problem: errors.AlfredError) -> str:
    return " ".join(filter(None, (problem.detail, problem.next)))
