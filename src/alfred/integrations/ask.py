"""Asking the person: a call whose outcome is their answer.

The gate turns it into a card of the kind `question` in every mode, so its function is never reached.
"""

from __future__ import annotations

from typing import Any

from alfred import errors
from alfred.actions.context import ActionContext
from alfred.actions.declare import action
from alfred.actions.kinds import Risk


def _asked(args: dict[str, Any], ctx: ActionContext) -> str:
    """The question as a person reads it, with what they may choose from."""
    return "\n".join([args["question"], *(f"- {choice}" for choice in args.get("choices") or ())])


@action("ask.user", integration="ask", risk=Risk.NONE, preview=_asked)
def user(question: str, choices: list[str] | None = None) -> str:
    """Ask the person who owns this installation, and wait for the answer.

    Use it when the work cannot go on without a decision or a fact that only they have.

    Args:
        question: One question, with what they need to know to answer it.
        choices: Answers to choose from, when there are only a few.
    """
    raise errors.CallFailed("A question is answered by a person, never by the program.")


ACTIONS = (user,)
