"""The generic agent run: a brief, a model that proposes, a gate that decides, until there is an answer."""

from __future__ import annotations

from alfred.agents.turn import Turns
from alfred.runs.workflow import Workflow

NAME = "agent"
FIRST = "boss-turn"


def workflow(turns: Turns) -> Workflow:
    """The agent run over the steps of `agents.turn`."""
    return Workflow(
        name=NAME,
        first=FIRST,
        steps={
            "boss-turn": turns.boss_turn,
            "dispatch-tools": turns.dispatch_tools,
            "compact": turns.compact,
        },
    )
