"""Calling the function of an action, with what it asks for by name, and telling how it ended.

Invariant: an exception is an outcome. What may have arrived is `unknown`, never `failed`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from alfred import errors
from alfred.actions import arguments, results
from alfred.actions.context import ActionContext
from alfred.actions.declare import Action
from alfred.actions.kinds import Effect
from alfred.actions.ledger.calls import Call
from alfred.trust import labels, redact
from alfred.trust.labels import Label

if TYPE_CHECKING:
    from alfred.store.tx import Tx

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ended:
    """How the function of an action ended."""

    status: str  # done, failed, unknown
    result: str | None
    error: str | None = None
    label: Label = labels.WORST
    """Of the result."""
    along: Sequence[Callable[[Tx], None]] = ()
    """What is written with it: see `ActionContext.along`."""


def attempt(action: Action, call: Call, key: str | None, context: ActionContext) -> Ended:
    """Calls the function of an action and tells how it ended; whatever it raises is an answer. Never raises."""
    try:
        value = invoke(action.fn, action, call, key, context)
        return Ended("done", results.stored(value))
    except errors.OutcomeUnknown as problem:
        return Ended("unknown", None, redact.redact(problem.detail))
    except errors.StoreUnavailable as problem:
        # It may have gone away behind the effect, when that was to be written down, or with the commit that was the effect.
        return Ended(_cut_off(action), None, redact.redact(problem.detail))
    except errors.AlfredError as problem:
        said = {"code": problem.code, "detail": problem.detail, "next": problem.next}
        told = results.stored({"error": {k: v for k, v in said.items() if v}})
        return Ended("failed", told, redact.redact(problem.detail))
    except ConnectionRefusedError as problem:
        return Ended("failed", None, redact.redact(f"{type(problem).__name__}: {problem}")[:2000])
    except (TimeoutError, ConnectionError) as problem:
        # The request may have arrived.
        said = redact.redact(f"{type(problem).__name__}: {problem}")[:2000]
        return Ended(_cut_off(action), None, said)
    except (SystemExit, KeyboardInterrupt) as problem:
        # An action that ends its thread by these must not be waited for until its time is over.
        return Ended("failed", None, f"The action ended itself ({type(problem).__name__}).")
    except Exception as problem:
        log.warning("action.failed", action=action.id, call=call.id, exc_info=True)
        return Ended("failed", None, redact.redact(f"{type(problem).__name__}: {problem}")[:2000])


def _cut_off(action: Action) -> str:
    """How a call ended that did not get to its end: only a pure one has failed for certain."""
    return "failed" if action.effect is Effect.PURE else "unknown"


def invoke(
    function: Callable[..., Any],
    action: Action,
    call: Call,
    key: str | None,
    context: ActionContext,
    *,
    all_of: bool = False,
) -> Any:
    """Calls an action's function with its arguments and whatever it asks for by name (`all_of`: a check gets both)."""
    given = arguments.values(action, call.args)
    if isinstance(given, arguments.Invalid):
        raise errors.CallFailed(f"The arguments of {action.id} are not right any more: {given}")
    if all_of or "key" in action.injects:
        given["key"] = key
    if all_of or "ctx" in action.injects:
        given["ctx"] = context
    if not all_of:
        given |= {name: context.secrets(secret.name) for name, secret in action.secrets.items()}
    result = function(**given)
    if inspect.isawaitable(result):
        return asyncio.run(_awaited(result))
    return result


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
