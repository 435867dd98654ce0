"""One harmless action of each integration, tried through the gate: whether what should work does.

Invariant: what is tried changes nothing outside of the folder of its own run, costs nothing, asks nobody and tells nobody;
of an action that is not known to be so nothing is tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from alfred import errors
from alfred.actions.declare import Action
from alfred.actions.kinds import Effect, Risk
from alfred.runs.workflow import Done, StepContext, Verdict, Workflow

NAME = "smoke"
STEP = "try"

Calls = Sequence[tuple[str, dict[str, Any]]]

_MARK = "smoke.txt"
HARMLESS: Mapping[str, Calls] = {
    "files": (
        ("files.write", {"path": _MARK, "content": "smoke\n"}),
        ("files.read", {"path": _MARK}),
    ),
    "shell": (("shell.run", {"command": f"cat {_MARK}", "timeout": 30}),),
    "code": (("code.run", {"code": f"print(open({_MARK!r}).read())", "timeout": 30}),),
    "git": (("git.status", {}),),
    "memory": (("memory.search", {"query": "smoke"}),),
    "sessions": (("sessions.search", {"query": "smoke"}),),
    "scratch": (("scratch.list", {}),),
    "web": (("web.fetch", {"url": "https://example.com/"}),),  # what it reads is a stranger's word
}
"""What is tried of an integration, in this order."""

_LEFT_ALONE: Mapping[str, str] = {
    "agents": "it would start another agent, which costs",
    "ask": "it would ask you something",
    "notify": "it would send you something",
    "skills": "there is none to read",
    "text": "it would ask a model, which costs",
    "todo": "it would leave a todo",
}


def plan(
    actions: Iterable[Action], *, skill: str | None
) -> tuple[dict[str, Calls], dict[str, str]]:
    """What is tried of each integration, and why nothing is of the others.

    Args:
        skill: The name of one that there is.
    """
    own: dict[str, list[Action]] = {}
    for action in actions:
        own.setdefault(action.integration, []).append(action)
    tried: dict[str, Calls] = {}
    left: dict[str, str] = {}
    for integration in sorted(own, key=_order):
        calls = HARMLESS.get(integration, ())
        if integration == "skills" and skill is not None:
            calls = (("skills.view", {"name": skill}),)
        if not calls and integration not in _LEFT_ALONE:
            calls = [(one.id, {}) for one in own[integration] if _looks(one)][:1]
        if calls:
            tried[integration] = calls
        else:
            left[integration] = _LEFT_ALONE.get(
                integration, "none of its actions is known to be harmless"
            )
    return tried, left


def _order(integration: str) -> tuple[int, str]:
    """Those of ours as they stand above, others, and the web behind all: no word of it is there while another is judged."""
    names = list(HARMLESS)
    known = names.index(integration) if integration in names else len(names)
    return (known + 1 if integration == "web" else min(known, len(names) - 1), integration)


def _looks(action: Action) -> bool:
    """Whether it says of itself that it only looks, and needs nothing to be told for it."""
    return (
        action.effect is Effect.PURE
        and action.risk is Risk.NONE
        and not action.schema.get("required")
    )


def workflow() -> Workflow:
    """The one step."""
    return Workflow(name=NAME, first=STEP, steps={STEP: _try})


def _try(ctx: StepContext) -> Verdict:
    """Makes the calls of the state; the result has, for each, what went wrong or null."""
    calls = [(one["action"], one["args"]) for one in ctx.state["calls"]]
    return Done(json.dumps([_wrong(value) for value in ctx.calls(calls)], ensure_ascii=False))


def _wrong(value: Any) -> str | None:
    if isinstance(value, errors.AlfredError):
        return value.detail
    if isinstance(value, dict) and value.get("exit_code"):
        return f"exit code {value['exit_code']}: {value.get('output', '')}"
    return None
