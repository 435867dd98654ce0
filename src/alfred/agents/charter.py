"""What a run is told of its place among other agents: whom it can hand work to, and for whom it works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alfred.actions.grant import Grant
from alfred.agents import delegate, joining
from alfred.agents.registry import AgentRegistry
from alfred.runs import rows
from alfred.runs.workflow import StepContext

if TYPE_CHECKING:
    from alfred.config import Settings

_CHILD = """\
You are a sub-agent: another agent gave you the brief, and reads nothing of you but your final answer. What the brief takes for
granted is a claim to be looked at. Say what you found, how sure you are of it, what you ruled out, and what you could not do."""


def of(ctx: StepContext, settings: Settings) -> list[str]:
    """Paragraphs of the head; none for a run that has nobody above and nobody beside it."""
    run = ctx.run
    grant = Grant.decode(run.grants)
    told = []
    if run.parent_id is not None:
        told.append(_CHILD)
        if (form := joining.form(ctx)) is not None:
            said = json.dumps(form, ensure_ascii=False)
            told.append(
                f"Your final answer is one JSON value and nothing else. It fits this schema: {said}"
            )
        if grant.scratch and grant.allows("scratch.write"):
            told.append(f"What you note with scratch.write is named {rows.notes_of(run.id)}NAME.")
    if any(grant.allows(action) for action in delegate.STARTS):
        told += _others(settings, run.agent)
    return told


def _others(settings: Settings, own: str) -> list[str]:
    agents = AgentRegistry.from_settings(settings)
    others = [agents.get(id) for id in agents.ids() if id != own]
    if not others:
        return []
    lines = (f"- {one.id}" + (f": {one.description}" if one.description else "") for one in others)
    return ["\n".join(["Agents that you can name when you hand work on:", *lines])]
