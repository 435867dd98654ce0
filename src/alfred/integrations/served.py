"""A tool of an MCP server in the place of a service: the owner says in the configuration that it searches, and an action of
alfred's asks it.

Invariant: what is asked is the tool as it was pinned, by the rules of its server (`mcp`); that it may be asked without a
person is the owner's word, for the action that asks it and for no other call of it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from alfred import errors
from alfred.actions import arguments, declare
from alfred.actions.context import ActionContext
from alfred.actions.declare import Action
from alfred.integrations import web_settings

if TYPE_CHECKING:
    from alfred.config import Settings


def answer(tool: Action | None, id: str, args: dict[str, Any], ctx: ActionContext) -> Any:
    """What the tool says.

    Args:
        tool: The one of this id, as far as there is one.

    Raises:
        CallFailed: there is none, it cannot be used now, or it takes no such arguments.
        OutcomeUnknown: it was asked, and there is no answer.
    """
    if tool is None or tool.source != declare.MCP:
        raise errors.CallFailed(
            f"There is no tool {id}.", next="`alfred doctor` says what its server lists."
        )
    checked = arguments.validate(tool, args)
    if isinstance(checked, arguments.Invalid):
        raise errors.CallFailed(
            f"{id} takes other arguments: {checked}",
            next="The owner writes the name of the right one into integrations.web.search.argument.",
        )
    return tool.fn(**checked.values, ctx=ctx)


def standing_in(settings: Settings, granted: Collection[str]) -> list[str]:
    """The tools that stand in for what a run may call."""
    search = web_settings.of(settings).search
    found = isinstance(search, web_settings.Served) and "web.search" in granted
    return [search.tool] if found else []
